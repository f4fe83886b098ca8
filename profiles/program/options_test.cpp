#include "profiles/program/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lcnn::profiles {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    parse_program_options(arguments);
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "was accepted";
}

TEST(ProgramOptions, RowsAreSelectedByTheOptionsOfLcnnBench) {
  const ProgramOptions options =
      parse_program_options({"--workload=seed", "--benchmark_filter=gather", "--device=cpu", "--sort=calls", "--rows=7",
                             "--json=a.json", "--trace=b.json", "--gzip", "--counters"});
  ASSERT_FALSE(options.training);
  EXPECT_EQ(options.rows.program, "lcnn_profile");
  EXPECT_EQ(options.rows.workloads, std::vector<std::string>{"seed"});
  EXPECT_EQ(options.rows.filter, "gather");
  ASSERT_TRUE(options.rows.profile);
  EXPECT_EQ(options.rows.profile->table, "a.json");
  EXPECT_EQ(options.rows.profile->trace, "b.json");
  EXPECT_EQ(options.rows.profile->sort, "calls");
  EXPECT_EQ(options.rows.profile->rows, 7u);
  EXPECT_TRUE(options.rows.profile->gzip);
  EXPECT_TRUE(options.rows.profile->counters);
}

TEST(ProgramOptions, ATrainingStepIsDefinedByTheOptionsOfLcnnTrain) {
  const ProgramOptions options = parse_program_options(
      {"--model=lenet", "--convolution=pooled", "--dictionary=2,5", "--batch", "16", "--device=cpu", "--steps=3", "--optimizer=adam"});
  ASSERT_TRUE(options.training);
  const train::Options& training = options.training->training;
  EXPECT_EQ(training.architecture.model, "lenet");
  EXPECT_EQ(training.architecture.convolution, train::ConvolutionKind::pooled);
  EXPECT_EQ(training.architecture.dictionary_sizes, (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(training.architecture.shape.channels, 1);
  EXPECT_EQ(training.architecture.shape.width, 28);
  EXPECT_EQ(training.architecture.classes, 10);
  EXPECT_EQ(training.optimizer, train::OptimizerKind::adam);
  EXPECT_EQ(training.batch, 16);
  EXPECT_EQ(options.training->steps, 3);
  EXPECT_EQ(parse_program_options({"--model=resnet18", "--device=cpu"}).training->training.architecture.shape.height, 224);
  EXPECT_EQ(parse_program_options({"--model=cnn", "--device=cpu", "--image=3x40x50"}).training->training.architecture.shape.width, 50);
}

TEST(ProgramOptions, WhatIsNotAcceptedIsNamedWithWhatIs) {
  struct Case {
    std::vector<std::string> arguments;
    const char *named, *accepted;
  };
  for (const Case& bad : {Case{{"--sort=gpu"}, "--sort=gpu", "cuda_total"}, Case{{"--rows=0"}, "--rows=0", "from 1"},
                          Case{{"--gzip"}, "--gzip", "--trace"}, Case{{"--json=a", "--trace=a"}, "--json", "two files"},
                          Case{{"--steps=3"}, "--steps", "--model"}, Case{{"--model=vgg"}, "--model=vgg", "resnet20"},
                          Case{{"--model=lenet", "--steps=x"}, "--steps=x", "whole number"},
                          Case{{"--model=lenet", "--image=28"}, "--image=28", "CHANNELSxHEIGHTxWIDTH"},
                          Case{{"--model=lenet", "--epochs=3"}, "--epochs", "--convolution"},
                          Case{{"--model=lenet", "--convolution=lookup"}, "--convolution=lookup", "pooled"},
                          Case{{"--model=lenet", "--benchmark_filter=a"}, "--benchmark_filter", "--model"},
                          Case{{"--profile=a"}, "--profile=a", "--trace"}, Case{{"--benchmark_out=a"}, "--benchmark_out", "--report"},
                          Case{{"--nonsense"}, "--nonsense", "--help"}}) {
    EXPECT_THAT(refusal(bad.arguments), AllOf(HasSubstr(bad.named), HasSubstr(bad.accepted)));
  }
}

TEST(ProgramOptions, HelpNamesEveryOption) {
  try {
    parse_program_options({"--help"});
    FAIL() << "no help";
  } catch (const bench::HelpRequested& help) {
    for (const char* option : {"--sort", "--rows", "--json", "--trace", "--gzip", "--counters", "--model", "--image", "--steps",
                               "--workload", "--benchmark_filter", "--convolution", "--learning-rate", "Exit codes"}) {
      EXPECT_THAT(help.text, HasSubstr(option));
    }
  }
}

}  // namespace
}  // namespace lcnn::profiles
