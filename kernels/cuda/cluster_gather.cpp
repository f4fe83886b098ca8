// cluster_gather: one kernel; a cluster of blocks computes an image, S exchanged through distributed shared memory.
//
// Problem: any vector dictionary whose S of an image fits a block's shared memory; a filter dictionary is written as a vector
//          one first. NCHW. Needs thread block clusters (compute capability 9.0).
// Idea:    small images are a few microseconds: two launches and S through memory cost as much as the work. X is read once,
//          by bulk copies that come to every block of the cluster; each block forms S for its share of the entries and stores
//          it into the tile of every block; each then gathers its share of the output channels, lookups as data.
// Bound:   the latency of X, of one exchange, and a load and an FFMA a lookup and pixel.
#include <fmt/format.h>

#include <utility>

#include "kernels/cuda/cluster_source.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/device_lookup_pairs.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/kernel_choice.h"

namespace lcnn::cuda {
namespace {

std::string word(const ClusterTile& tile) {
  return fmt::format("{}b{}p{}g{}l{}k{}s", tile.cluster, tile.pixels, tile.channel_groups, tile.loads, tile.chunk, tile.stages);
}

std::vector<ClusterTile> tiles_for(const LookupProblem& problem, Precision precision, std::int64_t lookups) {
  const DeviceLimits limits;
  return cluster_tiles(problem, precision, lookups, limits.shared_bytes, limits.multiprocessors);
}

class ClusterGather final : public PreparedConvolution {
 public:
  ClusterGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : ClusterGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override { launch(chosen_.kernel.candidate, chosen_.kernel.kernel, chosen_.table, x, y, stream); }

  std::int64_t code_bytes() const override { return chosen_.kernel.kernel.code_bytes(); }
  std::string choice() const override {
    const ClusterTile& tile = tiles_[chosen_.kernel.candidate];
    const ClusterLayout chosen_layout = layout(chosen_.kernel.candidate);
    return fmt::format("{} blocks an image, {} rows a thread, {} channel groups, {} x {} positions a lane, {} chunks of {} channels, "
                       "{} threads, {} registers, {} KiB shared, {}",
                       tile.cluster, tile.pixels, tile.channel_groups, tile.loads, chosen_layout.vector, tile.stages, tile.chunk, chosen_layout.threads,
                       chosen_.kernel.kernel.registers(), shared_bytes(chosen_layout, chosen_.table) / 1024, chosen_.kernel.how);
  }

 private:
  ClusterGather(const VectorForm& form, Precision precision, const Execution& execution)
      : problem_(form.problem),
        precision_(precision),
        tiles_(tiles_for(form.problem, precision, form.weights.lookups.lookups())),
        dictionary_(upload(std::span<const std::uint32_t>(
                               pack_dictionary(form.problem.dictionary_stage(), form.weights.dictionary, precision)),
                           MemoryKind::weights, execution)),
        chosen_(choose(form, execution)) {}

  ClusterLayout layout(std::size_t candidate) const { return {problem_, precision_, tiles_[candidate]}; }
  static int shared_bytes(const ClusterLayout& layout, const DeviceLookupPairs& table) {
    return (layout.tile_words + layout.ring_words + table.most_block_pairs) * 16;
  }

  void launch(std::size_t candidate, const NvrtcKernel& kernel, const DeviceLookupPairs& table, const void* x, void* y, void* stream) const {
    const void *dictionary = dictionary_.as<void>(), *pairs = table.pairs.as<void>(), *first_pair = table.first_pair.as<void>(),
               *bias = table.bias.as<void>();
    void* arguments[] = {&x, &dictionary, &pairs, &first_pair, &bias, &y};
    const auto cluster = static_cast<unsigned>(tiles_[candidate].cluster);
    kernel.launch(dim3(cluster, static_cast<unsigned>(problem_.conv.batch)), dim3(layout(candidate).threads),
                  arguments, /*overlap=*/true, as_stream(stream), cluster);
  }

  struct Chosen {
    KernelChoice kernel;
    DeviceLookupPairs table;
  };

  Chosen choose(const VectorForm& form, const Execution& execution) const {
    CandidatePairs tables([&](std::size_t candidate) {
      return DeviceLookupPairs(problem_.lookup_stage(), form.weights, layout(candidate).places, execution);
    });
    KernelChoice choice = choose_kernel(
        {.variant = "cluster_gather", .problem = problem_, .precision = precision_, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "cluster_gather", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return word(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return cluster_source(problem_, precision_, tiles_[candidate]); },
         .shared_bytes = [&](std::size_t candidate) { return shared_bytes(layout(candidate), tables.of(candidate)); },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* x, void* y,
                    void* stream) { launch(candidate, kernel, tables.of(candidate), x, y, stream); },
         .input = problem_.conv, .input_precision = precision_,
         .output_bytes = problem_.conv.output_elements() * element_bytes(precision_)},
        execution);
    DeviceLookupPairs table = tables.take(choice.candidate);
    return {std::move(choice), std::move(table)};
  }

  LookupProblem problem_;
  Precision precision_;
  std::vector<ClusterTile> tiles_;
  Buffer dictionary_;
  Chosen chosen_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  if (device_attribute(cudaDevAttrComputeCapabilityMajor) < 9) return "thread block clusters need compute capability 9.0";
  const LookupProblem vector = vector_form(problem);
  if (std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (tiles_for(vector, precision, 0).empty()) return "an image's S does not fit a block's shared memory, or its channels are no multiple of 16 bytes";
  return {};
}

}  // namespace

const Variant cluster_gather{.name = "cluster_gather",
                             .device = Device::cuda,
                             .why_unsupported = why_unsupported,
                             .prepare = prepare_as<ClusterGather>};

}  // namespace lcnn::cuda
