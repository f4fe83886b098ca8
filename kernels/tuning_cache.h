// What tuning found, kept on disk: one JSON file in the cache folder, shared by all processes of a user.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "kernels/problem.h"

namespace lcnn {

// The key of a choice: the device's name, `what` is chosen, and all that the choice depends on.
std::string tuning_key(const std::string& device, const std::string& what, const LookupProblem& problem, Precision precision,
                       std::int64_t lookups);

// LCNN_CACHE_DIR, else $XDG_CACHE_HOME/lcnn, else ~/.cache/lcnn; empty when there is none of them.
std::filesystem::path cache_folder();

// Writes `content` aside and renames it, so that a reader never sees half a file; makes the folder first. A file that
// cannot be written is done without.
void write_cache_file(const std::filesystem::path& path, const std::string& content);

// Appends what a candidate took, in microseconds, as a line of JSON to the file that LCNN_TUNING_LOG names, if it does: what
// cost models are fitted to. A file that cannot be written is done without.
void log_timing(const std::string& key, const std::string& candidate, double microseconds);

class TuningCache {
 public:
  // That of cache_folder(), read at first use. A file that cannot be read counts as empty.
  static TuningCache& of_process();
  explicit TuningCache(std::filesystem::path file);

  // What was fastest for `key`; a key names everything that the choice depends on, the device included.
  std::optional<std::string> find(const std::string& key) const;
  // Keeps it, in the file as well; what other processes stored there meanwhile stays.
  void store(const std::string& key, const std::string& choice);
  // Whether this process stored it: then measuring again would tell nothing new.
  bool measured_here(const std::string& key) const { return measured_.contains(key); }

 private:
  std::filesystem::path file_;
  std::map<std::string, std::string> choices_;
  std::set<std::string> measured_;
};

}  // namespace lcnn
