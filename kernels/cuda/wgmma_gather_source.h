// CUDA C++ source of the fused kernel that forms S by products of warpgroups and gathers from it, and what it reads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/wgmma_gather_layout.h"
#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

// A record of layout.record_bytes for each of layout.channel_blocks: bias[record_channels] as floats, with two halves twice in 16 bits, and where lookups are
// data first[record_channels + 1] and from lookups_byte() on the lookups: the place in bytes from a position of S and the coefficient as a float; with two
// halves the place in words and the coefficient, of 16 bits each. first[k] is channel k's first, each channel has a multiple of layout.lookups_at_once, and as many
// more can be read behind the last. `bias` is empty or has a value for each output channel.
std::vector<std::uint32_t> wgmma_gather_records(const Conv2dProblem& stage, const LookupTable& lookups, std::span<const float> bias,
                                                Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout);

// D [dictionary_size, in_channels] as [part of own_entries][slice of 128 bytes of channels][term][entry][128 bytes], the 16-byte pieces of a row exchanged
// as the swizzle of 128 bytes does (PTX ISA, matrix descriptors); zeros where there is neither. fp32 has two terms, the nearest tf32
// and the rest, and a slice's channels in the order in which the kernel's threads hold X.
std::vector<std::uint32_t> wgmma_gather_dictionary(const LookupProblem& problem, std::span<const float> dictionary, Precision precision,
                                                   int own_entries, int parts);

// extern "C" __global__ void wgmma_gather(map of X, map of y, D, records), a multiple of layout.channel_blocks blocks of layout.threads
// threads, at most layout.tiles * layout.channel_blocks: y = conv(conv(x, D), P) + bias, channels last, in `precision`; S stays in fp32, or in
// `precision` with two halves. The map of y is of [image and row][layout.column_tiles][tile.columns][channel] in boxes of layout.item_columns columns of
// layout.box_bytes of channels. Where the tile says so, the lookups are part of the text.
std::string wgmma_gather_source(const LookupProblem& problem, const LookupTable& lookups, Precision precision, const WgmmaGatherTile& tile,
                                const WgmmaGatherLayout& layout);

}  // namespace lcnn::cuda
