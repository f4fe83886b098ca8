// cluster_gather: one kernel; a cluster of blocks computes an image, S exchanged through distributed shared memory.
//
// Problem: any vector dictionary whose S of an image fits a block's shared memory; a filter dictionary is written as a vector
//          one first. NCHW. Needs thread block clusters (compute capability 9.0).
// Idea:    small images are a few microseconds: two launches and S through memory cost as much as the work. Each block forms S
//          for its share of the positions and stores it into the tile of every block of the cluster; each then gathers its
//          share of the output channels, lookups as data.
// Bound:   the latency of X, of one exchange, and a load and an FFMA a lookup and pixel.
#include <fmt/format.h>

#include <map>
#include <utility>

#include "kernels/cuda/baked_choice.h"
#include "kernels/cuda/cluster_source.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_lookup_pairs.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/kernel_choice.h"

namespace lcnn::cuda {
namespace {

std::string word(const ClusterTile& tile) {
  return fmt::format("{}b{}p{}g{}l{}s", tile.cluster, tile.pixels, tile.channel_groups, tile.loads, tile.split);
}

std::vector<ClusterTile> tiles_for(const LookupProblem& problem, Precision precision, std::int64_t lookups) {
  const DeviceLimits limits = device_limits();
  return cluster_tiles(problem, precision, lookups, limits.shared_bytes, limits.multiprocessors);
}

class ClusterGather final : public PreparedConvolution {
 public:
  ClusterGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : ClusterGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override { launch(choice_.candidate, choice_.kernel, table_, x, y, stream); }

  std::int64_t code_bytes() const override { return choice_.kernel.code_bytes(); }
  std::string choice() const override {
    const ClusterTile& tile = tiles_[choice_.candidate];
    const ClusterLayout layout(problem_, precision_, tile);
    return fmt::format("{} blocks an image, {} rows a thread, {} channel groups, {} x {} positions a lane, channels split {} ways, "
                       "{} threads, {} registers, {} KiB shared, {}",
                       tile.cluster, tile.pixels, tile.channel_groups, tile.loads, layout.vector, tile.split, layout.threads,
                       choice_.kernel.registers(), shared_bytes(layout, table_) / 1024, choice_.how);
  }

 private:
  ClusterGather(const VectorForm& form, Precision precision, const Execution& execution)
      : problem_(form.problem),
        precision_(precision),
        tiles_(tiles_for(form.problem, precision, form.weights.lookups.lookups())),
        dictionary_(upload(std::span<const std::uint32_t>(
                               pack_dictionary(form.problem.dictionary_stage(), form.weights.dictionary, precision)),
                           MemoryKind::weights, execution)),
        choice_(choose(form, execution)),
        table_(table_of(tiles_[choice_.candidate], form.weights, execution)) {}

  DeviceLookupPairs table_of(const ClusterTile& tile, const LookupWeights& weights, const Execution& execution) const {
    return {problem_.lookup_stage(), weights, ClusterLayout(problem_, precision_, tile).places, execution};
  }
  static int shared_bytes(const ClusterLayout& layout, const DeviceLookupPairs& table) {
    return (layout.tile_words + layout.part_words + table.most_block_pairs) * 16;
  }

  void launch(std::size_t candidate, const NvrtcKernel& kernel, const DeviceLookupPairs& table, const void* x, void* y, void* stream) const {
    const void *dictionary = dictionary_.as<void>(), *pairs = table.pairs.as<void>(), *first_pair = table.first_pair.as<void>(),
               *bias = table.bias.as<void>();
    void* arguments[] = {&x, &dictionary, &pairs, &first_pair, &bias, &y};
    const auto cluster = static_cast<unsigned>(tiles_[candidate].cluster);
    kernel.launch(dim3(cluster, static_cast<unsigned>(problem_.conv.batch)), dim3(ClusterLayout(problem_, precision_, tiles_[candidate]).threads),
                  arguments, /*overlap=*/true, as_stream(stream), cluster);
  }

  KernelChoice choose(const VectorForm& form, const Execution& execution) {
    // A table whose lookups are unevenly spread may need more shared memory than a block has.
    const int limit = device_limits().shared_bytes;
    std::erase_if(tiles_, [&](const ClusterTile& tile) {
      const ClusterLayout layout(problem_, precision_, tile);
      const int pairs = lookup_pairs(problem_.lookup_stage(), form.weights.lookups, layout.places).most_block_pairs;
      return (layout.tile_words + layout.part_words + pairs) * std::int64_t{16} > limit;
    });
    std::map<std::size_t, DeviceLookupPairs> tables;
    const auto table = [&](std::size_t candidate) -> const DeviceLookupPairs& {
      const auto found = tables.find(candidate);
      if (found != tables.end()) return found->second;
      return tables.emplace(candidate, table_of(tiles_[candidate], form.weights, execution)).first->second;
    };
    return choose_kernel(
        {.variant = "cluster_gather", .problem = problem_, .precision = precision_, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "cluster_gather", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return word(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return cluster_source(problem_, precision_, tiles_[candidate]); },
         .shared_bytes = [&](std::size_t candidate) { return shared_bytes(ClusterLayout(problem_, precision_, tiles_[candidate]), table(candidate)); },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* x, void* y,
                    void* stream) { launch(candidate, kernel, table(candidate), x, y, stream); },
         .input = problem_.conv, .input_precision = precision_,
         .output_bytes = problem_.conv.output_elements() * element_bytes(precision_)},
        execution);
  }

  LookupProblem problem_;
  Precision precision_;
  std::vector<ClusterTile> tiles_;
  Buffer dictionary_;
  KernelChoice choice_;
  DeviceLookupPairs table_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  int device = 0, major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  if (major < 9) return "thread block clusters need compute capability 9.0";
  const LookupProblem vector = vector_form(problem);
  if (std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (tiles_for(vector, precision, 0).empty()) return "S of an image does not fit a block's shared memory";
  return {};
}

}  // namespace

const Variant cluster_gather{.name = "cluster_gather",
                             .device = Device::cuda,
                             .why_unsupported = why_unsupported,
                             .prepare = prepare_as<ClusterGather>};

}  // namespace lcnn::cuda
