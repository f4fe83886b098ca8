// wgmma_fused: one kernel; both stages as products of warpgroups, P, dense or 2:4 sparse, written from its lookups into shared memory.
//
// Problem: any vector dictionary of at most 256 entries, stride 1, without groups, fp16, bf16 and tf32, channels last; a filter
//          dictionary is written as a vector one first. Hopper only.
// Idea:    a product of a warpgroup does 28 times what a gather does and takes its operands from shared memory at any position,
//          so that a tap of S costs an address. P is too large to come from memory dense for every block: its lookups come, a
//          hundredth of it, and are scattered into zeroed slots.
// Bound:   bytes; on small images with many channels the products of P.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/per_candidate.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"
#include "kernels/cuda/wgmma_source.h"

namespace lcnn::cuda {
namespace {

std::vector<WgmmaTile> tiles_for(const LookupProblem& problem, Precision precision, std::int64_t lookups) {
  const DeviceLimits limits;
  return wgmma_tiles(problem, precision, lookups, limits.shared_bytes, limits.multiprocessors);
}

class WgmmaFused final : public PreparedConvolution {
 public:
  WgmmaFused(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : WgmmaFused(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    launch(chosen_.kernel.candidate, chosen_.kernel.kernel, chosen_.tile, chosen_.blocks, x, y, stream);
  }

  std::int64_t code_bytes() const override { return chosen_.kernel.kernel.code_bytes(); }
  std::string choice() const override {
    const WgmmaTile& tile = tiles_[chosen_.kernel.candidate];
    return fmt::format("{} x {} pixels x {} channels a block, {} warpgroups in {} that sum {} positions, X in {}, {} of {} slots of {} P, "
                       "S {}, {} registers, {} KiB shared, {}",
                       tile.rows, tile.columns, tile.block_channels, tile.output_groups, tile.sets > 1 ? "turns" : "step", chosen_.tile.layout.part_positions,
                       tile.stages > 0 ? fmt::format("{} stages", tile.stages) : fmt::format("{} rows at a time", tile.chunk_rows), chosen_.tile.ring,
                       chosen_.tile.lookups->packed.most_slots, tile.sparse() ? "2:4 sparse" : "dense", tile.entry_buffers > 1 ? "twice" : "once", chosen_.kernel.kernel.registers(),
                       chosen_.tile.shared_bytes / 1024, chosen_.kernel.how);
  }

 private:
  // A record for each block of channels, on the device; tiles with the same places have the same.
  struct DeviceRecords {
    WgmmaLookups packed;
    Buffer records;
  };
  // What a launch of a tile takes.
  struct PreparedTile {
    std::shared_ptr<const DeviceRecords> lookups;
    WgmmaLayout layout;
    int ring, shared_bytes;
  };
  struct Chosen {
    KernelChoice kernel;
    PreparedTile tile;
    unsigned blocks;
  };

  WgmmaFused(const VectorForm& form, Precision precision, const Execution& execution)
      : problem_(form.problem),
        precision_(precision),
        shared_limit_(DeviceLimits().shared_bytes),
        multiprocessors_(DeviceLimits().multiprocessors),
        tiles_(tiles_for(form.problem, precision, form.weights.lookups.lookups())),
        order_(wgmma_order(form.weights.lookups, precision)),
        dictionary_(upload(std::span<const std::uint32_t>(wgmma_dictionary(form.problem, form.weights.dictionary, order_, precision)),
                           MemoryKind::weights, execution)),
        chosen_(choose(form, execution)) {}

  void launch(std::size_t candidate, const NvrtcKernel& kernel, const PreparedTile& tile, unsigned blocks, const void* x, void* y, void* stream) const {
    const Conv2dProblem& conv = problem_.conv;
    const WgmmaTile& shape = tiles_[candidate];
    CUtensorMap input = tensor_map(x, copied_type(precision_, true), {conv.batch, conv.height, conv.width, conv.in_channels},
                                   {.columns = tile.layout.pitch, .rows = shape.chunk_rows});
    CUtensorMap output = tensor_map(y, copied_type(precision_, false), {conv.batch, conv.out_height(), conv.out_width(), conv.out_channels},
                                    {.columns = std::min(shape.columns, 64), .rows = 1});
    const void *dictionary = dictionary_.as<void>(), *records = tile.lookups->records.as<void>();
    void* arguments[] = {&input, &output, &dictionary, &records};
    kernel.launch(dim3(blocks), dim3(tile.layout.threads), arguments, /*overlap=*/true, as_stream(stream));
  }

  // As many as are resident at once, for every block of channels as many as for the others.
  unsigned blocks_of(const NvrtcKernel& kernel, const WgmmaLayout& layout) const {
    const int resident = multiprocessors_ * kernel.resident_blocks(layout.threads);
    return static_cast<unsigned>(std::clamp(resident / layout.channel_blocks, 1, layout.tiles) * layout.channel_blocks);
  }

  Chosen choose(const VectorForm& form, const Execution& execution) const {
    std::map<std::array<int, 4>, std::shared_ptr<const DeviceRecords>> by_places;
    PerCandidate<PreparedTile> prepared([&](std::size_t candidate) -> PreparedTile {
      const WgmmaTile& tile = tiles_[candidate];
      const WgmmaLayout layout(problem_, precision_, tile);
      std::shared_ptr<const DeviceRecords>& lookups = by_places[{layout.positions, layout.pitch, tile.block_channels, tile.sparse()}];
      if (lookups == nullptr) {
        WgmmaLookups packed = wgmma_lookups(problem_.lookup_stage(), form.weights.lookups, form.weights.bias, order_, precision_, layout.places(),
                                             tile.block_channels, layout.slot_steps, tile.sparse());
        Buffer records = upload(std::span<const std::uint32_t>(packed.records), MemoryKind::weights, execution);
        lookups = std::make_shared<const DeviceRecords>(DeviceRecords{std::move(packed), std::move(records)});
      }
      const WgmmaLookups& packed = lookups->packed;
      const int ring = layout.ring(packed.most_slots, packed.record_bytes, shared_limit_), least = std::min(packed.most_slots, 2);
      return {lookups, layout, ring, layout.shared_bytes(std::max(ring, least), packed.record_bytes)};
    });
    KernelChoice choice = choose_kernel(
        {.variant = "wgmma_fused", .problem = problem_, .precision = precision_, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "wgmma_fused", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return tile_name(tiles_[candidate]); },
         .source = [&](std::size_t candidate) {
           const PreparedTile& tile = prepared.of(candidate);
           return wgmma_source(problem_, precision_, tiles_[candidate], tile.layout, tile.lookups->packed, std::max(tile.ring, 1));
         },
         .shared_bytes = [&](std::size_t candidate) { return prepared.of(candidate).shared_bytes; },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* x, void* y,
                    void* stream) {
           const PreparedTile& tile = prepared.of(candidate);
           launch(candidate, kernel, tile, blocks_of(kernel, tile.layout), x, y, stream);
         },
         .input = problem_.conv,
         .input_precision = precision_,
         .output_bytes = problem_.conv.output_elements() * element_bytes(precision_)},
        execution);
    PreparedTile tile = prepared.of(choice.candidate);
    const unsigned blocks = blocks_of(choice.kernel, tile.layout);
    return {std::move(choice), std::move(tile), blocks};
  }

