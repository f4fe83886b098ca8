#include "kernels/cpu/flat_gather_loops.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/flat_gather_loops.cpp"
#include "kernels/cpu/simd_dispatch.h"
// After simd_dispatch.h: its own instruction set for each inclusion.
#include "kernels/cpu/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE {
namespace {

using simd::broadcast;
using simd::load;
using simd::multiply_add;
using simd::next_lanes;
using simd::store;
using simd::with_vectors;
using Lanes = simd::Lanes<float>;
constexpr int kLanes = simd::kLanes<float>;
static_assert(kLanes <= kBeyond);

constexpr int kGatherVectors = simd::kRegisters == 32 ? 14 : 8;  // vectors of output pixels whose sums are in registers
static_assert(kGatherVectors * kLanes <= kMostGathered);
constexpr std::int64_t kChannelsAhead = 16;
constexpr int kQuadVectors = simd::kRegisters == 32 ? 6 : 2;  // of four channels each, beside S and one coefficient
// Vectors of positions whose sums are in registers for each of some entries, beside the pixels and one coefficient.
constexpr int vectors_for(int entries) { return (simd::kRegisters - 1) / (entries + 1); }

// Pieces of fixed sizes, the last one moved back.
template <int kPiece, typename T>
HWY_INLINE void copy_pieces(float* to, const T* from, std::int64_t count) {
  for (std::int64_t i = 0; i + kPiece <= count; i += kPiece) simd::widen<kPiece>(to + i, from + i);
  simd::widen<kPiece>(to + count - kPiece, from + count - kPiece);
}

template <typename T>
HWY_INLINE void copy_row(float* to, const T* from, std::int64_t count) {
  if (count >= kLanes) return copy_pieces<kLanes>(to, from, count);
  if (count >= 8) return copy_pieces<8>(to, from, count);
  if (count >= 4) return copy_pieces<4>(to, from, count);
  for (std::int64_t i = 0; i < count; ++i) to[i] = widened(from[i]);
}

// sums += the block's entries times what they meet.
template <bool kFetch, int kEntries, int kVectors, typename T>
HWY_INLINE void add_products(const DictionaryBlock& dictionary, const T* from, Lanes (&sums)[kEntries][kVectors]) {
  const float* values = dictionary.values;
  for (std::int64_t j = 0; j < dictionary.inner; ++j, values += kEntries) {
    const T* pixels = from + dictionary.offsets[j];
    Lanes x[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      x[v] = load(pixels + v * kLanes);
      // As many streams as channels are too many for the hardware.
      if constexpr (kFetch) __builtin_prefetch(pixels + (kVectors + v) * kLanes);
    }
    for (int e = 0; e < kEntries; ++e) {
      const Lanes value = broadcast(values[e]);
      for (int v = 0; v < kVectors; ++v) sums[e][v] = multiply_add(value, x[v], sums[e][v]);
    }
  }
}

template <int kEntries, bool kFetch, typename T>
void form_block_of(const DictionaryBlock& dictionary, const FlatBlock& block, const T* in, int entries, float* s, std::int64_t s_plane) {
  with_vectors<vectors_for(kEntries)>(block.vectors, [&](auto count) HWY_ATTR {
    Lanes sums[kEntries][count()];
    for (auto& row : sums) {
      for (Lanes& sum : row) sum = broadcast(0.0f);
    }
    add_products<kFetch>(dictionary, in + block.start, sums);
    for (int e = 0; e < kEntries; ++e) {
      if (e == entries) break;
      for (int v = 0; v < count(); ++v) store(s + e * s_plane + block.start + v * kLanes, sums[e][v]);
    }
  });
}

}  // namespace

BlockShape block_shape(int entries) { return {kLanes, vectors_for(entries), kGatherVectors, kQuadVectors}; }

template <typename T>
void place_rows(const RowPlace* rows, std::int64_t row_count, std::int64_t count, std::int64_t stride, const T* from, const T* next,
                float* plane) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  for (const RowPlace* row = rows; row < rows + row_count; ++row) {
    float* to = plane + row->to;
    if (next != nullptr && row->from >= 0) {
      for (std::int64_t i = 0; i < count * stride; i += kLine) __builtin_prefetch(next + row->from + i);
    }
    if (row->from < 0) std::fill_n(to, count, 0.0f);
    else if (stride == 1) copy_row(to, from + row->from, count);
    else simd::take_every(to, from + row->from, stride, count);
  }
}

void place_vectors(const PlaneVector* vectors, std::int64_t count, const float* from, float* plane) {
  for (std::int64_t v = 0; v < count; ++v) {
    store(plane + v * kLanes, simd::only(simd::permute(load(from + vectors[v].offset), vectors[v].indices), vectors[v].values));
  }
}

