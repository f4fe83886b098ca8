#include "train/metrics.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>

#include "train/replace_file.h"

namespace lcnn::train {

namespace {

double mean(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()); }

nlohmann::ordered_json ratio(double part, std::int64_t whole) {
  return whole > 0 ? nlohmann::ordered_json(part / static_cast<double>(whole)) : nlohmann::ordered_json();
}

nlohmann::ordered_json to_json(const ClassCounts& counts) {
  const auto right = static_cast<double>(counts.right);
  return {{"images", counts.images}, {"precision", ratio(right, counts.predicted)}, {"recall", ratio(right, counts.images)},
          {"f1", ratio(2 * right, counts.images + counts.predicted)}};
}

}  // namespace

double Score::accuracy() const { return mean(accuracies); }

nlohmann::ordered_json accuracies_to_json(const std::vector<double>& accuracies, const Labels& labels) {
  nlohmann::ordered_json json{{"accuracy", mean(accuracies)}};
  for (std::size_t i = 0; labels.attributes && i < labels.names.size(); ++i) json["attributes"][labels.names[i]] = accuracies[i];
  return json;
}

nlohmann::ordered_json to_json(const Score& score, const Labels& labels) {
  nlohmann::ordered_json json{{"loss", score.loss}};
  json.update(accuracies_to_json(score.accuracies, labels));
  const Labels names = output_labels(labels, static_cast<std::int64_t>(score.classes.size()));
  for (std::size_t i = 0; i < score.classes.size(); ++i) json["classes"][names.names[i]] = to_json(score.classes[i]);
  return json;
}

std::string attribute_lines(const nlohmann::ordered_json& accuracies) {
  std::string text;
  for (const auto& [name, accuracy] : accuracies.at("attributes").items()) text += fmt::format("{} accuracy: {:.4f}\n", name, accuracy.get<double>());
  return text + fmt::format("Overall accuracy: {:.4f}\n", accuracies.at("accuracy").get<double>());
}

void append_metrics(const std::filesystem::path& file, const nlohmann::ordered_json& line) {
  std::ofstream stream(file, std::ios::app);
  stream << line.dump() << '\n' << std::flush;
  if (!stream) throw std::runtime_error(fmt::format("{}: it cannot be written: {}", file.string(), std::strerror(errno)));
}

nlohmann::ordered_json read_metrics(const std::filesystem::path& file, std::int64_t epoch) {
  std::ifstream stream(file);
  std::string line;
  for (std::int64_t i = 0; i < epoch && std::getline(stream, line); ++i) {}
  auto json = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!stream || !json.is_object()) throw std::runtime_error(fmt::format("{}: it has no line of epoch {}", file.string(), epoch));
  return json;
}

void truncate_metrics(const std::filesystem::path& file, std::int64_t epochs) {
  std::ifstream stream(file);
  if (!stream) return;
  std::string kept, line;
  for (std::int64_t i = 0; i < epochs && std::getline(stream, line); ++i) kept += line + "\n";
  replace_file(file, std::array{std::string_view(kept)});
}

}  // namespace lcnn::train
