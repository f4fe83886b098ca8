// lcnn_train on attributes: a small data set in CelebA's layout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iomanip>
#include <nlohmann/json.hpp>

#include "reports/test_program.h"
#include "train/celeba_test_files.h"
#include "train/lcnn_train_test.h"
#include "train/safetensors.h"

namespace lcnn::train {
namespace {

using testing::HasSubstr;

class LcnnTrainCeleba : public testing::Test {
 protected:
  LcnnTrainCeleba() { write_celeba(folder_, {128, 16, 8}); }
  Outcome run(std::vector<std::string> more, const std::string& out = "out") const {
    more.insert(more.end(), {"--data=" + (folder_ / ""), "--out=" + (folder_ / out), "--threads=1"});
    return Program(LCNN_TRAIN_PATH, more).wait();
  }
  Outcome start(std::vector<std::string> more, const std::string& out = "out") const {
    more.insert(more.end(), {"--dataset=celeba", "--image-size=16", "--crop=1", "--flip=0.5", "--batch=16", "--model=lenet", "--convolution=fixed",
                             "--optimizer=adam", "--learning-rate=0.005", "--schedule=constant"});
    return run(more, out);
  }
  std::vector<json> metrics(const std::string& out = "out") const {
    return metrics_of(folder_ / out + "/metrics.jsonl");
  }

  TemporaryFolder folder_;
};

TEST_F(LcnnTrainCeleba, EveryAttributeIsLearnt) {
  const Outcome outcome = start({"--epochs=30", "--seed=6"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<json> lines = metrics();
  ASSERT_EQ(lines.size(), 30u);
  EXPECT_LT(lines.back()["training"]["loss"], 0.5 * lines.front()["training"]["loss"].get<double>());
  std::size_t best = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i]["best"]) best = i;
    for (const char* const part : {"training", "validation"}) {
      double sum = 0;
      for (const char* const name : kCelebaAttributes) {
        const double accuracy = lines[i][part]["attributes"][name];
        const double right = accuracy * (part == std::string("training") ? 128 : 16);
        EXPECT_NEAR(right, std::round(right), 1e-9) << "a share of the part's images";
        sum += accuracy;
      }
      EXPECT_NEAR(lines[i][part]["accuracy"], sum / 3, 1e-12);
    }
  }
  std::ostringstream expected;
  expected << std::fixed << std::setprecision(4);
  for (const char* const name : kCelebaAttributes) {
    const double accuracy = lines[best]["validation"]["attributes"][name];
    EXPECT_GT(accuracy, 0.9) << name;
    expected << name << " accuracy: " << accuracy << '\n';
  }
  expected << "Overall accuracy: " << lines[best]["validation"]["accuracy"].get<double>() << '\n';
  EXPECT_TRUE(outcome.out.ends_with(expected.str())) << outcome.out << expected.str();
  const json labels = json::parse(read_safetensors(folder_ / "out/best.safetensors").metadata.at("labels"));
  EXPECT_EQ(labels, json({{"names", kCelebaAttributes}, {"attributes", true}}));
}

// A model that says 0 for everything has a loss of log 2 whatever the attributes are.
TEST_F(LcnnTrainCeleba, TheLossIsTheBinaryCrossEntropy) {
  const Outcome outcome = start({"--epochs=1", "--subset=10"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NEAR(metrics()[0]["training"]["loss"], std::log(2), 0.05) << "three classes would begin at log 3";
}

TEST_F(LcnnTrainCeleba, ADamagedImageIsNamed) {
  const std::string file = folder_ / "img_align_celeba/000037.jpg", good = read_text(file);
  folder_.file("img_align_celeba/000037.jpg", good.substr(0, good.size() / 2));
  const Outcome outcome = start({"--epochs=2"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("000037.jpg: it is a damaged JPEG file: "));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out")) << "the normalization needs this image before the training begins";
}

TEST_F(LcnnTrainCeleba, AnInterruptedEpochKeepsItsAccuracies) {
  ASSERT_EQ(start({"--epochs=1"}, "whole").exit_code, 0);
  const std::string file = folder_ / "img_align_celeba/000135.jpg", good = read_text(file);  // of the validation
  folder_.file("img_align_celeba/000135.jpg", good.substr(0, good.size() / 2));
  EXPECT_THAT(start({"--epochs=1"}).err, HasSubstr("--resume continues from before it"));
  folder_.file("img_align_celeba/000135.jpg", good);
  const Outcome resumed = run({"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(metrics("whole"), metrics());
}

TEST_F(LcnnTrainCeleba, WhatIsDamagedIsRefusedInOneLine) {
  std::filesystem::remove(folder_ / "list_eval_partition.txt");
  const Outcome outcome = start({"--epochs=1"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.err, "lcnn_train: " + (folder_ / "list_eval_partition.txt") + ": it cannot be read: No such file or directory\n");
}

}  // namespace
}  // namespace lcnn::train
