// Metrics of a training: one JSON object a line, one line an epoch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/dataset.h"

namespace lcnn::train {

// Of one class or attribute.
struct ClassCounts {
  std::int64_t images = 0;     // that have it
  std::int64_t predicted = 0;  // that are said to
  std::int64_t right = 0;      // of both
};

struct Score {
  double loss = 0;
  std::vector<double> accuracies;  // one, or one for each attribute
  std::vector<ClassCounts> classes;  // or none

  double accuracy() const;
};

// {"accuracy": their mean}, and of attributes {"attributes": {name: accuracy}} too.
nlohmann::ordered_json accuracies_to_json(const std::vector<double>& accuracies, const Labels& labels);

// {"loss"}, the accuracies, and of each class, where they are counted, {"classes": {name: {"images", "precision", "recall", "f1"}}};
// null is what nothing is known of: the recall without an image of the class, the precision without an image said to be of it.
nlohmann::ordered_json to_json(const Score& score, const Labels& labels);

// Lines of every attribute's accuracy and of their mean, as accuracies_to_json has them: "Bald accuracy: 0.9781".
std::string attribute_lines(const nlohmann::ordered_json& accuracies);

// Appends a line. Throws std::runtime_error, one line that names the file, when it cannot be written.
void append_metrics(const std::filesystem::path& file, const nlohmann::ordered_json& line);

// The line of an epoch, from 1. Throws std::runtime_error, one line that names the file, when it is not there.
nlohmann::ordered_json read_metrics(const std::filesystem::path& file, std::int64_t epoch);

// Drops the lines behind the first `epochs`, as a training that is continued after so many writes them anew. A file that is
// not there stays so.
void truncate_metrics(const std::filesystem::path& file, std::int64_t epochs);

}  // namespace lcnn::train
