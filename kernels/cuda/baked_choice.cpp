#include "kernels/cuda/baked_choice.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/padded_layout.h"

namespace lcnn::cuda {
namespace {

std::vector<BakedTile> tiles_for(const LookupProblem& problem, Precision precision, bool fused) {
  const DeviceLimits limits;
  return baked_tiles(problem, precision, fused, limits.shared_bytes, limits.multiprocessors);
}

std::string word(const BakedTile& tile) {
  return fmt::format("{}i{}r{}p{}c{}b{}e{}v", tile.images, tile.rows, tile.pixels, tile.channels, tile.channel_blocks,
                     tile.entries, tile.vector);
}

void launch(const NvrtcKernel& kernel, const BakedLayout& layout, bool fused, const void* input, const void* dictionary, void* y,
            void* stream) {
  void* fused_arguments[] = {&input, &dictionary, &y};
  void* arguments[] = {&input, &y};
  kernel.launch(dim3(layout.grid_x, layout.grid_y, layout.grid_z), dim3(layout.threads), fused ? fused_arguments : arguments,
                /*overlap=*/true, static_cast<cudaStream_t>(stream));
}

}  // namespace

void check_baked_lookups(const LookupTable& lookups) {
  if (lookups.lookups() <= kMostBakedLookups) return;
  throw Unsupported(fmt::format("{} lookups are more than the {} that are worth compiling in", lookups.lookups(), kMostBakedLookups));
}

std::string why_not_baked(const LookupProblem& problem, Precision precision, Layout layout, bool fused) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  const LookupProblem vector = vector_form(problem);
  if (const std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (tiles_for(vector, precision, fused).empty()) return "no tile of it fits a block's shared memory and threads";
  return {};
}

void BakedKernel::run(const void* input, const void* dictionary, void* y, void* stream) const {
  launch(kernel, layout, tile.fused, input, dictionary, y, stream);
}

std::string BakedKernel::describe() const {
  return fmt::format("{} images x {} rows a block, {} pixels x {} channels a thread, {} channel blocks, {} entries at once, "
                     "{} positions a load, {} threads, {} registers, {} KiB shared, {}",
                     tile.images, tile.rows, tile.pixels, tile.channels, tile.channel_blocks, tile.entries, tile.vector,
                     layout.threads, kernel.registers(), layout.shared_bytes / 1024, how);
}

BakedKernel make_baked_kernel(const VectorForm& form, Precision precision, const void* dictionary, bool fused,
                              const Execution& execution) {
  check_baked_lookups(form.weights.lookups);
  const Conv2dProblem stage = form.problem.lookup_stage();
  const std::vector<BakedTile> tiles = tiles_for(form.problem, precision, fused);
  const auto layout = [&](std::size_t candidate) { return BakedLayout(stage, precision, tiles[candidate]); };
  const Conv2dProblem padded_s{.width = PaddedLayout(stage, precision).elements()};
  KernelChoice choice = choose_kernel(
      {.variant = fused ? "baked_fused" : "baked_gather", .problem = form.problem, .precision = precision,
       .lookups = form.weights.lookups.lookups(), .kernel_name = "baked_gather", .candidates = tiles.size(),
       .tile = [&](std::size_t candidate) { return word(tiles[candidate]); },
       .source = [&](std::size_t candidate) { return baked_source(form.problem, form.weights, precision, tiles[candidate]); },
       .shared_bytes = [&](std::size_t candidate) { return layout(candidate).shared_bytes; },
       .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* input, void* output,
                  void* stream) { launch(kernel, layout(candidate), fused, input, dictionary, output, stream); },
       .input = fused ? form.problem.conv : padded_s,
       .input_precision = precision,
       .output_bytes = stage.output_elements() * element_bytes(precision)},
      execution);
  return {tiles[choice.candidate], layout(choice.candidate), std::move(choice.kernel), std::move(choice.how)};
}

}  // namespace lcnn::cuda
