// compact_gather: a dictionary kernel that streams X, then a gather kernel that multiplies compacted lookups on the matrix units.
//
// Problem: any vector dictionary at 16 bits with a column stride of 1 and rows of up to 72 columns (3x3); a filter dictionary
//          is written as a vector one first. NCHW.
// Idea:    a matrix unit does 28 times what a gather does, but a dense P has dictionary_size times as many products as there
//          are lookups. 16 output channels look up few rows of S at a tap, at most 16 times the lookups of one: these rows
//          alone are multiplied, gathered by the addresses that ldmatrix takes. A product of 16 x 16 x 8 then holds 128
//          lookups whatever the dictionary's size, and one load of S serves 256 of them.
// Bound:   shared-memory loads of S where the list is long, else bytes and two launches.
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "kernels/cuda/compact_source.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

std::string word(const CompactTile& tile) {
  return fmt::format("{}i{}r{}p{}g{}w", tile.images, tile.rows, tile.warp_rows, tile.groups, tile.warps);
}

std::vector<CompactTile> tiles_for(const Conv2dProblem& stage, Precision precision, std::int64_t lookups) {
  const DeviceLimits limits;
  return compact_tiles(stage, precision, lookups, limits.shared_bytes, limits.multiprocessors);
}

// CompactLookups and the biases on the device; they serve every tile.
struct DeviceLookups {
  Buffer steps, first_step;
  Buffer bias;  // a float for each channel of every group, 0 beyond the stage's
  std::vector<std::int32_t> host_first_step;

  DeviceLookups(const Conv2dProblem& stage, const LookupWeights& weights, Precision precision, const CompactPlaces& places, const Execution& execution) {
    CompactLookups compact = compact_lookups(stage, weights.lookups, precision, places);
    std::vector<float> padded_bias(weights.bias);
    padded_bias.resize(divide_up(stage.out_channels, kGroupChannels) * kGroupChannels);
    steps = upload(std::span<const std::uint32_t>(compact.steps), MemoryKind::weights, execution);
    first_step = upload(std::span<const std::int32_t>(compact.first_step), MemoryKind::weights, execution);
    bias = upload(std::span<const float>(padded_bias), MemoryKind::weights, execution);
    host_first_step = std::move(compact.first_step);
  }
};

class CompactGather final : public PreparedConvolution {
 public:
  CompactGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : CompactGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    dictionary_.run(x, input_dictionary_.as<void>(), stream);
    launch(chosen_.candidate, chosen_.kernel, input_dictionary_.as<void>(), y, stream);
  }

  std::int64_t code_bytes() const override { return chosen_.kernel.code_bytes(); }
  std::string choice() const override {
    const CompactTile& tile = tiles_[chosen_.candidate];
    return fmt::format("{}; {} images x {} rows x {} channels a block, {} rows a warp, {} warps, {} steps in all, {} registers, {} KiB shared, {}",
                       dictionary_.choice(), tile.images, tile.rows, tile.groups * kGroupChannels, tile.warp_rows, tile.warps,
                       lookups_.host_first_step.back(), chosen_.kernel.registers(), shared_bytes(chosen_.candidate) / 1024, chosen_.how);
  }

 private:
  CompactGather(const VectorForm& form, Precision precision, const Execution& execution)
      : stage_(form.problem.lookup_stage()),
        precision_(precision),
        padded_(PaddedLayout::unshifted(stage_, precision)),
        tiles_(tiles_for(stage_, precision, form.weights.lookups.lookups())),
        lookups_(stage_, form.weights, precision, layout(0).places, execution),
        chosen_(choose(form, execution)),
        dictionary_(form.problem.dictionary_stage(), form.weights.dictionary, precision, padded_, execution),
        input_dictionary_(*execution.allocator, padded_.bytes(), MemoryKind::workspace) {
    check(cudaMemsetAsync(input_dictionary_.as<void>(), 0, padded_.bytes(), as_stream(execution.stream)), "zeroing the padding");
  }

  CompactLayout layout(std::size_t candidate) const { return {stage_, precision_, tiles_[candidate]}; }

  int shared_bytes(std::size_t candidate) const {
    const CompactTile& tile = tiles_[candidate];
    const CompactLayout tile_layout = layout(candidate);
    const int steps = most_block_steps(lookups_.host_first_step, static_cast<int>(stage_.kernel[1]), tile.groups);
    return (tile_layout.tile_words + tile.warps * tile_layout.staging_words + steps * kStepWords) * 16;
  }

  void launch(std::size_t candidate, const NvrtcKernel& kernel, const void* s, void* y, void* stream) const {
    const CompactLayout tile_layout = layout(candidate);
    const void *steps = lookups_.steps.as<void>(), *first_step = lookups_.first_step.as<void>(), *bias = lookups_.bias.as<void>();
    void* arguments[] = {&s, &steps, &first_step, &bias, &y};
    kernel.launch(dim3(tile_layout.grid_x, tile_layout.grid_y, tile_layout.grid_z), dim3(tiles_[candidate].warps * 32), arguments,
                  /*overlap=*/true, as_stream(stream));
  }

  KernelChoice choose(const VectorForm& form, const Execution& execution) const {
    return choose_kernel(
        {.variant = "compact_gather", .problem = form.problem, .precision = precision_, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "compact_gather", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return word(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return compact_source(stage_, precision_, tiles_[candidate]); },
         .shared_bytes = [&](std::size_t candidate) { return shared_bytes(candidate); },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* s, void* y,
                    void* stream) { launch(candidate, kernel, s, y, stream); },
         .input = {.width = padded_.elements()},
         .input_precision = precision_,
         .output_bytes = stage_.output_elements() * element_bytes(precision_)},
        execution);
  }

  Conv2dProblem stage_;
  Precision precision_;
  PaddedLayout padded_;
  std::vector<CompactTile> tiles_;
  DeviceLookups lookups_;
  KernelChoice chosen_;
  DictionaryStage dictionary_;
  Buffer input_dictionary_;  // S
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  if (element_bytes(precision) != 2) return "fp32 and tf32 are not supported, fp16 and bf16 are";
  const LookupProblem vector = vector_form(problem);
  if (std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (vector.lookup_stage().stride[1] != 1) return "a column stride other than 1 is not supported";
  if (tiles_for(vector.lookup_stage(), precision, 0).empty()) return "its rows are too wide for a warp's registers, or its dictionary for a block's shared memory";
  return {};
}

}  // namespace

const Variant compact_gather{.name = "compact_gather",
                             .device = Device::cuda,
                             .why_unsupported = why_unsupported,
                             .prepare = prepare_as<CompactGather>};

}  // namespace lcnn::cuda
