// What tests of tiles of every kind share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/rotated_timing.h"
#include "kernels/cuda/wgmma_test_problems.h"
#include "kernels/reference.h"
#include "kernels/tuning_cache.h"
#include "variants/runtime.h"
#include "variants/test_device.h"

namespace lcnn::cuda {

// Holds `variant` against the float64 reference on wgmma_problem(), the first `most_problems` or LCNN_TEST_PROBLEMS of them, with each of
// tiles_of(form, test problem, limits). Skips the test where there is no GPU or nothing is supported.
template <typename TilesOf>
void check_tiles(const Variant& variant, Precision precision, std::uint64_t most_problems, const TilesOf& tiles_of) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  TestDevice device(Device::cuda, Tuning::libraries);
  const DeviceLimits limits;
  const char* wanted = std::getenv("LCNN_TEST_PROBLEMS");
  const std::uint64_t problems = wanted == nullptr ? most_problems : std::min<std::uint64_t>(most_problems, std::stoull(wanted));  // each tile is compiled
  int computed = 0;
  std::string unsupported;
  for (std::uint64_t seed = 0; seed < problems; ++seed) {
    const TestProblem test = wgmma_problem(seed, 150'000'000);  // more tiles than a device has multiprocessors
    if (unsupported = variant.why_unsupported(test.problem, precision, Layout::nhwc); !unsupported.empty()) continue;
    const LookupWeights weights = test.weights(precision);
    const std::vector<float> input = test.input(precision);
    const std::vector<double> expected = reference_lookup_conv2d(test.problem, weights, std::vector<double>(input.begin(), input.end()));
    const VectorForm form = vector_form(test.problem, weights);
    const std::string key = tuning_key(device_name(), std::string(variant.name), form.problem, precision, form.weights.lookups.lookups());
    for (const auto& tile : tiles_of(form, test.problem, limits)) {
      TuningCache::of_process().store(key, tile_name(tile));
      const Comparison found = compare(device.run(variant, test, weights, precision, Layout::nhwc), expected);
      ASSERT_TRUE(found.rel_err <= tolerance(precision)) << tile_name(tile) << " " << test << "\nrel_err " << found.rel_err << ", not finite: " << found.non_finite;
      ++computed;
    }
  }
  if (computed == 0) GTEST_SKIP() << "supports none of them: " << unsupported;
  testing::Test::RecordProperty("runs", computed);
}

}  // namespace lcnn::cuda
