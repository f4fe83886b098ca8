// CUDA C++ source of the fused kernel whose stages are both products of warpgroups.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/wgmma_lookups.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

struct WgmmaTile {
  int rows = 1, columns = 1;  // output pixels of an image that a block computes
  int block_channels = 64;    // of the output
  int output_groups = 1;      // warpgroups that look up; one more forms S
  int group_tiles = 1;        // of 64 positions that one of them sums at once, where P is dense
  int chunk_rows = 1;         // of X that come at once
  int stages = 0;             // slices of X and D in shared memory at a time; 0: all of them
  int entry_buffers = 1;      // for S, of one tile and the next
  int sets = 1;               // of output groups, which take turns
  int piece = 0;              // positions that a warpgroup sums at once for 64 channels, P as a 2:4 sparse operand; 0: P is dense

  bool sparse() const { return piece > 0; }
  bool operator==(const WgmmaTile&) const = default;
};

// One word that tells a tile from all others, as the tuning cache keeps it.
std::string tile_name(const WgmmaTile& tile);

// Everything that follows from a problem and a tile.
struct WgmmaLayout {
  int pitch, input_rows, row_shift;  // positions between rows of X and S; rows of X; the row of S that its first lies under
  int entries, positions;            // rows of D and positions of S in shared memory
  int slot_steps;                    // of P
  int input_tiles;                   // of 64 positions
  int part_positions, part_channels; // that a warpgroup sums at once
  int output_positions;              // of a tile: whole parts, or tiles of 64
  int set_parts, parts;              // side by side in positions: at once, in all
  int form_tiles;                    // of S that are summed at once
  int stage_bytes, entry_bytes, slot_bytes, staging_bytes, barriers_besides_slots;
  int threads, channel_blocks;
  int column_tiles, row_tiles, tiles;  // of an image, an image, and all images

  WgmmaLayout(const LookupProblem& problem, Precision precision, const WgmmaTile& tile);

  WgmmaPlaces places() const { return {positions, pitch}; }
  // Bytes of shared memory with `ring` slots and a record of `record_bytes`.
  int shared_bytes(int ring, int record_bytes) const {
    return stage_bytes + entry_bytes + ring * slot_bytes + record_bytes + staging_bytes + (barriers_besides_slots + 2 * ring) * 8;
  }
  // Registers that a thread can have.
  int most_registers() const { return std::min(255, 65536 / threads / 8 * 8); }
  int passes() const { return (parts + set_parts - 1) / set_parts; }
  // As many slots as fit, at most `slots`; 0 where fewer than two do and more are needed.
  int ring(int slots, int record_bytes, int shared_limit) const;
};

// Tiles worth trying, best guess first; none where nothing fits. `problem` is a vector one without groups, of stride 1;
// `lookups` is how many there are in all.
std::vector<WgmmaTile> wgmma_tiles(const LookupProblem& problem, Precision precision, std::int64_t lookups, int shared_limit, int multiprocessors);

// extern "C" __global__ void wgmma_fused(map of X, map of Y, D as wgmma_dictionary() gives it, records of WgmmaLookups),
// a multiple of channel_blocks blocks of `threads` threads, at most tiles * channel_blocks: y = conv(conv(x, D), P) + bias, channels last,
// in `precision`, summed in fp32; S is rounded to `precision` in between.
std::string wgmma_source(const LookupProblem& problem, Precision precision, const WgmmaTile& tile, const WgmmaLayout& layout, const WgmmaLookups& lookups,
                         int ring);

}  // namespace lcnn::cuda
