// Tile:    32 entries x 32 positions in four of the unit's eight tiles; two take D, two X.
// Load:    pairs of channels of X are interleaved, as the unit multiplies them, into a buffer that stays in the L1 or L2: once for all entries that a
//          thread has; threads divide positions and, where these are few, channels: each then has a part of all sums. A float's
//          terms are its first, second and last eight bits: they are exact. Of nine products the three smallest are left out.
// Compute: the smaller products of all channels come first, so that their sums are not rounded to the last bit of the large ones.
// Store:   a tile of sums goes straight to S; where entries end within it, or rows of the image are moved apart, by way of a copy in the L1.
#include "kernels/cpu/amx_product.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/flat_layout.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kEntries = 16, kChannels = 32, kTileElements = 512;  // of a tile of D; bf16 of any tile

constexpr std::int64_t kAhead = 64;  // positions from those that are read to those that are asked for

template <typename T>
constexpr int kTerms = std::is_same_v<T, float> ? 3 : 1;

}  // namespace

template <typename T>
AmxProduct<T>::AmxProduct(std::span<const float> values, std::int64_t entries, std::int64_t channels, int threads, Allocator& allocator)
    : entries_(entries),
      channels_(channels),
      dictionary_(allocator, kTerms<T> * divided_up(entries, kEntries) * divided_up(channels, kChannels) * kTileElements * 2, MemoryKind::prepared),
      operands_(allocator, threads * kTerms<T> * divided_up(channels, kChannels) * 2 * kTileElements * 2, MemoryKind::workspace) {
  const std::int64_t channel_tiles = divided_up(channels, kChannels), term_elements = divided_up(entries, kEntries) * channel_tiles * kTileElements;
  Bf16* packed = dictionary_.as<Bf16>();
  std::fill_n(packed, kTerms<T> * term_elements, Bf16{0});
  for (std::int64_t e = 0; e < entries; ++e) {
    for (std::int64_t c = 0; c < channels; ++c) {
      float rest = values[e * channels + c];
      Bf16* to = packed + ((e / kEntries * channel_tiles + c / kChannels) * kEntries + e % kEntries) * kChannels + c % kChannels;
      for (int term = 0; term < kTerms<T>; ++term, to += term_elements) {
        *to = narrowed<Bf16>(rest);
        rest -= widened(*to);
      }
    }
  }
  std::fill_n(operands_.as<Bf16>(), threads * kTerms<T> * channel_tiles * 2 * kTileElements, Bf16{0});  // pairs behind the last channel stay so
}

// So that the thread with the most to do ends first; what that is was timed in products of a tile of positions, one of channels and two of entries.
template <typename T>
AmxProduct<T>::Division AmxProduct<T>::division_of(std::int64_t tiles, int threads) const {
  constexpr std::int64_t kMostSums = 8;
  constexpr double kInterleave = kTerms<T> == 3 ? 1 : 3, kTwo = 1.6;  // of a tile of positions; a product of two of these
  constexpr double kAdd = 0.07;                                       // of 16 values to those of another thread
  const std::int64_t channel_tiles = divided_up(channels_, kChannels);
  const auto pairs = static_cast<double>(divided_up(entries_, 2 * kEntries));
  const auto longest = [&](const Division& of) {
    const std::int64_t most = divided_up(tiles, of.shares);
    const double products = static_cast<double>(most / 2) * (2 * kInterleave + pairs * kTwo) + static_cast<double>(most % 2) * (kInterleave + pairs);
    return static_cast<double>(divided_up(channel_tiles, of.sums)) * products + kAdd * static_cast<double>((of.sums - 1) * entries_ * tiles) / threads;
  };
  Division best{std::min<std::int64_t>(tiles, threads), 1};
  for (std::int64_t sums = 2; sums <= std::min({kMostSums, channel_tiles, static_cast<std::int64_t>(threads)}); ++sums) {
    const Division other{std::min(tiles, threads / sums), sums};
    if (longest(other) < longest(best)) best = other;
  }
  return best;
}

#if defined(__x86_64__) && defined(__linux__)

#define LCNN_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl")))

namespace {

bool allowed_by_system() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA: kernels from 5.16 on
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// All tiles are of 16 rows of 64 bytes.
LCNN_AMX void configure_tiles() {
  struct alignas(64) {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
}

typedef std::uint16_t Halves __attribute__((vector_size(32)));
typedef std::uint32_t Words __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));

