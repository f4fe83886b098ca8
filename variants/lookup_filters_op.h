// The operator lcnn::lookup_filters, registered with LibTorch's dispatcher: CPU, CUDA, Meta, Autograd and Autocast.
//
// Schema (also what Python calls as torch.ops.lcnn.lookup_filters):
//   lookup_filters(Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices, Tensor lookup_coefficients) -> Tensor
#pragma once

#include <ATen/core/Tensor.h>

namespace lcnn {

// W [rows, columns] = P D: the filters that lookups and dictionary stand for (paper eq. 1), differentiable once by dictionary and
// coefficients.
//
//   dictionary           [dictionary_size, columns]: an entry's elements
//   lookup_offsets       int32 [rows + 1], a LookupTable's row_offsets
//   lookup_indices       int32 [lookups], rows of the dictionary
//   lookup_coefficients  [lookups]
//
// Types, sums, repeatability and checks as lookup_conv2d's (variants/lookup_conv2d_op.h). Throws c10::ValueError that names what
// does not fit.
at::Tensor lookup_filters(const at::Tensor& dictionary, const at::Tensor& lookup_offsets, const at::Tensor& lookup_indices,
                          const at::Tensor& lookup_coefficients);

}  // namespace lcnn
