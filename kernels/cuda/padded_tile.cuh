// A block's tile of S, copied from memory where it lies as PaddedLayout says: text for NVRTC, behind dictionary_tile.cuh,
// lookup_pairs.cuh and the constants in capitals.
using namespace lcnn_device;

using S = MATH::Element;
__device__ __forceinline__ float s_value(S stored) { return MATH::load(stored); }

// Begins to copy entries first_entry .. + ENTRIES of the rows of S from padded row first_image * IMAGE_ROWS + top on, as
// [row][entry][PITCH], images behind each other. Where rows of memory or entries end, and behind the last row, zeros take
// their place: the right padding of what lies in front.
__device__ void copy_tile(const S* s, int first_entry, int first_image, int top, S* tile) {
  constexpr int kEntryWords = PITCH * sizeof(S) / 16, kRowWords = DICTIONARY * kEntryWords, kTileRowWords = ENTRIES * kEntryWords;
  constexpr int kRows = (IMAGES - 1) * IMAGE_ROWS + S_ROWS, kLeadWords = LEAD * sizeof(S) / 16;
  const int first_row = first_image * IMAGE_ROWS + top, rows = min(kRows, PADDED_ROWS - first_row);
  const uint4* from = reinterpret_cast<const uint4*>(s) + static_cast<i64>(first_row) * kRowWords + first_entry * kEntryWords;
  const int last_word = (PADDED_ROWS - first_row) * kRowWords - first_entry * kEntryWords;
  uint4* to = reinterpret_cast<uint4*>(tile);
  for (int i = threadIdx.x; i < rows * kTileRowWords; i += THREADS) {
    const int word = ENTRIES == DICTIONARY ? i : i / kTileRowWords * kRowWords + i % kTileRowWords;
    if (ENTRIES == DICTIONARY || word < last_word) copy_word(to + i, from + word);
    else to[i] = make_uint4(0, 0, 0, 0);
  }
  if (threadIdx.x < kLeadWords) to[rows * kTileRowWords + threadIdx.x] = make_uint4(0, 0, 0, 0);
}
