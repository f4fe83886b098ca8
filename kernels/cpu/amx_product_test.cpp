#include "kernels/cpu/amx_product.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "kernels/cpu/poisoning_heap.h"
#include "kernels/random.h"

namespace lcnn::cpu {
namespace {

template <typename T>
class AmxProductOf : public testing::Test {};
using Stored = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(AmxProductOf, Stored);

TYPED_TEST(AmxProductOf, MatchesFloat64AndWritesNothingElse) {
  using T = TypeParam;
  if (!has_amx_bf16()) GTEST_SKIP() << "this processor has no AMX-BF16, or the system does not allow it";
  PoisoningHeap allocator;
  constexpr int kThreads = 2;
  int round = 0, divided_channels = 0;
  constexpr std::int64_t kPlane = 131, kSPlane = 150;
  for (const std::int64_t entries : {1, 16, 30, 33, 64, 100}) {
    for (const std::int64_t channels : {1, 5, 32, 70}) {
      for (const std::int64_t count : {16, 17, 32, 45, 64, 100}) {
        const auto rounded = [](std::uint64_t seed, std::int64_t i) { return widened(narrowed<T>(random_value(seed, static_cast<std::uint64_t>(i)))); };
        std::vector<float> dictionary(entries * channels);
        for (std::int64_t i = 0; i < std::ssize(dictionary); ++i) dictionary[i] = rounded(1, i);
        std::vector<T> x(channels * kPlane);
        for (std::int64_t i = 0; i < std::ssize(x); ++i) x[i] = narrowed<T>(rounded(2, i));
        const AmxProduct<T> product(dictionary, entries, channels, kThreads, allocator);
        const int parts = std::array{1, 2, 3, 5, 8, 11, 16}[round++ % 7];
        const std::int64_t partial_sums = product.partial_sums(count, parts), s_sum = entries * kSPlane + 7;
        divided_channels += partial_sums > 1;
        std::vector<float> s(partial_sums * s_sum, NAN);
        for (int part = 0; part < parts; ++part) product.form(x.data(), kPlane, count, s.data(), kSPlane, s_sum, part, parts, part % kThreads);
        for (std::int64_t e = 0; e < entries; ++e) {
          for (std::int64_t p = 0; p < kSPlane; ++p) {
            float found = 0;
            for (std::int64_t sum = 0; sum < partial_sums; ++sum) {
              const float own = s[sum * s_sum + e * kSPlane + p];
              ASSERT_EQ(std::isnan(own), p >= count) << entries << " entries, " << channels << " channels, " << count << " positions: entry " << e << ", position " << p << " of sum " << sum;
              found += own;
            }
            if (p >= count) continue;
            double expected = 0, size = 0;
            for (std::int64_t c = 0; c < channels; ++c) {
              const double term = static_cast<double>(dictionary[e * channels + c]) * widened(x[c * kPlane + p]);
              expected += term;
              size += std::abs(term);
            }
            ASSERT_NEAR(found, expected, 2e-7 * size) << entries << " entries, " << channels << " channels, " << count << " positions: entry " << e << ", position " << p;
          }
        }
      }
    }
  }
  EXPECT_GE(divided_channels, 5);
}

}  // namespace
}  // namespace lcnn::cpu
