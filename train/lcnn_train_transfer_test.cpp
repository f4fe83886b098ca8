// lcnn_train that starts from a trained network: what is taken over, what is held, what is trained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "reports/test_program.h"
#include "train/idx_test_files.h"
#include "train/image_test_files.h"
#include "train/lcnn_train_test.h"
#include "train/safetensors.h"

namespace lcnn::train {
namespace {

using testing::HasSubstr;

class LcnnTrainTransfer : public testing::Test {
 protected:
  LcnnTrainTransfer() { write_idx_set(folder_ / "data", 200, 50); }
  Outcome run(std::vector<std::string> more, const std::string& out) const {
    more.insert(more.end(), {"--out=" + (folder_ / out), "--threads=1"});
    return Program(LCNN_TRAIN_PATH, more).wait();
  }
  // On the ten classes of MNIST's layout.
  Outcome on_ten(std::vector<std::string> more, const std::string& out) const {
    more.insert(more.end(), {"--data=" + (folder_ / "data"), "--batch=20", "--schedule=constant"});
    return run(more, out);
  }
  // On images of two classes.
  Outcome on_two(std::vector<std::string> more, const std::string& out) const {
    for (const std::string part : {"train", "val"}) {
      for (int label = 0; label < 2; ++label) {
        const std::string path = "two/" + part + "/" + std::to_string(label);
        fs::create_directories(folder_ / path);
        for (int i = 0; i < 8; ++i) {
          const std::vector<std::uint8_t> pixels(3 * 12 * 12, static_cast<std::uint8_t>(40 + 150 * label + i));
          folder_.file(path + "/" + std::to_string(i) + ".jpg", jpeg_bytes(3, 12, 12, pixels));
        }
      }
    }
    more.insert(more.end(), {"--dataset=folder", "--data=" + (folder_ / "two"), "--image-size=12", "--batch=8", "--schedule=constant"});
    return run(more, out);
  }
  std::string last(const std::string& out) const { return folder_ / out + "/last.safetensors"; }
  std::vector<json> metrics(const std::string& out) const {
    return metrics_of(folder_ / out + "/metrics.jsonl");
  }
  // Which of the network's tensors have other values.
  std::vector<std::string> changed(const std::string& one, const std::string& other) const {
    const TensorFile before = read_safetensors(last(one)), after = read_safetensors(last(other));
    std::vector<std::string> names;
    for (const StoredTensor& tensor : before.tensors) {
      if (tensor.name.starts_with("optimizer.") || tensor.name.starts_with("training.")) continue;
      const StoredTensor* const now = after.find(tensor.name);
      if (now == nullptr || now->bytes != tensor.bytes) names.push_back(tensor.name);
    }
    std::ranges::sort(names);
    return names;
  }
  static std::string refusal(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  }

