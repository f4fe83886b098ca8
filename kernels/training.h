// What both devices' training kernels take: the layer's function and its gradients are computed from these.
//
//   S = conv(X, D), Y = conv(S, P) + b                                   (paper eq. 4-7)
//   dS[n,e,h,w]  = sum of C[i] * dY[n,k,p,q]     over the lookups i of entry e that read (h, w) for output (k, p, q)
//   dC[i]        = sum of dY[n,k,p,q] * S[n,e,h,w]  over images and pixels, at the given lookups only
//   db[k]        = sum of dY[n,k,p,q]
//   dX, dD       = the gradients of conv(X, D) under dS
#pragma once

#include <cstdint>

namespace lcnn {

// P as the caller keeps it: a LookupTable's arrays (kernels/lookup_table.h), indices as tensor libraries store them.
// Indices of a row need not ascend. Must be well-formed: see check_lookups.
template <typename T>
struct LookupArrays {
  const std::int32_t* row_offsets;  // [out_channels * kh * kw + 1] of the lookup stage
  const std::int32_t* indices;      // [lookups], within the output channel's group
  const T* coefficients;            // [lookups]
  std::int64_t lookups;
};

struct LookupProblem;

// Throws std::invalid_argument, one line, when offsets do not rise from 0 to `lookups` or an index is outside the
// group of its output channel: training kernels read and write where they point to. The arrays are in host memory.
void check_lookups(const LookupProblem& problem, const std::int32_t* row_offsets, const std::int32_t* indices,
                   std::int64_t lookups);

}  // namespace lcnn
