// compact_gather: one kernel; S of a strip of rows on the matrix units, and its lookups, compacted, on them too.
//
// Problem: any vector dictionary at 16 bits whose strips fit a block's shared memory; a filter dictionary is written as a vector
//          one first. NCHW.
// Idea:    a matrix unit does 28 times what a gather does, but a dense P has dictionary_size times as many products as there
//          are lookups. 16 output channels look up few rows of S at a tap, at most 16 times the lookups of one: these rows
//          alone are multiplied, gathered by the addresses that ldmatrix takes. A product of 16 x 16 x 8 then holds 128
//          lookups whatever the dictionary's size, and one load of S serves 256 of them.
// Bound:   bytes; the latencies of X, S and the lookups behind each other where a layer is small.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/compact_source.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/per_candidate.h"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

std::string word(const CompactTile& tile) { return fmt::format("{}r{}p{}g{}w", tile.rows, tile.warp_rows, tile.groups, tile.warps); }

std::vector<CompactTile> tiles_for(const LookupProblem& problem, std::int64_t lookups) {
  const DeviceLimits limits;
  return compact_tiles(problem, lookups, limits.shared_bytes, limits.multiprocessors);
}

// The lookups of a tile on the device; tiles of the same number of rows have the same.
struct DeviceLookups {
  Buffer steps, first_step;
  std::vector<std::int32_t> host_first_step;

  DeviceLookups(const LookupProblem& problem, const LookupTable& lookups, Precision precision, const CompactPlaces& places, const Execution& execution) {
    CompactLookups compact = compact_lookups(problem.lookup_stage(), lookups, precision, places);
    steps = upload(std::span<const std::uint32_t>(compact.steps), MemoryKind::weights, execution);
    first_step = upload(std::span<const std::int32_t>(compact.first_step), MemoryKind::weights, execution);
    host_first_step = std::move(compact.first_step);
  }

  int block_bytes(int groups) const { return most_block_steps(host_first_step, groups) * kStepWords * 16; }
};

class CompactGather final : public PreparedConvolution {
 public:
  CompactGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : CompactGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override { launch(chosen_.kernel.candidate, chosen_.kernel.kernel, chosen_.tile, x, y, stream); }

  std::int64_t code_bytes() const override { return chosen_.kernel.kernel.code_bytes(); }
  std::string choice() const override {
    const CompactTile& tile = tiles_[chosen_.kernel.candidate];
    const CompactLayout& layout = chosen_.tile.layout;
    return fmt::format("{} rows x {} channels a block, {} rows a warp, {} warps, {} x {} positions x {} entries a unit, {} warps share it, "
                       "D in {} memory, {} steps in all, {} registers, {} KiB shared, {}",
                       tile.rows, tile.groups * kGroupChannels, tile.warp_rows, tile.warps, layout.loads, layout.vector,
                       layout.unit_tiles * 16, layout.k_split, layout.dictionary_words > 0 ? "shared" : "global",
                       chosen_.tile.lookups->host_first_step.back(), chosen_.kernel.kernel.registers(), chosen_.tile.shared_bytes / 1024,
                       chosen_.kernel.how);
  }

 private:
  // What a launch of a tile takes.
  struct PreparedTile {
    std::shared_ptr<const DeviceLookups> lookups;
    CompactLayout layout;
    int shared_bytes;
  };

  CompactGather(const VectorForm& form, Precision precision, const Execution& execution)
      : problem_(form.problem),
        precision_(precision),
        shared_limit_(DeviceLimits().shared_bytes - 1024),
        tiles_(tiles_for(form.problem, form.weights.lookups.lookups())),
        dictionary_(upload(std::span<const std::uint32_t>(
                               pack_dictionary(form.problem.dictionary_stage(), form.weights.dictionary, precision)),
                           MemoryKind::weights, execution)),
        bias_(upload(std::span<const float>(padded_bias(form)), MemoryKind::weights, execution)),
        chosen_(choose(form, execution)) {}

  static std::vector<float> padded_bias(const VectorForm& form) {
    std::vector<float> bias(form.weights.bias);
    bias.resize(divide_up(form.problem.conv.out_channels, kGroupChannels) * kGroupChannels);
    return bias;
  }

  void launch(std::size_t candidate, const NvrtcKernel& kernel, const PreparedTile& tile, const void* x, void* y, void* stream) const {
    const void *dictionary = dictionary_.as<void>(), *steps = tile.lookups->steps.as<void>(), *first_step = tile.lookups->first_step.as<void>(),
               *bias = bias_.as<void>();
    void* arguments[] = {&x, &dictionary, &steps, &first_step, &bias, &y};
    kernel.launch(dim3(tile.layout.grid_x, tile.layout.grid_y, static_cast<unsigned>(problem_.conv.batch)), dim3(tiles_[candidate].warps * 32),
                  arguments, /*overlap=*/true, as_stream(stream));
  }

  struct Chosen {
    KernelChoice kernel;
    PreparedTile tile;
  };

  Chosen choose(const VectorForm& form, const Execution& execution) const {
    std::map<int, std::shared_ptr<const DeviceLookups>> by_rows;  // of S in a tile
    PerCandidate<PreparedTile> prepared([&](std::size_t candidate) -> PreparedTile {
      const CompactTile& tile = tiles_[candidate];
      const CompactLayout least(problem_, tile, /*shared_dictionary=*/false);
      std::shared_ptr<const DeviceLookups>& lookups = by_rows[least.s_rows];
      if (lookups == nullptr) lookups = std::make_shared<const DeviceLookups>(problem_, form.weights.lookups, precision_, least.places, execution);
      const int list_bytes = lookups->block_bytes(tile.groups);
      const CompactLayout layout = compact_layout(problem_, tile, list_bytes, shared_limit_);
      return {lookups, layout, layout.words() * 16 + list_bytes};
    });
    KernelChoice choice = choose_kernel(
        {.variant = "compact_gather", .problem = problem_, .precision = precision_, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "compact_gather", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return word(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return compact_source(problem_, precision_, tiles_[candidate], prepared.of(candidate).layout); },
         .shared_bytes = [&](std::size_t candidate) { return prepared.of(candidate).shared_bytes; },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* x, void* y,
                    void* stream) { launch(candidate, kernel, prepared.of(candidate), x, y, stream); },
         .input = problem_.conv,
         .input_precision = precision_,
         .output_bytes = problem_.conv.output_elements() * element_bytes(precision_)},
        execution);
    PreparedTile tile = prepared.of(choice.candidate);
    return {std::move(choice), std::move(tile)};
  }

  LookupProblem problem_;
  Precision precision_;
  int shared_limit_;
  std::vector<CompactTile> tiles_;
  Buffer dictionary_, bias_;
  Chosen chosen_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  if (element_bytes(precision) != 2) return "fp32 and tf32 are not supported, fp16 and bf16 are";
  const LookupProblem vector = vector_form(problem);
  if (std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (problem.conv.batch > 65535) return "more than 65535 images are not supported";
  if (tiles_for(vector, 0).empty()) return "a row is too wide for a warp's registers, or a strip for a block's shared memory";
  return {};
}

}  // namespace

const Variant compact_gather{.name = "compact_gather",
                             .device = Device::cuda,
                             .why_unsupported = why_unsupported,
                             .prepare = prepare_as<CompactGather>};

}  // namespace lcnn::cuda