  LookupProblem problem_;
  Precision precision_;
  int shared_limit_, multiprocessors_;
  std::vector<WgmmaTile> tiles_;
  std::vector<int> order_;
  Buffer dictionary_;
  Chosen chosen_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  const Conv2dProblem& conv = problem.conv;
  if (layout != Layout::nhwc) return "nchw is not supported, channels-last is";
  if (precision == Precision::fp32) return "fp32 is not supported, tf32, fp16 and bf16 are";
  if (conv.groups != 1) return fmt::format("groups {} are not supported, 1 is", conv.groups);
  if (conv.stride != Pair{1, 1}) return fmt::format("stride {}x{} is not supported, 1x1 is", conv.stride[0], conv.stride[1]);
  const auto piece = 16 / element_bytes(precision);
  if (conv.in_channels % piece != 0 || conv.out_channels % piece != 0) return fmt::format("channels that are no multiple of {} are not supported", piece);
  if (conv.batch > 65535) return "more than 65535 images are not supported";
  if (device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) return "devices other than Hopper (compute capability 9.0) are not supported";
  if (tiles_for(vector_form(problem), precision, 0).empty()) {
    return "a dictionary of more than 256 entries, or a row of the image too wide for a block's shared memory";
  }
  return {};
}

}  // namespace

const Variant wgmma_fused{.name = "wgmma_fused",
                          .device = Device::cuda,
                          .why_unsupported = why_unsupported,
                          .prepare = prepare_as<WgmmaFused>};

}  // namespace lcnn::cuda
