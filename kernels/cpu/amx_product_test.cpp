#include "kernels/cpu/amx_product.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/poisoning_heap.h"
#include "kernels/random.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kPositions = AmxProduct<float>::kPositions, kPlane = 131, kSPlane = 230;

template <typename T>
class AmxProductOf : public testing::Test {};
using Stored = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(AmxProductOf, Stored);

// Where positions lie in a plane of S: as they come, or `columns` a row behind two rows of padding, with gaps of two between rows.
struct Places {
  std::vector<PlaneVector> vectors;
  std::vector<std::int64_t> position;  // of each element of whole vectors; -1 in a gap

  explicit Places(std::int64_t count) : position(count) {
    for (std::int64_t p = 0; p < count; ++p) position[p] = p;
  }
  Places(std::int64_t count, std::int64_t columns) {
    position.resize(divided_up((divided_up(count, columns) + 2) * (columns + 2), kPositions) * kPositions, -1);
    for (std::int64_t p = 0; p < count; ++p) position[(p / columns + 2) * (columns + 2) + p % columns] = p;
    for (std::int64_t v = 0; v < std::ssize(position) / kPositions; ++v) {
      PlaneVector vector{.offset = -1};
      for (int lane = 0; lane < kPositions; ++lane) {
        const auto p = static_cast<std::int32_t>(position[v * kPositions + lane]);
        if (p < 0) continue;
        if (vector.offset < 0) vector.offset = p;
        vector.values[lane / 8] |= static_cast<std::uint8_t>(1 << lane % 8);
        vector.indices[lane] = p - vector.offset;
      }
      vector.offset = std::max(vector.offset, 0);
      vectors.push_back(vector);
    }
  }
};

TYPED_TEST(AmxProductOf, MatchesFloat64AndWritesNothingElse) {
  using T = TypeParam;
  if (!has_amx_bf16()) GTEST_SKIP() << "this processor has no AMX-BF16, or the system does not allow it";
  PoisoningHeap allocator;
  constexpr int kThreads = 2;
  int round = 0, divided_channels = 0;
  for (const std::int64_t entries : {1, 16, 30, 33, 64, 100}) {
    for (const std::int64_t channels : {1, 5, 32, 70}) {
      for (const std::int64_t count : {16, 17, 32, 45, 64, 100}) {
        const auto rounded = [](std::uint64_t seed, std::int64_t i) { return widened(narrowed<T>(random_value(seed, static_cast<std::uint64_t>(i)))); };
        std::vector<float> dictionary(entries * channels);
        for (std::int64_t i = 0; i < std::ssize(dictionary); ++i) dictionary[i] = rounded(1, i);
        std::vector<T> x(channels * kPlane);
        for (std::int64_t i = 0; i < std::ssize(x); ++i) x[i] = narrowed<T>(rounded(2, i));
        const AmxProduct<T> product(dictionary, entries, channels, kThreads, allocator);
        const int threads = std::array{1, 2, 3, 5, 8, 11, 16}[round % 7];
        const Places places = round++ % 2 == 0 ? Places(count) : Places(count, 13);
        const PlaneVector* vectors = places.vectors.empty() ? nullptr : places.vectors.data();
        const std::int64_t tiles = divided_up(std::ssize(places.position), kPositions), s_sum = entries * kSPlane + 7;
        const auto [shares, sums] = product.division_of(tiles, threads);
        ASSERT_LE(shares * sums, threads);
        divided_channels += sums > 1;
        std::vector<float> s(sums * s_sum, NAN);
        for (std::int64_t at = 0; at < shares; ++at) {
          for (std::int64_t sum = 0; sum < sums; ++sum) {
            const typename AmxProduct<T>::Share own{share(tiles, at, shares), share(tiles, at + 1, shares), sum, sums};
            product.form(own, x.data(), kPlane, count, vectors, s.data() + sum * s_sum, kSPlane, static_cast<int>(at % kThreads));
          }
        }
        for (std::int64_t e = 0; e < entries; ++e) {
          for (std::int64_t i = 0; i < kSPlane; ++i) {
            const bool written = i < std::ssize(places.position);
            float found = 0;
            for (std::int64_t sum = 0; sum < sums; ++sum) {
              const float own = s[sum * s_sum + e * kSPlane + i];
              ASSERT_EQ(std::isnan(own), !written) << entries << " entries, " << channels << " channels, " << count << " positions: entry " << e << ", element " << i << " of sum " << sum;
              found += own;
            }
            if (!written) continue;
            double expected = 0, size = 0;
            for (std::int64_t c = 0; places.position[i] >= 0 && c < channels; ++c) {
              const double term = static_cast<double>(dictionary[e * channels + c]) * widened(x[c * kPlane + places.position[i]]);
              expected += term;
              size += std::abs(term);
            }
            ASSERT_NEAR(found, expected, 2e-7 * size) << entries << " entries, " << channels << " channels, " << count << " positions: entry " << e << ", element " << i;
          }
        }
      }
    }
  }
  EXPECT_GE(divided_channels, 5);
}

}  // namespace
}  // namespace lcnn::cpu
