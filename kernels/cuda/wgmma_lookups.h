// D and P as wgmma_fused's kernel takes them: D as it lies in shared memory, P as the lookups of blocks of output channels, in
// slots of P, dense or 2:4 sparse, that the kernel writes them into.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

inline constexpr int kStepBytes = 32;  // of a channel of P that one product of a warpgroup takes

// Of the inner index that one product takes: where P is 2:4 sparse, a channel has two of each four entries.
inline int wgmma_step_entry_bytes(bool sparse) { return sparse ? 2 * kStepBytes : kStepBytes; }

// Rows of D in shared memory: dictionary_size, filled up to what a product of 16 bits takes.
int wgmma_entries(const LookupProblem& problem);

// Where entries of S lie in a block's shared memory: [entry / 16 bytes][position][16 bytes].
struct WgmmaPlaces {
  int positions;  // of S
  int pitch;      // positions between rows
};

// A record for each block of channels, all of record_bytes: words of 32 bits
//   bias[block_channels] as floats, slots, place[most_slots * slot_steps], first[most_slots + 1],
//   from metadata_word on, where P is sparse, metadata[most_slots][pair of steps][64 channels][thread of a warpgroup],
//   and from lookups_word on lookups
// A step is a tap and wgmma_step_entry_bytes() of entries at least one of whose elements the block's channels look up; its place
// is that of these entries in S, in bytes from output position 0. slot_steps steps are a slot, and a record has one at least, the
// last one filled up with steps that look nothing up: P of them lies as [step][16 bytes of P][channel][16 bytes]. first[s] is
// slot s's first lookup: where in the slot, in elements, and the coefficient; at 16 bits in one word (low, high), else in two.
// Sparse P of a step has two elements for each four entries; metadata says which ones. The third and fourth lookup of a
// channel among four entries are in a second step of the same place.
struct WgmmaLookups {
  std::vector<std::uint32_t> records;
  int record_bytes = 0, metadata_word = 0, lookups_word = 0, slot_steps = 1, most_slots = 1;
};

// Steps of a slot: of 3 to 5 what leaves the fewest to be filled up where every tap of a padded dictionary is looked up.
int wgmma_slot_steps(const LookupProblem& problem, Precision precision, bool sparse);

// `stage` is a lookup stage without groups of stride 1; `bias` is empty or has a value for each output channel; `order` gives
// each dictionary entry its row of S. `sparse` at 16 bits only; then block_channels is a multiple of 64.
WgmmaLookups wgmma_lookups(const Conv2dProblem& stage, const LookupTable& lookups, std::span<const float> bias, std::span<const int> order, Precision precision,
                           const WgmmaPlaces& places, int block_channels, int slot_steps, bool sparse);

// The order in which entries that the same taps look up are neighbours, so that a filter dictionary's steps are few: by the
// first tap that looks an entry up. At 16 bits entries of a dense step are then exchanged where channels would look up more than
// two of four neighbours at a tap, which costs sparse P another step.
std::vector<int> wgmma_order(const LookupTable& lookups, Precision precision);

// D [dictionary_size, in_channels] as [slice of 128 bytes of channels][entry of wgmma_entries()][128 bytes], the 16-byte
// pieces of a row exchanged as the swizzle of 128 bytes does (PTX ISA, matrix descriptors); zeros where there is neither.
std::vector<std::uint32_t> wgmma_dictionary(const LookupProblem& problem, std::span<const float> dictionary, std::span<const int> order,
                                            Precision precision);

}  // namespace lcnn::cuda
