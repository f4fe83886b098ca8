// baked_filter: one kernel for filter dictionaries; S of a tile of pixels on the matrix units, then every output channel a few
// FFMA with its lookups compiled in.
//
// Problem: a dictionary of filters, or any dictionary of a 1x1 kernel. NCHW.
// Idea:    written as a vector dictionary, S has kh * kw entries a filter and is larger than X. Here a filter's columns alone
//          become rows of the product; sums over them are taken from shared memory, those over its rows in the matrix units.
// Bound:   bytes of X (its halo from the L2) and Y; a block's phases overlap only with those of its neighbours.
#include <fmt/format.h>

#include <utility>

#include "kernels/cuda/baked_choice.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/filter_source.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

std::vector<FilterTile> tiles_for(const LookupProblem& problem, Precision precision) {
  const DeviceLimits limits;
  return filter_tiles(problem, precision, limits.shared_bytes, limits.multiprocessors);
}

std::string word(const FilterTile& tile) {
  return fmt::format("{}r{}w{}p{}b{}v", tile.rows, tile.columns, tile.pixels, tile.channel_blocks, tile.vector);
}

class BakedFilter final : public PreparedConvolution {
 public:
  BakedFilter(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout,
              const Execution& execution)
      : dictionary_(upload(std::span<const std::uint32_t>(pack_filter_dictionary(problem, weights.dictionary, precision)),
                           MemoryKind::weights, execution)),
        tiles_(tiles_for(problem, precision)),
        choice_(choose(problem, weights, precision, execution)),
        tile_(tiles_[choice_.candidate]),
        layout_(problem, precision, tile_) {}

  void run(const void* x, void* y, void* stream) override { launch(choice_.kernel, layout_, x, y, stream); }

  std::int64_t code_bytes() const override { return choice_.kernel.code_bytes(); }
  std::string choice() const override {
    return fmt::format("{} x {} pixels a block, {} pixels a thread, {} channel blocks, {} positions a load, {} threads, "
                       "{} registers, {} KiB shared, {}",
                       tile_.rows, tile_.columns, tile_.pixels, tile_.channel_blocks, tile_.vector, layout_.threads,
                       choice_.kernel.registers(), layout_.shared_bytes / 1024, choice_.how);
  }

 private:
  KernelChoice choose(const LookupProblem& problem, const LookupWeights& weights, Precision precision, const Execution& execution) {
    check_baked_lookups(weights.lookups);
    const auto layout = [&](std::size_t candidate) { return FilterLayout(problem, precision, tiles_[candidate]); };
    return choose_kernel(
        {.variant = "baked_filter", .problem = problem, .precision = precision, .lookups = weights.lookups.lookups(),
         .kernel_name = "baked_filter", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return word(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return filter_source(problem, weights, precision, tiles_[candidate]); },
         .shared_bytes = [&](std::size_t candidate) { return layout(candidate).shared_bytes; },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* x, void* y,
                    void* stream) { launch(kernel, layout(candidate), x, y, stream); },
         .input = problem.conv, .input_precision = precision,
         .output_bytes = problem.conv.output_elements() * element_bytes(precision)},
        execution);
  }

  void launch(const NvrtcKernel& kernel, const FilterLayout& layout, const void* x, void* y, void* stream) const {
    const void* dictionary = dictionary_.as<void>();
    void* arguments[] = {&x, &dictionary, &y};
    kernel.launch(dim3(layout.grid_x, layout.grid_y, layout.grid_z), dim3(layout.threads), arguments, /*overlap=*/true,
                  as_stream(stream));
  }

  Buffer dictionary_;
  std::vector<FilterTile> tiles_;
  KernelChoice choice_;
  FilterTile tile_;
  FilterLayout layout_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  if (std::string reason = why_not_filter(problem); !reason.empty()) return reason;
  if (tiles_for(problem, precision).empty()) return "no tile of it fits a block's shared memory and threads";
  return {};
}

}  // namespace

const Variant baked_filter{.name = "baked_filter",
                           .device = Device::cuda,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as<BakedFilter>};

}  // namespace lcnn::cuda
