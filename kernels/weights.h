// The parameters of a lookup convolution, and the dense weights that they stand for.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn {

struct LookupWeights {
  std::vector<float> dictionary;  // D [dictionary_size, in_channels / groups, dh, dw], row-major
  LookupTable lookups;            // P
  std::vector<float> bias;        // [out_channels], empty without bias
};

struct DenseWeights {
  std::vector<float> weight;  // W [out_channels, in_channels / groups, kh, kw], row-major
  std::vector<float> bias;    // [out_channels], empty without bias
};

// The nearest number that `precision` stores (fp32 and tf32 store 32 bits: unchanged; ties to even).
float round_to(Precision precision, float value);

// The 16 bits that fp16 or bf16 stores for a value that round_to() has rounded.
std::uint16_t bits_of(Precision precision, float value);

// Parameters drawn from `seed`, rounded to `precision` so that every implementation stores them exactly.
// Every entry of P is non-zero with the probability that gives `sparsity` lookups per (output channel, r, c) on
// average, so counts vary and some are 0; granularity `filter` with a whole-numbered sparsity draws exactly that
// many per output channel, which is the original's format. Scaled so that outputs have a variance near 1.
// Throws std::invalid_argument when sparsity is negative, not finite or above dictionary_size / groups, or would give
// more lookups than 32-bit offsets reach.
LookupWeights random_weights(const LookupProblem& problem, double sparsity, Precision precision,
                             std::uint64_t seed);

// W[k, :, r, c] = sum_t C[t] * D[I[t], :] (paper eq. 1), summed in float64, rounded to `precision`.
DenseWeights dense_weights(const LookupProblem& problem, const LookupWeights& weights, Precision precision);

// A `filter` dictionary written as a `vector` one: entry d at tap t becomes entry d * kh * kw + t, a lookup of d becomes
// one lookup at every tap. The same function with the same dictionary multiplications; `vector` problems are unchanged.
struct VectorForm {
  LookupProblem problem;
  LookupWeights weights;
};
VectorForm vector_form(const LookupProblem& problem, const LookupWeights& weights);
LookupProblem vector_form(const LookupProblem& problem);  // the problem alone

// P as the weight of a dense convolution with the problem's groups: [out_channels, dictionary_size / groups, kh, kw].
std::vector<float> dense_lookups(const LookupProblem& problem, const LookupTable& table);

// W with the two smallest of every four neighbouring weights set to zero, in the order (kh, kw, in_channels) that a
// matrix product over unfolded channels-last input runs along: what 2:4 structured sparsity computes.
DenseWeights prune_2_4(const Conv2dProblem& problem, DenseWeights weights);

// Bytes as stored in `precision`.
std::int64_t stored_bytes(const LookupWeights& weights, Precision precision);
std::int64_t stored_bytes(const DenseWeights& weights, Precision precision);

}  // namespace lcnn
