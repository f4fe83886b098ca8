// wgmma_fused with tiles of every kind: X whole or in slices, P resident or in a ring, one tile a block or many, taking turns.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/rotated_timing.h"
#include "kernels/cuda/wgmma_source.h"
#include "kernels/reference.h"
#include "kernels/test_problems.h"
#include "kernels/tuning_cache.h"
#include "variants/runtime.h"
#include "variants/test_device.h"

namespace lcnn::cuda {
namespace {

TestProblem supported_problem(std::uint64_t seed) {
  std::uint64_t draw = 0;
  const auto among = [&](std::initializer_list<std::int64_t> values) { return *(values.begin() + random_bits(seed ^ 0x77676D6D61, draw++) % values.size()); };
  TestProblem test{.seed = seed};
  Conv2dProblem& conv = test.problem.conv;
  conv.in_channels = among({8, 16, 24, 64, 72, 136, 264});
  conv.out_channels = among({8, 40, 64, 72, 136, 264});
  conv.kernel = {among({1, 2, 3, 5}), among({1, 2, 3, 5})};
  conv.padding = {among({0, 1, 2}), among({0, 1, 2})};
  conv.dilation = {among({1, 1, 2}), among({1, 1, 2})};
  conv.height = (conv.kernel[0] - 1) * conv.dilation[0] + among({1, 2, 5, 11, 14});
  conv.width = (conv.kernel[1] - 1) * conv.dilation[1] + among({1, 3, 6, 13, 28, 70});
  conv.bias = among({0, 1}) == 1;
  test.problem.dictionary_size = among({1, 5, 16, 30, 64, 130, 250});
  if (test.problem.dictionary_size <= 5 && among({0, 1}) == 1) test.problem.granularity = Granularity::filter;
  test.sparsity = static_cast<double>(among({0, 1, 1, 1, 3})) * static_cast<double>(std::min<std::int64_t>(test.problem.dictionary_size, 4)) / 4;
  // More tiles than a device has multiprocessors, as far as the reference is quick.
  conv.batch = 1;
  const std::int64_t image = conv.height * conv.width * test.problem.dictionary_elements() +
                             conv.out_height() * conv.out_width() * conv.out_channels * conv.taps() * 4;
  conv.batch = among({1, 3, std::clamp<std::int64_t>(150'000'000 / image, 1, 400)});
  return test;
}

// Tiles that differ in how they work, the first of each kind.
std::vector<WgmmaTile> kinds_of(const VectorForm& form, Precision precision) {
  const DeviceLimits limits;
  std::set<std::tuple<bool, int, int, int>> seen;
  std::vector<WgmmaTile> kinds;
  for (const WgmmaTile& tile : wgmma_tiles(form.problem, precision, form.weights.lookups.lookups(), limits.shared_bytes, limits.multiprocessors)) {
    if (seen.insert({tile.stages > 0, tile.entry_buffers, tile.sets, tile.group_tiles}).second) kinds.push_back(tile);
  }
  return kinds;
}

class WgmmaFused : public testing::TestWithParam<Precision> {};

TEST_P(WgmmaFused, MatchesTheFloat64ReferenceWithTilesOfEveryKind) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  const Precision precision = GetParam();
  const double tolerance = precision == Precision::bf16 ? 1.6e-2 : 2e-3;  // half an ulp at every store
  TestDevice device(Device::cuda, Tuning::libraries);
  const char* wanted = std::getenv("LCNN_TEST_PROBLEMS");
  const std::uint64_t problems = wanted == nullptr ? 12 : std::min(12ull, std::stoull(wanted));  // each tile is compiled
  int computed = 0;
  std::string unsupported;
  for (std::uint64_t seed = 0; seed < problems; ++seed) {
    const TestProblem test = supported_problem(seed);
    if (unsupported = wgmma_fused.why_unsupported(test.problem, precision, Layout::nhwc); !unsupported.empty()) continue;
    const LookupWeights weights = test.weights(precision);
    const std::vector<float> input = test.input(precision);
    const std::vector<double> expected = reference_lookup_conv2d(test.problem, weights, std::vector<double>(input.begin(), input.end()));
    const VectorForm form = vector_form(test.problem, weights);
    const std::string key = tuning_key(device_name(), "wgmma_fused", form.problem, precision, form.weights.lookups.lookups());
    for (const WgmmaTile& tile : kinds_of(form, precision)) {
      TuningCache::of_process().store(key, tile_name(tile));
      const Comparison found = compare(device.run(wgmma_fused, test, weights, precision, Layout::nhwc), expected);
      ASSERT_TRUE(found.rel_err <= tolerance) << tile_name(tile) << " " << test << "\nrel_err " << found.rel_err << ", not finite: " << found.non_finite;
      ++computed;
    }
  }
  if (computed == 0) GTEST_SKIP() << "supports none of them: " << unsupported;
  RecordProperty("runs", computed);
}

INSTANTIATE_TEST_SUITE_P(Precisions, WgmmaFused, testing::Values(Precision::tf32, Precision::fp16, Precision::bf16),
                         [](const auto& info) { return "cuda_wgmma_fused_tiles_" + std::string(to_string(info.param)); });

}  // namespace
}  // namespace lcnn::cuda
