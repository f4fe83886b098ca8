// The fused kernel whose dictionary stage is products of warpgroups and whose look-up stage gathers from shared memory: text for
// NVRTC, behind dictionary_tile.cuh, hopper.cuh, the constants in capitals and the products. Here is how S is formed; behind it follow
// wgmma_gather_items.cuh, wgmma_gather_kernel.cuh and the lookups. Channels last, stride 1.
//
// Problem: a cluster of blocks takes tiles of IMAGES whole images, or of ROWS x COLUMNS pixels of one, one tile after another, each block some of
//          the output channels; CHANNEL_PARTS clusters, each of which forms S for itself, share the channels of a tile.
// Tile:    S of the tile and its halo as [entry][position], in fp32; rows PITCH positions apart, zeros beside the image. Each
//          block forms some of the entries or of the positions, and has them copied to the others of the cluster. With two HALVES a tile
//          has as many pixels again, HALF_IMAGES images or HALF_ROWS rows on; a word of S holds a position of each in 16 bits.
//          A large dictionary is taken in DICTIONARY_PARTS: S of one of them at a time is in shared memory, sums stay in registers.
// Load:    a thread has X and D copied, in slices of 128 bytes of channels, each as soon as the slice in its place has been used. X of a
//          tile stays for all parts of the dictionary where there is a place for each slice, and D for all tiles. The lookups come once.
// Compute: warpgroups form S, in registers while the tile or part in front is still looked up. Strict fp32 takes X from shared memory
//          as two tf32 terms, D has two of its own, and three products are summed a slice at a time; the rest is as in dictionary_tile.cuh.
//          The other warps look up and store (wgmma_gather_items.cuh).
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;

struct alignas(64) TensorMap {
  char bytes[128];
};

constexpr int kFormWarps = FORM_GROUPS * 4, kThreads = (kFormWarps + GATHER_WARPS) * 32;
constexpr int kSliceElements = 128 / ELEMENT_BYTES, kSlices = (IN_CHANNELS + kSliceElements - 1) / kSliceElements;
// What a block forms of a part of S: all positions of some entries, or some positions of all. Of its positions are products of 64 each.
constexpr int kEntryParts = CLUSTER / POSITION_PARTS, kOwnEntries = ENTRIES / kEntryParts, kOwnPositions = OWN_IMAGES * OWN_ROWS * PITCH;
constexpr int kPositions = POSITION_PARTS * kOwnPositions;
constexpr int kFormTiles = (kOwnPositions + 63) / 64, kOwnTiles = (kFormTiles + FORM_GROUPS - 1) / FORM_GROUPS;  // of a block; of a warpgroup
constexpr int kHalfBytes = (kOwnPositions + 7) / 8 * 1024, kInputBytes = HALVES * kHalfBytes, kTermBytes = kOwnEntries * 128;
constexpr int kDictionaryBytes = Math::kTerms * kTermBytes;  // of a slice, as kInputBytes are X's
constexpr bool kKeepsInput = STAGES >= kSlices, kKeepsDictionary = DICTIONARY_STAGES == DICTIONARY_PARTS * kSlices;
constexpr int kItems = (BLOCK_CHANNELS + ITEM_CHANNELS - 1) / ITEM_CHANNELS * POSITION_ITEMS;

using Pair = decltype(Math::store_pair(0, 0));  // of neighbouring channels

struct Shared {
  u32 stages, dictionary, stores, entries, record, barriers;
  __device__ explicit Shared(u32 base)
      : stages(base), dictionary(base + STAGES * kInputBytes), stores(dictionary + DICTIONARY_STAGES * kDictionaryBytes), entries(stores + STORE_BYTES), record(entries + ENTRY_BYTES), barriers(record + RECORD_BYTES) {}
  __device__ u32 input(int stage) const { return barriers + stage * 8; }
  __device__ u32 input_free(int stage) const { return input(STAGES + stage); }
  __device__ u32 entries_of(int stage) const { return input(2 * STAGES + stage); }
  __device__ u32 entries_free(int stage) const { return entries_of(DICTIONARY_STAGES + stage); }
  __device__ u32 formed() const { return entries_of(2 * DICTIONARY_STAGES); }
  __device__ u32 looked_up() const { return formed() + 8; }
  __device__ u32 lookups() const { return formed() + 16; }
};

