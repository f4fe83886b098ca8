#include "train/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "train/parse_arguments.h"

namespace lcnn::train {
namespace {

// What a continued training may have otherwise than it was started with.
const std::set<std::string> kChangeable{"epochs", "patience", "threads", "device", "data", "loaders"};

// What defines a network, and so comes from the checkpoint that a training starts from.
const std::set<std::string> kNetwork{"model", "convolution", "dictionary", "granularity", "sparsity", "initial-sparsity"};

template <typename Enumeration>
using Names = std::map<std::string, Enumeration>;
const Names<ConvolutionKind> kConvolutions{
    {"conv2d", ConvolutionKind::conv2d}, {"pooled", ConvolutionKind::pooled}, {"fixed", ConvolutionKind::fixed}};
const Names<Granularity> kGranularities{{"vector", Granularity::vector}, {"filter", Granularity::filter}};
// By filters, and what is faster: on a GPU these, on a CPU stages.
const Names<bool (*)(Device)> kEvaluations{{"auto", [](Device device) { return device == Device::cuda; }},
                                           {"filters", [](Device) { return true; }},
                                           {"stages", [](Device) { return false; }}};
const Names<OptimizerKind> kOptimizers{{"sgd", OptimizerKind::sgd}, {"adam", OptimizerKind::adam}};
const Names<ScheduleKind> kSchedules{
    {"constant", ScheduleKind::constant}, {"cosine", ScheduleKind::cosine}, {"step", ScheduleKind::step}};
const Names<Resize> kResizes{{"crop", Resize::crop}, {"stretch", Resize::stretch}};
const Names<Freeze> kFreezes{{"none", {}}, {"dictionary", {.dictionary = true}}, {"lookups", {.lookups = true}}};
const Names<Precision> kAutocasts{{"none", Precision::fp32}, {"bf16", Precision::bf16}, {"fp16", Precision::fp16}};
const Names<Device> kDevices{{"cpu", Device::cpu}, {"cuda", Device::cuda}};

[[noreturn]] void refuse(const std::string& option, const std::string& given, const std::string& accepted) {
  throw std::invalid_argument(fmt::format("--{}={}: {} accepted", option, given, accepted));
}

template <typename Enumeration>
Enumeration named(const Names<Enumeration>& names, const std::string& option, const std::string& given) {
  const auto found = names.find(given);
  if (found != names.end()) return found->second;
  std::vector<std::string> accepted;
  for (const auto& [name, value] : names) accepted.push_back(name);
  refuse(option, given, fmt::format("{} are", fmt::join(accepted, ", ")));
}

// The entry of a table whose name is given.
template <typename Table>
const auto& entry_of(const Table& table, const std::string& option, const std::string& given) {
  std::vector<std::string_view> accepted;
  for (const auto& entry : table) {
    if (entry.name == given) return entry;
    accepted.push_back(entry.name);
  }
  refuse(option, given, fmt::format("{} are", fmt::join(accepted, ", ")));
}

template <typename T>
bool read_number(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

template <typename T>
T whole_number(const std::string& option, const std::string& given, T least, T most) {
  T value{};
  if (!read_number(given, value) || value < least || value > most) {
    refuse(option, given, fmt::format("a whole number from {} to {} is", least, most));
  }
  return value;
}

// A number from `least` to `most`, or below it.
double number(const std::string& option, const std::string& given, double least, double most, bool below = false) {
  double value = 0;
  if (!read_number(given, value) || !(value >= least && (below ? value < most : value <= most))) {
    refuse(option, given, fmt::format("a number from {} {} {} is", least, below ? "to below" : "to", most));
  }
  return value;
}

std::vector<std::int64_t> dictionary_sizes(const ModelEntry& model, const std::string& given) {
  if (given == "fast") return model.fast;
  if (given == "accurate") return model.accurate;
  std::vector<std::int64_t> sizes;
  for (const std::string& part : CLI::detail::split(given, ',')) {
    std::int64_t& size = sizes.emplace_back();
    if (!read_number(part, size) || size < 1 || size > 1'000'000) sizes.clear();
    if (sizes.empty()) break;
  }
  if (sizes.size() != model.fast.size()) {
    refuse("dictionary", given, fmt::format("fast, accurate, or {}'s {} dictionary sizes, joined by commas, are", model.name,
                                            model.fast.size()));
  }
  return sizes;
}

// The names and summaries of a table.
template <typename Table>
std::string list_of(const Table& table) {
  std::string text;
  for (const auto& entry : table) text += fmt::format("{}{} ({})", text.empty() ? "" : "; ", entry.name, entry.summary);
  return text;
}

// The data sets whose images are in files.
std::vector<std::string_view> file_datasets() {
  std::vector<std::string_view> names;
  for (const DatasetEntry& entry : dataset_table()) {
    if (entry.files) names.push_back(entry.name);
  }
  return names;
}

using Values = std::map<std::string, std::string>;

// Options that say nothing for the kind of convolution, optimizer or schedule are refused when they are given.
void require_used(const Options& options, const std::string& option, bool used, const std::string& by) {
  if (!used && options.given.contains(option)) throw std::invalid_argument(fmt::format("--{} is for {} only", option, by));
}

void interpret(Options& options) {
  const auto text = [&](const char* option) -> const std::string& { return options.values.at(option); };
  const auto real = [&](const char* option, double least, double most, bool below = false) {
    return number(option, text(option), least, most, below);
  };
  const auto whole = [&](const char* option, std::int64_t least, std::int64_t most) {
    return whole_number(option, text(option), least, most);
  };
  Architecture& architecture = options.architecture;
  const ModelEntry& model = entry_of(model_table(), "model", text("model"));
  const DatasetEntry& dataset = entry_of(dataset_table(), "dataset", text("dataset"));
  architecture.model = model.name;
  options.dataset = dataset.name;
  options.data = text("data").empty() ? std::string(dataset.folder) : text("data");
  if (options.data.empty()) throw std::invalid_argument(fmt::format("--dataset={} needs --data: the folder of its files", dataset.name));

  architecture.convolution = named(kConvolutions, "convolution", text("convolution"));
  const bool lookups = architecture.convolution != ConvolutionKind::conv2d;
  const bool pooled = architecture.convolution == ConvolutionKind::pooled;
  const bool fixed = architecture.convolution == ConvolutionKind::fixed;
  require_used(options, "dictionary", lookups, "--convolution=pooled and fixed");
  require_used(options, "granularity", lookups, "--convolution=pooled and fixed");
  require_used(options, "evaluation", lookups, "--convolution=pooled and fixed");
  require_used(options, "sparsity", fixed, "--convolution=fixed");
  require_used(options, "initial-sparsity", pooled, "--convolution=pooled");
  require_used(options, "lambda", pooled, "--convolution=pooled");
  options.from = text("from");
  require_used(options, "freeze", !options.from.empty(), "--from");
  options.freeze = named(kFreezes, "freeze", text("freeze"));
  require_used(options, "freeze", lookups, "--convolution=pooled and fixed");
  if (lookups) architecture.dictionary_sizes = dictionary_sizes(model, text("dictionary"));
  architecture.granularity = named(kGranularities, "granularity", text("granularity"));
  architecture.sparsity = whole("sparsity", 1, 1'000'000);
  architecture.initial_sparsity = real("initial-sparsity", 0, 1, /*below=*/true);
  options.lambda = pooled ? real("lambda", 0, 1e6) : 0.0;
  require_used(options, "lambda-warm-up", options.lambda > 0, "--lambda above 0");
  options.lambda_warmup_epochs = real("lambda-warm-up", 0, 1e6);

  options.optimizer = named(kOptimizers, "optimizer", text("optimizer"));
  require_used(options, "momentum", options.optimizer == OptimizerKind::sgd, "--optimizer=sgd");
  options.momentum = real("momentum", 0, 1, /*below=*/true);
  options.weight_decay = real("weight-decay", 0, 1);
  options.epochs = whole("epochs", 1, 1'000'000);
  options.batch = whole("batch", 1, 1'000'000);
  options.accumulate = whole("accumulate", 1, 1'000'000);
  options.autocast = named(kAutocasts, "autocast", text("autocast"));
  options.patience = whole("patience", 0, 1'000'000);
  for (const char* const option : {"image-size", "resize"}) {
    require_used(options, option, dataset.files, fmt::format("--dataset={}", fmt::join(file_datasets(), " and ")));
  }
  options.resize = named(kResizes, "resize", text("resize"));
  options.image_size = whole("image-size", 1, 16384);
  options.augmentation = {.crop = whole("crop", 0, kMostCrop), .flip = real("flip", 0, 1)};
  options.subset = whole("subset", 0, 1'000'000'000);
  options.examples_per_class = whole("examples-per-class", 0, 1'000'000'000);
  options.seed = whole_number<std::uint64_t>("seed", text("seed"), 0, std::uint64_t{1} << 62);
  options.threads = static_cast<int>(whole("threads", 0, 4096));
  const auto loaders = static_cast<int>(whole("loaders", 0, 1024));
  options.loaders = loaders > 0 ? loaders : usual_loaders();
  options.device = named(kDevices, "device", text("device"));
  options.filters = named(kEvaluations, "evaluation", text("evaluation"))(options.device);

  if (options.graph && (options.device != Device::cuda || options.accumulate > 1 || options.lambda_warmup_epochs > 0)) {
    throw std::invalid_argument("--graph is for --device=cuda without --accumulate and --lambda-warm-up: a recorded step is always the same");
  }

  if (options.deterministic && options.channels_last && options.device == Device::cuda) {
    throw std::invalid_argument("--deterministic is without --channels-last: maximum pooling's gradient adds in any order there");
  }

  Schedule& schedule = options.schedule;
  schedule.kind = named(kSchedules, "schedule", text("schedule"));
  require_used(options, "step-epochs", schedule.kind == ScheduleKind::step, "--schedule=step");
  require_used(options, "step-factor", schedule.kind == ScheduleKind::step, "--schedule=step");
  const char* const usual_rate = options.optimizer == OptimizerKind::sgd ? "0.05" : "0.001";
  schedule.learning_rate = number("learning-rate", text("learning-rate").empty() ? usual_rate : text("learning-rate"), 0, 1e3);
  schedule.epochs = static_cast<double>(options.epochs);
  schedule.warmup_epochs = real("warm-up", 0, 1e6);
  schedule.step_epochs = static_cast<double>(whole("step-epochs", 1, 1'000'000));
  schedule.step_factor = real("step-factor", 0, 1);
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  CLI::App app{"Trains a network whose convolutions are Conv2d or LookupConv2d.", "lcnn_train"};
  app.footer(
      "OUT/last.safetensors is the state after the last epoch, best.safetensors the one with the lowest validation loss,\n"
      "metrics.jsonl has one line an epoch. Ctrl-C ends after the current batch, --resume goes on from there.\n"
      "torchrun --no-python --nproc-per-node=N lcnn_train ... trains in N processes, each with its share of every batch (RANK, WORLD_SIZE,\n"
      "LOCAL_RANK, MASTER_ADDR and MASTER_PORT say the same without torchrun): by Gloo on CPUs, by NCCL with a GPU each.\n"
      "Exit codes: 0 trained, 1 the loss is no longer finite, 2 the input cannot be used, 130 interrupted.");
  const auto add = [&](const char* option, const char* preset, const std::string& help) {
    options.values[option] = preset;
    app.add_option(fmt::format("--{}", option), options.values[option], help)->capture_default_str()->type_name("");
  };
  add("model", "cnn", list_of(model_table()));
  add("dataset", "fashion-mnist", list_of(dataset_table()));
  add("data", "", "the folder of the data set's files; where the distribution installs it by default");
  add("subset", "0", "train on the first N images; 0: all");
  add("examples-per-class", "0", "train on N images of each class, chosen by the seed; 0: all");
  add("image-size", "224", "images in files: the height and width that the network sees of them");
  add("resize", "crop", "images in files: crop (their shorter side is resized to that, the rest is cut off), stretch (both sides are)");
  add("crop", "0", "pixels by which images are shifted at random, in training; those in memory are padded with zeros");
  add("flip", "0", "the probability that left and right are exchanged, in training");
  add("loaders", "0", "threads that read images ahead; 0: as many as cores, up to 16");
  add("convolution", "conv2d", "conv2d; LookupConv2d with a dense P that shrinks (pooled) or with lookups that are drawn (fixed)");
  add("dictionary", "fast", "LookupConv2d's dictionary sizes: fast, accurate, or one for each convolution, as 1,16");
  add("granularity", "vector", "dictionary entries of 1x1 (vector) or of the kernel's size (filter)");
  add("evaluation", "auto",
      "LookupConv2d in training: filters (those that dictionary and lookups stand for, and Conv2d with them), stages (the dictionary's "
      "outputs, and lookups into them), auto (filters on a GPU, stages on a CPU: what is faster)");
  add("sparsity", "2", "fixed: lookups per position, as far as the dictionary has them");
  add("initial-sparsity", "0.3", "pooled: the fraction of P that counts as zero at the start, and so the threshold");
  add("lambda", "0", "pooled: weight of the sparsity loss");
  add("lambda-warm-up", "0", "epochs in which lambda rises from 0");
  add("from", "", "start from this checkpoint's network; the output layer is drawn anew where the number of classes differs");
  add("freeze", "none", "dictionary, lookups: what of the checkpoint's LookupConv2d is held as it is");
  add("optimizer", "sgd", "sgd, adam");
  add("learning-rate", "", "the highest; 0.05 for sgd and 0.001 for adam by default");
  add("schedule", "cosine", "constant, cosine, step: the learning rate's course");
  add("warm-up", "0", "epochs in which the learning rate rises from 0");
  add("step-epochs", "10", "schedule step: epochs between two steps");
  add("step-factor", "0.1", "schedule step: by what the learning rate is multiplied");
  add("momentum", "0.9", "of sgd");
  add("weight-decay", "0.0005", "of all parameters");
  add("epochs", "15", "epochs to train");
  add("batch", "128", "images in a batch, of all processes together");
  add("accumulate", "1", "batches in a step: their gradients are those of one batch of so many times the images, but for batch normalization");
  add("autocast", "none", "bf16, fp16: what convolutions and linear layers compute in, in training; fp16 with dynamic loss scaling");
  add("patience", "0", "stop after N epochs without a lower validation loss; 0: never");
  add("seed", "1", "of parameters, lookups, dropout, and the order and variation of images");
  add("threads", "0", "threads on the CPU; 0: all cores");
  add("device", "cpu", "cpu, cuda");
  app.add_option("--out", options.out, "the folder of checkpoints and metrics")->required()->type_name("");
  std::string timeout = "600";
  app.add_option("--timeout", timeout, "several processes: seconds that one waits for the others")->capture_default_str()->type_name("");
  app.add_flag("--resume", options.resume, "continue the training of that folder");
  app.add_flag("--deterministic", options.deterministic, "on a GPU: the same to the bit at every run, as it is on the CPU; slower, and not with --channels-last");
  app.add_flag("--channels-last", options.channels_last, "images and weights lie channels last in memory: what conv2d and pooled are faster with on a GPU in 16 bits");
  app.add_flag("--graph", options.graph, "on a GPU: launch forward and backward as one CUDA graph; for networks that the host's launches bound");
  parse_arguments(app, arguments);
  for (const auto& [option, value] : options.values) {
    if (app.count("--" + option) > 0) options.given.insert(option);
  }
  options.timeout = whole_number<std::int64_t>("timeout", timeout, 1, 1'000'000);
  // What the checkpoint to start from says is not known yet, and so neither which options have an effect.
  const auto given = options.given;
  if (!options.values["from"].empty()) options.given.clear();
  interpret(options);
  options.given = given;
  return options;
}

Options transferred_options(const Options& now, const std::map<std::string, std::string>& started) {
  Options options = now;
  for (const std::string& option : kNetwork) {
    const auto before = started.find(option);
    if (before == started.end()) throw std::invalid_argument(fmt::format("it was made without --{}", option));
    std::string& value = options.values.at(option);
    if (now.given.contains(option) && value != before->second) {
      throw std::invalid_argument(fmt::format("--{}={}: its network was trained with {}", option, value, before->second));
    }
    value = before->second;
    options.given.erase(option);
  }
  interpret(options);
  return options;
}

Options continued_options(const Options& now, const std::map<std::string, std::string>& started) {
  Options options = now;
  for (auto& [option, value] : options.values) {
    const auto before = started.find(option);
    if (before == started.end()) {
      // Of a version without that option: its default is what was done then.
      if (now.given.contains(option)) throw std::invalid_argument(fmt::format("it was made without --{}", option));
      continue;
    }
    const bool changes = now.given.contains(option) && value != before->second;
    if (!changes) {
      value = before->second;
    } else if (!kChangeable.contains(option)) {
      throw std::invalid_argument(fmt::format("--{}={}: this training was started with {}; {} may change when it is continued", option,
                                              value, before->second, fmt::join(kChangeable, ", ")));
    }
  }
  options.given.clear();
  interpret(options);
  return options;
}

}  // namespace lcnn::train
