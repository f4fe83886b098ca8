#include "profiles/program/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <string_view>

#include "profiles/operator_table.h"
#include "train/synthetic_training.h"
#include "variants/runtime.h"

namespace lcnn::profiles {
namespace {

// Options of lcnn_train that a single step has a use for.
constexpr std::array<std::string_view, 18> kTrainingOptions{
    "--convolution", "--dictionary", "--granularity", "--evaluation", "--sparsity", "--initial-sparsity", "--lambda", "--optimizer",
    "--learning-rate", "--momentum", "--weight-decay", "--batch", "--autocast", "--channels-last", "--graph", "--seed", "--threads", "--device"};

constexpr const char* kFooter = R"(
Without --model the rows of lcnn_bench are profiled; its options select them: --workload, --benchmark_filter, --dictionary,
--batch, --precision, --layout, --device, --threads, --timing, --seed, --full, --tune, --report.
With --model, steps of a training; options of lcnn_train define it: {}.

  lcnn_profile --workload=seed --benchmark_filter=precompute_gather --trace=seed.json
  lcnn_profile --model=lenet --convolution=pooled --batch=64 --json=lenet.json

Exit codes: 0 profiled, 1 a row failed or the profile is incomplete, 2 the input cannot be used, 130 interrupted.)";

template <typename T>
T whole_number(const char* option, const std::string& given, T least, T most) {
  T value{};
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc{} || end != given.data() + given.size() || value < least || value > most) {
    throw std::invalid_argument(fmt::format("--{}={}: a whole number from {} to {} is accepted", option, given, least, most));
  }
  return value;
}

// "3x224x224"
train::ImageShape parse_shape(const std::string& text) {
  std::vector<std::int64_t> extents;
  for (const std::string& part : CLI::detail::split(text, 'x')) {
    std::int64_t& extent = extents.emplace_back();
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), extent);
    if (error != std::errc{} || end != part.data() + part.size() || extent < 1 || extent > 16384) extents.clear();
    if (extents.empty()) break;
  }
  if (extents.size() != 3) {
    throw std::invalid_argument(fmt::format("--image={}: CHANNELSxHEIGHTxWIDTH is accepted, such as 3x32x32", text));
  }
  return {extents[0], extents[1], extents[2]};
}

std::string model_names() {
  std::string names;
  for (const train::ModelEntry& entry : train::model_table()) names += fmt::format("{}{}", names.empty() ? "" : ", ", entry.name);
  return names;
}

TrainingProfileOptions training_options(std::vector<std::string> arguments, const std::string& model, const std::string& image,
                                        const std::string& steps) {
  if (train::find_model(model) == nullptr) throw std::invalid_argument(fmt::format("--model={}: {} are accepted", model, model_names()));
  for (const std::string& argument : arguments) {
    const std::string option = argument.substr(0, argument.find('='));
    if (option.starts_with("--") && std::ranges::find(kTrainingOptions, option) == kTrainingOptions.end()) {
      throw std::invalid_argument(fmt::format("{}: with --model, {} are accepted", option, fmt::join(kTrainingOptions, ", ")));
    }
  }
  const bool device_given = std::ranges::any_of(arguments, [](const std::string& argument) { return argument.starts_with("--device"); });
  if (!device_given && why_no_cuda().empty()) arguments.emplace_back("--device=cuda");
  arguments.push_back("--model=" + model);
  arguments.emplace_back("--out=.");  // lcnn_train asks for one; nothing is written there
  TrainingProfileOptions options{.training = train::parse_options(arguments)};
  options.training.architecture.shape = image.empty() ? train::usual_shape(model) : parse_shape(image);
  options.training.architecture.classes = train::usual_classes(options.training.architecture.shape);
  options.steps = whole_number<std::int64_t>("steps", steps, 1, 10000);
  if (options.training.device == Device::cuda) {
    if (const std::string reason = why_no_cuda(); !reason.empty()) throw std::invalid_argument("--device=cuda: " + reason);
  }
  return options;
}

}  // namespace

ProgramOptions parse_program_options(const std::vector<std::string>& arguments) {
  CLI::App app{"Profiles rows of lcnn_bench, or steps of a training: time by operator and kernel, memory by owner, hardware counters.",
               "lcnn_profile"};
  app.footer(fmt::format(fmt::runtime(kFooter), fmt::join(kTrainingOptions, ", ")));
  app.allow_extras();
  ProfileOptions profile;
  std::string model, image, steps = "10", rows;
  app.add_option("--sort", profile.sort, fmt::format("{}; device time by default, on the CPU the CPU's", fmt::join(sort_columns(), ", ")));
  app.add_option("--rows", rows, "lines of the table to print (40)")->type_name("INT");
  app.add_option("--json", profile.table, "file for the whole table, memory, counters")->type_name("FILE");
  app.add_option("--trace", profile.trace, "file for the trace, for ui.perfetto.dev")->type_name("FILE");
  app.add_flag("--gzip", profile.gzip, "compress the trace");
  app.add_flag("--counters", profile.counters, "take the GPU's hardware counters and stall reasons, too");
  app.add_option("--model", model, fmt::format("profile training steps of {}", model_names()));
  app.add_option("--image", image, "of --model: CHANNELSxHEIGHTxWIDTH of the images; what the network was made for by default");
  app.add_option("--steps", steps, "of --model: steps that are recorded")->type_name("INT")->capture_default_str();
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw bench::HelpRequested{app.help()};
  } catch (const CLI::ParseError& error) {
    const std::string message = error.what();
    throw std::invalid_argument(message.substr(0, message.find('\n')));
  }
  if (!rows.empty()) profile.rows = whole_number<std::size_t>("rows", rows, 1, 1'000'000);
  if (!profile.sort.empty() && std::ranges::find(sort_columns(), profile.sort) == sort_columns().end()) {
    throw std::invalid_argument(fmt::format("--sort={}: {} are accepted", profile.sort, fmt::join(sort_columns(), ", ")));
  }
  if (profile.gzip && profile.trace.empty()) throw std::invalid_argument("--gzip needs --trace: only the trace is compressed");
  if (!profile.trace.empty() && profile.trace == profile.table) {
    throw std::invalid_argument(fmt::format("--json and --trace are both {}: they need two files", profile.trace));
  }

  const std::vector<std::string> others = app.remaining();
  ProgramOptions options;
  if (!model.empty()) {
    options.training = training_options(others, model, image, steps);
    options.training->profile = profile;
    return options;
  }
  if (app.count("--image") + app.count("--steps") > 0) throw std::invalid_argument("--image and --steps need --model");
  std::vector<const char*> argv{"lcnn_profile"};
  for (const std::string& argument : others) {
    if (argument.starts_with("--profile")) {
      throw std::invalid_argument(fmt::format("{}: lcnn_profile always profiles; --json and --trace name its files", argument));
    }
    argv.push_back(argument.c_str());
  }
  options.rows = bench::parse_options(static_cast<int>(argv.size()), argv.data());
  options.rows.program = "lcnn_profile";
  options.rows.profile = profile;
  bench::require_profilable(options.rows);
  return options;
}

}  // namespace lcnn::profiles