template <bool kFetch, typename T>
void form_block_of(const DictionaryBlock& dictionary, const FlatBlock& block, const T* in, int count, float* s, std::int64_t s_plane) {
  switch (dictionary.entries) {
    case 8: return form_block_of<8, kFetch>(dictionary, block, in, count, s, s_plane);
    case 6: return form_block_of<6, kFetch>(dictionary, block, in, count, s, s_plane);
    case 5: return form_block_of<5, kFetch>(dictionary, block, in, count, s, s_plane);
    default: return form_block_of<4, kFetch>(dictionary, block, in, count, s, s_plane);
  }
}

template <typename T>
void form_block(const DictionaryBlock& dictionary, const FlatBlock& block, bool fetch, const T* in, int count, float* s, std::int64_t s_plane) {
  if (fetch) form_block_of<true>(dictionary, block, in, count, s, s_plane);
  else form_block_of<false>(dictionary, block, in, count, s, s_plane);
}

// The block's pixels without the gaps between them.
template <int kVectors, typename T>
HWY_INLINE void store_pixels(const Lanes* sums, const OutVector* vectors, T* out) {
  for (int v = 0; v < kVectors; ++v) {
    const Lanes pixels = simd::permute(sums[v], vectors[v].pixels);
    if (vectors[v].stored == kLanes) store(out + vectors[v].offset, pixels);
    else simd::store_first(out + vectors[v].offset, pixels, vectors[v].stored);
  }
}

// `columns` of channels, a constant where there is one.
template <typename Columns, typename T>
HWY_INLINE void gather_columns(const FlatChannels& channels, Columns columns, const PartOfLookups& part, const FlatBlock& block,
                               const OutVector* vectors, const float* s, T* out, std::int64_t out_plane) {
  with_vectors<kGatherVectors>(block.vectors, [&](auto count) HWY_ATTR {
    for (std::int64_t i = 0; i < channels.count; ++i) {
      const FlatChannel& channel = channels.channels[i * columns];
      if (part.last) {
        // Lines to be stored to are asked for some channels ahead, into the L2: S has the L1.
        const T* next = out + channels.channels[std::min(i + kChannelsAhead, channels.count - 1) * columns].channel * out_plane + vectors->offset;
        for (int v = 0; v < count(); ++v) __builtin_prefetch(next + v * kLanes, 0, 2);
      }
      float* kept = part.sums + channel.channel * kMostGathered;
      Lanes sums[count()];
      for (Lanes& sum : sums) sum = broadcast(part.first ? channel.bias : 0.0f);
      for (const FlatChannel* column = &channel;;) {
        for (const FlatLookup* lookup = channels.lookups + column->first; lookup < channels.lookups + column->last; ++lookup) {
          const Lanes coefficient = broadcast(lookup->coefficient);
          const float* from = s + lookup->offset + block.start;
          for (int v = 0; v < count(); ++v) sums[v] = multiply_add(coefficient, load(from + v * kLanes), sums[v]);
        }
        if (++column == &channel + columns) break;
        // What was met one element to the right of its place: behind the last vector there is a gap.
        for (int v = 0; v < count(); ++v) sums[v] = next_lanes(sums[v], sums[std::min(v + 1, count() - 1)]);
      }
      if (!part.first) {
        for (int v = 0; v < count(); ++v) sums[v] = sums[v] + load(kept + v * kLanes);
      }
      if (part.last) {
        store_pixels<count()>(sums, vectors, out + channel.channel * out_plane);
        continue;
      }
      for (int v = 0; v < count(); ++v) store(kept + v * kLanes, sums[v]);
    }
  });
}

template <typename T>
void gather_block(const FlatChannels& channels, const PartOfLookups& part, const FlatBlock& block, const OutVector* vectors, const float* s,
                  T* out, std::int64_t out_plane) {
  if (channels.columns == 1) gather_columns(channels, std::integral_constant<int, 1>(), part, block, vectors, s, out, out_plane);
  else gather_columns(channels, channels.columns, part, block, vectors, s, out, out_plane);
}

