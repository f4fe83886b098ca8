// wgmma_gather: one kernel; S by products of warpgroups, kept in shared memory, and lookups gathered from it one by one.
//
// Problem: any vector dictionary, stride 1, without groups, every precision, channels last; a filter dictionary is written as a
//          vector one first. Hopper only.
// Idea:    a product with dense P does as many multiplications as P has places, of which one in 16 to 128 is a lookup. At 4
//          bytes the matrix units no longer make up for that: a lookup gathered by lanes side by side is one load from shared memory for 32
//          positions. S of the next tile is formed meanwhile. Where tiles are few, a cluster of blocks shares the work of each.
//          As code, lookups of 32 to 128 channels share each value of S that is loaded; as data, few channels' fit a warp, so that small
//          problems have enough of them, and nothing is fetched but the lookups. At 16 bits a word has S of two positions, and
//          sums are of 16 bits, where few enough lookups are added.
// Bound:   bytes where batches are large and dictionaries small; else the rate at which code is fetched, or S formed.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/per_candidate.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/weights_upload.h"
#include "kernels/cuda/wgmma_gather_source.h"
#include "kernels/cuda/wgmma_gather_tiles.h"

namespace lcnn::cuda {
namespace {

std::vector<WgmmaGatherTile> tiles_for(const LookupProblem& problem, Precision precision, const LookupTable& lookups) {
  const DeviceLimits limits;
  return wgmma_gather_tiles(problem, precision, lookups, limits.shared_bytes, limits.multiprocessors);
}

class WgmmaGather final : public PreparedConvolution {
 public:
  WgmmaGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : WgmmaGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override { launch(chosen_.kernel.candidate, chosen_.kernel.kernel, chosen_.tile, chosen_.tiles_at_once, x, y, stream); }

  std::int64_t code_bytes() const override { return chosen_.kernel.kernel.code_bytes(); }
  std::string choice() const override {
    const WgmmaGatherTile& tile = tiles_[chosen_.kernel.candidate];
    const WgmmaGatherLayout& layout = chosen_.tile.layout;
    std::string blocks = fmt::format("a cluster of {} blocks", tile.cluster), lookups;
    if (tile.position_parts > 1) blocks += " that divide positions";
    if (tile.channel_parts > 1) blocks += fmt::format(", {} for a tile's channels", tile.channel_parts);
    lookups = fmt::format(" by {} for {} channels", tile.code ? "code" : "data", tile.item_channels);
    if (tile.halves == 2) lookups += ", sums of 16 bits";
    if (tile.dictionary_parts > 1) lookups += fmt::format(" in {} parts of the dictionary", tile.dictionary_parts);
    return fmt::format("{} images x {} rows x {} columns {}, {} warpgroups form S, {} warps look up {} positions at once{}, {} stages, {} registers, {} KiB shared, {}",
                       tile.images, tile.rows, tile.columns, blocks, tile.form_groups, tile.gather_warps, tile.item_blocks * tile.halves * 32, lookups, tile.stages,
                       chosen_.kernel.kernel.registers(), layout.shared_bytes(tile) / 1024, chosen_.kernel.how);
  }

 private:
  // What a launch of a tile takes.
  struct PreparedTile {
    WgmmaGatherLayout layout;
    std::shared_ptr<const Buffer> dictionary, records;
  };
  struct Chosen {
    KernelChoice kernel;
    PreparedTile tile;
    int tiles_at_once;
  };

  WgmmaGather(const VectorForm& form, Precision precision, const Execution& execution)
      : problem_(form.problem),
        precision_(precision),
        multiprocessors_(DeviceLimits().multiprocessors),
        tiles_(tiles_for(form.problem, precision, form.weights.lookups)),
        chosen_(choose(form, execution)) {}

  void launch(std::size_t candidate, const NvrtcKernel& kernel, const PreparedTile& prepared, int tiles_at_once, const void* x, void* y, void* stream) const {
    const Conv2dProblem& conv = problem_.conv;
    const WgmmaGatherTile& tile = tiles_[candidate];
    const WgmmaGatherLayout& layout = prepared.layout;
    CUtensorMap input = tensor_map(x, copied_type(precision_, precision_ == Precision::tf32), {conv.batch, conv.height, conv.width, conv.in_channels},
                                   {.columns = layout.pitch, .rows = layout.own_rows, .images = layout.own_images});
    CUtensorMap output = tensor_map(y, copied_type(precision_, /*round=*/false), {conv.batch * conv.out_height(), layout.column_tiles, tile.columns, conv.out_channels},
                                    {.columns = layout.item_columns, .rows = 1, .channel_bytes = layout.box_bytes});
    const void *dictionary = prepared.dictionary->as<void>(), *records = prepared.records->as<void>();
    void* arguments[] = {&input, &output, &dictionary, &records};
    kernel.launch(dim3(static_cast<unsigned>(tiles_at_once * layout.channel_blocks)), dim3(static_cast<unsigned>(layout.threads)), arguments, /*overlap=*/true, as_stream(stream));
  }

