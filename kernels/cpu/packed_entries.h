// A dictionary, or filters, as form_block and filter_block read them: a few entries at a time, side by side.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/flat_gather_loops.h"
#include "kernels/variant.h"

namespace lcnn::cpu {

class PackedEntries {
 public:
  PackedEntries() = default;
  // values [entries][inner] of some groups of entries, of which block_size are taken together; offsets [inner].
  PackedEntries(const std::vector<float>& values, std::int64_t entries, std::int64_t groups, int block_size, const std::vector<std::int64_t>& offsets,
                Allocator& allocator)
      : per_group_(entries / groups), blocks_per_group_((per_group_ + block_size - 1) / block_size), blocks_(groups * blocks_per_group_),
        inner_(std::ssize(offsets)), block_size_(block_size),
        offsets_(allocator, std::max<std::int64_t>(inner_, 1) * 8, MemoryKind::prepared),
        values_(allocator, std::max<std::int64_t>(blocks_ * inner_ * block_size, 1) * 4, MemoryKind::prepared) {
    std::ranges::copy(offsets, offsets_.as<std::int64_t>());
    // [block][inner index][entry of the block]; blocks do not straddle groups, entries beyond a group are zero.
    std::fill_n(values_.as<float>(), blocks_ * inner_ * block_size, 0.0f);
    for (std::int64_t at = 0; at < blocks_; ++at) {
      float* packed = values_.as<float>() + at * inner_ * block_size;
      for (int e = 0; e < entries_of(at); ++e) {
        for (std::int64_t j = 0; j < inner_; ++j) packed[j * block_size + e] = values[(first_entry(at) + e) * inner_ + j];
      }
    }
  }

  std::int64_t blocks() const { return blocks_; }
  std::int64_t group_of(std::int64_t block) const { return block / blocks_per_group_; }
  bool begins_group(std::int64_t block) const { return block % blocks_per_group_ == 0; }
  std::int64_t first_entry(std::int64_t block) const { return group_of(block) * per_group_ + block % blocks_per_group_ * block_size_; }
  int entries_of(std::int64_t block) const {
    return static_cast<int>(std::min<std::int64_t>(block_size_, per_group_ - block % blocks_per_group_ * block_size_));
  }
  DictionaryBlock block(std::int64_t at) const {
    return {values_.as<float>() + at * inner_ * block_size_, block_size_, inner_, offsets_.as<std::int64_t>()};
  }

 private:
  std::int64_t per_group_ = 0, blocks_per_group_ = 0, blocks_ = 0, inner_ = 0;
  int block_size_ = 0;
  Buffer offsets_, values_;
};

}  // namespace lcnn::cpu
