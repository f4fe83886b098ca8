// CUDA C++ source of the gather kernel that reads the lookups from a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/lookup_pairs.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

// How a block divides a layer.
struct TableTile {
  int images = 1;          // whole images of a block when its rows are an image's, else 1
  int row_groups = 1;      // of `pixels` output rows each, full width
  int pixels = 1;          // rows of its column that a thread computes
  int channel_groups = 1;  // groups of warps with output channels of their own
  int channels = 1;        // output channels of a thread, one after the other
  int entries = 1;         // dictionary entries whose S is in shared memory at once

  int rows() const { return row_groups * pixels; }
  bool operator==(const TableTile&) const = default;
};

// Everything that follows from a stage and a tile.
struct TableLayout {
  int s_rows, image_rows;               // as BakedLayout's
  int slots, slot_warps;                // threads that compute pixels, and the warps that hold them
  int threads;                          // of a block
  int grid_x, grid_y, grid_z;           // row strips, channel groups, image groups
  int tile_words;                       // of 16 bytes: S in shared memory, in front of the lookups
  LookupPlaces places;                  // what the table of lookups is made for, and how S lies

  // `stage` is the lookup stage.
  TableLayout(const Conv2dProblem& stage, Precision precision, const TableTile& tile);
};

// Tiles worth trying, best guess first; none when nothing fits. The device has `shared_limit` bytes of shared memory a
// block; `lookups` is how many there are in all.
std::vector<TableTile> table_tiles(const Conv2dProblem& stage, Precision precision, std::int64_t lookups, int shared_limit,
                                   int multiprocessors);

// extern "C" __global__ void table_gather(S, pairs, first_pair, bias, Y* y): y = conv(s, P) + bias for the problem's batch,
// NCHW, in the storage type of `precision`, summed in fp32; S as PaddedLayout says. The same for all lookups of a shape.
std::string table_source(const Conv2dProblem& stage, Precision precision, const TableTile& tile);

}  // namespace lcnn::cuda
