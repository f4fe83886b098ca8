// batch_gather on CUDA where images fill a warp, more than one, and an odd number; channels have no lookup or more than a warp loads.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/reference.h"
#include "kernels/test_problems.h"
#include "variants/runtime.h"
#include "variants/test_device.h"

namespace lcnn::cuda {
namespace {

class BatchGather : public testing::TestWithParam<Precision> {};

TEST_P(BatchGather, MatchesTheFloat64ReferenceForBatchesOfEverySize) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  const Precision precision = GetParam();
  TestDevice device(Device::cuda, Tuning::none);
  std::uint64_t seed = 1;
  for (const std::int64_t batch : {1, 2, 31, 32, 37, 64, 70}) {
    for (const double sparsity : {0.3, 1.0, 4.0}) {
      for (const std::int64_t padding : {0, 1}) {
        const Conv2dProblem conv{.batch = batch, .in_channels = 40, .height = 5, .width = 6, .out_channels = 35, .kernel = {5, 6},
                                 .padding = {padding, padding}};
        const TestProblem test{.problem = {conv, 150, Granularity::vector}, .sparsity = sparsity, .seed = ++seed};
        const LookupWeights weights = test.weights(precision);
        const std::vector<float> input = test.input(precision);
        const std::vector<double> expected = reference_lookup_conv2d(test.problem, weights, std::vector<double>(input.begin(), input.end()));
        for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
          ASSERT_EQ(batch_gather.why_unsupported(test.problem, precision, layout), "");
          const Comparison found = compare(device.run(batch_gather, test, weights, precision, layout), expected);
          ASSERT_TRUE(found.rel_err <= tolerance(precision)) << to_string(layout) << " " << test << "\nrel_err " << found.rel_err;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, BatchGather, testing::Values(Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16),
                         [](const auto& info) { return "cuda_batch_gather_batches_" + std::string(to_string(info.param)); });

}  // namespace
}  // namespace lcnn::cuda
