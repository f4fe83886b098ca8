// CUDA C++ source of a fused kernel for a filter dictionary, with the lookups of one layer written into it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn::cuda {

// How a block divides a layer: rows x columns output pixels of one image.
struct FilterTile {
  int rows = 1, columns = 8;
  int pixels = 1;          // neighbouring output pixels a thread computes
  int channel_blocks = 1;  // groups of warps that share the output channels
  int vector = 1;          // neighbouring positions of X a lane loads at once

  bool operator==(const FilterTile&) const = default;
};

// Everything that follows from a problem and a tile.
struct FilterLayout {
  int x_columns;                 // of X and Z that a tile's row needs, in whole vectors
  int warp_entry_tiles;          // entry tiles of 16 that a warp sums at once
  int entry_passes, warp_tiles;  // warp tiles over the entries, and in all
  int slot_threads, threads;     // of one group of output channels, and of a block
  int grid_x, grid_y, grid_z;    // column tiles, row tiles, images
  int shared_bytes;

  FilterLayout(const LookupProblem& problem, Precision precision, const FilterTile& tile);
};

// Why no filter kernel is made for a problem, in one sentence; empty when one is.
std::string why_not_filter(const LookupProblem& problem);

// Tiles worth trying, best guess first; none when nothing fits. The device has `shared_limit` bytes of shared memory a
// block.
std::vector<FilterTile> filter_tiles(const LookupProblem& problem, Precision precision, int shared_limit, int multiprocessors);

// D [dictionary_size, C, kh, kw] as kh matrices [dictionary_size * kw, C], each as pack_dictionary() packs it.
std::vector<std::uint32_t> pack_filter_dictionary(const LookupProblem& problem, std::span<const float> dictionary, Precision precision);

// extern "C" __global__ void baked_filter(X, D as packed, Y* y): y = conv(conv(x, D), P) + bias for the problem's batch,
// NCHW, in the storage type of `precision`, summed in fp32. `problem` is one that why_not_filter() accepts.
std::string filter_source(const LookupProblem& problem, const LookupWeights& weights, Precision precision, const FilterTile& tile);

}  // namespace lcnn::cuda