// Lookups of the channels whose bits are set in kMask, and of those of the masks behind it.
template <int kMask, int kVectors>
HWY_INLINE void gather_masks(const ChannelQuad& quad, const QuadLookup* lookups, const float* s, Lanes (*sums)[kVectors]) {
  for (const QuadLookup* lookup = lookups + quad.first[kMask]; lookup < lookups + quad.first[kMask + 1]; ++lookup) {
    const float* from = s + lookup->offset;
    Lanes values[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) values[v] = load(from + v * kLanes);
#pragma GCC unroll 4  // else the sums are kept in memory
    for (int c = 0; c < 4; ++c) {
      if ((kMask >> c & 1) == 0) continue;
      const Lanes coefficient = broadcast(lookup->coefficients[c]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[c][v] = multiply_add(coefficient, values[v], sums[c][v]);
    }
  }
  if constexpr (kMask < 15) gather_masks<kMask + 1, kVectors>(quad, lookups, s, sums);
}

template <typename T>
void gather_quads(const ChannelQuad* quads, std::int64_t quad_count, const QuadLookup* lookups, const FlatBlock& block,
                  const OutVector* vectors, const float* s, T* out, std::int64_t out_plane) {
  with_vectors<kQuadVectors>(block.vectors, [&](auto count) HWY_ATTR {
    for (const ChannelQuad* quad = quads; quad < quads + quad_count; ++quad) {
      Lanes sums[4][count()];
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        if (quad->channel[c] >= 0) __builtin_prefetch(out + quad->channel[c] * out_plane + vectors->offset, 1);
#pragma GCC unroll 8
        for (Lanes& sum : sums[c]) sum = broadcast(quad->bias[c]);
      }
      gather_masks<1, count()>(*quad, lookups, s + block.start, sums);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        if (quad->channel[c] >= 0) store_pixels<count()>(sums[c], vectors, out + quad->channel[c] * out_plane);
      }
    }
  });
}

template <int kEntries, typename T>
void filter_block_of(const DictionaryBlock& filters, const FilterChannels& channels, const FlatBlock& block, const OutVector* vectors,
                     const float* x, const float* s, T* out, std::int64_t out_plane) {
  with_vectors<vectors_for(kEntries)>(block.vectors, [&](auto count) HWY_ATTR {
    Lanes sums[kEntries][count()];
#pragma GCC unroll 8
    for (int e = 0; e < kEntries; ++e) {
      const FlatChannel& channel = channels.channels[std::min(e, channels.count - 1)];
      for (int v = 0; v < count(); ++v) __builtin_prefetch(out + channel.channel * out_plane + vectors->offset + v * kLanes, 1);
      for (Lanes& sum : sums[e]) sum = broadcast(channel.bias);
    }
    add_products<false>(filters, x + block.start, sums);
#pragma GCC unroll 8  // else the sums are kept in memory
    for (int e = 0; e < kEntries; ++e) {
      if (e >= channels.count) break;
      const FlatChannel& channel = channels.channels[e];
      for (const FlatLookup* lookup = channels.lookups + channel.first; lookup < channels.lookups + channel.last; ++lookup) {
        const Lanes coefficient = broadcast(lookup->coefficient);
        const float* from = s + lookup->offset + block.start;
        for (int v = 0; v < count(); ++v) sums[e][v] = multiply_add(coefficient, load(from + v * kLanes), sums[e][v]);
      }
      store_pixels<count()>(sums[e], vectors, out + channel.channel * out_plane);
    }
  });
}

template <typename T>
void filter_block(const DictionaryBlock& filters, const FilterChannels& channels, const FlatBlock& block, const OutVector* vectors,
                  const float* x, const float* s, T* out, std::int64_t out_plane) {
  switch (filters.entries) {
    case 8: return filter_block_of<8>(filters, channels, block, vectors, x, s, out, out_plane);
    case 6: return filter_block_of<6>(filters, channels, block, vectors, x, s, out, out_plane);
    case 5: return filter_block_of<5>(filters, channels, block, vectors, x, s, out, out_plane);
    default: return filter_block_of<4>(filters, channels, block, vectors, x, s, out, out_plane);
  }
}

template <typename T>
FlatLoops<T> loops() {
  return {place_rows<T>, form_block<T>, gather_block<T>, gather_quads<T>, filter_block<T>};
}
// HWY_EXPORT takes no templates.
FlatLoops<float> loops_of_float() { return loops<float>(); }
FlatLoops<Bf16> loops_of_bf16() { return loops<Bf16>(); }

}  // namespace lcnn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcnn::cpu {

HWY_EXPORT(block_shape);
HWY_EXPORT(place_vectors);
HWY_EXPORT(loops_of_float);
HWY_EXPORT(loops_of_bf16);

BlockShape block_shape(int entries) { return HWY_DYNAMIC_DISPATCH(block_shape)(entries); }

void place_vectors(const PlaneVector* vectors, std::int64_t count, const float* from, float* plane) {
  HWY_DYNAMIC_DISPATCH(place_vectors)(vectors, count, from, plane);
}

template <>
FlatLoops<float> flat_loops() {
  return HWY_DYNAMIC_DISPATCH(loops_of_float)();
}
template <>
FlatLoops<Bf16> flat_loops() {
  return HWY_DYNAMIC_DISPATCH(loops_of_bf16)();
}

}  // namespace lcnn::cpu
#endif