// The lookups of a block's channels, as wgmma_gather_source.h says.
struct Record {
  const char* words;
  template <typename Sum>
  __device__ Sum bias(int channel) const { return reinterpret_cast<const Sum*>(words)[channel]; }
  __device__ int first(int channel) const { return reinterpret_cast<const int*>(words)[RECORD_CHANNELS + channel]; }
};

struct Tile {
  int column_tile, first_row, image;
  __device__ explicit Tile(int index)
      : column_tile(index % COLUMN_TILES), first_row(index / COLUMN_TILES % ROW_TILES * (ROWS + HALF_ROWS)),
        image(index / COLUMN_TILES / ROW_TILES * (IMAGES + HALF_IMAGES)) {}
};

// Which of the output channels are this block's.
constexpr int kChannelBlocks = CLUSTER * CHANNEL_PARTS;
__device__ __forceinline__ int channel_block() { return blockIdx.x % kChannelBlocks; }

// Which of the entries' and of the positions' parts this block forms.
__device__ __forceinline__ int entry_part() { return POSITION_PARTS == 1 ? block_of_cluster() : 0; }
__device__ __forceinline__ int position_part() { return POSITION_PARTS == 1 ? 0 : block_of_cluster(); }

// Slices of X and of D are counted over all tiles and parts, but where they stay.
struct Slices {
  int tiles;  // of the cluster
  __device__ Slices(int first, int step) : tiles((TILES - first + step - 1) / step) {}
  static __device__ __forceinline__ int input_of(int tile, int part, int slice) { return (kKeepsInput ? tile : tile * DICTIONARY_PARTS + part) * kSlices + slice; }
  static __device__ __forceinline__ int dictionary_of(int tile, int part, int slice) { return ((kKeepsDictionary ? 0 : tile) * DICTIONARY_PARTS + part) * kSlices + slice; }
  __device__ __forceinline__ int inputs() const { return input_of(tiles - 1, DICTIONARY_PARTS - 1, kSlices - 1) + 1; }
  __device__ __forceinline__ int dictionaries() const { return dictionary_of(tiles - 1, DICTIONARY_PARTS - 1, kSlices - 1) + 1; }
};

// The number'th slice of X or D, as far as this block forms S of it.
__device__ __forceinline__ void copy_input(const Shared& shared, int number, int first, int step, const TensorMap& map) {
  const int slice = number % kSlices, stage = number % STAGES;
  const Tile tile(first + number / (kSlices * (kKeepsInput ? 1 : DICTIONARY_PARTS)) * step);
  arrive_expecting(shared.input(stage), HALVES * kOwnPositions * 128);
  for (int half = 0; half < HALVES; ++half) {
    tiled_copy(shared.stages + stage * kInputBytes + half * kHalfBytes, &map, slice * kSliceElements, tile.column_tile * COLUMNS - PADDING_W,
               tile.first_row + half * HALF_ROWS - PADDING_H + (IMAGES == 1 ? position_part() * OWN_ROWS : 0),
               tile.image + half * HALF_IMAGES + (IMAGES == 1 ? 0 : position_part() * OWN_IMAGES), shared.input(stage));
  }
}
__device__ __forceinline__ void copy_dictionary(const Shared& shared, int number, const char* dictionary) {
  const int slice = number % kSlices, part = number / kSlices % DICTIONARY_PARTS, stage = number % DICTIONARY_STAGES;
  arrive_expecting(shared.entries_of(stage), kDictionaryBytes);
  bulk_copy(shared.dictionary + stage * kDictionaryBytes, dictionary + ((part * kEntryParts + entry_part()) * kSlices + slice) * kDictionaryBytes, kDictionaryBytes,
            shared.entries_of(stage));
}

// A thread's elements of 64 x 32 floats of X. Which of a step's channels lies where is free, as D is packed in the same order: two
// words of 16 bytes of a row hold a thread's.
struct Floats {
  float4 words[2][2];
  // `last` is the last row of X; behind it it is repeated.
  __device__ __forceinline__ void load(const char* rows, int last) {
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int word = 0; word < 2; ++word) words[half][word] = *reinterpret_cast<const float4*>(rows + min(row + half * 8, last) * 128 + ((lane % 4 * 2 + word) ^ lane / 4) * 16);
    }
  }
  // As two tf32 terms each, in the order of four products' registers: rounded to the nearest, and the rest.
  __device__ __forceinline__ void split(u32 (&high)[4][4], u32 (&low)[4][4]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int word = 0; word < 2; ++word) {
        const float4& loaded = words[half][word];
        const float values[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const u32 term = (__float_as_uint(values[i]) + 0x1000u) & 0xFFFFE000u;
          high[word * 2 + i / 2][i % 2 * 2 + half] = term;
          low[word * 2 + i / 2][i % 2 * 2 + half] = __float_as_uint(values[i] - __uint_as_float(term));
        }
      }
    }
  }
};

