// lcnn_train as its users meet it: the program itself is run, and its output, exit code and files are read.
#include "train/lcnn_train_test.h"

#include <signal.h>

#include <cmath>
#include <functional>

#include "train/image_test_files.h"

namespace lcnn::train {
namespace {

using testing::HasSubstr;

TEST_F(LcnnTrain, EveryModelLearnsWithEveryConvolution) {
  const std::vector<std::vector<std::string>> convolutions{
      {"--convolution=conv2d"},
      {"--convolution=pooled", "--lambda=0.001"},
      {"--convolution=fixed", "--sparsity=1"},
      {"--convolution=pooled", "--granularity=filter", "--optimizer=adam", "--schedule=step", "--warm-up=1"}};
  for (const std::string model : {"one_layer", "lenet", "cnn", "resnet20"}) {
    for (std::size_t i = 0; i < convolutions.size(); ++i) {
      const std::string name = model + std::to_string(i);
      std::vector<std::string> more = convolutions[i];
      more.insert(more.end(), {"--model=" + model, "--epochs=8"});
      const Outcome outcome = run(more, name);
      ASSERT_EQ(outcome.exit_code, 0) << name << outcome.err;
      EXPECT_EQ(outcome.err, "") << "no progress where stderr is no terminal";
      const std::vector<json> lines = lines_of(out(name) + "/metrics.jsonl");
      ASSERT_EQ(lines.size(), 8u);
      EXPECT_LT(lines.back()["training"]["loss"], 0.9 * lines.front()["training"]["loss"].get<double>()) << name;
      EXPECT_EQ(lines.back().contains("lookups"), i > 0);
      EXPECT_GT(lines.back().value("lookups", 1), 0) << name;
      EXPECT_GT(lines.back()["multiplications"], 0.0);
      for (const char* file : {"/last.safetensors", "/best.safetensors"}) {
        const TensorFile checkpoint = read_safetensors(out(name) + file);
        const json architecture = json::parse(checkpoint.metadata.at("architecture"));
        EXPECT_EQ(architecture["model"], model);
        const std::string first = model == "one_layer" ? "conv" : "conv1";
        EXPECT_EQ(checkpoint.find(first + ".weight") != nullptr, i == 0);
        EXPECT_EQ(checkpoint.find(first + ".dictionary") != nullptr, i > 0);
        EXPECT_EQ(checkpoint.find(first + ".lookup_weight") != nullptr, i == 1 || i == 3) << "P";
        EXPECT_EQ(checkpoint.find(first + ".lookup_offsets") != nullptr, i == 2) << "CSR";
      }
    }
  }
}

TEST_F(LcnnTrain, ResumeGoesOnAsIfNothingHadBeen) {
  for (const std::string optimizer : {"--optimizer=sgd", "--optimizer=adam"}) {
    const std::vector<std::string> common{"--convolution=pooled", "--schedule=constant", "--lambda=0.01", optimizer};
    auto with = [&](const std::string& option) {
      std::vector<std::string> more = common;
      more.push_back(option);
      return more;
    };
    ASSERT_EQ(run(with("--epochs=4"), "whole" + optimizer).exit_code, 0);
    ASSERT_EQ(run(with("--epochs=2"), "parts" + optimizer).exit_code, 0);
    const Outcome resumed = run({"--resume", "--epochs=4"}, "parts" + optimizer);
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    ASSERT_EQ(lines_of(out("whole" + optimizer) + "/metrics.jsonl").size(), 4u);
    expect_same_end("whole" + optimizer, "parts" + optimizer);
  }
}

// The state of batch normalization has to be in checkpoints: evaluation depends on it alone.
TEST_F(LcnnTrain, RunningStatisticsAreContinued) {
  const std::vector<std::string> more{"--model=resnet20", "--convolution=fixed", "--schedule=constant"};
  auto with = [&](std::vector<std::string> options) {
    options.insert(options.end(), more.begin(), more.end());
    return options;
  };
  ASSERT_EQ(run(with({"--epochs=3"}), "whole").exit_code, 0);
  ASSERT_EQ(run(with({"--epochs=1"}), "parts").exit_code, 0);
  const TensorFile checkpoint = read_safetensors(out("parts") + "/last.safetensors");
  for (const char* name : {"running_mean", "running_var", "num_batches_tracked"}) {
    EXPECT_NE(checkpoint.find(std::string("stage2_block1_conv2_norm.") + name), nullptr) << name;
  }
  ASSERT_EQ(run({"--resume", "--epochs=3"}, "parts").exit_code, 0);
  expect_same_end("whole", "parts");
}

TEST_F(LcnnTrain, LargeModelsLearn) {
  write_idx_part(data(), "train", 40, 64);
  write_idx_part(data(), "t10k", 20, 64);
  for (const std::string model : {"resnet18", "alexnet"}) {
    const Outcome outcome = run({"--model=" + model, "--convolution=fixed", "--epochs=3", "--learning-rate=0.02"}, model);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const std::vector<json> lines = lines_of(out(model) + "/metrics.jsonl");
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_LT(lines.back()["training"]["loss"], lines.front()["training"]["loss"]) << model;
  }
}

TEST_F(LcnnTrain, ALastBatchOfOneImageIsRefusedWhereBatchesAreNormalized) {
  write_idx_part(data(), "train", 201, 12);
  EXPECT_THAT(refusal(run({"--model=resnet20"})),
              HasSubstr("--batch=20: the last batch of 201 images would be of one: the batch normalization of resnet20 takes two"));
  EXPECT_EQ(run({"--model=lenet", "--epochs=1"}).exit_code, 0);
}

TEST_F(LcnnTrain, AnInterruptedTrainingIsContinuedToTheSameEnd) {
  const std::vector<std::string> more{"--convolution=fixed", "--epochs=40"};
  ASSERT_EQ(run(more, "whole").exit_code, 0);
  {
    Program program(LCNN_TRAIN_PATH, training(more, "parts"));
    ASSERT_TRUE(program.runs_until([&] { return fs::exists(out("parts") + "/last.safetensors"); }));
    program.send(SIGINT);
    const Outcome outcome = program.wait();
    ASSERT_EQ(outcome.exit_code, 130) << outcome.err;
    EXPECT_EQ(outcome.err, "lcnn_train: interrupted; --resume --out=" + out("parts") + " continues it\n");
  }
  ASSERT_LT(lines_of(out("parts") + "/metrics.jsonl").size(), 40u);
  const Outcome resumed = run({"--resume"}, "parts");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_same_end("whole", "parts");
}

TEST_F(LcnnTrain, SeedsDrawDifferentTrainings) {
  ASSERT_EQ(run({"--epochs=1"}, "a").exit_code, 0);
  ASSERT_EQ(run({"--epochs=1"}, "b").exit_code, 0);
  ASSERT_EQ(run({"--epochs=1", "--seed=2"}, "c").exit_code, 0);
  expect_same_end("a", "b");
  EXPECT_NE(metrics_of(out("a") + "/metrics.jsonl"), metrics_of(out("c") + "/metrics.jsonl"));
}

TEST_F(LcnnTrain, PatienceEndsATrainingThatNoLongerImproves) {
  // Without learning, the first epoch stays the best.
  const Outcome outcome = run({"--learning-rate=0", "--weight-decay=0", "--epochs=50", "--patience=3"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(lines_of(out() + "/metrics.jsonl").size(), 4u);
  EXPECT_THAT(outcome.out, HasSubstr("best: epoch 1,"));
}

TEST_F(LcnnTrain, AStrongerSparsityLossLeavesFewerLookups) {
  std::vector<std::int64_t> lookups;
  for (const std::string lambda : {"0", "2"}) {
    const Outcome outcome = run({"--convolution=pooled", "--lambda=" + lambda, "--epochs=8"}, "lambda" + lambda);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    lookups.push_back(lines_of(out("lambda" + lambda) + "/metrics.jsonl").back()["lookups"]);
  }
  EXPECT_LT(lookups[1], lookups[0]);
}

TEST_F(LcnnTrain, ADivergedTrainingSaysSo) {
  const Outcome outcome = run({"--learning-rate=1000", "--epochs=20", "--schedule=constant"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("the loss is no longer finite: lower --learning-rate"));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1);
}

TEST_F(LcnnTrain, WhatCannotBeUsedIsNamed) {
  EXPECT_THAT(refusal(run({"--model=vgg"})), HasSubstr("--model=vgg: one_layer, lcnn_pytorch, lenet, cnn, alexnet, resnet18, resnet20 are accepted"));
  EXPECT_THAT(refusal(run({"--subset=201"})), HasSubstr("--subset=201: there are 200 training images"));
  EXPECT_THAT(refusal(run({"--resume"})), HasSubstr("last.safetensors: it cannot be read: No such file or directory"));
  EXPECT_FALSE(fs::exists(out())) << "nothing is written for what is refused";
  write_bytes(out("file"), "");
  EXPECT_THAT(refusal(run({}, "file")), HasSubstr("it is no folder that can be written"));
  write_idx_part(data(), "train", 20, 8);
  write_idx_part(data(), "t10k", 10, 8);
  EXPECT_THAT(refusal(run({"--model=lenet"})), HasSubstr("lenet takes images of at least 12x12: these are 8x8"));
  fs::resize_file(data() + "/train-images-idx3-ubyte", 100);
  EXPECT_THAT(refusal(run({})), HasSubstr("train-images-idx3-ubyte: it is truncated or damaged"));
  fs::remove(data() + "/train-images-idx3-ubyte");
  EXPECT_THAT(refusal(run({})), HasSubstr("train-images-idx3-ubyte: neither it nor"));
}

TEST_F(LcnnTrain, CudaIsUsedOrRefusedInOneLine) {
  const Outcome outcome = run({"--device=cuda", "--epochs=1", "--convolution=pooled"});
  if (outcome.exit_code == 0) {
    EXPECT_EQ(lines_of(out() + "/metrics.jsonl").size(), 1u);
  } else {
    EXPECT_THAT(refusal(outcome), HasSubstr("--device=cuda: "));
  }
}

class LcnnTrainFolder : public LcnnTrain {
 protected:
  // Two classes of JPEG files, dark and bright, all brighter to the right.
  LcnnTrainFolder() {
    for (const std::string part : {"train", "val"}) {
      for (int label = 0; label < 2; ++label) {
        const std::string path = folder_ / part + "/" + std::to_string(label);
        fs::create_directories(path);
        for (int i = 0; i < 20; ++i) {
          const int height = 20 + i, width = 40 - i;
          std::vector<std::uint8_t> pixels;
          for (int j = 0; j < 3 * height * width; ++j) pixels.push_back(static_cast<std::uint8_t>(30 + 130 * label + i + j / 3 % width));
          write_bytes(path + "/" + std::to_string(i) + ".jpg", jpeg_bytes(3, height, width, pixels));
        }
      }
    }
  }
  Outcome run_folder(std::vector<std::string> more, const std::string& name = "out") const {
    more.insert(more.end(), {"--out=" + out(name), "--data=" + folder_ / "", "--threads=1"});
    return Program(LCNN_TRAIN_PATH, more).wait();
  }
  const std::vector<std::string> started_{"--dataset=folder", "--image-size=16", "--crop=2", "--flip=0.5", "--batch=8", "--schedule=constant"};
};

TEST_F(LcnnTrainFolder, IsLearntAndResumedWhateverTheLoaders) {
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), started_.begin(), started_.end());
    return more;
  };
  ASSERT_EQ(run_folder(with({"--epochs=4", "--loaders=1"}), "whole").exit_code, 0);
  ASSERT_EQ(run_folder(with({"--epochs=2", "--loaders=3"}), "parts").exit_code, 0);
  const Outcome resumed = run_folder({"--resume", "--epochs=4", "--loaders=1"}, "parts");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(metrics_of(out("whole") + "/metrics.jsonl"), metrics_of(out("parts") + "/metrics.jsonl"));
  EXPECT_EQ(lines_of(out("whole") + "/metrics.jsonl").back()["validation"]["accuracy"], 1.0);
  ASSERT_EQ(run_folder({"--dataset=folder", "--image-size=16", "--batch=8", "--schedule=constant", "--epochs=4"}, "plain").exit_code, 0);
  EXPECT_NE(metrics_of(out("whole") + "/metrics.jsonl"), metrics_of(out("plain") + "/metrics.jsonl")) << "images were varied";
}

TEST_F(LcnnTrainFolder, ADamagedImageIsNamedAndNothingIsLost) {
  auto arguments = started_;
  arguments.push_back("--epochs=2");
  ASSERT_EQ(run_folder(arguments, "whole").exit_code, 0);
  const std::string file = folder_ / "val/1/7.jpg", good = read_text(file);
  write_bytes(file, good.substr(0, good.size() / 2));
  const std::string line = refusal(run_folder(arguments));
  EXPECT_THAT(line, HasSubstr("val/1/7.jpg: it is a damaged JPEG file: "));
  EXPECT_THAT(line, HasSubstr("--resume continues"));
  write_bytes(file, good);
  const Outcome resumed = run_folder({"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(metrics_of(out("whole") + "/metrics.jsonl"), metrics_of(out() + "/metrics.jsonl"));
}

class LcnnTrainCheckpoint : public LcnnTrain {
 protected:
  LcnnTrainCheckpoint() {
    EXPECT_EQ(run({"--convolution=fixed", "--epochs=1"}).exit_code, 0);
    good_ = read_text(last());
  }
  std::string last() const { return out() + "/last.safetensors"; }
  // The line for a checkpoint of that content, which has to be left as it is.
  std::string refusal_of(const std::string& content, const std::vector<std::string>& more = {}) const {
    write_bytes(last(), content);
    const std::string metrics = read_text(out() + "/metrics.jsonl");
    std::vector<std::string> arguments{"--resume", "--epochs=2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string line = refusal(run(arguments));
    EXPECT_TRUE(read_text(last()) == content) << "the checkpoint was changed";
    EXPECT_EQ(read_text(out() + "/metrics.jsonl"), metrics);
    return line;
  }
  // The checkpoint, some of it changed.
  std::string changed(const std::function<void(TensorFile&)>& change) const {
    write_bytes(last(), good_);
    TensorFile content = read_safetensors(last());
    change(content);
    write_safetensors(folder_ / "changed", content);
    return read_text(folder_ / "changed");
  }

  std::string good_;
};

TEST_F(LcnnTrainCheckpoint, AStartedTrainingIsNotOverwritten) {
  EXPECT_THAT(refusal(run({})), HasSubstr("it holds a training already; --resume continues it"));
  EXPECT_TRUE(read_text(last()) == good_);
}

TEST_F(LcnnTrainCheckpoint, DamagedOnesAreNamed) {
  EXPECT_THAT(refusal_of(good_.substr(0, good_.size() / 2)), HasSubstr("last.safetensors: it is truncated"));
  EXPECT_THAT(refusal_of("no checkpoint"), HasSubstr("last.safetensors: it is no safetensors file"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) { file.metadata.clear(); })),
              HasSubstr("it is no checkpoint: its metadata has no format"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) { file.metadata["progress"] = "{"; })),
              HasSubstr("it is damaged: its metadata cannot be read"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) {
                std::erase_if(file.tensors, [](const StoredTensor& tensor) { return tensor.name == "linear1.weight"; });
              })),
              HasSubstr("it holds no linear1.weight"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) {
                std::erase_if(file.tensors, [](const StoredTensor& tensor) {
                  return tensor.name == "optimizer.linear1.weight.momentum_buffer";
                });
              })),
              HasSubstr("linear1.weight: the optimizer's momentum_buffer is missing or of another shape"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) {
                for (StoredTensor& tensor : file.tensors) {
                  if (tensor.name == "conv2.lookup_indices") tensor.bytes[2] = '\x7f';  // far above the dictionary
                }
              })),
              HasSubstr("conv2: LookupConv2d: "));
}

