#include "train/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lcnn::train {
namespace {

Options parse(std::vector<std::string> arguments) {
  arguments.push_back("--out=folder");
  return parse_options(arguments);
}

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    parse(arguments);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "was accepted";
}

TEST(TrainOptions, DefaultsAreTheCnnWithConv2d) {
  const Options options = parse({});
  EXPECT_EQ(options.architecture.model, "cnn");
  EXPECT_EQ(options.architecture.convolution, ConvolutionKind::conv2d);
  EXPECT_EQ(options.data, "/usr/share/datasets/fashion-mnist");
  EXPECT_EQ(options.optimizer, OptimizerKind::sgd);
  EXPECT_EQ(options.schedule.kind, ScheduleKind::cosine);
  EXPECT_EQ(options.schedule.learning_rate, 0.05);
  EXPECT_TRUE(options.given.empty());
}

TEST(TrainOptions, AreRead) {
  const Options options =
      parse({"--model=lenet", "--dataset=mnist", "--data=/d", "--convolution=pooled", "--evaluation=stages", "--dictionary=1,5", "--granularity=filter",
             "--initial-sparsity=0.4", "--lambda=0.01", "--optimizer=adam", "--schedule=step", "--step-epochs=3",
             "--step-factor=0.5", "--warm-up=1.5", "--epochs=7", "--batch=32", "--seed=9", "--threads=2", "--subset=100",
             "--patience=4", "--lambda-warm-up=2.5", "--accumulate=8", "--autocast=fp16", "--crop=3", "--flip=0.5", "--loaders=6", "--weight-decay=0.25"});
  EXPECT_EQ(options.architecture.dictionary_sizes, (std::vector<std::int64_t>{1, 5}));
  EXPECT_EQ(options.architecture.granularity, Granularity::filter);
  EXPECT_EQ(options.architecture.initial_sparsity, 0.4);
  EXPECT_EQ(options.lambda, 0.01);
  EXPECT_EQ(options.optimizer, OptimizerKind::adam);
  EXPECT_EQ(options.schedule.learning_rate, 0.001) << "adam's usual one";
  EXPECT_EQ(options.schedule.step_epochs, 3);
  EXPECT_EQ(options.schedule.step_factor, 0.5);
  EXPECT_EQ(options.schedule.warmup_epochs, 1.5);
  EXPECT_EQ(options.epochs, 7);
  EXPECT_EQ(options.batch, 32);
  EXPECT_EQ(options.seed, 9u);
  EXPECT_EQ(options.threads, 2);
  EXPECT_EQ(options.subset, 100);
  EXPECT_EQ(options.patience, 4);
  EXPECT_EQ(options.lambda_warmup_epochs, 2.5);
  EXPECT_EQ(options.accumulate, 8);
  EXPECT_EQ(options.autocast, Precision::fp16);
  EXPECT_EQ(options.augmentation.crop, 3);
  EXPECT_EQ(options.augmentation.flip, 0.5);
  EXPECT_EQ(options.loaders, 6);
  EXPECT_EQ(options.weight_decay, 0.25);
  EXPECT_EQ(options.data, "/d");
}

TEST(TrainOptions, DictionaryPresetsAreTheModels) {
  for (const ModelEntry& model : model_table()) {
    const std::string name = "--model=" + std::string(model.name);
    EXPECT_EQ(parse({name, "--convolution=fixed"}).architecture.dictionary_sizes, model.fast);
    EXPECT_EQ(parse({name, "--convolution=fixed", "--dictionary=accurate"}).architecture.dictionary_sizes, model.accurate);
  }
}

TEST(TrainOptions, WhatIsNotAcceptedIsNamedWithWhatIs) {
  EXPECT_EQ(refusal({"--model=vgg"}), "--model=vgg: one_layer, lcnn_pytorch, lenet, cnn, alexnet, resnet18, resnet20 are accepted");
  EXPECT_EQ(refusal({"--dataset=cifar"}), "--dataset=cifar: fashion-mnist, mnist, cifar10, cifar100, folder, celeba are accepted");
  EXPECT_EQ(refusal({"--dataset=mnist"}), "--dataset=mnist needs --data: the folder of its files");
  EXPECT_EQ(refusal({"--convolution=dense"}), "--convolution=dense: conv2d, fixed, pooled are accepted");
  EXPECT_EQ(refusal({"--dataset=folder", "--data=/d", "--resize=fill"}), "--resize=fill: crop, stretch are accepted");
  EXPECT_EQ(refusal({"--convolution=fixed", "--evaluation=lookups"}), "--evaluation=lookups: auto, filters, stages are accepted");
  EXPECT_EQ(refusal({"--epochs=0"}), "--epochs=0: a whole number from 1 to 1000000 is accepted");
  EXPECT_EQ(refusal({"--batch=x"}), "--batch=x: a whole number from 1 to 1000000 is accepted");
  EXPECT_EQ(refusal({"--accumulate=0"}), "--accumulate=0: a whole number from 1 to 1000000 is accepted");
  EXPECT_EQ(refusal({"--timeout=0"}), "--timeout=0: a whole number from 1 to 1000000 is accepted");
  EXPECT_EQ(refusal({"--autocast=fp8"}), "--autocast=fp8: bf16, fp16, none are accepted");
  EXPECT_EQ(refusal({"--momentum=1"}), "--momentum=1: a number from 0 to below 1 is accepted");
  EXPECT_EQ(refusal({"--learning-rate=nan"}), "--learning-rate=nan: a number from 0 to 1000 is accepted");
  EXPECT_EQ(refusal({"--convolution=fixed", "--dictionary=3"}),
            "--dictionary=3: fast, accurate, or cnn's 2 dictionary sizes, joined by commas, are accepted");
  EXPECT_EQ(refusal({"--convolution=fixed", "--dictionary=3,0"}),
            "--dictionary=3,0: fast, accurate, or cnn's 2 dictionary sizes, joined by commas, are accepted");
  EXPECT_EQ(refusal({"--unknown=1"}).find('\n'), std::string::npos);
  EXPECT_NE(refusal({"--unknown=1"}).find("--unknown"), std::string::npos);
  EXPECT_THROW(parse_options({}), std::invalid_argument) << "--out is missing";
}