  TemporaryFolder folder_;
};

TEST_F(LcnnTrainTransfer, WhatIsFrozenStaysToTheBitAndTheRestIsTrained) {
  struct Case {
    std::string convolution, freeze;
    std::vector<std::string> held;  // of what LookupConv2d has
  };
  for (const auto& [convolution, freeze, held] :
       {Case{"pooled", "none", {}}, Case{"pooled", "dictionary", {"dictionary"}}, Case{"pooled", "lookups", {"lookup_weight"}},
        Case{"fixed", "none", {}}, Case{"fixed", "dictionary", {"dictionary"}}, Case{"fixed", "lookups", {"lookup_coefficients"}}}) {
    for (const std::string optimizer : {"sgd", "adam"}) {
      const std::string start = "start_" + convolution, name = convolution + freeze + optimizer;
      SCOPED_TRACE(name);
      if (!fs::exists(last(start))) {
        ASSERT_EQ(on_ten({"--convolution=" + convolution, "--epochs=1"}, start).exit_code, 0);
      }
      const Outcome outcome = on_ten({"--from=" + last(start), "--freeze=" + freeze, "--epochs=2", "--optimizer=" + optimizer}, name);
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      std::vector<std::string> expected{"conv1.bias", "conv2.bias", "linear1.bias", "linear1.weight", "linear2.bias", "linear2.weight"};
      for (const std::string part : {"dictionary", convolution == "pooled" ? "lookup_weight" : "lookup_coefficients"}) {
        if (std::ranges::find(held, part) != held.end()) continue;
        for (const std::string layer : {"conv1.", "conv2."}) expected.push_back(layer + part);
      }
      std::ranges::sort(expected);
      EXPECT_EQ(changed(start, name), expected);
    }
  }
}

TEST_F(LcnnTrainTransfer, AFrozenTrainingIsContinuedToTheSameEnd) {
  ASSERT_EQ(on_ten({"--convolution=fixed", "--epochs=1"}, "start").exit_code, 0);
  for (const std::string optimizer : {"sgd", "adam"}) {
    const std::vector<std::string> more{"--from=" + last("start"), "--freeze=dictionary", "--examples-per-class=4", "--optimizer=" + optimizer};
    auto with = [&](const std::string& option) {
      std::vector<std::string> options = more;
      options.push_back(option);
      return options;
    };
    ASSERT_EQ(on_ten(with("--epochs=4"), "whole" + optimizer).exit_code, 0);
    ASSERT_EQ(on_ten(with("--epochs=2"), "parts" + optimizer).exit_code, 0);
    const Outcome resumed = on_ten({"--resume", "--epochs=4"}, "parts" + optimizer);
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(metrics("whole" + optimizer), metrics("parts" + optimizer));
    EXPECT_EQ(changed("whole" + optimizer, "parts" + optimizer), std::vector<std::string>{});
  }
}

TEST_F(LcnnTrainTransfer, TheOutputLayerIsReplacedWhereTheClassesDiffer) {
  ASSERT_EQ(on_two({"--model=lenet", "--convolution=fixed", "--epochs=1"}, "two_classes").exit_code, 0);
  const std::string unlearning = "--learning-rate=0";
  const Outcome same = on_two({"--from=" + last("two_classes"), "--epochs=1", unlearning}, "same");
  ASSERT_EQ(same.exit_code, 0) << same.err;
  EXPECT_EQ(changed("two_classes", "same"), std::vector<std::string>{});
  EXPECT_THAT(same.out, testing::Not(HasSubstr("drawn anew")));
  for (const std::string part : {"train", "val"}) {
    fs::create_directories(folder_ / "two/" + part + "/2");
    for (int i = 0; i < 8; ++i) fs::copy(folder_ / "two/" + part + "/0/0.jpg", folder_ / "two/" + part + "/2/" + std::to_string(i) + ".jpg");
  }
  const Outcome other = on_two({"--from=" + last("two_classes"), "--epochs=1", unlearning}, "other");
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.out, HasSubstr("linear3 is drawn anew for 3 outputs: " + last("two_classes") + " has 2\n"));
  EXPECT_THAT(changed("two_classes", "other"), testing::ElementsAre("linear3.bias", "linear3.weight"));
  EXPECT_EQ(read_safetensors(last("other")).metadata.at("normalization"), read_safetensors(last("two_classes")).metadata.at("normalization"))
      << "frozen layers see what they were trained for";
}

TEST_F(LcnnTrainTransfer, AsManyExamplesAsWantedAreUsed) {
  const Outcome outcome = on_ten({"--examples-per-class=3", "--epochs=1"}, "few");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json line = metrics("few")[0];
  EXPECT_EQ(line["training_images"], 30);
  const double right = 30 * line["training"]["accuracy"].get<double>();
  EXPECT_NEAR(right, std::round(right), 1e-9);
  ASSERT_EQ(on_ten({"--examples-per-class=3", "--epochs=1"}, "again").exit_code, 0);
  EXPECT_EQ(metrics("few"), metrics("again"));
  EXPECT_THAT(refusal(on_ten({"--examples-per-class=21"}, "many")), HasSubstr("--examples-per-class=21: class 0 has 20 training images"));
  EXPECT_THAT(refusal(on_two({"--examples-per-class=9"}, "many")), HasSubstr("--examples-per-class=9: class 0 has 8 training images"));
}

TEST_F(LcnnTrainTransfer, UnsuitableCheckpointsAreRefused) {
  ASSERT_EQ(on_ten({"--convolution=fixed", "--epochs=1"}, "start").exit_code, 0);
  ASSERT_EQ(on_ten({"--epochs=1"}, "conv2d").exit_code, 0);
  EXPECT_THAT(refusal(on_ten({"--from=" + (folder_ / "none")}, "out")), HasSubstr("none: it cannot be read: No such file or directory"));
  EXPECT_THAT(refusal(on_ten({"--from=" + last("start"), "--model=lenet"}, "out")),
              HasSubstr("start/last.safetensors: --model=lenet: its network was trained with cnn"));
  EXPECT_THAT(refusal(on_ten({"--from=" + last("start"), "--convolution=pooled"}, "out")),
              HasSubstr("--convolution=pooled: its network was trained with fixed"));
  EXPECT_THAT(refusal(on_ten({"--from=" + last("conv2d"), "--freeze=dictionary"}, "out")),
              HasSubstr("--freeze is for --convolution=pooled and fixed only"));
  EXPECT_THAT(refusal(on_ten({"--convolution=fixed", "--freeze=dictionary"}, "out")), HasSubstr("--freeze is for --from only"));
  EXPECT_THAT(refusal(on_ten({"--from=" + last("start"), "--freeze=all"}, "out")), HasSubstr("--freeze=all: dictionary, lookups, none are accepted"));
  EXPECT_THAT(refusal(on_ten({"--from=" + last("start"), "--lambda=1"}, "out")), HasSubstr("--lambda is for --convolution=pooled only"));
  EXPECT_THAT(refusal(on_two({"--from=" + last("start")}, "out")), HasSubstr("conv1.dictionary is of another shape or type than this network's"));
  const std::string good = read_text(last("start"));
  folder_.file("half", good.substr(0, good.size() / 2));
  EXPECT_THAT(refusal(on_ten({"--from=" + (folder_ / "half")}, "out")), HasSubstr("half: it is truncated"));
  EXPECT_FALSE(fs::exists(folder_ / "out")) << "nothing is written for what is refused";
}

}  // namespace
}  // namespace lcnn::train
