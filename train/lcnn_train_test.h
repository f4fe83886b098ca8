// For tests that run lcnn_train as its users do, and read its output, exit code and files.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "reports/temporary_folder.h"
#include "reports/test_program.h"
#include "train/idx_test_files.h"
#include "train/safetensors.h"

namespace lcnn::train {

using nlohmann::json;

namespace fs = std::filesystem;

inline std::vector<json> lines_of(const std::string& file) {
  std::vector<json> lines;
  std::istringstream stream(read_text(file));
  for (std::string line; std::getline(stream, line);) lines.push_back(json::parse(line));
  return lines;
}

// Without the times, which differ from run to run.
inline std::vector<json> metrics_of(const std::string& file) {
  std::vector<json> lines = lines_of(file);
  for (json& line : lines) line.erase("seconds");
  return lines;
}

class LcnnTrain : public testing::Test {
 protected:
  LcnnTrain() { write_idx_set(data(), 200, 50); }
  std::string data() const { return folder_ / "data"; }
  std::string out(const std::string& name = "out") const { return folder_ / name; }
  // The smallest training; later arguments add to it.
  std::vector<std::string> training(const std::vector<std::string>& more, const std::string& name = "out") const {
    std::vector<std::string> arguments{"--data=" + data(), "--out=" + out(name), "--threads=1"};
    const auto says = [](const std::string& option) { return option.starts_with("--batch=") || option == "--resume"; };
    if (std::ranges::none_of(more, says)) arguments.push_back("--batch=20");
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Outcome run(const std::vector<std::string>& more, const std::string& name = "out", rlim_t most_bytes = 0) const {
    return Program(LCNN_TRAIN_PATH, training(more, name), most_bytes).wait();
  }
  // One line, exit code 2.
  static std::string refusal(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  }
  void expect_same_end(const std::string& one, const std::string& other,
                       const std::vector<std::string>& files = {"/last.safetensors", "/best.safetensors"}) const {
    for (const std::string& file : files) {
      EXPECT_TRUE(read_text(out(one) + file) == read_text(out(other) + file)) << file << " differs";
    }
    EXPECT_EQ(metrics_of(out(one) + "/metrics.jsonl"), metrics_of(out(other) + "/metrics.jsonl"));
  }

  // The largest difference between the networks of two trainings: of any element of their parameters and running statistics.
  double difference(const std::string& one, const std::string& other) const {
    const TensorFile first = read_safetensors(out(one) + "/last.safetensors"), second = read_safetensors(out(other) + "/last.safetensors");
    double largest = 0;
    for (const StoredTensor& tensor : first.tensors) {
      if (tensor.type != "F32" || tensor.name.starts_with("optimizer.") || tensor.name.starts_with("training.")) continue;
      const StoredTensor* const counterpart = second.find(tensor.name);
      if (counterpart == nullptr || counterpart->bytes.size() != tensor.bytes.size()) return std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < tensor.bytes.size(); i += sizeof(float)) {
        float a = 0, b = 0;
        std::memcpy(&a, tensor.bytes.data() + i, sizeof a);
        std::memcpy(&b, counterpart->bytes.data() + i, sizeof b);
        largest = std::max(largest, std::abs(static_cast<double>(a) - static_cast<double>(b)));
      }
    }
    return largest;
  }

  TemporaryFolder folder_;
};

}  // namespace lcnn::train
