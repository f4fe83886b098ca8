#include "kernels/tuning_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

namespace lcnn {
namespace {

constexpr int kFormat = 1;  // of the file; another one counts as empty

std::map<std::string, std::string> read_choices(const std::filesystem::path& file) {
  std::ifstream stream(file);
  const auto document = nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
  std::map<std::string, std::string> choices;
  if (!document.is_object() || document.value("format", nlohmann::json()) != kFormat) return choices;
  const auto stored = document.value("choices", nlohmann::json::object());
  for (const auto& [key, choice] : stored.items()) {
    if (choice.is_string()) choices[key] = choice.get<std::string>();
  }
  return choices;
}

}  // namespace

std::string tuning_key(const std::string& device, const std::string& what, const LookupProblem& problem, Precision precision,
                       std::int64_t lookups) {
  return fmt::format("{} | {} | {} | {} {} lookups", device, what, to_string(precision), to_string(problem), lookups);
}

std::filesystem::path cache_folder() {
  if (const char* folder = std::getenv("LCNN_CACHE_DIR")) return folder;
  if (const char* folder = std::getenv("XDG_CACHE_HOME")) return std::filesystem::path(folder) / "lcnn";
  if (const char* home = std::getenv("HOME")) return std::filesystem::path(home) / ".cache" / "lcnn";
  return {};
}

void write_cache_file(const std::filesystem::path& path, const std::string& content) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const std::filesystem::path aside = path.string() + fmt::format(".{}", getpid());
  std::ofstream file(aside, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) std::filesystem::rename(aside, path, ignored);
  else std::filesystem::remove(aside, ignored);
}

void log_timing(const std::string& key, const std::string& candidate, double microseconds) {
  const char* path = std::getenv("LCNN_TUNING_LOG");
  if (path == nullptr) return;
  std::ofstream(path, std::ios::app) << nlohmann::json{{"key", key}, {"candidate", candidate}, {"us", microseconds}}.dump() << '\n';
}

TuningCache& TuningCache::of_process() {
  static TuningCache cache(cache_folder().empty() ? std::filesystem::path() : cache_folder() / "tuning.json");
  return cache;
}

TuningCache::TuningCache(std::filesystem::path file) : file_(std::move(file)), choices_(read_choices(file_)) {}

std::optional<std::string> TuningCache::find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void TuningCache::store(const std::string& key, const std::string& choice) {
  choices_[key] = choice;
  measured_.insert(key);
  if (file_.empty()) return;
  std::map<std::string, std::string> all = read_choices(file_);
  for (const std::string& ours : measured_) all[ours] = choices_.at(ours);
  write_cache_file(file_, nlohmann::json{{"format", kFormat}, {"choices", all}}.dump(1) + "\n");
}

}  // namespace lcnn
