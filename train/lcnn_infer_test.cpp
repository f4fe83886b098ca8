// lcnn_infer as its users meet it: a network is trained, the program is run on it, its output is read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "reports/temporary_folder.h"
#include "reports/test_program.h"
#include "train/celeba_test_files.h"
#include "train/idx_test_files.h"
#include "train/image_test_files.h"
#include "train/safetensors.h"

namespace lcnn::train {
namespace {

using nlohmann::json;
using testing::HasSubstr;

namespace fs = std::filesystem;

constexpr std::int64_t kImages = 50;

class LcnnInfer : public testing::Test {
 protected:
  LcnnInfer() { write_idx_set(data(), 200, kImages); }
  std::string data() const { return folder_ / "data"; }
  std::string checkpoint(const std::string& name = "out") const { return folder_ / name + "/last.safetensors"; }
  void train(std::vector<std::string> more, const std::string& name = "out") const {
    more.insert(more.end(), {"--data=" + data(), "--out=" + (folder_ / name), "--threads=1", "--batch=20"});
    const Outcome outcome = Program(LCNN_TRAIN_PATH, more).wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  Outcome run(std::vector<std::string> arguments) const {
    arguments.push_back("--threads=1");
    return Program(LCNN_INFER_PATH, arguments).wait();
  }
  Outcome infer(std::vector<std::string> more, const std::string& name = "out") const {
    more.insert(more.begin(), {checkpoint(name), "--dataset=mnist", "--data=" + data()});
    return run(more);
  }
  json infer_json(std::vector<std::string> more, const std::string& name = "out") const {
    more.push_back("--json");
    const Outcome outcome = infer(more, name);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  // One line, exit code 2.
  static std::string refusal(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 2) << outcome.out;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  }
  json last_metrics(const std::string& name = "out") const {
    const std::string text = read_text(folder_ / name + "/metrics.jsonl");
    return json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
  }

  TemporaryFolder folder_;
};

void expect_same_predictions(const json& one, const json& other) {
  ASSERT_EQ(one["images"].size(), other["images"].size());
  for (std::size_t i = 0; i < one["images"].size(); ++i) {
    const json &a = one["images"][i]["classes"], &b = other["images"][i]["classes"];
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(a[0]["name"], b[0]["name"]) << i;
    for (std::size_t j = 0; j < a.size(); ++j) {
      EXPECT_NEAR(a[j]["probability"].get<double>(), b[j]["probability"].get<double>(), 1e-4) << i;
    }
  }
}

// Every variant computes the same network, and that is the one that was trained. Those that do not support a layer say so, and
// `auto` computes it.
TEST_F(LcnnInfer, EveryVariantPredictsWhatTheTrainingDid) {
  const auto variants = [&](const std::string& device) {
    const std::string line = refusal(infer({"--variant=unknown", device})), prefix = "--variant=unknown: ";
    const std::size_t begin = line.find(prefix) + prefix.size();
    std::istringstream list(line.substr(begin, line.find(" are accepted") - begin));
    std::vector<std::string> names;
    for (std::string name; std::getline(list >> std::ws, name, ',');) names.push_back(name);
    EXPECT_GE(names.size(), 8u) << line;
    EXPECT_NE(std::ranges::find(names, "auto"), names.end());
    return names;
  };
  // Returns the layers that fell back.
  const auto expect_predictions = [&](const json& expected, const std::vector<std::string>& arguments, const std::string& name) {
    const Outcome outcome = infer(arguments, name);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const json found = json::parse(outcome.out);
    expect_same_predictions(expected, found);
    std::vector<std::string> layers;
    for (const json& layer : found["layers"]) {
      if (layer.contains("fallback")) layers.push_back(layer["name"]);
    }
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), layers.empty() ? 0 : 1) << outcome.err;
    for (const std::string& layer : layers) EXPECT_THAT(outcome.err, HasSubstr(layer));
    return layers;
  };
  train({"--convolution=pooled", "--epochs=1", "--lambda=0.01"});
  train({"--convolution=fixed", "--model=resnet20", "--epochs=2"}, "residual");
  for (const std::string name : {"out", "residual"}) {
    const json expected = infer_json({}, name);
    EXPECT_EQ(expected["variant"], "auto");
    EXPECT_EQ(expected["accuracy"], last_metrics(name)["validation"]["accuracy"]);
    EXPECT_EQ(expected["validation_loss"], last_metrics(name)["validation"]["loss"]);
    for (const std::string& variant : variants("--device=cpu")) {
      SCOPED_TRACE(name + " " + variant);
      expect_predictions(expected, {"--variant=" + variant, "--json"}, name);
    }
  }
  if (infer({"--device=cuda"}).exit_code != 0) {
    EXPECT_THAT(refusal(infer({"--device=cuda"})), HasSubstr("--device=cuda: "));
    return;
  }
  const json expected = infer_json({});
  for (const std::string& variant : variants("--device=cuda")) {
    SCOPED_TRACE("cuda " + variant);
    const auto fell_back = expect_predictions(expected, {"--variant=" + variant, "--json", "--device=cuda"}, "out");
    if (variant == "auto") {
      EXPECT_THAT(fell_back, testing::IsEmpty());
    } else if (variant == "baked_filter") {
      EXPECT_THAT(fell_back, testing::Contains("conv2")) << "it is for dictionaries of filters";
    }
  }
}

TEST_F(LcnnInfer, BatchesDoNotChangePredictions) {
  train({"--convolution=fixed", "--epochs=2"});
  const json expected = infer_json({"--batch=50"});
  EXPECT_EQ(expected["images"].size(), static_cast<std::size_t>(kImages));
  for (const std::string batch : {"1", "7", "64"}) expect_same_predictions(expected, infer_json({"--batch=" + batch}));
  const json first = infer_json({"--subset=3"});
  ASSERT_EQ(first["images"].size(), 3u);
  EXPECT_EQ(first["images"][2]["classes"][0]["name"], expected["images"][2]["classes"][0]["name"]);
}

// The validation images as files give the same predictions as the data set.
TEST_F(LcnnInfer, ReadsFilesAndFolders) {
  train({"--convolution=fixed", "--epochs=2"});
  const std::string pixels = read_text(data() + "/t10k-images-idx3-ubyte").substr(16);
  fs::create_directory(folder_ / "images");
  for (int i = 0; i < 3; ++i) {
    std::vector<std::vector<std::uint8_t>> rows;
    for (int y = 0; y < 12; ++y) rows.emplace_back(pixels.begin() + (i * 12 + y) * 12, pixels.begin() + (i * 12 + y + 1) * 12);
    write_bytes(folder_ / "images/" + std::to_string(i) + ".png", png_bytes({.color_type = PNG_COLOR_TYPE_GRAY}, 12, rows));
  }
  write_bytes(folder_ / "images/notes.txt", "no image");
  write_bytes(folder_ / "large.jpeg", jpeg_bytes(3, 40, 30, std::vector<std::uint8_t>(40 * 30 * 3, 90)));
  const json expected = infer_json({"--subset=3"});
  const Outcome outcome = run({checkpoint(), folder_ / "images", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  expect_same_predictions(expected, result);
  EXPECT_EQ(result["images"][1]["name"], folder_ / "images/1.png");
  EXPECT_FALSE(result.contains("accuracy")) << "files have no label";
  const Outcome resized = run({checkpoint(), folder_ / "large.jpeg", folder_ / "images/0.png", "--top=1"});
  ASSERT_EQ(resized.exit_code, 0) << resized.err;
  EXPECT_THAT(resized.out, HasSubstr(folder_ / "large.jpeg\n"));
  EXPECT_THAT(refusal(run({checkpoint(), folder_ / "images/notes.txt"})), HasSubstr("notes.txt: "));
  EXPECT_THAT(refusal(run({checkpoint(), folder_ / "missing.png"})), HasSubstr("missing.png: "));
  EXPECT_THAT(refusal(run({checkpoint(), data()})), HasSubstr("data: there is no PNG or JPEG file in this folder"));
  EXPECT_THAT(refusal(infer({folder_ / "large.jpeg"})), HasSubstr("two sources"));
  EXPECT_THAT(refusal(run({checkpoint(), folder_ / "large.jpeg", "--subset=1"})), HasSubstr("--subset is for --dataset only"));
}

TEST_F(LcnnInfer, PrintsClassesWithProbabilities) {
  train({"--epochs=2"});
  const json result = infer_json({"--top=10", "--subset=2"});
  EXPECT_FALSE(result.contains("variant")) << "there is no LookupConv2d";
  EXPECT_GT(result["milliseconds_per_image"], 0.0);
  double sum = 0, before = 1;
  for (const json& entry : result["images"][0]["classes"]) {
    sum += entry["probability"].get<double>();
    EXPECT_LE(entry["probability"], before);
    before = entry["probability"];
  }
  EXPECT_NEAR(sum, 1, 1e-6);
  const Outcome outcome = infer({"--top=1", "--subset=2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string best = result["images"][0]["classes"][0]["name"];
  EXPECT_THAT(outcome.out, testing::ContainsRegex("^Loaded (best )?model from epoch 2 with validation loss: [0-9.]+\n"));
  EXPECT_THAT(outcome.out, HasSubstr("validation image 0\n" + best + ": "));
  EXPECT_THAT(outcome.out, testing::ContainsRegex("2 images, [0-9.]+ ms per image in batches of 32 on cpu\n$"));
}

TEST_F(LcnnInfer, NamesTheClassesOfAFolder) {
  const std::string pictures = folder_ / "pictures";
  for (const char* part : {"train", "val"}) {
    for (const auto& [name, value] : {std::pair("bright", 220), std::pair("dark", 30)}) {
      const fs::path folder = fs::path(pictures) / part / name;
      fs::create_directories(folder);
      for (int i = 0; i < 3; ++i) {
        write_bytes((folder / (std::to_string(i) + ".jpg")).string(), jpeg_bytes(3, 16, 16, std::vector<std::uint8_t>(16 * 16 * 3, value + i)));
      }
    }
  }
  const Outcome trained = Program(LCNN_TRAIN_PATH, {"--dataset=folder", "--data=" + pictures, "--image-size=16", "--model=one_layer",
                                                    "--epochs=1", "--threads=1", "--out=" + (folder_ / "out")}).wait();
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const Outcome outcome = run({checkpoint(), pictures + "/val/dark/0.jpg"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, testing::ContainsRegex("(^|\n)bright: [01][.]"));
  EXPECT_THAT(outcome.out, testing::ContainsRegex("(^|\n)dark: [01][.]"));
}

class LcnnInferCeleba : public LcnnInfer {
 protected:
  LcnnInferCeleba() {
    write_celeba(folder_, {64, 24, 8});
    const Outcome outcome = Program(LCNN_TRAIN_PATH, {"--dataset=celeba", "--data=" + (folder_ / ""), "--image-size=16", "--crop=2", "--model=lenet",
                                                      "--convolution=fixed", "--epochs=3", "--threads=1", "--out=" + (folder_ / "out")}).wait();
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  std::vector<std::string> dataset(std::vector<std::string> more) const {
    more.insert(more.begin(), {checkpoint(), "--dataset=celeba", "--data=" + (folder_ / "")});
    return more;
  }
};

TEST_F(LcnnInferCeleba, ListsAttributesAsLcnnPytorchDoes) {
  const Outcome json_outcome = run(dataset({"--json"})), outcome = run(dataset({"--subset=2"}));
  ASSERT_EQ(json_outcome.exit_code, 0) << json_outcome.err;
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(json_outcome.out), metrics = last_metrics();
  std::string expected = std::string("Loaded ") + (metrics["best"] ? "best " : "") + "model from epoch 3 with validation loss: ";
  std::ostringstream loss;
  loss << std::fixed << std::setprecision(4) << metrics["validation"]["loss"].get<double>() << '\n';
  expected += loss.str();
  for (int i = 0; i < 2; ++i) {
    expected += folder_ / "img_align_celeba/" + celeba_image(65 + i) + "\n";
    const json& attributes = result["images"][static_cast<std::size_t>(i)]["attributes"];
    ASSERT_EQ(attributes.size(), kCelebaAttributes.size());
    for (std::size_t j = 0; j < attributes.size(); ++j) {
      EXPECT_EQ(attributes[j]["name"].get<std::string>(), kCelebaAttributes[j]);
      EXPECT_EQ(attributes[j]["value"].get<bool>(), attributes[j]["probability"] > 0.5);
      expected += kCelebaAttributes[j] + std::string(attributes[j]["value"] ? ": True\n" : ": False\n");
    }
  }
  EXPECT_TRUE(outcome.out.starts_with(expected)) << outcome.out << expected;
  EXPECT_THAT(outcome.out, testing::ContainsRegex("\nYoung accuracy: [01][.][05]000\nOverall accuracy: [01][.][0-9]+\n2 images, "));
  EXPECT_EQ(result["attributes"], metrics["validation"]["attributes"]);
  EXPECT_EQ(result["accuracy"], metrics["validation"]["accuracy"]);
}

// 24x20 pixels, of which the validation saw the middle: a file is seen alike.
TEST_F(LcnnInferCeleba, SeesFilesAsTheValidationDid) {
  const json expected = json::parse(run(dataset({"--json", "--subset=1"})).out)["images"];
  const Outcome outcome = run({checkpoint(), folder_ / "img_align_celeba/" + celeba_image(65), "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(json::parse(outcome.out)["images"], expected);
}

TEST_F(LcnnInferCeleba, PredictsTheTestImages) {
  const Outcome outcome = run(dataset({"--json", "--part=test"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json images = json::parse(outcome.out)["images"];
  ASSERT_EQ(images.size(), 8u);
  EXPECT_EQ(images[0]["name"], folder_ / "img_align_celeba/" + celeba_image(89));
  EXPECT_THAT(refusal(infer({"--part=test"})), HasSubstr("--dataset=mnist: its images are"));
  EXPECT_THAT(refusal(run(dataset({"--part=all"}))), HasSubstr("--part"));
}

TEST_F(LcnnInferCeleba, OtherLabelsAreRefused) {
  EXPECT_THAT(refusal(infer({})), HasSubstr("--dataset=mnist: its images are 1x12x12, this network takes 3x16x16"));
  TensorFile content = read_safetensors(checkpoint());
  content.metadata["labels"] = json{{"names", kCelebaAttributes}, {"attributes", false}}.dump();
  write_safetensors(checkpoint(), content);
  EXPECT_THAT(refusal(run(dataset({}))), HasSubstr("--dataset=celeba: its 3 attributes are not the 3 classes that this network predicts"));
}

TEST_F(LcnnInfer, BadInputIsRefusedInOneLine) {
  EXPECT_THAT(refusal(run({})), HasSubstr("checkpoint"));
  EXPECT_THAT(refusal(infer({})), HasSubstr("last.safetensors: "));
  train({"--epochs=1"});
  EXPECT_THAT(refusal(run({checkpoint()})), HasSubstr("there are no images"));
  EXPECT_THAT(refusal(infer({"--batch=0"})), HasSubstr("--batch"));
  EXPECT_THAT(refusal(infer({"--top=x"})), HasSubstr("--top"));
  EXPECT_THAT(refusal(infer({"--part=test"})), HasSubstr("--part=test: mnist has no test images of its own"));
  EXPECT_THAT(refusal(infer({"--subset=51"})), HasSubstr("--subset=51: there are 50 images"));
  EXPECT_THAT(refusal(infer({"--device=tpu"})), HasSubstr("--device"));
  EXPECT_THAT(refusal(infer({"--variant=auto"})), HasSubstr("--variant=auto: this network has no LookupConv2d"));
  write_idx_part(data(), "train", 20, 13);
  write_idx_part(data(), "t10k", 10, 13);
  EXPECT_THAT(refusal(infer({})), HasSubstr("--dataset=mnist: its images are 1x13x13, this network takes 1x12x12"));
}

}  // namespace
}  // namespace lcnn::train
