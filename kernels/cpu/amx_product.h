// S = D X by the matrix unit that some x86 processors have (AMX-BF16), summed in fp32: in bf16, or in fp32 by three bf16 terms each of D and X.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18 (Intel AMX).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/bf16.h"
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

  // Positions that are formed together; fewer cannot be.
  static constexpr std::int64_t kPositions = 16;
  // How many sums `parts` threads form for each value of S at `count` positions: where there are few positions, threads divide the channels.
  std::int64_t partial_sums(std::int64_t count, int parts) const { return division_of(count, parts).sums; }
  // Partial sums s [partial_sums(count, parts)][entries][s_plane], s_sum values apart, which add up to D x, at `count` positions, at least
  // kPositions, of x [channels][x_plane], as far as they are the work of `part` of `parts`, which may be none; nothing else is written.
  // `thread` is the caller's number.
  void form(const T* x, std::int64_t x_plane, std::int64_t count, float* s, std::int64_t s_plane, std::int64_t s_sum, int part, int parts, int thread) const;

 private:
  // Of the tiles of positions and of channels, into how many shares each is divided.
  struct Division {
    std::int64_t positions, sums;
  };
  Division division_of(std::int64_t count, int parts) const;

  std::int64_t entries_, channels_;
  Buffer dictionary_;  // [term][16 entries][32 channels][16][32]
  Buffer operands_;    // per thread: [term][32 channels][two tiles of positions][16 pairs of channels][16 positions][2]
};

}  // namespace lcnn::cpu
