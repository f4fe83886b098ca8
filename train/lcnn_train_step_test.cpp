// What a step of lcnn_train is made of: batches whose gradients are accumulated, mixed precision, the course of lambda; and what
// is counted of each class.
#include <signal.h>

#include <cmath>
#include <cstring>

#include "train/lcnn_train_test.h"

namespace lcnn::train {
namespace {

using testing::HasSubstr;

std::vector<std::string> joined(std::vector<std::string> options, const std::vector<std::string>& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

class LcnnTrainStep : public LcnnTrain {
 protected:
  std::vector<json> metrics(const std::string& name) const { return lines_of(out(name) + "/metrics.jsonl"); }
  void expect_trained(const std::vector<std::string>& options, const std::string& name) const {
    const Outcome outcome = run(options, name);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
};

TEST_F(LcnnTrainStep, AccumulatedBatchesAreOneOfAllTheirImages) {
  // LeNet knows neither dropout nor batch normalization; the last step of 200 images has one batch of 20 only.
  for (const std::string optimizer : {"--optimizer=sgd", "--optimizer=adam"}) {
    const std::vector<std::string> common{"--model=lenet", "--convolution=pooled", "--lambda=0.01", "--epochs=3", "--warm-up=1", optimizer};
    expect_trained(joined(common, {"--batch=60"}), "whole" + optimizer);
    expect_trained(joined(common, {"--batch=20", "--accumulate=3"}), "accumulated" + optimizer);
    expect_trained(joined(common, {"--batch=20"}), "smaller" + optimizer);
    const double accumulated = difference("whole" + optimizer, "accumulated" + optimizer);
    EXPECT_LT(accumulated, 1e-4);
    EXPECT_GT(difference("whole" + optimizer, "smaller" + optimizer), 10 * accumulated + 1e-3) << "the comparison sees other steps";
  }
}

TEST_F(LcnnTrainStep, EveryKindOfStepIsContinuedToTheSameEnd) {
  const std::vector<std::vector<std::string>> kinds{
      {"--accumulate=3", "--schedule=constant"},
      {"--autocast=bf16", "--convolution=fixed", "--schedule=constant"},
      {"--autocast=fp16", "--convolution=pooled", "--accumulate=2", "--schedule=constant"},
      {"--convolution=pooled", "--lambda=0.1", "--lambda-warm-up=3", "--schedule=constant"},
      {"--optimizer=adam", "--schedule=step", "--step-epochs=2", "--warm-up=1.5"},
      {"--momentum=0", "--patience=3", "--schedule=constant"}};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const std::string whole = "whole" + std::to_string(i), parts = "parts" + std::to_string(i);
    expect_trained(joined(kinds[i], {"--epochs=4"}), whole);
    expect_trained(joined(kinds[i], {"--epochs=2"}), parts);
    expect_trained({"--resume", "--epochs=4"}, parts);
    ASSERT_EQ(metrics(whole).size(), 4u);
    expect_same_end(whole, parts, {"/last.safetensors"});  // the best one may be of before, and say --epochs=2
  }
}

TEST_F(LcnnTrainStep, ChannelsLastIsTheSameTrainingInAnotherLayout) {
  const std::vector<std::string> options{"--convolution=pooled", "--lambda=0.01", "--schedule=constant"};
  expect_trained(joined(options, {"--epochs=2"}), "planes");
  expect_trained(joined(options, {"--epochs=2", "--channels-last"}), "last");
  EXPECT_LT(difference("planes", "last"), 1e-4);
  expect_trained(joined(options, {"--epochs=1", "--channels-last"}), "parts");
  expect_trained({"--resume", "--epochs=2", "--channels-last"}, "parts");
  expect_same_end("last", "parts", {"/last.safetensors"});
}

TEST_F(LcnnTrainStep, AnInterruptedStepIsContinuedToTheSameEnd) {
  const std::vector<std::string> options{"--accumulate=3", "--batch=7", "--autocast=fp16", "--epochs=8"};
  expect_trained(options, "whole");
  {
    Program program(LCNN_TRAIN_PATH, training(options, "parts"));
    ASSERT_TRUE(program.runs_until([&] { return fs::exists(out("parts") + "/last.safetensors"); }));
    program.send(SIGINT);
    ASSERT_EQ(program.wait().exit_code, 130);
  }
  ASSERT_LT(metrics("parts").size(), 8u);
  expect_trained({"--resume"}, "parts");
  expect_same_end("whole", "parts");
}

TEST_F(LcnnTrainStep, MixedPrecisionLearnsAndKeepsParametersInFloat32) {
  for (const std::string autocast : {"bf16", "fp16"}) {
    for (const std::string convolution : {"conv2d", "pooled", "fixed"}) {
      const std::string name = autocast + convolution;
      expect_trained({"--autocast=" + autocast, "--convolution=" + convolution, "--epochs=8"}, name);
      EXPECT_LT(metrics(name).back()["training"]["loss"], 0.9 * metrics(name).front()["training"]["loss"].get<double>()) << name;
      for (const StoredTensor& tensor : read_safetensors(out(name) + "/last.safetensors").tensors) {
        EXPECT_TRUE(tensor.type == "F32" || !tensor.name.ends_with(".weight")) << tensor.name;
      }
      EXPECT_EQ(metrics(name).back().contains("loss_scale"), autocast == "fp16");
    }
  }
  expect_trained({"--epochs=8"}, "fp32");
  expect_trained({"--epochs=8", "--autocast=bf16"}, "bf16");
  EXPECT_GT(difference("fp32", "bf16"), 1e-4) << "it computes in another precision";
}

TEST_F(LcnnTrainStep, StepsWhoseGradientsOverflowAreSkippedAndCounted) {
  expect_trained({"--autocast=fp16", "--epochs=1"}, "start");
  // A scale at which every gradient overflows until it has been halved often enough.
  const std::string last = out("start") + "/last.safetensors";
  TensorFile checkpoint = read_safetensors(last);
  for (StoredTensor& tensor : checkpoint.tensors) {
    const float scale = 0x1p40f;
    if (tensor.name == "training.loss_scale") std::memcpy(tensor.bytes.data(), &scale, sizeof scale);
  }
  write_safetensors(last, checkpoint);
  expect_trained({"--resume", "--epochs=4"}, "start");
  const json first = metrics("start")[1];
  EXPECT_EQ(first["skipped_steps"], 10) << "all of the epoch";
  EXPECT_EQ(first["loss_scale"], 0x1p30);
  std::int64_t skipped = 0;
  for (const json& line : metrics("start")) skipped += line["skipped_steps"].get<std::int64_t>();
  EXPECT_EQ(metrics("start").back()["loss_scale"], std::ldexp(1.0, 40 - static_cast<int>(skipped - metrics("start")[0]["skipped_steps"].get<int>())));
  EXPECT_LT(skipped, 40) << "it found a scale that does";
}

TEST_F(LcnnTrainStep, LambdaRisesFromZero) {
  expect_trained({"--convolution=pooled", "--lambda=0.5", "--lambda-warm-up=4", "--epochs=5"}, "risen");
  std::vector<double> lambdas;
  for (const json& line : metrics("risen")) lambdas.push_back(line["lambda"]);
  EXPECT_THAT(lambdas, testing::ElementsAre(0.125, 0.25, 0.375, 0.5, 0.5));
  expect_trained({"--convolution=pooled", "--lambda=0.5", "--epochs=5"}, "constant");
  EXPECT_GT(difference("risen", "constant"), 1e-4);
}

TEST_F(LcnnTrainStep, EveryClassIsCounted) {
  expect_trained({"--epochs=2"}, "out");
  const json validation = metrics("out").back()["validation"];
  std::int64_t images = 0;
  double right = 0;
  for (const auto& [name, counted] : validation["classes"].items()) {
    images += counted["images"].get<std::int64_t>();
    if (!counted["recall"].is_null()) right += counted["recall"].get<double>() * counted["images"].get<double>();
    if (counted["precision"].is_null() || counted["recall"].is_null()) continue;
    const double precision = counted["precision"], recall = counted["recall"], f1 = counted["f1"];
    EXPECT_NEAR(f1 * (precision + recall), 2 * precision * recall, 1e-12) << name;
  }
  EXPECT_EQ(images, 50);
  EXPECT_NEAR(right / 50, validation["accuracy"], 1e-12);
}

TEST_F(LcnnTrainStep, ADamagedScaleIsNamed) {
  expect_trained({"--autocast=fp16", "--epochs=1"}, "out");
  const std::string last = out() + "/last.safetensors";
  TensorFile checkpoint = read_safetensors(last);
  std::erase_if(checkpoint.tensors, [](const StoredTensor& tensor) { return tensor.name == "training.loss_scale"; });
  write_safetensors(last, checkpoint);
  EXPECT_THAT(refusal(run({"--resume", "--epochs=2"})), HasSubstr("last.safetensors: it holds no training.loss_scale"));
}

}  // namespace
}  // namespace lcnn::train
