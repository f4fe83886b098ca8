// What both devices' training kernels take: the layer's function and its gradients are computed from these.
//
//   S = conv(X, D), Y = conv(S, P) + b                                   (paper eq. 4-7)
//   dS[n,e,h,w]  = sum of C[i] * dY[n,k,p,q]     over the lookups i of entry e that read (h, w) for output (k, p, q)
//   dC[i]        = sum of dY[n,k,p,q] * S[n,e,h,w]  over images and pixels, at the given lookups only
//   db[k]        = sum of dY[n,k,p,q]
//   dX, dD       = the gradients of conv(X, D) under dS
//
// Or by the filters that D and P stand for (eq. 1), which a dense convolution takes; a batch is then seen by that alone:
//   W[row,j]     = sum of C[i] * D[e(i),j]          over the lookups i of the row; j runs over an entry's elements
//   dC[i]        = sum of dW[row(i),j] * D[e(i),j]  over j
//   dD[e,j]      = sum of C[i] * dW[row(i),j]       over the lookups i of entry e
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

// W = P D as matrices: P [rows, dictionary_size], D [dictionary_size, columns].
struct FilterMatrix {
  std::int64_t rows;             // (output channel, r, c) of the lookup stage: its table's
  std::int64_t dictionary_size;
  std::int64_t columns;          // of a dictionary entry: in_channels / groups * dh * dw
};

// P transposed: which lookups read an entry. It does not change while coefficients are trained.
struct TransposedLookups {
  const std::int32_t* entry_offsets;  // [dictionary_size + 1]
  const std::int32_t* rows;           // [lookups]: the row of P of each
  const std::int32_t* order;          // [lookups]: its place in the table's arrays
};

struct LookupProblem;

// Throws std::invalid_argument, one line, when offsets do not rise from 0 to `lookups` or an index is outside the
// group of its output channel: training kernels read and write where they point to. The arrays are in host memory.
void check_lookups(const LookupProblem& problem, const std::int32_t* row_offsets, const std::int32_t* indices,
                   std::int64_t lookups);

}  // namespace lcnn