TEST_F(LcnnTrainCheckpoint, OtherArchitecturesAreRefused) {
  EXPECT_THAT(refusal_of(good_, {"--model=lenet"}), HasSubstr("--model=lenet: this training was started with cnn"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) {
                json architecture = json::parse(file.metadata["architecture"]);
                architecture["model"] = "lenet";
                file.metadata["architecture"] = architecture.dump();
              })),
              HasSubstr("it is a checkpoint of another architecture"));
  EXPECT_THAT(refusal_of(changed([](TensorFile& file) {
                for (StoredTensor& tensor : file.tensors) {
                  if (tensor.name == "conv2.dictionary") std::swap(tensor.shape[0], tensor.shape[1]);
                }
              })),
              HasSubstr("conv2.dictionary is of another shape or type than this network's"));
}

TEST_F(LcnnTrainCheckpoint, AFullDiskLosesNothing) {
  const std::string best = read_text(out() + "/best.safetensors");
  const Outcome outcome = run({"--resume", "--epochs=2"}, "out", good_.size() / 2);
  EXPECT_THAT(refusal(outcome), HasSubstr(".safetensors: it cannot be written: File too large"));
  EXPECT_TRUE(read_text(last()) == good_);
  EXPECT_TRUE(read_text(out() + "/best.safetensors") == best);
  EXPECT_FALSE(fs::exists(last() + ".new"));
  ASSERT_EQ(run({"--resume", "--epochs=2"}).exit_code, 0) << "with space again, it goes on";
  EXPECT_EQ(lines_of(out() + "/metrics.jsonl").size(), 2u);
}

TEST(LcnnTrainFashionMnist, AShortTrainingLearnsTheDataSet) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  for (const std::string convolution : {"conv2d", "pooled", "fixed"}) {
    const TemporaryFolder folder;
    const Outcome outcome = Program(LCNN_TRAIN_PATH, {"--out=" + (folder / "out"), "--model=lenet", "--convolution=" + convolution,
                                     "--subset=8000", "--epochs=4", "--batch=32", "--optimizer=adam", "--learning-rate=0.002",
                                     "--threads=1"}).wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const std::vector<json> lines = lines_of(folder / "out/metrics.jsonl");
    ASSERT_EQ(lines.size(), 4u);
    for (std::size_t i = 1; i < lines.size(); ++i) {
      EXPECT_LT(lines[i]["training"]["loss"], lines[i - 1]["training"]["loss"]) << convolution << " epoch " << i + 1;
    }
    EXPECT_GT(lines.back()["validation"]["accuracy"], 0.8) << convolution;
  }
}

}  // namespace
}  // namespace lcnn::train
