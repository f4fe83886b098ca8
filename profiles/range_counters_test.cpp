// On a machine without a GPU: which counters chips have, and that the reason is said. With one: counts that are known.
#include "profiles/range_counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "profiles/cupti_source.h"
#include "profiles/diagnosis.h"
#include "profiles/nvtx_ranges.h"

#if LCNN_HAS_CUDA
#include <cuda_runtime_api.h>

#include "profiles/test_kernels.h"
#endif

namespace lcnn::profiles {
namespace {

using testing::IsEmpty;
using testing::StartsWith;

TEST(RangeCounters, HopperHasEveryCounterAndTakesThemInOnePass) {
  ChipCounters hopper, ampere;
  try {
    hopper = counters_of_chip("GH100");
    ampere = counters_of_chip("GA100");
  } catch (const std::runtime_error& error) {
    if (!std::string(error.what()).starts_with("GPU counters: off, this program was built without")) throw;
    GTEST_SKIP() << error.what();
  }
  EXPECT_THAT(hopper.missing, IsEmpty());
  EXPECT_EQ(hopper.passes, 1u);
  EXPECT_LT(ampere.missing.size(), counter_metrics().size());
  EXPECT_THROW(counters_of_chip("no chip"), std::runtime_error);
}

TEST(RangeCounters, AreThereOrSayWhyNot) {
  const RangeCountersOrReason made = make_range_counters();
  if (made.counters != nullptr) {
    EXPECT_EQ(made.why_not, "");
  } else {
    EXPECT_THAT(made.why_not, StartsWith("GPU counters: off, "));
    EXPECT_EQ(made.why_not.find('\n'), std::string::npos);
    std::printf("%s\n", made.why_not.c_str());
  }
}

#if LCNN_HAS_CUDA

class RangeCountersOnDevice : public testing::Test {
 protected:
  void SetUp() override {
    RangeCountersOrReason made = make_range_counters();
    if (made.counters == nullptr) GTEST_SKIP() << made.why_not;
    counters_ = std::move(made.counters);
    std::printf("%zu passes\n", counters_->passes());
    for (const std::string& name : counters_->missing()) std::printf("missing: %s\n", name.c_str());
  }
  void TearDown() override {
    for (void* memory : memory_) cudaFree(memory);
  }
  template <typename T>
  T* allocate(std::size_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) != cudaSuccess || cudaMemset(memory, 0, bytes) != cudaSuccess) throw std::runtime_error("cudaMalloc");
    memory_.push_back(memory);
    return static_cast<T*>(memory);
  }
  Counters count(const char* name, const std::function<void()>& work) {
    work();  // what is loaded at the first launch is not counted
    const Counters found = counters_->count(name, work);
    std::printf("%s: %s\n  %s\n", name, to_text(found).c_str(), diagnosis(found, {}).c_str());
    return found;
  }
  std::unique_ptr<RangeCounters> counters_;
  std::vector<void*> memory_;
};

TEST_F(RangeCountersOnDevice, ACopyReadsAndWritesItsBytesOnce) {
  constexpr std::size_t kBytes = std::size_t{2} << 30;  // the L2 holds 3% of it
  auto* const from = allocate<float4>(kBytes);
  auto* const to = allocate<float4>(kBytes);
  const Counters found = count("copy", [&] { launch_copy(from, to, kBytes / sizeof(float4)); });
  ASSERT_TRUE(found.dram_read_bytes && found.dram_write_bytes && found.duration_ns);
  EXPECT_NEAR(*found.dram_read_bytes / kBytes, 1, 0.05);
  EXPECT_NEAR(*found.dram_write_bytes / kBytes, 1, 0.05);
  EXPECT_GT(*found.duration_ns, 0);
  EXPECT_EQ(bound_of(found), Bound::memory);
}

TEST_F(RangeCountersOnDevice, SharedMemorysBankConflictsAreCounted) {
  int* const sink = allocate<int>(4);
  const Counters found = count("bank conflicts", [&] { launch_bank_conflicts(4096, sink); });
  ASSERT_TRUE(found.shared_wavefronts && found.shared_conflicts);
  EXPECT_NEAR(*found.shared_conflicts / *found.shared_wavefronts, 31.0 / 32, 0.1);
  EXPECT_EQ(bound_of(found), Bound::shared_memory);
}

TEST_F(RangeCountersOnDevice, EveryKernelHasItsOwnCountersInTheOrderOfLaunches) {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  auto* const from = allocate<float4>(kBytes);
  auto* const to = allocate<float4>(kBytes);
  float* const sink = allocate<float>(4);
  const auto work = [&] {
    launch_fma_chains(10000, sink);
    launch_copy(from, to, kBytes / sizeof(float4));
    launch_fma_chains(10000, sink);
  };
  work();
  const std::vector<Counters> kernels = counters_->count_kernels(8, work);
  for (const Counters& kernel : kernels) std::printf("kernel: %s\n", to_text(kernel).c_str());
  ASSERT_EQ(kernels.size(), 3u);
  for (const std::size_t arithmetic : {0u, 2u}) {
    EXPECT_GT(kernels[arithmetic].fma_percent.value_or(0), 50) << arithmetic;
    EXPECT_LT(kernels[arithmetic].dram_percent.value_or(100), 20) << arithmetic;
  }
  EXPECT_GT(kernels[1].dram_percent.value_or(0), 50);
  EXPECT_LT(kernels[1].fma_percent.value_or(100), 20);
}

TEST_F(RangeCountersOnDevice, WhatTheWorkThrowsComesThroughAndCountingGoesOn) {
  float* const sink = allocate<float>(4);
  EXPECT_THROW(counters_->count("fails", [] { throw std::invalid_argument("no"); }), std::invalid_argument);
  EXPECT_TRUE(count("after it", [&] { launch_fma_chains(1000, sink); }).duration_ns);
}

TEST_F(RangeCountersOnDevice, RecordingBeforeAndAfterCountingWorks) {
  CuptiSource cupti = make_cupti_source();
  if (cupti.source == nullptr) GTEST_SKIP() << cupti.why_not;
  float* const sink = allocate<float>(4);
  const auto work = [&] { launch_fma_chains(1000, sink); };
  Recorder recorder;
  recorder.add(std::move(cupti.source));
  for (int round = 0; round < 2; ++round) {
    {
      const Recording recording(&recorder);
      work();
    }
    EXPECT_TRUE(counters_->count("between recordings", work).duration_ns);
  }
  EXPECT_EQ(recorder.profile().device.size(), 2u);
  EXPECT_EQ(missing_records(recorder.profile()), "");
}

#endif

}  // namespace
}  // namespace lcnn::profiles
