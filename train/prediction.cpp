#include "train/prediction.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "train/metrics.h"
#include "variants/runtime.h"
#include "variants/variant_table.h"

namespace lcnn::train {
namespace {

using nlohmann::ordered_json;

bool has_attribute(double probability) { return probability > 0.5; }

// The likeliest classes first.
std::vector<std::size_t> top_classes(const std::vector<double>& probabilities, std::int64_t top) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return probabilities[i]; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(top)));
  return order;
}

}  // namespace

std::int64_t Prediction::best() const { return std::ranges::max_element(probabilities) - probabilities.begin(); }

std::string loaded_line(const CheckpointSummary& summary) {
  return fmt::format("Loaded {}model from epoch {} with validation loss: {}\n", summary.best ? "best " : "", summary.epoch,
                     summary.loss ? fmt::format("{:.4f}", *summary.loss) : "unknown");
}

std::string fallback_line(const std::string& variant, const std::vector<LayerChoice>& layers) {
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;  // and their layers
  for (const LayerChoice& layer : layers) {
    if (layer.fallback.empty()) continue;
    auto reason = std::ranges::find(reasons, layer.fallback, &decltype(reasons)::value_type::first);
    if (reason == reasons.end()) reason = reasons.insert(reason, {layer.fallback, {}});
    reason->second.push_back(layer.name);
  }
  if (reasons.empty()) return {};
  std::vector<std::string> parts;
  for (const auto& [reason, names] : reasons) parts.push_back(fmt::format("{} ({})", fmt::join(names, ", "), reason));
  return fmt::format("--variant={}: {} computes what it does not support: {}", variant, kAutoVariant, fmt::join(parts, "; "));
}

void warn_of_fallback(const char* program, const Predictor& predictor) {
  if (const std::string line = fallback_line(predictor.variant(), predictor.choices()); !line.empty()) std::fprintf(stderr, "%s: %s\n", program, line.c_str());
}

std::string lines_of(const Prediction& prediction, const Labels& labels, std::int64_t top) {
  std::string text = prediction.image + "\n";
  const auto& probabilities = prediction.probabilities;
  if (labels.attributes) {
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
      text += fmt::format("{}: {}\n", labels.names[i], has_attribute(probabilities[i]) ? "True" : "False");
    }
    return text;
  }
  for (const std::size_t i : top_classes(probabilities, top)) text += fmt::format("{}: {:.4f}\n", labels.names[i], probabilities[i]);
  return text;
}

std::vector<double> accuracies_of(const std::vector<Prediction>& predictions, const Labels& labels) {
  const auto known = [&](const Prediction& p) { return labels.attributes ? !p.attributes.empty() : p.label.has_value(); };
  const auto count = std::ranges::count_if(predictions, known);
  std::vector<double> accuracies;
  for (std::size_t i = 0; count > 0 && i < (labels.attributes ? labels.names.size() : 1); ++i) {
    const auto right = std::ranges::count_if(predictions, [&](const Prediction& p) {
      if (!known(p)) return false;
      return labels.attributes ? has_attribute(p.probabilities[i]) == (p.attributes[i] != 0) : p.label == p.best();
    });
    accuracies.push_back(static_cast<double>(right) / static_cast<double>(count));
  }
  return accuracies;
}

std::string closing_lines(const std::vector<Prediction>& predictions, const Predictor& predictor, const InferOptions& options) {
  std::string text;
  const Labels& labels = predictor.summary().labels;
  if (const auto accuracies = accuracies_of(predictions, labels); !accuracies.empty()) {
    text += labels.attributes ? attribute_lines(accuracies_to_json(accuracies, labels)) : fmt::format("accuracy {:.4f}\n", accuracies.front());
  }
  text += fmt::format("{} images, {:.3f} ms per image in batches of {} on {}", predictions.size(), predictor.milliseconds_per_image(),
                      options.batch, to_string(options.device));
  const auto choices = predictor.choices();
  if (!choices.empty()) text += fmt::format(", variant {}, prepared in {:.1f} ms", predictor.variant(), predictor.prepare_ms());
  text += "\n";
  for (const LayerChoice& layer : choices) {
    const std::string by = layer.fallback.empty() ? "" : fmt::format("{}: ", kAutoVariant);
    if (!by.empty() || !layer.choice.empty()) text += fmt::format("  {}: {}{}\n", layer.name, by, layer.choice);
  }
  return text;
}

ordered_json to_json(const std::vector<Prediction>& predictions, const Predictor& predictor, const InferOptions& options) {
  const CheckpointSummary& summary = predictor.summary();
  ordered_json json{{"checkpoint", options.checkpoint},
                    {"model", summary.architecture.model},
                    {"convolution", to_string(summary.architecture.convolution)},
                    {"epoch", summary.epoch},
                    {"best", summary.best},
                    {"validation_loss", summary.loss ? ordered_json(*summary.loss) : ordered_json()},
                    {"device", to_string(options.device)},
                    {"threads", threads()},
                    {"batch", options.batch},
                    {"milliseconds_per_image", predictor.milliseconds_per_image()}};
  if (const auto choices = predictor.choices(); !choices.empty()) {
    json["variant"] = predictor.variant();
    json["prepare_ms"] = predictor.prepare_ms();
    json["layers"] = ordered_json::array();
    for (const LayerChoice& layer : choices) {
      ordered_json& entry = json["layers"].emplace_back(ordered_json{{"name", layer.name}, {"choice", layer.choice}});
      if (!layer.fallback.empty()) entry["fallback"] = layer.fallback;
    }
  }
  if (const auto accuracies = accuracies_of(predictions, summary.labels); !accuracies.empty()) {
    json.update(accuracies_to_json(accuracies, summary.labels));
  }
  json["images"] = ordered_json::array();
  for (const Prediction& prediction : predictions) {
    ordered_json& image = json["images"].emplace_back(ordered_json{{"name", prediction.image}});
    const auto& names = summary.labels.names;
    if (summary.labels.attributes) {
      for (std::size_t i = 0; i < names.size(); ++i) {
        const double probability = prediction.probabilities[i];
        image["attributes"].push_back({{"name", names[i]}, {"value", has_attribute(probability)}, {"probability", probability}});
      }
      continue;
    }
    if (prediction.label) image["label"] = names[static_cast<std::size_t>(*prediction.label)];
    for (const std::size_t i : top_classes(prediction.probabilities, options.top)) {
      image["classes"].push_back({{"name", names[i]}, {"probability", prediction.probabilities[i]}});
    }
  }
  return json;
}

}  // namespace lcnn::train
