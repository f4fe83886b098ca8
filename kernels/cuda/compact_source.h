// CUDA C++ source of the fused kernel that multiplies compacted lookups on the matrix units.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/compact_lookups.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

struct CompactTile {
  int rows = 1;       // output rows of an image that a block computes
  int warp_rows = 1;  // of them that a warp computes at once
  int groups = 1;     // of 16 output channels
  int warps = 4;

  bool operator==(const CompactTile&) const = default;
};

// Everything that follows from a problem and a tile.
struct CompactLayout {
  int row_tiles, s_rows;                // of warp_rows in a block; rows of S in it
  CompactPlaces places;
  int vector, loads;                    // positions a lane loads at once, and how often
  int unit_tiles, k_split;              // of 16 entries that a warp sums at once, warps that share its channels
  bool whole_image, whole_planes;       // X, or a warp's outputs of 16 channels, are one piece of memory
  int store_elements;                   // of y that are stored at once
  int x_pitch;                          // elements between channels of X in shared memory
  // Of 16 bytes in shared memory: X, and then a warp's outputs; S; D where it fits; then the lookups.
  int input_words, staging_words, tile_words, dictionary_words;
  int grid_x, grid_y;                   // strips of rows, groups of channels; images are z

  // With `shared_dictionary` D lies in shared memory, too.
  CompactLayout(const LookupProblem& problem, const CompactTile& tile, bool shared_dictionary);

  int words() const { return input_words + tile_words + dictionary_words; }
};

// A layout with D in shared memory where that leaves room for `list_bytes` of lookups, else without.
CompactLayout compact_layout(const LookupProblem& problem, const CompactTile& tile, double list_bytes, int shared_limit);

// Tiles worth trying, best guess first; none where nothing fits. `problem` is a vector one without groups, stored in
// 16 bits; `lookups` is how many there are in all.
std::vector<CompactTile> compact_tiles(const LookupProblem& problem, std::int64_t lookups, int shared_limit, int multiprocessors);

// extern "C" __global__ void compact_gather(X, D as pack_dictionary() gives it, steps, first_step, bias, Y* y), a grid of
// grid_x x grid_y x batch blocks of 32 * warps threads: y = conv(conv(x, D), P) + bias, NCHW, in `precision`, summed in fp32;
// S is rounded to `precision` in between.
std::string compact_source(const LookupProblem& problem, Precision precision, const CompactTile& tile, const CompactLayout& layout);

}  // namespace lcnn::cuda
