// The loops of flat_gather that hold pixels in registers, each compiled for every instruction set.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/flat_layout.h"

namespace lcnn::cpu {

// Vectors of consecutive elements of a plane whose sums are in registers together.
struct FlatBlock {
  std::int64_t start;
  int vectors;
};

// How the loops cut planes into blocks with the instruction set that is chosen now.
struct BlockShape {
  int lanes;           // floats of a vector
  int form_vectors;    // most vectors of form_block, for some entries
  int gather_vectors;  // most vectors of gather_block
  int quad_vectors;    // most vectors of gather_quads
};
BlockShape block_shape(int entries);

// One row of an input, and where its values lie in a plane; from < 0: a row of padding.
struct RowPlace {
  std::int64_t from, to;
};

// One vector of a plane made of contiguous values: those from `offset` on, moved apart by the gaps between rows.
struct PlaneVector {
  std::int32_t offset;
  std::uint8_t values[8];  // the lanes that are no gap
  std::int32_t indices[kBeyond];
};

// plane [vectors] of contiguous values.
void place_vectors(const PlaneVector* vectors, std::int64_t count, const float* from, float* plane);

// Some entries of one group's dictionary: values [inner][entries], entries 4, 5, 6 or 8; what inner index j meets at an
// element of S lies offsets[j] from that element's place in the input.
struct DictionaryBlock {
  const float* values;
  int entries;
  std::int64_t inner;
  const std::int64_t* offsets;
};

// What one lookup reads, from an output pixel's own place in the S tile, and by how much it counts.
struct FlatLookup {
  std::int32_t offset;
  float coefficient;
};

// An output channel with lookups [first, last) of a list.
struct FlatChannel {
  std::int32_t channel, first, last;
  float bias;
};

// One vector of a gather block: which lanes are output pixels (the others lie in the gaps between rows), where the first of
// them is stored, and how many lanes may be stored there.
struct OutVector {
  std::int32_t pixels[kBeyond];
  std::int32_t offset, stored;
};

// Channels and the list that their lookups are in. With several columns of the kernel each channel stands there once for every
// column, the last column first; lookups then leave the column out of their offsets.
struct FlatChannels {
  const FlatChannel* channels;
  std::int64_t count;  // of output channels
  int columns;
  const FlatLookup* lookups;
};

// Most pixels of a gather block.
inline constexpr std::int64_t kMostGathered = 14 * kBeyond;

// Which part of a channel's lookups a list holds; between the parts sums are kept in `sums` [channel][kMostGathered].
struct PartOfLookups {
  bool first, last;
  float* sums;
};

// Four output channels that look up S together: one load for all that read it. channel < 0: there are fewer than four.
struct ChannelQuad {
  std::int32_t channel[4];
  float bias[4];
  std::int32_t first[17];  // lookups of the channels whose bits are set in `mask`: [first[mask], first[mask + 1]) of a list
};
struct QuadLookup {
  std::int32_t offset;
  float coefficients[4];
};

// The output channels of a DictionaryBlock of filters, and the lookups that are added to their products.
struct FilterChannels {
  const FlatChannel* channels;
  int count;
  const FlatLookup* lookups;
};

// The loops that read or write pixels stored as T, float or Bf16, of the instruction set that is chosen now. All else is float.
template <typename T>
struct FlatLoops {
  // Every stride-th value of rows of `count` to their places in a plane. The rows of `next`, where it is not null, are asked for
  // meanwhile.
  void (*place_rows)(const RowPlace* rows, std::int64_t row_count, std::int64_t count, std::int64_t stride, const T* from, const T* next, float* plane);

  // s [entries][s_plane]: the block's elements of S, of the first `count` of the entries; `fetch` where the input is not in the
  // caches yet, and that of the next block will be asked for next.
  void (*form_block)(const DictionaryBlock& dictionary, const FlatBlock& block, bool fetch, const T* in, int count, float* s, std::int64_t s_plane);

  // out [channel][out_plane]: the block's output pixels of some channels.
  void (*gather_block)(const FlatChannels& channels, const PartOfLookups& part, const FlatBlock& block, const OutVector* vectors, const float* s,
                       T* out, std::int64_t out_plane);

  // As gather_block, for quads.
  void (*gather_quads)(const ChannelQuad* quads, std::int64_t count, const QuadLookup* lookups, const FlatBlock& block, const OutVector* vectors,
                       const float* s, T* out, std::int64_t out_plane);

  // out [channel][out_plane]: the block's output pixels of some channels, a product of x and the channels' own filters and their lookups.
  void (*filter_block)(const DictionaryBlock& filters, const FilterChannels& channels, const FlatBlock& block, const OutVector* vectors,
                       const float* x, const float* s, T* out, std::int64_t out_plane);
};
template <typename T>
FlatLoops<T> flat_loops();

}  // namespace lcnn::cpu
