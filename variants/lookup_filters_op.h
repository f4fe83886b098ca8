// The operator lcnn::lookup_filters, registered with LibTorch's dispatcher: CPU, CUDA, Meta, Autograd and Autocast.
//
// Schemas (also what Python calls as torch.ops.lcnn...):
//   lookups_by_entry(Tensor lookup_offsets, Tensor lookup_indices, int dictionary_size)
//       -> (Tensor entry_offsets, Tensor entry_rows, Tensor entry_order)
//   lookup_filters(Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices, Tensor lookup_coefficients,
//                  Tensor entry_offsets, Tensor entry_rows, Tensor entry_order, ScalarType? dtype=None) -> Tensor
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

namespace lcnn {

// P transposed, all int32: entry e is read by the lookups order[offsets[e]], ..., in the order of the table, whose rows of P are
// rows[offsets[e]], .... What lookup_filters sums the dictionary's gradient by; to be made anew when the lookups change.
using LookupsByEntry = std::tuple<at::Tensor, at::Tensor, at::Tensor>;  // offsets [dictionary_size + 1], rows [lookups], order [lookups]

// `lookup_offsets` int32 [rows + 1] and `lookup_indices` int32 [lookups], a LookupTable's.
LookupsByEntry lookups_by_entry(const at::Tensor& lookup_offsets, const at::Tensor& lookup_indices, std::int64_t dictionary_size);

// W [rows, columns] = P D: the filters that lookups and dictionary stand for (paper eq. 1), differentiable once by dictionary and
// coefficients.
//
//   dictionary           [dictionary_size, columns]: an entry's elements
//   lookup_offsets       int32 [rows + 1], a LookupTable's row_offsets
//   lookup_indices       int32 [lookups], rows of the dictionary
//   lookup_coefficients  [lookups]
//   by_entry             the same lookups transposed
//   type                 of W: the dictionary's by default; Half or BFloat16 of a Float one. Under autocast its type.
//
// Types, sums, repeatability and checks as lookup_conv2d's (variants/lookup_conv2d_op.h). Throws c10::ValueError that names what
// does not fit.
at::Tensor lookup_filters(const at::Tensor& dictionary, const at::Tensor& lookup_offsets, const at::Tensor& lookup_indices,
                          const at::Tensor& lookup_coefficients, const LookupsByEntry& by_entry,
                          std::optional<at::ScalarType> type = std::nullopt);

}  // namespace lcnn
