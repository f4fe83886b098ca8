#include "kernels/cuda/baked_choice.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/dictionary_stage.h"

namespace lcnn::cuda {
namespace {

// Beyond this, straight-line code takes minutes to compile and no longer fits the instruction caches.
constexpr std::int64_t kMostLookups = 24000;
constexpr int kMostTiles = 12;  // compiled in search of one without spills

int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

std::vector<BakedTile> tiles_for(const LookupProblem& problem, Precision precision, bool fused) {
  return baked_tiles(problem, precision, fused, device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
                     device_attribute(cudaDevAttrMultiProcessorCount));
}

}  // namespace

std::string why_not_baked(const LookupProblem& problem, Precision precision, Layout layout, bool fused) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  const LookupProblem vector = vector_form(problem);
  if (const std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (tiles_for(vector, precision, fused).empty()) return "no tile of it fits a block's shared memory and threads";
  return {};
}

void BakedKernel::launch(void** arguments, void* stream) const {
  kernel.launch(dim3(layout.grid_x, layout.grid_y, layout.grid_z), dim3(layout.threads), arguments, /*overlap=*/true,
                static_cast<cudaStream_t>(stream));
}

std::string BakedKernel::describe() const {
  return fmt::format("{} images x {} rows a block, {} pixels x {} channels a thread, {} channel blocks, {} entries at once, "
                     "{} positions a load, {} threads, {} registers, {} KiB shared",
                     tile.images, tile.rows, tile.pixels, tile.channels, tile.channel_blocks, tile.entries, tile.vector,
                     layout.threads, kernel.registers(), layout.shared_bytes / 1024);
}

BakedKernel make_baked_kernel(const VectorForm& form, Precision precision, bool fused) {
  if (form.weights.lookups.lookups() > kMostLookups) {
    throw Unsupported(fmt::format("{} lookups are more than the {} that are worth compiling in",
                                  form.weights.lookups.lookups(), kMostLookups));
  }
  int tried = 0;
  for (const BakedTile& tile : tiles_for(form.problem, precision, fused)) {
    if (++tried > kMostTiles) break;
    const BakedLayout layout(form.problem.lookup_stage(), tile);
    try {
      return {tile, layout, NvrtcKernel(baked_source(form.problem, form.weights, precision, tile), "baked_gather", layout.shared_bytes)};
    } catch (const RegistersSpilled&) {
    }
  }
  throw Unsupported("every tile needs more registers than a thread has");
}

}  // namespace lcnn::cuda
