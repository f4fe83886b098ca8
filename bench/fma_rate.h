// Work of a known size for measuring a GPU's fp32 rate.
#pragma once

namespace lcnn::bench {

// Enqueues independent chains of fused multiply-adds on `stream`; returns how many multiply-adds they are.
// `scratch` is one float on the device.
double launch_fma_chains(int blocks, float* scratch, void* stream);

}  // namespace lcnn::bench
