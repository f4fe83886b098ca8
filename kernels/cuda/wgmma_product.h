// Text of a warpgroup's products (PTX ISA, wgmma.mma_async and wgmma.mma_async.sp).
#pragma once

#include "kernels/cuda/source_parts.h"

namespace lcnn::cuda {

enum class ProductKind {
  dense,      // Product<columns>: sums = A B^T for 64 rows of A and so many of B, a step of 32 bytes of their inner index
  sparse,     // SparseProduct<columns>: the same for 2:4 sparse A, 64 bytes of B's inner index
  registers,  // RegisterProduct<columns>: the first with A in four registers of a lane
};

// A specialisation of one of these for `columns`. Its add() adds to what is there where `accumulate` is not 0; sums are never set
// otherwise: the compiler would put barriers between the products.
void write_product(SourceOut out, Precision precision, int columns, ProductKind kind);

}  // namespace lcnn::cuda