// The 64 positions of X that a warpgroup takes i-th; it repeats the last where there are fewer.
__device__ __forceinline__ int form_tile(int group, int i) { return min(group + i * FORM_GROUPS, kFormTiles - 1); }

// sums += X D of a slice in strict fp32: while the products of some positions run, X of the next is loaded.
template <int kColumns>
__device__ __forceinline__ void add_slice_in_terms(float (&sums)[kOwnTiles][HALVES][kColumns / 2], const char* input, u32 dictionary, int group) {
  Floats next;
  const auto load = [&](int tile) { next.load(input + tile * 8192, kOwnPositions - 1 - tile * 64); };
  load(form_tile(group, 0));
#pragma unroll
  for (int i = 0; i < kOwnTiles; ++i) {
    u32 high[4][4], low[4][4];
    next.split(high, low);
    float partial[kColumns / 2];
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const u64 high_operand = swizzled_operand(dictionary + step * 32), low_operand = swizzled_operand(dictionary + kTermBytes + step * 32);
      RegisterProduct<kColumns>::add(partial, low[step], high_operand, step);
      RegisterProduct<kColumns>::add(partial, high[step], low_operand, 1);
      RegisterProduct<kColumns>::add(partial, high[step], high_operand, 1);
    }
    commit_products();
    if (i + 1 < kOwnTiles) load(form_tile(group, i + 1));
    wait_products<0>();
#pragma unroll
    for (int j = 0; j < kColumns / 2; ++j) sums[i][0][j] += partial[j];
  }
}

// sums (+)= X D of a slice in one term.
template <int kColumns>
__device__ __forceinline__ void add_slice(float (&sums)[kOwnTiles][HALVES][kColumns / 2], u32 input, u32 dictionary, int group, int slice) {
  begin_products();
#pragma unroll
  for (int i = 0; i < kOwnTiles; ++i) {
#pragma unroll
    for (int half = 0; half < HALVES; ++half) {
#pragma unroll
      for (int within = 0; within < 128; within += 32) {
        Product<kColumns>::add(sums[i][half], swizzled_operand(input + half * kHalfBytes + form_tile(group, i) * 8192 + within), swizzled_operand(dictionary + within),
                               slice + within);
      }
    }
  }
  commit_products();
  wait_products<0>();
}

template <int kTerms, int kColumns>
__device__ __forceinline__ void add_slice(float (&sums)[kOwnTiles][HALVES][kColumns / 2], const Shared& shared, const char* memory, int input, int dictionary, int group, int slice) {
  const int at = input * kInputBytes;
  const u32 entries = shared.dictionary + dictionary * kDictionaryBytes;
  if constexpr (kTerms == 2) add_slice_in_terms<kColumns>(sums, memory + at, entries, group);
  else add_slice<kColumns>(sums, shared.stages + at, entries, group, slice);
}

// The i-th of a thread's sums as a word of S.
template <typename Stored>
__device__ __forceinline__ u32 entry_word(const float (&sums)[HALVES][kOwnEntries / 2], int i) {
  if constexpr (HALVES == 2) return Stored::store_pair(sums[0][i], sums[1][i]);
  else return __float_as_uint(sums[0][i]);
}

// A warpgroup's sums of 64 positions of X into S.
__device__ __forceinline__ void store_entries(const float (&sums)[HALVES][kOwnEntries / 2], int tile, u32* entries) {
  const int lane = threadIdx.x % 32, first = tile * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
  for (int rows = 0; rows < 2; ++rows) {
    const int position = first + rows * 8;
    if (position >= kOwnPositions) continue;
    u32* to = entries + lane % 4 * 2 * ENTRY_PITCH + position;
#pragma unroll
    for (int i = 0; i < kOwnEntries / 8; ++i) {
      to[i * 8 * ENTRY_PITCH] = entry_word<Math>(sums, i * 4 + rows * 2);
      to[(i * 8 + 1) * ENTRY_PITCH] = entry_word<Math>(sums, i * 4 + rows * 2 + 1);
    }
  }
}

