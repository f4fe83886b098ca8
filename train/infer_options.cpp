#include "train/infer_options.h"

#include <fmt/format.h>

#include <map>
#include <stdexcept>

#include "train/dataset.h"
#include "train/parse_arguments.h"

namespace lcnn::train {

InferOptions parse_infer_options(const std::vector<std::string>& arguments) {
  InferOptions options;
  CLI::App app{"Predicts the classes or attributes of images with a trained network.", "lcnn_infer"};
  app.footer("Exit codes: 0 predicted, 2 the input cannot be used.");
  std::map<std::string, std::string> folders;
  for (const DatasetEntry& entry : dataset_table()) folders[std::string(entry.name)] = entry.folder;
  const auto add = [&](const char* option, auto& value, const char* help) {
    return app.add_option(option, value, help)->type_name("");
  };
  constexpr std::int64_t kMost = 1'000'000'000;
  add("checkpoint", options.checkpoint, "a checkpoint of lcnn_train: best.safetensors, last.safetensors")->required();
  add("images", options.images, "PNG and JPEG files, and folders whose files of these names (.png, .jpg, .jpeg) are taken");
  add("--dataset", options.dataset, "predict the validation images of a data set of lcnn_train, and count what is right")
      ->check(CLI::IsMember(folders));
  add("--data", options.data, "the folder of the data set's files; where the distribution installs it by default");
  std::string part;
  add("--part", part, "validation, test: which images of the data set, as far as it has test images (celeba)")->default_val("validation")
      ->check(CLI::IsMember({"validation", "test"}));
  add("--subset", options.subset, "the first N images of the data set; 0: all")->check(CLI::Range(std::int64_t{0}, kMost));
  add("--variant", options.variant, "what computes LookupConv2d: auto, the default, or another variant of lcnn_bench by name, and auto where that does "
                                    "not support a layer");
  std::string device;
  add("--device", device, "cpu, cuda")->default_val("cpu")->check(CLI::IsMember({"cpu", "cuda"}));
  add("--batch", options.batch, "images in a batch")->default_val(32)->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  add("--top", options.top, "classes that are listed of each image, the likeliest first")->default_val(5)
      ->check(CLI::Range(std::int64_t{1}, kMost));
  add("--threads", options.threads, "threads on the CPU; 0: all cores")->default_val(0)->check(CLI::Range(0, 4096));
  app.add_flag("--json", options.json, "print one JSON object");
  parse_arguments(app, arguments);
  options.test_part = part == "test";
  options.device = device == "cuda" ? Device::cuda : Device::cpu;
  if (options.images.empty() == options.dataset.empty()) {
    throw std::invalid_argument("there are no images, or two sources of them: files or --dataset are accepted");
  }
  if (options.dataset.empty()) {
    for (const char* option : {"--data", "--part", "--subset"}) {
      if (app.count(option) > 0) throw std::invalid_argument(fmt::format("{} is for --dataset only", option));
    }
    return options;
  }
  if (options.data.empty()) options.data = folders.at(options.dataset);
  if (options.data.empty()) throw std::invalid_argument(fmt::format("--dataset={} needs --data: the folder of its files", options.dataset));
  return options;
}

}  // namespace lcnn::train
