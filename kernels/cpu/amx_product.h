// S = D X by the matrix unit that some x86 processors have (AMX-BF16), summed in fp32: in bf16, or in fp32 by three bf16 terms each of D and X.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18 (Intel AMX).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/flat_gather_loops.h"
#include "kernels/variant.h"

namespace lcnn::cpu {

// Whether this processor has the unit and the operating system lets the process use it, which the first call asks for.
bool has_amx_bf16();

// A dictionary without taps as the unit reads it; for has_amx_bf16() only. T, of X, is Bf16 or float. An infinite float gives NaN.
template <typename T>
class AmxProduct {
 public:
  // values [entries][channels] of one group, as T stores them; as many threads may call form() at a time.
  AmxProduct(std::span<const float> values, std::int64_t entries, std::int64_t channels, int threads, Allocator& allocator);

  // Positions that are formed together, a tile; fewer cannot be.
  static constexpr std::int64_t kPositions = 16;
  // How threads divide some tiles: into shares of them, and where they are few of the channels, so that each share has several sums that add up to S.
  struct Division {
    std::int64_t shares, sums;
  };
  Division division_of(std::int64_t tiles, int threads) const;
  // What a thread forms: tiles from the first to behind the last, and which of how many sums.
  struct Share {
    std::int64_t first, last, sum = 0, sums = 1;
  };
  // s [entries][s_plane]: the share's sums of D x, of `count` positions, at least kPositions, of x [channels][x_plane]; nothing else is written.
  // A tile is kPositions values of an entry; with `vectors`, of as many lanes, it is one of these, at the values' places. `thread` is the caller's number.
  void form(const Share& share, const T* x, std::int64_t x_plane, std::int64_t count, const PlaneVector* vectors, float* s, std::int64_t s_plane, int thread) const;

 private:
  std::int64_t entries_, channels_;
  Buffer dictionary_;  // [term][16 entries][32 channels][16][32]
  Buffer operands_;    // per thread: [term][32 channels][two tiles of positions][16 pairs of channels][16 positions][2]
};

}  // namespace lcnn::cpu
