// lcnn_train in several processes on this machine, as torchrun starts them.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>

#include "train/lcnn_train_test.h"

namespace lcnn::train {
namespace {

using testing::HasSubstr;

// A port that nobody listens to.
std::string free_port() {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(descriptor);
  return std::to_string(ntohs(address.sin_port));
}

class LcnnTrainProcesses : public LcnnTrain {
 protected:
  using Programs = std::vector<std::unique_ptr<Program>>;
  using Variables = std::map<std::string, std::string>;

  void SetUp() override {
    if (LCNN_HAS_GLOO) return;
    EXPECT_THAT(refusal(start_with({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "29500"}}, {}, "out")->wait()),
                HasSubstr("WORLD_SIZE=2: this build has no Gloo: one process is accepted"));
    GTEST_SKIP() << "this build has no Gloo";
  }

  std::unique_ptr<Program> start_with(const Variables& variables, const std::vector<std::string>& options, const std::string& name) const {
    for (const auto& [variable, value] : variables) setenv(variable.c_str(), value.c_str(), 1);
    auto program = std::make_unique<Program>(LCNN_TRAIN_PATH, training(options, name));
    for (const auto& [variable, value] : variables) unsetenv(variable.c_str());
    return program;
  }
  Programs start(int size, const std::vector<std::string>& options, const std::string& name) const {
    const std::string port = free_port();
    Programs ranks;
    for (int rank = 0; rank < size; ++rank) {
      ranks.push_back(start_with({{"RANK", std::to_string(rank)}, {"WORLD_SIZE", std::to_string(size)}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", port}},
                                 options, name));
    }
    return ranks;
  }
  static std::vector<Outcome> wait(const Programs& ranks) {
    std::vector<Outcome> outcomes;
    for (const auto& rank : ranks) outcomes.push_back(rank->wait());
    return outcomes;
  }
  void expect_trained(int size, const std::vector<std::string>& options, const std::string& name) const {
    const std::vector<Outcome> outcomes = wait(start(size, options, name));
    for (const Outcome& outcome : outcomes) {
      EXPECT_EQ(outcome.exit_code, 0);
      EXPECT_EQ(outcome.err, "");
    }
    EXPECT_THAT(outcomes[0].out, HasSubstr("best: epoch"));
    for (std::size_t i = 1; i < outcomes.size(); ++i) EXPECT_EQ(outcomes[i].out, "") << "rank 0 alone prints";
  }
  std::vector<json> metrics(const std::string& name) const { return lines_of(out(name) + "/metrics.jsonl"); }
};

TEST_F(LcnnTrainProcesses, TakeTheStepsOfOneProcess) {
  // 200 images in batches of 60: the last one's 20 are shared out unevenly by three.
  const std::vector<std::vector<std::string>> kinds{{"--optimizer=sgd"}, {"--optimizer=adam", "--accumulate=2"}, {"--autocast=fp16", "--crop=1", "--flip=0.5"},
                                                    {"--channels-last"}};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    std::vector<std::string> options{"--model=lenet", "--convolution=pooled", "--lambda=0.01", "--batch=60", "--epochs=3"};
    options.insert(options.end(), kinds[i].begin(), kinds[i].end());
    const std::string one = "one" + std::to_string(i);
    ASSERT_EQ(run(options, one).exit_code, 0);
    const bool half = i == 2;  // the sums of fp16 gradients depend on who adds them
    for (const int size : {2, 3}) {
      const std::string several = std::to_string(size) + "of" + std::to_string(i);
      expect_trained(size, options, several);
      EXPECT_LT(difference(one, several), half ? 2e-3 : 1e-4) << several;
      ASSERT_EQ(metrics(several).size(), 3u);
      for (std::size_t epoch = 0; epoch < 3; ++epoch) {
        const json expected = metrics(one)[epoch], found = metrics(several)[epoch];
        EXPECT_NEAR(found["training"]["loss"], expected["training"]["loss"], half ? 1e-2 : 1e-4);
        EXPECT_NEAR(found["validation"]["loss"], expected["validation"]["loss"], half ? 1e-2 : 1e-4);
        std::int64_t images = 0;
        for (const auto& counted : found["validation"]["classes"]) images += counted["images"].get<std::int64_t>();
        EXPECT_EQ(images, 50) << "every image is seen once";
        EXPECT_EQ(found["processes"], size);
      }
    }
  }
}

TEST_F(LcnnTrainProcesses, AreContinuedToTheSameEnd) {
  // The cnn has dropout, ResNet-20 running statistics.
  for (const std::string model : {"--model=cnn", "--model=resnet20"}) {
    expect_trained(2, {model, "--schedule=constant", "--epochs=4"}, "whole" + model);
    expect_trained(2, {model, "--schedule=constant", "--epochs=2"}, "parts" + model);
    expect_trained(2, {"--resume", "--epochs=4"}, "parts" + model);
    ASSERT_EQ(metrics("whole" + model).size(), 4u);
    expect_same_end("whole" + model, "parts" + model);
    EXPECT_LT(metrics("whole" + model).back()["training"]["loss"], metrics("whole" + model).front()["training"]["loss"]);
  }
}

TEST_F(LcnnTrainProcesses, AnInterruptOfOneEndsAllAndIsContinued) {
  expect_trained(2, {"--epochs=30"}, "whole");
  const Programs ranks = start(2, {"--epochs=30"}, "parts");
  ASSERT_TRUE(ranks[0]->runs_until([&] { return fs::exists(out("parts") + "/last.safetensors"); }));
  ranks[1]->send(SIGINT);
  const std::vector<Outcome> outcomes = wait(ranks);
  EXPECT_EQ(outcomes[0].exit_code, 130) << outcomes[0].err;
  EXPECT_EQ(outcomes[1].exit_code, 130) << outcomes[1].err;
  EXPECT_EQ(outcomes[0].err, "lcnn_train: interrupted; --resume --out=" + out("parts") + " continues it\n");
  EXPECT_EQ(outcomes[1].err, "");
  ASSERT_LT(metrics("parts").size(), 30u);
  expect_trained(2, {"--resume"}, "parts");
  expect_same_end("whole", "parts");
}

TEST_F(LcnnTrainProcesses, OneThatDiesOrHangsEndsTheOthers) {
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const std::string name = std::to_string(signal);
    const Programs ranks = start(2, {"--epochs=100000", "--timeout=5"}, name);
    ASSERT_TRUE(ranks[0]->runs_until([&] { return fs::exists(out(name) + "/last.safetensors"); }));
    ranks[1]->send(signal);
    const auto then = std::chrono::steady_clock::now();
    const std::string line = refusal(ranks[0]->wait());
    EXPECT_THAT(line, HasSubstr("lcnn_train: rank 0: another process of this training has ended or does not answer: "));
    EXPECT_THAT(line, HasSubstr("; --resume continues from the last checkpoint"));
    EXPECT_LT(std::chrono::steady_clock::now() - then, std::chrono::seconds(60));
  }
}

