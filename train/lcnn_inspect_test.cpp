// lcnn_inspect as its users meet it: a network is trained, the program is run on it, its output and files are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "reports/temporary_folder.h"
#include "reports/test_program.h"
#include "train/idx_test_files.h"
#include "train/image.h"

namespace lcnn::train {
namespace {

using nlohmann::json;
using testing::HasSubstr;

namespace fs = std::filesystem;

class LcnnInspect : public testing::Test {
 protected:
  LcnnInspect() { write_idx_set(folder_ / "data", 100, 20); }
  std::string checkpoint() const { return folder_ / "out/last.safetensors"; }
  std::string pictures() const { return folder_ / "pictures"; }
  void train(std::vector<std::string> more) const {
    more.insert(more.end(), {"--data=" + (folder_ / "data"), "--out=" + (folder_ / "out"), "--threads=1", "--batch=20", "--epochs=1"});
    const Outcome outcome = Program(LCNN_TRAIN_PATH, more).wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  Outcome run(std::vector<std::string> more) const {
    more.insert(more.end(), {checkpoint(), "--threads=1", "--runs=2"});
    return Program(LCNN_INSPECT_PATH, more).wait();
  }
  json run_json(std::vector<std::string> more) const {
    more.push_back("--json");
    const Outcome outcome = run(more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  json weights_of(const std::string& layer) const { return json::parse(read_text(pictures() + "/" + layer + ".json")); }
  json last_metrics() const { return json::parse(read_text(folder_ / "out/metrics.jsonl")); }

  TemporaryFolder folder_;
};

TEST_F(LcnnInspect, CountsWhatTheTrainingCounted) {
  train({"--convolution=pooled", "--initial-sparsity=0.5"});
  const json result = run_json({}), metrics = last_metrics();
  EXPECT_EQ(result["all"]["lookups"], metrics["lookups"]);
  EXPECT_EQ(result["all"]["sparsity"], metrics["sparsity"]);
  EXPECT_EQ(result["all"]["multiplications"], metrics["multiplications"]);
  EXPECT_EQ(result["all"]["conv2d_multiplications"], metrics["conv2d_multiplications"]);
  ASSERT_EQ(result["layers"].size(), 2u);
  const json& conv2 = result["layers"][1];
  EXPECT_EQ(conv2["name"], "conv2");
  EXPECT_EQ(conv2["dictionary_size"], 8);
  EXPECT_EQ(conv2["conv2d_parameters"], 32 * 64 * 9 + 64);
  EXPECT_EQ(conv2["conv2d_bytes"], 4 * (32 * 64 * 9 + 64));
  EXPECT_EQ(conv2["parameters"], 8 * 32 + conv2["lookups"].get<std::int64_t>() + 64);
  // D and bias of 4 bytes; 32-bit offsets; a 16-bit index and a coefficient each.
  EXPECT_EQ(conv2["bytes"], 4 * (8 * 32 + 64) + 4 * (64 * 9 + 1) + 6 * conv2["lookups"].get<std::int64_t>());
  EXPECT_GT(conv2["milliseconds"], 0.0);
  EXPECT_EQ(result["variant"], "auto");
  EXPECT_EQ(run_json({"--variant=naive_sparse"})["layers"][1]["lookups"], conv2["lookups"]);

  const Outcome outcome = run({});
  const auto number = [](const json& value) { return std::to_string(static_cast<std::int64_t>(value.get<double>())); };
  EXPECT_THAT(outcome.out, testing::ContainsRegex("\nconv2 +8 +0[.][0-9]+ MEM=" + number(conv2["parameters"]) + "[(][0-9.]+%[)] bytes=" +
                                                  number(conv2["bytes"]) + " COMP=" + number(conv2["multiplications"]) + "[(]"));
  EXPECT_THAT(outcome.out, HasSubstr("as Conv2d: MEM=" + number(result["all"]["conv2d_parameters"])));
}

// A filter is the sum of its entries times their coefficients, place by place.
TEST_F(LcnnInspect, FiltersAreMadeOfTheirEntries) {
  for (const std::string granularity : {"vector", "filter"}) {
    fs::remove_all(folder_ / "out");
    train({"--convolution=fixed", "--sparsity=2", "--granularity=" + granularity});
    ASSERT_EQ(run({"--out=" + pictures(), "--filters=0"}).exit_code, 0);
    const json layer = weights_of("conv2");
    ASSERT_EQ(layer["filters"].size(), 64u);
    ASSERT_EQ(layer["lookups"].size(), 64u);
    ASSERT_EQ(layer["dictionary"].size(), 8u);
    const bool vector = granularity == "vector";
    for (const std::size_t filter : {0u, 17u, 63u}) {
      EXPECT_EQ(layer["lookups"][filter].size(), vector ? 2u * 9 : 2u);
      for (std::size_t channel = 0; channel < 32; ++channel) {
        for (std::size_t y = 0; y < 3; ++y) {
          for (std::size_t x = 0; x < 3; ++x) {
            double sum = 0;
            for (const json& lookup : layer["lookups"][filter]) {
              if (vector && (lookup["row"] != y || lookup["column"] != x)) continue;
              const json& entry = layer["dictionary"][lookup["entry"].get<std::size_t>()][channel];
              sum += lookup["coefficient"].get<double>() * (vector ? entry[0][0] : entry[y][x]).get<double>();
            }
            EXPECT_NEAR(layer["filters"][filter][channel][y][x].get<double>(), sum, 1e-6);
          }
        }
      }
    }
  }
}

TEST_F(LcnnInspect, DrawsTheWeights) {
  train({"--convolution=fixed", "--model=one_layer", "--dictionary=5", "--sparsity=2"});
  ASSERT_EQ(run({"--out=" + pictures(), "--filters=4"}).exit_code, 0);
  const json layer = weights_of("conv");
  ASSERT_EQ(layer["filters"].size(), 4u);
  const Image image = decode_image(pictures() + "/conv_filters.png");
  // 4 filters of 1 channel: tiles of 3x3 weights, 16 pixels each, a line around every tile.
  ASSERT_EQ(image.channels, 3);
  EXPECT_EQ(image.height, 4 * (3 * 16 + 1) + 1);
  EXPECT_EQ(image.width, 3 * 16 + 2);
  double largest = 0;
  for (const json& filter : layer["filters"]) {
    for (const json& row : filter[0]) {
      for (const json& value : row) largest = std::max(largest, std::abs(value.get<double>()));
    }
  }
  for (std::int64_t filter = 0; filter < 4; ++filter) {
    for (std::int64_t y = 0; y < 3; ++y) {
      for (std::int64_t x = 0; x < 3; ++x) {
        const double value = layer["filters"][filter][0][y][x];
        const std::int64_t at = (filter * 49 + 1 + y * 16 + 8) * image.width + 1 + x * 16 + 8, plane = image.height * image.width;
        const int red = image.pixels[at], green = image.pixels[plane + at], blue = image.pixels[2 * plane + at];
        EXPECT_NEAR(green, 255 * (1 - std::abs(value) / largest), 1);
        EXPECT_EQ(value >= 0 ? red : blue, 255);
        EXPECT_EQ(value >= 0 ? blue : red, green);
      }
    }
  }
  EXPECT_EQ(decode_image(pictures() + "/conv_dictionary.png").width, 16 + 2);
  EXPECT_EQ(decode_image(pictures() + "/conv_lookups.png").width, 4 * (3 * 16 + 1) + 1) << "4 entries";
}

TEST_F(LcnnInspect, Conv2dHasFiltersOnly) {
  train({"--model=lenet"});
  const json result = run_json({"--out=" + pictures()});
  EXPECT_FALSE(result["layers"][0].contains("lookups"));
  EXPECT_EQ(result["all"]["parameters"], 6 * 25 + 6 + 16 * 6 * 25 + 16);
  EXPECT_EQ(result["all"]["multiplications"], last_metrics()["multiplications"]);
  EXPECT_TRUE(fs::exists(pictures() + "/conv2_filters.png"));
  EXPECT_FALSE(fs::exists(pictures() + "/conv2_dictionary.png"));
}

TEST_F(LcnnInspect, BadInputIsRefusedInOneLine) {
  const auto refusal = [&](const std::vector<std::string>& more) {
    const Outcome outcome = run(more);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  };
  EXPECT_THAT(refusal({}), HasSubstr("last.safetensors: "));
  train({"--convolution=fixed"});
  EXPECT_THAT(refusal({"--variant=unknown"}), HasSubstr("--variant=unknown: "));
  EXPECT_THAT(refusal({"--filters=-1"}), HasSubstr("--filters"));
  write_bytes(folder_ / "file", "");
  EXPECT_THAT(refusal({"--out=" + (folder_ / "file")}), HasSubstr("it is no folder that can be written"));
}

}  // namespace
}  // namespace lcnn::train