// Of 16 values their terms, in the upper half of a word each.
LCNN_AMX void load_terms(const Bf16* values, Words (&terms)[1]) {
  Halves halves;
  std::memcpy(&halves, values, sizeof halves);
  terms[0] = __builtin_convertvector(halves, Words) << 16;
}
LCNN_AMX void load_terms(const float* values, Words (&terms)[3]) {
  Floats rest;
  std::memcpy(&rest, values, sizeof rest);
  for (int term = 0; term < 2; ++term) {
    terms[term] = std::bit_cast<Words>(rest) & 0xFFFF0000u;
    rest -= std::bit_cast<Floats>(terms[term]);
  }
  terms[2] = std::bit_cast<Words>(rest);
}

// to [term, term_elements apart][pair of channels][16 positions][2] of up to 32 channels.
template <bool kFetch, typename T>
LCNN_AMX void interleave(const T* x, std::int64_t x_plane, std::int64_t channels, Bf16* to, std::int64_t term_elements) {
  for (std::int64_t c = 0; c < channels; c += 2) {
    Words first[kTerms<T>], second[kTerms<T>] = {};
    load_terms(x + c * x_plane, first);
    if (c + 1 < channels) load_terms(x + (c + 1) * x_plane, second);
    for (int term = 0; term < kTerms<T>; ++term) {
      const Words pairs = first[term] >> 16 | second[term];
      std::memcpy(to + term * term_elements + c * AmxProduct<T>::kPositions, &pairs, sizeof pairs);
    }
    if (!kFetch) continue;
    // As many streams as channels are too many for the hardware.
    constexpr std::int64_t kLine = 64 / sizeof(T);
    for (std::int64_t ahead = 0; ahead < 2 * AmxProduct<T>::kPositions; ahead += kLine) {
      __builtin_prefetch(x + c * x_plane + kAhead + ahead);
      __builtin_prefetch(x + (c + 1) * x_plane + kAhead + ahead);
    }
  }
}

// Of a tile of sums the first `rows` to a vector of their planes, whose values begin `column` columns on.
LCNN_AMX void place_rows(const float* sums, std::int64_t rows, const PlaneVector& vector, std::int64_t column, float* plane, std::int64_t s_plane) {
  const __m512i columns = _mm512_add_epi32(_mm512_loadu_si512(vector.indices), _mm512_set1_epi32(static_cast<int>(column)));
  const auto values = static_cast<__mmask16>(vector.values[0] | vector.values[1] << 8);
  for (std::int64_t e = 0; e < rows; ++e) {
    _mm512_storeu_ps(plane + e * s_plane, _mm512_maskz_permutexvar_ps(values, columns, _mm512_load_ps(sums + e * 16)));
  }
}

// Terms of D and X that are multiplied, in this order.
struct Terms {
  int dictionary, x;
};
constexpr Terms kSmallProducts[] = {{2, 0}, {0, 2}, {1, 1}, {1, 0}, {0, 1}}, kLargeProducts[] = {{0, 0}};

}  // namespace

bool has_amx_bf16() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBf16) == 0 || (d & kTile) == 0) return false;
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && allowed_by_system();
  }();
  return has;
}

