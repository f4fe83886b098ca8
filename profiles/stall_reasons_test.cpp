#include "profiles/stall_reasons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "profiles/cupti_source.h"
#include "profiles/range_counters.h"
#include "profiles/sampling_pause.h"

#if LCNN_HAS_CUDA
#include <cuda_runtime_api.h>

#include "profiles/test_kernels.h"
#endif

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(StallName, IsTheReasonAndEmptyForSamplesThatAreCountedAlready) {
  EXPECT_EQ(stall_name("smsp__pcsamp_warps_issue_stalled_long_scoreboard"), "long scoreboard");
  EXPECT_EQ(stall_name("smsp__pcsamp_warps_issue_stalled_selected"), "selected");
  EXPECT_EQ(stall_name("smsp__pcsamp_warps_issue_stalled_long_scoreboard_not_issued"), "");
  EXPECT_EQ(stall_name("smsp__pcsamp_samples_data_dropped"), "");
}

TEST(KernelStalls, TextSaysWhatWarpsWaitFor) {
  const KernelStalls stalls{.kernel = "k", .samples = 200,
                            .reasons = {{"long scoreboard", 120}, {"barrier", 30}, {"something new", 10}, {"drain", 0}}};
  EXPECT_EQ(to_text(stalls, 2), "60% global memory (long scoreboard), 15% other warps of the block (barrier)");
  EXPECT_EQ(to_text(stalls, 9), "60% global memory (long scoreboard), 15% other warps of the block (barrier), "
                                "5% something new (something new)");
  EXPECT_EQ(to_text(KernelStalls{}, 3), "no samples");
  EXPECT_EQ(to_text(KernelStalls{.samples = 5}, 3), "no stalls");
}

TEST(KernelStalls, JsonHasEveryReason) {
  const nlohmann::ordered_json json = to_json(StallSamples{.kernels = {{.kernel = "k", .samples = 3, .reasons = {{"wait", 2}}}}, .dropped = 7, .unnamed = 5});
  EXPECT_EQ(json["dropped_samples"], 7);
  EXPECT_EQ(json["unnamed_samples"], 5);
  EXPECT_EQ(json["kernels"][0]["kernel"].get<std::string>(), "k");
  EXPECT_EQ(json["kernels"][0]["stalled"]["wait"], 2);
}

TEST(StallSampler, IsThereOrSaysWhyNot) {
  const StallSamplerOrReason made = make_stall_sampler();
  if (made.sampler != nullptr) {
    EXPECT_EQ(made.why_not, "");
  } else {
    EXPECT_THAT(made.why_not, StartsWith("stall reasons: off, "));
    EXPECT_EQ(made.why_not.find('\n'), std::string::npos);
    std::printf("%s\n", made.why_not.c_str());
  }
}

#if LCNN_HAS_CUDA

// One sampler for all: it names kernels that are launched for the first time after it was made.
class StallSamplerOnDevice : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    StallSamplerOrReason made = make_stall_sampler();
    sampler_ = std::move(made.sampler);
    why_not_ = made.why_not;
  }
  static void TearDownTestSuite() { sampler_.reset(); }
  void SetUp() override {
    if (sampler_ == nullptr) GTEST_SKIP() << why_not_;
    ASSERT_EQ(cudaMalloc(&memory_, kBytes), cudaSuccess);
    std::vector<std::uint32_t> next(kBytes / sizeof(std::uint32_t));
    for (std::size_t i = 0; i < next.size(); ++i) next[i] = static_cast<std::uint32_t>((i * 40503 + 12345) % next.size());
    ASSERT_EQ(cudaMemcpy(memory_, next.data(), kBytes, cudaMemcpyHostToDevice), cudaSuccess);
  }
  void TearDown() override { cudaFree(memory_); }

  StallSamples sample(const std::function<void()>& work) {
    work();
    StallSamples found = sampler_->sample(work);
    for (const KernelStalls& kernel : found.kernels) {
      std::printf("%s: %ld samples, %s\n", kernel.kernel.c_str(), static_cast<long>(kernel.samples), to_text(kernel, 5).c_str());
    }
    std::printf("dropped: %ld, unnamed: %ld\n", static_cast<long>(found.dropped), static_cast<long>(found.unnamed));
    return found;
  }

  static constexpr std::size_t kBytes = std::size_t{512} << 20;
  inline static std::shared_ptr<StallSampler> sampler_;
  inline static std::string why_not_;
  void* memory_ = nullptr;
};

TEST_F(StallSamplerOnDevice, ChasedPointersWaitForGlobalMemory) {
  auto* const next = static_cast<std::uint32_t*>(memory_);
  const StallSamples found = sample([&] { launch_pointer_chase(next, 4000, next); });
  ASSERT_EQ(found.kernels.size(), 1u);
  EXPECT_THAT(found.kernels[0].kernel, HasSubstr("pointer_chase"));
  EXPECT_GT(found.kernels[0].samples, 100);
  ASSERT_FALSE(found.kernels[0].reasons.empty());
  EXPECT_EQ(found.kernels[0].reasons[0].name, "long scoreboard");
}

TEST_F(StallSamplerOnDevice, KernelsAreSampledApart) {
  auto* const sink = static_cast<float*>(memory_);
  const StallSamples found = sample([&] {
    launch_fma_chains(100000, sink);
    launch_bank_conflicts(20000, static_cast<int*>(memory_));
  });
  ASSERT_EQ(found.kernels.size(), 2u);
  for (const KernelStalls& kernel : found.kernels) EXPECT_GT(kernel.samples, 100) << kernel.kernel;
}

TEST_F(StallSamplerOnDevice, WhatTheWorkThrowsComesThroughAndSamplingGoesOn) {
  EXPECT_THROW(sampler_->sample([] { throw std::invalid_argument("no"); }), std::invalid_argument);
  EXPECT_EQ(sample([&] { launch_fma_chains(100000, static_cast<float*>(memory_)); }).kernels.size(), 1u);
}

TEST_F(StallSamplerOnDevice, RecordsAndCountersAreRefusedInALineButInPausesAfterWhichNamesAreKnownStill) {
  const auto work = [&] { launch_fma_chains(100000, static_cast<float*>(memory_)); };
  work();
  EXPECT_THAT(make_cupti_source().why_not, HasSubstr("CUPTI takes no activity records while it takes samples of stalls"));
  EXPECT_THAT(make_range_counters().why_not, HasSubstr("CUPTI takes no counters of ranges while it takes samples of stalls"));
  {
    const SamplingPause pause(sampler_);
    CuptiSource cupti = make_cupti_source();
    ASSERT_EQ(cupti.why_not, "");
    Recorder recorder;
    recorder.add(std::move(cupti.source));
    {
      const Recording recording(&recorder);
      work();
    }
    EXPECT_EQ(recorder.profile().device.size(), 1u);
    const RangeCountersOrReason made = make_range_counters();
    ASSERT_EQ(made.why_not, "");
    EXPECT_TRUE(made.counters->count("paused", work).duration_ns);
  }
  const StallSamples found = sample(work);
  ASSERT_EQ(found.kernels.size(), 1u);
  EXPECT_THAT(found.kernels[0].kernel, HasSubstr("fma_chains"));
  EXPECT_EQ(found.unnamed, 0);
}

#endif

}  // namespace
}  // namespace lcnn::profiles
