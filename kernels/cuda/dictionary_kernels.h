// What the two kernels of DictionaryStage share on the host: their problem, and the launch of the second.
#pragma once

#include "kernels/cuda/padded_layout.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

struct DictionaryShape {
  int batch, channels, entries, height, width;
  InputDictionaryStrides strides;  // of S
};

// How dictionary_planes.cu divides a stage among blocks.
struct PlaneTile {
  int loads = 4;           // groups of 8 positions of an image
  int entry_tiles = 1;     // of 16
  int split = 4;           // warps that share the channels
  int chunk_channels = 0;  // in shared memory at once
  int pitch = 0;           // elements between them there
  int shared_bytes = 0;
};

PlaneTile plane_tile(const DictionaryShape& shape, Precision precision, int multiprocessors);

// S = D X; D as pack_dictionary() gives it. Enqueues on `stream`. Throws CudaError.
void run_dictionary_planes(const DictionaryShape& shape, Precision precision, const PlaneTile& tile, const void* x, const void* dictionary,
                           void* s, void* stream);

}  // namespace lcnn::cuda
