// wgmma_gather with tiles of every kind: one image or several, strips of rows, clusters of every size, one tile a cluster or many.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/rotated_timing.h"
#include "kernels/cuda/wgmma_gather_source.h"
#include "kernels/cuda/wgmma_test_problems.h"
#include "kernels/reference.h"
#include "kernels/tuning_cache.h"
#include "variants/runtime.h"
#include "variants/test_device.h"

namespace lcnn::cuda {
namespace {

class WgmmaGather : public testing::TestWithParam<Precision> {};

TEST_P(WgmmaGather, MatchesTheFloat64ReferenceWithTilesOfEveryKind) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  const Precision precision = GetParam();
  TestDevice device(Device::cuda, Tuning::libraries);
  const DeviceLimits limits;
  const char* wanted = std::getenv("LCNN_TEST_PROBLEMS");
  const std::uint64_t problems = wanted == nullptr ? 16 : std::min(16ull, std::stoull(wanted));  // each tile is compiled
  std::set<int> clusters;
  int computed = 0;
  std::string unsupported;
  for (std::uint64_t seed = 0; seed < problems; ++seed) {
    const TestProblem test = wgmma_problem(seed, 150'000'000);  // more tiles than a device has multiprocessors
    if (unsupported = wgmma_gather.why_unsupported(test.problem, precision, Layout::nhwc); !unsupported.empty()) continue;
    const LookupWeights weights = test.weights(precision);
    const std::vector<float> input = test.input(precision);
    const std::vector<double> expected = reference_lookup_conv2d(test.problem, weights, std::vector<double>(input.begin(), input.end()));
    const VectorForm form = vector_form(test.problem, weights);
    const std::string key = tuning_key(device_name(), "wgmma_gather", form.problem, precision, form.weights.lookups.lookups());
    std::set<std::tuple<int, bool, int>> kinds;
    for (const WgmmaGatherTile& tile : wgmma_gather_tiles(form.problem, precision, form.weights.lookups.lookups(), limits.shared_bytes, limits.multiprocessors)) {
      if (!kinds.insert({std::min(tile.images, 2), tile.rows < test.problem.conv.out_height(), tile.cluster}).second) continue;
      TuningCache::of_process().store(key, tile_name(tile));
      const Comparison found = compare(device.run(wgmma_gather, test, weights, precision, Layout::nhwc), expected);
      ASSERT_TRUE(found.rel_err <= tolerance(precision)) << tile_name(tile) << " " << test << "\nrel_err " << found.rel_err << ", not finite: " << found.non_finite;
      clusters.insert(tile.cluster);
      ++computed;
    }
  }
  if (computed == 0) GTEST_SKIP() << "supports none of them: " << unsupported;
  RecordProperty("runs", computed);
  if (wanted == nullptr) {
    EXPECT_TRUE(std::ranges::includes(clusters, std::set{1, 2, 4})) << clusters.size() << " sizes of clusters";
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, WgmmaGather, testing::Values(Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16),
                         [](const auto& info) { return "cuda_wgmma_gather_tiles_" + std::string(to_string(info.param)); });

}  // namespace
}  // namespace lcnn::cuda