template <typename T>
LCNN_AMX void AmxProduct<T>::form(const Share& own, const T* x, std::int64_t x_plane, std::int64_t count, const PlaneVector* vectors, float* s,
                                 std::int64_t s_plane, int thread) const {
  const std::int64_t channel_tiles = divided_up(channels_, kChannels), entry_tiles = divided_up(entries_, kEntries);
  const std::int64_t first_channels = share(channel_tiles, own.sum, own.sums), last_channels = share(channel_tiles, own.sum + 1, own.sums);
  const std::int64_t operand_elements = channel_tiles * 2 * kTileElements, dictionary_elements = entry_tiles * channel_tiles * kTileElements;  // of a term
  Bf16* operands = operands_.as<Bf16>() + thread * kTerms<T> * operand_elements;
  // Where a tile's positions begin: the last ones are moved back to end with `count`.
  const auto begin_of = [&](std::int64_t tile) { return std::min(vectors == nullptr ? tile * kPositions : vectors[tile].offset, count - kPositions); };
  const auto empty = [&](std::int64_t tile) { return vectors != nullptr && (vectors[tile].values[0] | vectors[tile].values[1]) == 0; };
  configure_tiles();
  for (std::int64_t tile = own.first; tile < own.last;) {
    if (empty(tile)) {
      for (std::int64_t e = 0; e < entries_; ++e) std::fill_n(s + e * s_plane + tile * kPositions, kPositions, 0.0f);
      ++tile;
      continue;
    }
    const std::int64_t next = tile + 1;
    const bool two = next < own.last && !empty(next);
    const std::int64_t first = begin_of(tile), second = two ? begin_of(next) : first;
    for (std::int64_t t = first_channels; t < last_channels; ++t) {
      const std::int64_t channels = std::min(kChannels, channels_ - t * kChannels);
      const T* from = x + t * kChannels * x_plane;
      interleave<true>(from + first, x_plane, channels, operands + t * 2 * kTileElements, operand_elements);
      if (two) interleave<false>(from + second, x_plane, channels, operands + (t * 2 + 1) * kTileElements, operand_elements);
    }
    for (std::int64_t e = 0; e < entry_tiles; e += 2) {
      const bool both = e + 1 < entry_tiles;
      const auto add_products = [&](const auto& products) LCNN_AMX {
        for (std::int64_t t = first_channels; t < last_channels; ++t) {
          for (const Terms& terms : products) {
            const Bf16* dictionary = dictionary_.as<Bf16>() + terms.dictionary * dictionary_elements + (e * channel_tiles + t) * kTileElements;
            const Bf16* operand = operands + terms.x * operand_elements + t * 2 * kTileElements;
            _tile_loadd(4, dictionary, 64);
            _tile_loadd(6, operand, 64);
            _tile_dpbf16ps(0, 4, 6);
            if (two) {
              _tile_loadd(7, operand + kTileElements, 64);
              _tile_dpbf16ps(1, 4, 7);
            }
            if (both) {
              _tile_loadd(5, dictionary + channel_tiles * kTileElements, 64);
              _tile_dpbf16ps(2, 5, 6);
              if (two) _tile_dpbf16ps(3, 5, 7);
            }
          }
        }
      };
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      if constexpr (kTerms<T> == 3) add_products(kSmallProducts);
      add_products(kLargeProducts);
      const auto store = [&](auto store_tile, std::int64_t entry, std::int64_t of) LCNN_AMX {
        alignas(64) float sums[kEntries * kPositions];
        const std::int64_t rows = std::min(kEntries, entries_ - entry), begin = begin_of(of);
        float* to = s + entry * s_plane + of * kPositions;
        if (vectors != nullptr) {
          store_tile(sums, 64);
          place_rows(sums, rows, vectors[of], vectors[of].offset - begin, to, s_plane);
        } else if (rows == kEntries && begin == of * kPositions) {
          store_tile(to, s_plane * 4);
        } else {
          store_tile(sums, 64);
          for (std::int64_t e = 0; e < rows; ++e) std::copy(sums + e * kPositions + of * kPositions - begin, sums + (e + 1) * kPositions, to + e * s_plane);
        }
      };
      store([](float* to, std::int64_t pitch) LCNN_AMX { _tile_stored(0, to, pitch); }, e * kEntries, tile);
      if (two) store([](float* to, std::int64_t pitch) LCNN_AMX { _tile_stored(1, to, pitch); }, e * kEntries, next);
      if (both) store([](float* to, std::int64_t pitch) LCNN_AMX { _tile_stored(2, to, pitch); }, (e + 1) * kEntries, tile);
      if (both && two) store([](float* to, std::int64_t pitch) LCNN_AMX { _tile_stored(3, to, pitch); }, (e + 1) * kEntries, next);
    }
    tile += two ? 2 : 1;
  }
  _tile_release();
}

#else

bool has_amx_bf16() { return false; }
template <typename T>
void AmxProduct<T>::form(const Share&, const T*, std::int64_t, std::int64_t, const PlaneVector*, float*, std::int64_t, int) const {}

#endif

template class AmxProduct<float>;
template class AmxProduct<Bf16>;

}  // namespace lcnn::cpu