// What this block has formed to the others, and S announced here; by all that form S.
__device__ __forceinline__ void announce_entries(const Shared& shared) {
  arrive(shared.formed());
  if constexpr (CLUSTER == 1) return;
  publish_to_async_units();
  meet<kFormWarps * 32>(1);
  // Entries are one piece of memory, positions one of each entry.
  constexpr int kPieces = POSITION_PARTS == 1 ? 1 : ENTRIES, kPieceBytes = POSITION_PARTS == 1 ? kOwnEntries * ENTRY_PITCH * 4 : kOwnPositions * 4;
  if (threadIdx.x == 0) arrive_expecting(shared.formed(), (CLUSTER - 1) * kPieces * kPieceBytes);
  if (threadIdx.x >= kPieces) return;
  const u32 own = shared.entries + ((entry_part() * kOwnEntries + threadIdx.x) * ENTRY_PITCH + position_part() * kOwnPositions) * 4;
  for (int block = 0; block < CLUSTER; ++block) {
    if (block != block_of_cluster()) copy_to_block(of_block(own, block), own, kPieceBytes, of_block(shared.formed(), block));
  }
}

__device__ __forceinline__ void form_entries(const Shared& shared, int first, int step, const char* memory, u32* entries, int group, const TensorMap& map,
                                             const char* dictionary) {
  u32* own_entries = entries + entry_part() * kOwnEntries * ENTRY_PITCH + position_part() * kOwnPositions;
  const Slices slices(first, step);
  const int parts = slices.tiles * DICTIONARY_PARTS, inputs = slices.inputs(), dictionaries = slices.dictionaries();
  int looked_up_parity = 1;
#pragma unroll 1
  for (int number = 0; number < parts; ++number) {
    const int tile = number / DICTIONARY_PARTS, part = number % DICTIONARY_PARTS;
    float sums[kOwnTiles][HALVES][kOwnEntries / 2];
    if constexpr (Math::kTerms == 2) {  // products in one term begin with those of the first slice
#pragma unroll
      for (auto& tile_sums : sums) {
#pragma unroll
        for (float& sum : tile_sums[0]) sum = 0;
      }
    }
#pragma unroll 1
    for (int slice = 0; slice < kSlices; ++slice) {
      const int input = Slices::input_of(tile, part, slice), input_stage = input % STAGES, input_parity = input / STAGES % 2;
      const int dictionary_slice = Slices::dictionary_of(tile, part, slice), stage = dictionary_slice % DICTIONARY_STAGES, parity = dictionary_slice / DICTIONARY_STAGES % 2;
      const bool another_input = (!kKeepsInput || part == DICTIONARY_PARTS - 1) && input + STAGES < inputs;  // takes its place
      const bool another_dictionary = dictionary_slice + DICTIONARY_STAGES < dictionaries;
      wait_barrier(shared.input(input_stage), input_parity);
      wait_barrier(shared.entries_of(stage), parity);
      add_slice<Math::kTerms, kOwnEntries>(sums, shared, memory, input_stage, stage, group, slice);
      __syncwarp();
      if (threadIdx.x % 32 == 0) {
        if (another_input) arrive(shared.input_free(input_stage));
        if (another_dictionary) arrive(shared.entries_free(stage));
      }
      if (threadIdx.x == 0 && another_input) {
        wait_barrier(shared.input_free(input_stage), input_parity);
        copy_input(shared, input + STAGES, first, step, map);
      }
      if (threadIdx.x == 0 && another_dictionary) {
        wait_barrier(shared.entries_free(stage), parity);
        copy_dictionary(shared, dictionary_slice + DICTIONARY_STAGES, dictionary);
      }
      __syncwarp();
    }
    wait_barrier(shared.looked_up(), looked_up_parity);
    looked_up_parity ^= 1;
#pragma unroll
    for (int i = 0; i < kOwnTiles; ++i) {
      if (group + i * FORM_GROUPS < kFormTiles) store_entries(sums[i], group + i * FORM_GROUPS, own_entries);
    }
    announce_entries(shared);
  }
}
