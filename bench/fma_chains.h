// Work of a known size for measuring a processor's fp32 rate.
#pragma once

#include <cstdint>

namespace lcnn::bench {

// Fused multiply-adds in registers, enough independent chains to fill the pipelines, with the best instruction set that
// the variants have, too; returns how many multiply-adds were done.
double run_fma_chains(std::int64_t rounds);

}  // namespace lcnn::bench
