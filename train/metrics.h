// Metrics of a training: one JSON object a line, one line an epoch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/dataset.h"

namespace lcnn::train {

struct Score {
  double loss = 0;
  std::vector<double> accuracies;  // one, or one for each attribute

  double accuracy() const;
};

// {"accuracy": their mean}, and of attributes {"attributes": {name: accuracy}} too.
nlohmann::ordered_json accuracies_to_json(const std::vector<double>& accuracies, const Labels& labels);

// {"loss"} and the accuracies.
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
