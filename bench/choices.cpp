#include "bench/choices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <numeric>
#include <stdexcept>

#include "bench/selection.h"
#include "variants/runtime.h"

namespace lcnn::bench {
namespace {

constexpr const char* kTrainingRows = "Train";
constexpr std::int64_t kTrainingBatch = 32;

bool is_default_workload(const Options& options) {
  return options.workloads == std::vector<std::string>{std::string(kDefaultWorkload)};
}

// "16:1.5"
Dictionary parse_dictionary(const std::string& text) {
  std::int64_t size = 0;
  double sparsity = 0;
  int used = 0;
  if (std::sscanf(text.c_str(), "%ld:%lf%n", &size, &sparsity, &used) != 2 || used != static_cast<int>(text.size())) {
    throw std::invalid_argument(fmt::format("--dictionary={}: fast, accurate or SIZE:SPARSITY are accepted", text));
  }
  return sized_dictionary(size, sparsity);
}

// Those of `layer` that the options ask for; by name only what it has.
std::vector<Dictionary> choose_dictionaries(const Layer& layer, const Options& options) {
  std::vector<Dictionary> chosen = layer.dictionaries;
  if (options.dictionaries.empty()) {
    if (!options.full) chosen.resize(1);
    return chosen;
  }
  chosen.clear();
  for (const std::string& name : options.dictionaries) {
    if (name != "fast" && name != "accurate") {
      chosen.push_back(parse_dictionary(name));
      continue;
    }
    const auto found = std::ranges::find(layer.dictionaries, name, &Dictionary::name);
    if (found != layer.dictionaries.end()) chosen.push_back(*found);
  }
  return chosen;
}

// Layers without a dictionary that was asked for are left out.
std::vector<Layer> choose_layers(const Options& options, Device device) {
  std::vector<Layer> layers;
  for (const std::string& workload : options.workloads) {
    const bool is_file = workload.ends_with(".json") || workload.find('/') != std::string::npos;
    for (Layer& layer : is_file ? layers_from_file(workload) : workload_layers(workload, device)) {
      layer.dictionaries = choose_dictionaries(layer, options);
      if (layer.dictionaries.empty()) continue;
      if (!options.batches.empty()) layer.batches = options.batches;
      // Without --full, a set that lists several batches is measured at the device's usual one.
      if (options.batches.empty() && !options.full && layer.batches.size() == 3) {
        layer.batches = {device == Device::cuda ? 32 : 1};
      }
      layers.push_back(std::move(layer));
    }
  }
  if (layers.empty()) {
    throw std::invalid_argument(fmt::format("--dictionary={}: no layer of {} has one; SIZE:SPARSITY is accepted for every layer",
                                            fmt::join(options.dictionaries, ","), fmt::join(options.workloads, ",")));
  }
  return layers;
}

std::vector<Precision> choose_precisions(const Options& options, Device device) {
  if (!options.precisions.empty()) return options.precisions;
  if (device == Device::cpu) return {Precision::fp32};
  const bool quick = !options.full && is_default_workload(options);
  if (quick) return {Precision::fp32, Precision::fp16};  // tuning the baselines takes ten seconds a layer and precision
  return {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};
}

// Those of networks: with `fixed`, ResNet-18's average lookups per position in the paper.
std::vector<Dictionary> choose_training_dictionaries(const Options& options) {
  const std::vector<Dictionary> published{{.name = "fast", .sparsity = 1}, {.name = "accurate", .sparsity = 3}};
  if (options.dictionaries.empty()) return options.full ? published : std::vector{published.front()};
  std::vector<Dictionary> chosen;
  for (const std::string& name : options.dictionaries) {
    const auto found = std::ranges::find(published, name, &Dictionary::name);
    chosen.push_back(found != published.end() ? *found : parse_dictionary(name));
    if (const double lookups = chosen.back().sparsity; !(lookups >= 1) || lookups != std::floor(lookups)) {
      throw std::invalid_argument(fmt::format("--dictionary={}: networks are trained with a whole number of lookups from 1", name));
    }
  }
  return chosen;
}

// Counts in double: the product of what a user may ask for exceeds 64 bits.
double product(std::initializer_list<std::int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), 1.0,
                         [](double count, std::int64_t extent) { return count * static_cast<double>(extent); });
}
double inputs(const Conv2dProblem& conv) { return product({conv.batch, conv.in_channels, conv.height, conv.width}); }
double outputs(const Conv2dProblem& conv) {
  return product({conv.batch, conv.out_channels, conv.out_height(), conv.out_width()});
}
double weights(const Conv2dProblem& conv) {
  return product({conv.out_channels, conv.in_channels_per_group(), conv.kernel[0], conv.kernel[1]});
}

}  // namespace

Device choose_device(const Options& options) {
  if (options.device == Device::cpu) return Device::cpu;
  const std::string reason = why_no_cuda();
  if (options.device == Device::cuda && !reason.empty()) throw std::invalid_argument("--device=cuda: " + reason);
  return reason.empty() ? Device::cuda : Device::cpu;
}

bool asks_for_training(const Options& options) { return RowFilter(options.filter).asks_for(kTrainingRows); }

std::vector<Group> choose_groups(const Options& options, Device device) {
  return select(make_plan({.device = device, .layers = choose_layers(options, device),
                           .precisions = choose_precisions(options, device), .layouts = options.layouts}),
                RowFilter(options.filter));
}

std::vector<TrainingGroup> choose_training_groups(const Options& options, Device device, const TrainingNetworks& networks) {
  const RowFilter filter(options.filter);
  const std::vector<Precision> usual = device == Device::cpu ? std::vector{Precision::fp32}
                                                             : std::vector{Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};
  std::vector<TrainingGroup> groups = make_training_plan(
      networks, {.batches = options.batches.empty() ? std::vector{kTrainingBatch} : options.batches,
                 .precisions = options.precisions.empty() ? usual : options.precisions,
                 .dictionaries = choose_training_dictionaries(options),
                 .layouts = options.layouts,
                 .graphs = device == Device::cuda});
  // A workload that is named like a network stands for it.
  if (!is_default_workload(options)) {
    std::erase_if(groups, [&](const TrainingGroup& group) {
      return std::ranges::find(options.workloads, group.network) == options.workloads.end();
    });
  }
  return select(std::move(groups), filter);
}

// Input, output, weights and the float64 reference of the largest stage must fit before anything is measured.
void check_memory(const std::vector<Group>& groups, const Session& session) {
  const auto available = static_cast<double>(session.memory_bytes());
  for (const Group& group : groups) {
    const Conv2dProblem& conv = group.layer.conv;
    double stages = 0;
    for (const Dictionary& dictionary : group.layer.dictionaries) {
      const LookupProblem problem{conv, dictionary.size, group.layer.granularity};
      const Conv2dProblem stage = problem.dictionary_stage();
      const Pair places = problem.lookup_stage().kernel;
      const double lookups = dictionary.sparsity * product({conv.out_channels, places[0], places[1]});
      stages = std::max(stages, outputs(stage) * 8 + weights(stage) * 4 + lookups * 8);
    }
    double needed = 2 * (inputs(conv) + outputs(conv)) * static_cast<double>(element_bytes(group.precision)) +
                    outputs(conv) * 8 + weights(conv) * 4 + stages;
    if (session.device() == Device::cpu) needed += inputs(conv) * 8;
    if (!(needed <= available)) {
      throw std::invalid_argument(fmt::format("out of memory: {} needs {:.1f} GiB, the device has {:.1f} GiB", group.title(),
                                              needed / (1 << 30), available / (1 << 30)));
    }
  }
}

}  // namespace lcnn::bench
