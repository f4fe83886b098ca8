// CUDA C++ source of a gather kernel with the lookups of one layer written into it.
#pragma once

#include <string>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn::cuda {

// How a block divides a layer. Output pixels are flattened over whole images, or over rows of one image.
struct BakedTile {
  int images = 1;         // whole images of a block when rows == out_height, else 1
  int rows = 1;           // output rows of a block, full width
  int pixels = 1;         // neighbouring output pixels a thread computes: 1, or 2 at stride 1 and even widths
  int channels = 32;      // output channels whose sums a thread holds
  int channel_blocks = 1;  // groups of `channels` in a block, each with warps of its own
  int entries = 1;        // dictionary entries whose S is in shared memory at once
  bool fused = false;     // S is computed in the block from X, else read from memory
  int vector = 1;         // neighbouring positions of X a lane loads at once, fused only

  bool operator==(const BakedTile&) const = default;
};

// Everything that follows from a stage and a tile.
struct BakedLayout {
  int s_rows, image_rows;        // rows of S that an image's output rows need, and between the first rows of two images
  int lead, pitch;               // zeros in front of a row of one entry, and elements from row to row
  int slots, slot_warps;         // threads that compute pixels, and the warps that hold them
  int threads, chunks;           // of a block; passes over the dictionary
  int grid_x, grid_y, grid_z;    // row strips, channel groups, image groups
  int shared_bytes;

  // `stage` is the lookup stage.
  BakedLayout(const Conv2dProblem& stage, Precision precision, const BakedTile& tile);
};

// The tile that is taken without tuning, and others worth trying, best guess first. None when nothing fits.
// `problem` is a vector one; the device has `shared_limit` bytes of shared memory a block.
std::vector<BakedTile> baked_tiles(const LookupProblem& problem, Precision precision, bool fused, int shared_limit,
                                   int multiprocessors);

// extern "C" __global__ void baked_gather(inputs, Y* y): y = conv(s, P) + bias for the problem's batch, NCHW, in the
// storage type of `precision`, summed in fp32. Inputs: S as PaddedLayout says, or with a fused tile X and D as
// pack_dictionary() gives it.
std::string baked_source(const LookupProblem& problem, const LookupWeights& weights, Precision precision,
                         const BakedTile& tile);

}  // namespace lcnn::cuda
