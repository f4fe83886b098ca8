// CUDA C++ source of the gather kernel that multiplies compacted lookups on the matrix units.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/compact_lookups.h"
#include "kernels/cuda/padded_layout.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

struct CompactTile {
  int images = 1;     // of a block; several only where it has all of their rows
  int rows = 1;       // output rows of an image that a block computes
  int warp_rows = 1;  // of them that a warp computes at once
  int groups = 1;     // of 16 output channels
  int warps = 4;

  bool operator==(const CompactTile&) const = default;
};

// Everything that follows from a lookup stage and a tile.
struct CompactLayout {
  PaddedLayout padded;                   // S in memory, and in a block's tile
  CompactPlaces places;
  int row_tiles;                         // of warp_rows, of a block's image
  int s_rows;                            // of an image in the tile
  int tile_words, staging_words;         // of 16 bytes in shared memory: S, a warp's outputs; then the lookups
  int store_elements;                    // of y that a lane stores at once
  bool whole_planes;                     // a warp's outputs of 16 channels are one piece of y
  int grid_x, grid_y, grid_z;            // strips of rows, groups of channels, images

  CompactLayout(const Conv2dProblem& stage, Precision precision, const CompactTile& tile);
};

// Tiles worth trying, best guess first; none where a row is too wide for a warp's registers. `stage` is a lookup stage
// without groups and with a column stride of 1; `precision` is fp16 or bf16; `lookups` is how many there are in all.
std::vector<CompactTile> compact_tiles(const Conv2dProblem& stage, Precision precision, std::int64_t lookups, int shared_limit,
                                       int multiprocessors);

// extern "C" __global__ void compact_gather(S as CompactLayout::padded says, steps, first_step, bias, Y* y), a grid of
// grid_x x grid_y x grid_z blocks of 32 * warps threads: y = conv(S, P) + bias, NCHW, in `precision`, summed in fp32.
std::string compact_source(const Conv2dProblem& stage, Precision precision, const CompactTile& tile);

}  // namespace lcnn::cuda