TEST(TrainOptions, WhatWouldHaveNoEffectIsRefused) {
  EXPECT_EQ(refusal({"--dictionary=fast"}), "--dictionary is for --convolution=pooled and fixed only");
  EXPECT_EQ(refusal({"--convolution=fixed", "--lambda=1"}), "--lambda is for --convolution=pooled only");
  EXPECT_EQ(refusal({"--convolution=pooled", "--lambda-warm-up=1"}), "--lambda-warm-up is for --lambda above 0 only");
  EXPECT_EQ(refusal({"--convolution=pooled", "--sparsity=1"}), "--sparsity is for --convolution=fixed only");
  EXPECT_EQ(refusal({"--optimizer=adam", "--momentum=0.5"}), "--momentum is for --optimizer=sgd only");
  EXPECT_EQ(refusal({"--step-epochs=5"}), "--step-epochs is for --schedule=step only");
  EXPECT_EQ(refusal({"--image-size=64"}), "--image-size is for --dataset=folder and celeba only");
  EXPECT_THAT(refusal({"--graph"}), testing::StartsWith("--graph is for --device=cuda without --accumulate"));
  EXPECT_THAT(refusal({"--graph", "--device=cuda", "--accumulate=2"}), testing::StartsWith("--graph is for"));
  EXPECT_EQ(refusal({"--evaluation=stages"}), "--evaluation is for --convolution=pooled and fixed only");
  EXPECT_EQ(refusal({"--deterministic", "--channels-last", "--device=cuda"}),
            "--deterministic is without --channels-last: maximum pooling's gradient adds in any order there");
  EXPECT_TRUE(parse({"--deterministic", "--channels-last"}).channels_last) << "a CPU's sums have one order";
  EXPECT_FALSE(parse({"--convolution=fixed"}).filters);
  EXPECT_TRUE(parse({"--convolution=fixed", "--device=cuda"}).filters);
  EXPECT_FALSE(parse({"--convolution=fixed", "--device=cuda", "--evaluation=stages"}).filters);
  EXPECT_EQ(refusal({"--resize=stretch"}), "--resize is for --dataset=folder and celeba only");
}

TEST(TrainOptions, AContinuedTrainingKeepsWhatItWasStartedWith) {
  const Options started = parse({"--model=lenet", "--epochs=5", "--batch=32"});
  const Options continued = continued_options(parse({"--resume", "--epochs=9", "--batch=32", "--deterministic"}), started.values);
  EXPECT_TRUE(continued.resume);
  EXPECT_TRUE(continued.deterministic) << "it belongs to the run, not to the training";
  EXPECT_EQ(continued.architecture.model, "lenet");
  EXPECT_EQ(continued.batch, 32);
  EXPECT_EQ(continued.epochs, 9);
  EXPECT_EQ(continued.schedule.epochs, 9);
  try {
    continued_options(parse({"--resume", "--model=cnn"}), started.values);
    ADD_FAILURE() << "was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "--model=cnn: this training was started with lenet; data, device, epochs, loaders, patience, threads may "
                               "change when it is continued");
  }
}

TEST(TrainOptions, OptionsThatAnOlderVersionDidNotHaveAreAsTheyWere) {
  auto started = parse({"--batch=32"}).values;
  started.erase("accumulate");
  EXPECT_EQ(continued_options(parse({"--resume"}), started).accumulate, 1);
  EXPECT_THROW(continued_options(parse({"--resume", "--accumulate=2"}), started), std::invalid_argument);
}

TEST(TrainOptions, HelpListsModelsAndDataSets) {
  try {
    parse({"--help"});
    ADD_FAILURE() << "no help";
  } catch (const HelpRequested& help) {
    for (const ModelEntry& model : model_table()) EXPECT_NE(help.text.find(model.name), std::string::npos);
    for (const DatasetEntry& dataset : dataset_table()) EXPECT_NE(help.text.find(dataset.name), std::string::npos);
  }
}

}  // namespace
}  // namespace lcnn::train