TEST_F(LcnnTrainProcesses, OneThatNeverComesIsNotWaitedForForever) {
  for (const char* const rank : {"0", "1"}) {
    const auto program = start_with({{"RANK", rank}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", free_port()}}, {"--timeout=2"}, "out");
    EXPECT_THAT(refusal(program->wait()), HasSubstr("the 2 processes of this training did not meet at MASTER_ADDR=127.0.0.1 MASTER_PORT="));
    EXPECT_FALSE(fs::exists(out()));
  }
}

TEST_F(LcnnTrainProcesses, WhatCannotBeSharedIsRefused) {
  const auto expect_refused = [&](const std::vector<std::string>& options, const std::string& line) {
    for (const Outcome& outcome : wait(start(2, options, "out"))) EXPECT_THAT(refusal(outcome), HasSubstr(line));
    EXPECT_FALSE(fs::exists(out())) << "nothing is written for what is refused";
  };
  expect_refused({"--batch=25"}, "--batch=25: over 2 processes, a multiple of 2 is accepted");
  expect_refused({"--batch=66", "--model=resnet20"}, "--batch=66: the last batch of 200 images would be of one for one of 2 processes");
  EXPECT_THAT(refusal(start_with({{"WORLD_SIZE", "2"}}, {}, "out")->wait()), HasSubstr("lcnn_train: WORLD_SIZE is set, RANK is not: torchrun sets both"));
  EXPECT_THAT(refusal(start_with({{"WORLD_SIZE", "2"}, {"RANK", "0"}}, {}, "out")->wait()), HasSubstr("MASTER_ADDR is not"));
}

}  // namespace
}  // namespace lcnn::train