  // As many as are resident at once: those that wait for others to end would begin when the whole work of these is done.
  int tiles_at_once(std::size_t candidate, const NvrtcKernel& kernel, const WgmmaGatherLayout& layout) const {
    const WgmmaGatherTile& tile = tiles_[candidate];
    const int resident = tile.cluster == 1 ? multiprocessors_ * kernel.resident_blocks(layout.threads) : kernel.resident_clusters(layout.threads, tile.cluster);
    return std::clamp(resident / tile.channel_parts, 1, layout.tiles);
  }

  Chosen choose(const VectorForm& form, const Execution& execution) const {
    const Conv2dProblem stage = problem_.lookup_stage();
    const auto layout_of = [&](const WgmmaGatherTile& tile) { return WgmmaGatherLayout(problem_, precision_, tile, form.weights.lookups); };
    PerCandidate<PreparedTile> prepared([&](std::size_t candidate) -> PreparedTile {
      const WgmmaGatherTile& tile = tiles_[candidate];
      const WgmmaGatherLayout layout = layout_of(tile);
      const auto on_device = [&](const std::vector<std::uint32_t>& words) {
        return std::make_shared<const Buffer>(upload(std::span<const std::uint32_t>(words), MemoryKind::weights, execution));
      };
      return {layout, on_device(wgmma_gather_dictionary(problem_, form.weights.dictionary, precision_, layout.own_entries, layout.entry_parts)),
              on_device(wgmma_gather_records(stage, form.weights.lookups, form.weights.bias, precision_, tile, layout))};
    });
    KernelChoice choice = choose_kernel(
        {.variant = "wgmma_gather", .problem = problem_, .precision = precision_, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "wgmma_gather", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return tile_name(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return wgmma_gather_source(problem_, form.weights.lookups, precision_, tiles_[candidate], layout_of(tiles_[candidate])); },
         .shared_bytes = [&](std::size_t candidate) { return layout_of(tiles_[candidate]).shared_bytes(tiles_[candidate]); },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* x, void* y,
                    void* stream) {
           const PreparedTile& tile = prepared.of(candidate);
           launch(candidate, kernel, tile, tiles_at_once(candidate, kernel, tile.layout), x, y, stream);
         },
         .input = problem_.conv,
         .input_precision = precision_,
         .output_bytes = problem_.conv.output_elements() * element_bytes(precision_)},
        execution);
    PreparedTile tile = prepared.of(choice.candidate);
    const int at_once = tiles_at_once(choice.candidate, choice.kernel, tile.layout);
    return {std::move(choice), std::move(tile), at_once};
  }

  LookupProblem problem_;
  Precision precision_;
  int multiprocessors_;
  std::vector<WgmmaGatherTile> tiles_;
  Chosen chosen_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  const Conv2dProblem& conv = problem.conv;
  if (layout != Layout::nhwc) return "nchw is not supported, channels-last is";
  if (conv.groups != 1) return fmt::format("groups {} are not supported, 1 is", conv.groups);
  if (conv.stride != Pair{1, 1}) return fmt::format("stride {}x{} is not supported, 1x1 is", conv.stride[0], conv.stride[1]);
  const auto piece = 16 / element_bytes(precision);
  if (conv.in_channels % piece != 0) return fmt::format("input channels that are no multiple of {} are not supported", piece);
  if (conv.out_channels % (2 * piece) != 0) return fmt::format("output channels that are no multiple of {} are not supported", 2 * piece);
  if (device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return "devices other than Hopper (compute capability 9.0) are not supported";
  if (tiles_for(vector_form(problem), precision, {}).empty()) return "S of no tile fits a block's shared memory and registers";
  return {};
}

}  // namespace

const Variant wgmma_gather{.name = "wgmma_gather",
                           .device = Device::cuda,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as<WgmmaGather>};

}  // namespace lcnn::cuda
