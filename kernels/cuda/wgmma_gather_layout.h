// How wgmma_gather's blocks divide a problem between them, and what follows from it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "kernels/cuda/tile_sizes.h"
#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

struct WgmmaGatherTile {
  int images = 1;        // whole images of a tile where `rows` are all of an image's, else 1
  int rows = 1;          // output rows
  int columns = 1;       // a divisor of the output's width; all of them where there are several images
  int cluster = 1;       // blocks that form some of S each and look up some of the output channels
  int channel_parts = 1;  // clusters that form the same S, each for itself, and look up some of the output channels
  int position_parts = 1;  // of S, a block each: `cluster`; or 1, and a block forms some of the entries at all positions
  int form_groups = 1;   // warpgroups that form S
  int gather_warps = 8;  // that look up
  int stages = 2;        // slices of X in shared memory at a time; where each of a tile's has a place, they stay for all parts of the dictionary
  int dictionary_stages = 2;  // slices of D; where each of all parts has a place, they stay for all tiles
  bool code = true;      // lookups are code, else data
  int item_channels = 32;  // of the output, that a warp sums at once; their lookups are one piece of code
  int item_blocks = 1;     // of 32 positions, that a warp sums at once where lookups are data
  // 2: a tile has as many pixels again, of as many further images, or where there is one image of as many further rows; a word of S has a
  // position of each half in 16 bits, and so have sums. Blocks of a cluster do not divide positions.
  int halves = 1;
  int sums = 1;  // of a channel and position, added up in the end: with two halves each has half of the lookups, where one would err too much
  // Of about as many entries, formed and looked up one after the other; more than one where lookups are code and each warp has one item or none.
  int dictionary_parts = 1;
  int store_buffers = 1;  // of a warp, of 32 positions x as many bytes of channels as are stored at once

  bool operator==(const WgmmaGatherTile&) const = default;
};

// One word that tells a tile from all others, as the tuning cache keeps it.
std::string tile_name(const WgmmaGatherTile& tile);

// Everything that follows from a problem and a tile.
struct WgmmaGatherLayout {
  int pitch, image_rows;              // positions between rows; rows of S, of an image where there are several
  int entries, entry_pitch;           // of S in shared memory, which are a part of the dictionary's, and positions between them
  int entry_parts;                    // of the dictionary, of own_entries each
  int own_images, own_rows;           // of S that a block forms
  int own_entries, own_positions;     // that it forms
  int positions;                      // of S that are formed
  int reach;                          // positions from a tile's first to the last that a lane has
  int channel_blocks;                 // that divide the output's channels
  int block_channels, record_channels;  // of the output; filled up to whole items
  int box_bytes, store_pitch;         // of channels of a position that are stored at once; positions between lines where several are
  int half_images, half_rows;         // between the halves of a tile: one of them is 0
  // 32 positions are as many whole lines of S as they have, or one of line_items parts of a line, as many columns of it.
  int item_lines, line_items, item_columns;
  int lookups_at_once;                // of data that a warp adds, of a channel; its last are filled up. 0 where lookups are code
  int half_bytes, input_bytes, dictionary_bytes, store_bytes, entry_bytes, record_bytes;  // of half of X's slice, of a slice of X and of D
  int position_items, items;          // of a block's tile: of the same channels, and all
  int column_tiles, row_tiles, tiles;  // of a row, of an image, and all
  int threads;

  // Of any weights with so many lookups in a block.
  WgmmaGatherLayout(const LookupProblem& problem, Precision precision, const WgmmaGatherTile& tile, std::int64_t lookups);
  // Of these.
  WgmmaGatherLayout(const LookupProblem& problem, Precision precision, const WgmmaGatherTile& tile, const LookupTable& lookups);

  // Products of 64 positions read that many of the last slice, also where there are fewer.
  int shared_bytes(const WgmmaGatherTile& tile) const {
    return std::max(tile.stages * input_bytes + tile.dictionary_stages * dictionary_bytes + store_bytes + entry_bytes + record_bytes +
                        (2 * (tile.stages + tile.dictionary_stages) + 3) * 8,
                    (tile.stages - 1) * input_bytes + (tile.halves - 1) * half_bytes + round_up(own_positions, 64) * 128);
  }
  int lookups_byte() const;  // of a record
  // Registers that a thread can have.
  int most_registers() const { return std::min(255, 65536 / threads / 8 * 8); }
};

// Of D: strict fp32 is multiplied in two.
inline int dictionary_terms(Precision precision) { return precision == Precision::fp32 ? 2 : 1; }

// Of the output, that are stored at once at least.
inline int stored_channels(Precision precision) { return 32 / static_cast<int>(element_bytes(precision)); }

// Of one as data.
inline int lookup_bytes(const WgmmaGatherTile& tile) { return tile.halves == 2 ? 4 : 8; }

// Products of 64 positions that a block forms of a slice and part.
inline int product_tiles(const WgmmaGatherLayout& layout) { return divide_up(layout.own_positions, 64); }

// Of one output channel, of a lookup stage.
int channel_lookups(const Conv2dProblem& stage, const LookupTable& lookups, std::int64_t channel);

// Registers of a thread that forms S, and of one that looks up; the same but where they are divided by role.
struct WarpRegisters {
  int form, look_up;
  bool divided;
};

// What they get of a block's, by sums and what else the compiler was seen to take; nothing where there are too few.
std::optional<WarpRegisters> granted_registers(Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout);

}  // namespace lcnn::cuda
