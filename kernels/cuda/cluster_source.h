// CUDA C++ source of the kernel in which a cluster of blocks computes an image together.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/lookup_pairs.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

struct ClusterTile {
  int cluster = 1;         // blocks of an image
  int pixels = 1;          // output rows of its column that a thread computes
  int channel_groups = 1;  // groups of warps with output channels of their own
  int loads = 1;           // groups of positions of X that a lane loads
  int chunk = 16;          // input channels that are copied at once
  int stages = 1;          // chunks on their way or in use

  bool operator==(const ClusterTile&) const = default;
};

// Everything that follows from a problem and a tile.
struct ClusterLayout {
  int vector, position_tiles;                // positions a lane loads at once; warps that cover an image's
  int block_entry_tiles, warp_entry_tiles;   // of 16 dictionary entries
  int slot_warps, threads;                   // of one group of output channels, and of a block
  int tile_words, stage_words, ring_words;   // of 16 bytes in shared memory: S, a chunk, all chunks with their barriers; then the lookups
  LookupPlaces places;

  ClusterLayout(const LookupProblem& problem, Precision precision, const ClusterTile& tile);
};

// Tiles worth trying, best guess first; none when nothing fits. `problem` is a vector one without groups; the device has
// `shared_limit` bytes of shared memory a block; `lookups` is how many there are in all.
std::vector<ClusterTile> cluster_tiles(const LookupProblem& problem, Precision precision, std::int64_t lookups, int shared_limit,
                                       int multiprocessors);

// extern "C" __global__ void cluster_gather(X, D as pack_dictionary() gives it, pairs, first_pair, bias, Y* y), a grid of
// cluster x batch blocks: y = conv(conv(x, D), P) + bias, NCHW, in the storage type of `precision`, summed in fp32.
std::string cluster_source(const LookupProblem& problem, Precision precision, const ClusterTile& tile);

}  // namespace lcnn::cuda
