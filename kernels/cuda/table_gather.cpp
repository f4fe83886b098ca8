// table_gather: a dictionary kernel that streams X, then a gather kernel that reads the layer's lookups from a table.
//
// Problem: any vector dictionary; a filter dictionary is written as a vector one first. NCHW.
// Idea:    code with the lookups compiled in is fetched once a block, which costs more than the lookups themselves where a
//          layer has many lookups and few pixels. Here the code is short and the lookups are data in shared memory; several
//          rows of pixels a thread share what it takes to read one.
// Bound:   a load, a conversion at 16 bits and an FFMA a lookup and pixel; two launches where the layer is small.
#include <fmt/format.h>

#include <utility>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/device_lookup_pairs.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/kernel_choice.h"
#include "kernels/cuda/table_source.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

std::string word(const TableTile& tile) {
  return fmt::format("{}i{}r{}p{}g{}c{}e", tile.images, tile.row_groups, tile.pixels, tile.channel_groups, tile.channels, tile.entries);
}

std::vector<TableTile> tiles_for(const Conv2dProblem& stage, Precision precision, std::int64_t lookups) {
  const DeviceLimits limits;
  return table_tiles(stage, precision, lookups, limits.shared_bytes, limits.multiprocessors);
}

void launch(const NvrtcKernel& kernel, const TableLayout& layout, const DeviceLookupPairs& table, const void* s, void* y, void* stream) {
  const void *pairs = table.pairs.as<void>(), *first_pair = table.first_pair.as<void>(), *bias = table.bias.as<void>();
  void* arguments[] = {&s, &pairs, &first_pair, &bias, &y};
  kernel.launch(dim3(layout.grid_x, layout.grid_y, layout.grid_z), dim3(layout.threads), arguments, /*overlap=*/true, as_stream(stream));
}

class TableGather final : public PreparedConvolution {
 public:
  TableGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : TableGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    dictionary_.run(x, input_dictionary_.as<void>(), stream);
    launch(chosen_.kernel.kernel, table_layout_, chosen_.table, input_dictionary_.as<void>(), y, stream);
  }

  std::int64_t code_bytes() const override { return chosen_.kernel.kernel.code_bytes(); }
  std::string choice() const override {
    return fmt::format("{}; {} images x {} rows a block, {} rows x {} channels a thread, {} channel groups, {} entries at once, "
                       "{} threads, {} registers, {} KiB shared, {}",
                       dictionary_.choice(), tile_.images, tile_.rows(), tile_.pixels, tile_.channels, tile_.channel_groups,
                       tile_.entries, table_layout_.threads, chosen_.kernel.kernel.registers(), shared_bytes(table_layout_, chosen_.table) / 1024, chosen_.kernel.how);
  }

 private:
  TableGather(const VectorForm& form, Precision precision, const Execution& execution)
      : stage_(form.problem.lookup_stage()),
        layout_(stage_, precision),
        tiles_(tiles_for(stage_, precision, form.weights.lookups.lookups())),
        chosen_(choose(form, precision, execution)),
        tile_(tiles_[chosen_.kernel.candidate]),
        table_layout_(stage_, precision, tile_),
        dictionary_(form.problem.dictionary_stage(), form.weights.dictionary, precision, layout_.strides(), execution),
        input_dictionary_(*execution.allocator, layout_.bytes(), MemoryKind::workspace) {
    check(cudaMemsetAsync(input_dictionary_.as<void>(), 0, layout_.bytes(), as_stream(execution.stream)), "zeroing the padding");
  }

  static int shared_bytes(const TableLayout& layout, const DeviceLookupPairs& table) { return (layout.tile_words + table.most_block_pairs) * 16; }

  struct Chosen {
    KernelChoice kernel;
    DeviceLookupPairs table;
  };

  Chosen choose(const VectorForm& form, Precision precision, const Execution& execution) const {
    const auto layout = [&](std::size_t candidate) { return TableLayout(stage_, precision, tiles_[candidate]); };
    CandidatePairs tables([&](std::size_t candidate) {
      return DeviceLookupPairs(stage_, form.weights, layout(candidate).places, execution);
    });
    KernelChoice choice = choose_kernel(
        {.variant = "table_gather", .problem = form.problem, .precision = precision, .lookups = form.weights.lookups.lookups(),
         .kernel_name = "table_gather", .candidates = tiles_.size(),
         .tile = [&](std::size_t candidate) { return word(tiles_[candidate]); },
         .source = [&](std::size_t candidate) { return table_source(stage_, precision, tiles_[candidate]); },
         .shared_bytes = [&](std::size_t candidate) { return shared_bytes(layout(candidate), tables.of(candidate)); },
         .run = [&](std::size_t candidate, const NvrtcKernel& kernel, const void* s, void* y, void* stream) {
           launch(kernel, layout(candidate), tables.of(candidate), s, y, stream);
         },
         .input = {.width = layout_.elements()},
         .input_precision = precision,
         .output_bytes = stage_.output_elements() * element_bytes(precision)},
        execution);
    DeviceLookupPairs table = tables.take(choice.candidate);
    return {std::move(choice), std::move(table)};
  }

  Conv2dProblem stage_;
  PaddedLayout layout_;
  std::vector<TableTile> tiles_;
  Chosen chosen_;
  TableTile tile_;
  TableLayout table_layout_;
  DictionaryStage dictionary_;
  Buffer input_dictionary_;  // S
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  const LookupProblem vector = vector_form(problem);
  if (std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  if (tiles_for(vector.lookup_stage(), precision, 0).empty()) return "no tile of it fits a block's shared memory and threads";
  return {};
}

}  // namespace

const Variant table_gather{.name = "table_gather",
                           .device = Device::cuda,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as<TableGather>};

}  // namespace lcnn::cuda
