#include "profiles/range_counters.h"

#if LCNN_HAS_CUPTI && __has_include(<cupti_range_profiler.h>)

#include <cuda_runtime_api.h>
#include <cupti_profiler_host.h>
#include <cupti_range_profiler.h>
#include <cupti_target.h>
#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>

#include "profiles/cupti_error.h"
#include "profiles/cupti_turn.h"

namespace lcnn::profiles {
namespace {

using Image = std::vector<std::uint8_t>;

void wait_for_device() {
  if (const cudaError_t status = cudaDeviceSynchronize(); status != cudaSuccess) {
    throw std::runtime_error(fmt::format("cudaDeviceSynchronize: {}", cudaGetErrorString(status)));
  }
}

// CUPTI's host side of one chip, for one set of counters.
class HostObject {
 public:
  HostObject(const std::string& chip, const Image& availability) {
    auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_Host_Initialize_Params);
    parameters.profilerType = CUPTI_PROFILER_TYPE_RANGE_PROFILER;
    parameters.pChipName = chip.c_str();
    parameters.pCounterAvailabilityImage = availability.empty() ? nullptr : availability.data();
    check(cuptiProfilerHostInitialize(&parameters), "cuptiProfilerHostInitialize");
    object_ = parameters.pHostObject;
  }
  ~HostObject() {
    auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_Host_Deinitialize_Params);
    parameters.pHostObject = object_;
    cuptiProfilerHostDeinitialize(&parameters);
  }
  HostObject(const HostObject&) = delete;
  HostObject& operator=(const HostObject&) = delete;

  CUpti_Profiler_Host_Object* get() const { return object_; }
  bool knows(const char* metric) const {
    auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_Host_GetMetricProperties_Params);
    parameters.pHostObject = object_;
    parameters.pMetricName = metric;
    const CUptiResult result = cuptiProfilerHostGetMetricProperties(&parameters);
    if (result != CUPTI_ERROR_INVALID_METRIC_NAME) check(result, "cuptiProfilerHostGetMetricProperties");
    return result == CUPTI_SUCCESS;
  }
  CUptiResult add(std::span<const char*> metrics) const {
    auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_Host_ConfigAddMetrics_Params);
    parameters.pHostObject = object_;
    parameters.ppMetricNames = metrics.data();
    parameters.numMetrics = metrics.size();
    return cuptiProfilerHostConfigAddMetrics(&parameters);
  }

 private:
  CUpti_Profiler_Host_Object* object_ = nullptr;
};

// Which counters a chip has, how they are programmed, what their values mean.
class HostProfiler {
 public:
  // `availability`: of this device's counters; may be empty for chips that CUPTI knows.
  HostProfiler(const std::string& chip, const Image& availability) : host_(chip, availability) {
    for (const CounterMetric& metric : counter_metrics()) {
      const char* name = metric.cupti_name;
      // Those that exist but cannot be had on this device are refused when they are added, all with them: each is tried alone.
      if (!host_.knows(name) || HostObject(chip, availability).add({&name, 1}) != CUPTI_SUCCESS) {
        missing_.emplace_back(name);
        continue;
      }
      names_.push_back(name);
      members_.push_back(metric.value);
    }
    if (names_.empty()) throw std::runtime_error("the chip has none of the counters");
    make_config();
  }

  const std::vector<std::string>& missing() const { return missing_; }
  std::size_t passes() const { return passes_; }
  const Image& config() const { return config_; }
  std::vector<const char*>& names() { return names_; }

  Counters evaluate(const Image& data, std::size_t range) {
    std::vector<double> values(names_.size());
    auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_Host_EvaluateToGpuValues_Params);
    parameters.pHostObject = host_.get();
    parameters.pCounterDataImage = data.data();
    parameters.counterDataImageSize = data.size();
    parameters.rangeIndex = range;
    parameters.ppMetricNames = names_.data();
    parameters.numMetrics = names_.size();
    parameters.pMetricValues = values.data();
    check(cuptiProfilerHostEvaluateToGpuValues(&parameters), "cuptiProfilerHostEvaluateToGpuValues");
    Counters counters;
    for (std::size_t i = 0; i < values.size(); ++i) counters.*members_[i] = values[i];
    return counters;
  }

 private:
  void make_config() {
    check(host_.add(names_), "cuptiProfilerHostConfigAddMetrics");
    auto size = CUPTI_PARAMETERS(CUpti_Profiler_Host_GetConfigImageSize_Params);
    size.pHostObject = host_.get();
    check(cuptiProfilerHostGetConfigImageSize(&size), "cuptiProfilerHostGetConfigImageSize");
    config_.resize(size.configImageSize);
    auto image = CUPTI_PARAMETERS(CUpti_Profiler_Host_GetConfigImage_Params);
    image.pHostObject = host_.get();
    image.configImageSize = config_.size();
    image.pConfigImage = config_.data();
    check(cuptiProfilerHostGetConfigImage(&image), "cuptiProfilerHostGetConfigImage");
    auto passes = CUPTI_PARAMETERS(CUpti_Profiler_Host_GetNumOfPasses_Params);
    passes.configImageSize = config_.size();
    passes.pConfigImage = config_.data();
    check(cuptiProfilerHostGetNumOfPasses(&passes), "cuptiProfilerHostGetNumOfPasses");
    passes_ = passes.numOfPasses;
  }

  HostObject host_;
  std::vector<const char*> names_;  // those that the chip has, and where their values go
  std::vector<std::optional<double> Counters::*> members_;
  std::vector<std::string> missing_;
  Image config_;
  std::size_t passes_ = 0;
};

// The device's side, enabled as long as it lives.
class Target {
 public:
  Target(CUcontext context, HostProfiler& host, std::size_t most_ranges, CUpti_ProfilerRange kind, CUpti_ProfilerReplayMode replay) {
    auto enable = CUPTI_PARAMETERS(CUpti_RangeProfiler_Enable_Params);
    enable.ctx = context;
    check(cuptiRangeProfilerEnable(&enable), "cuptiRangeProfilerEnable");
    profiler_ = enable.pRangeProfilerObject;
    try {
      make_data(host, most_ranges);
      configure(host.config(), most_ranges, kind, replay);
    } catch (...) {
      disable();
      throw;
    }
  }
  ~Target() { disable(); }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  const Image& data() const { return data_; }

  void start() {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_Start_Params));
    check(cuptiRangeProfilerStart(&parameters), "cuptiRangeProfilerStart");
  }
  void push(const char* name) {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_PushRange_Params));
    parameters.pRangeName = name;
    check(cuptiRangeProfilerPushRange(&parameters), "cuptiRangeProfilerPushRange");
  }
  void pop() {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_PopRange_Params));
    check(cuptiRangeProfilerPopRange(&parameters), "cuptiRangeProfilerPopRange");
  }
  bool stop_was_last() {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_Stop_Params));
    check(cuptiRangeProfilerStop(&parameters), "cuptiRangeProfilerStop");
    return parameters.isAllPassSubmitted != 0;
  }
  void stop_after_failure(bool pushed) noexcept {
    auto pop = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_PopRange_Params));
    if (pushed) cuptiRangeProfilerPopRange(&pop);
    auto stop = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_Stop_Params));
    cuptiRangeProfilerStop(&stop);
  }
  // Returns how many ranges found no room.
  std::size_t decode() {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_DecodeData_Params));
    check(cuptiRangeProfilerDecodeData(&parameters), "cuptiRangeProfilerDecodeData");
    return parameters.numOfRangeDropped;
  }
  std::size_t ranges() const {
    auto parameters = CUPTI_PARAMETERS(CUpti_RangeProfiler_GetCounterDataInfo_Params);
    parameters.pCounterDataImage = data_.data();
    parameters.counterDataImageSize = data_.size();
    check(cuptiRangeProfilerGetCounterDataInfo(&parameters), "cuptiRangeProfilerGetCounterDataInfo");
    return parameters.numTotalRanges;
  }

 private:
  template <typename Parameters>
  Parameters object(Parameters parameters) const {
    parameters.pRangeProfilerObject = profiler_;
    return parameters;
  }

  void make_data(HostProfiler& host, std::size_t most_ranges) {
    auto size = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_GetCounterDataSize_Params));
    size.pMetricNames = host.names().data();
    size.numMetrics = host.names().size();
    size.maxNumOfRanges = most_ranges;
    size.maxNumRangeTreeNodes = static_cast<std::uint32_t>(most_ranges);
    check(cuptiRangeProfilerGetCounterDataSize(&size), "cuptiRangeProfilerGetCounterDataSize");
    data_.resize(size.counterDataSize);
    auto initialize = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_CounterDataImage_Initialize_Params));
    initialize.counterDataSize = data_.size();
    initialize.pCounterData = data_.data();
    check(cuptiRangeProfilerCounterDataImageInitialize(&initialize), "cuptiRangeProfilerCounterDataImageInitialize");
  }

  void configure(const Image& config, std::size_t most_ranges, CUpti_ProfilerRange kind, CUpti_ProfilerReplayMode replay) {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_SetConfig_Params));
    parameters.pConfig = config.data();
    parameters.configSize = config.size();
    parameters.pCounterDataImage = data_.data();
    parameters.counterDataImageSize = data_.size();
    parameters.range = kind;
    parameters.replayMode = replay;
    parameters.maxRangesPerPass = most_ranges;
    parameters.numNestingLevels = 1;
    parameters.minNestingLevel = 1;
    parameters.passIndex = 0;
    parameters.targetNestingLevel = 1;
    check(cuptiRangeProfilerSetConfig(&parameters), "cuptiRangeProfilerSetConfig");
  }

  void disable() {
    auto parameters = object(CUPTI_PARAMETERS(CUpti_RangeProfiler_Disable_Params));
    cuptiRangeProfilerDisable(&parameters);
  }

  CUpti_RangeProfiler_Object* profiler_ = nullptr;
  Image data_;
};

std::string current_chip() {
  auto parameters = CUPTI_PARAMETERS(CUpti_Device_GetChipName_Params);
  int device = 0;
  if (const cudaError_t status = cudaGetDevice(&device); status != cudaSuccess) {
    throw std::runtime_error(fmt::format("cudaGetDevice: {}", cudaGetErrorString(status)));
  }
  parameters.deviceIndex = static_cast<std::size_t>(device);
  check(cuptiDeviceGetChipName(&parameters), "cuptiDeviceGetChipName");
  return parameters.pChipName;
}

Image counter_availability(CUcontext context) {
  auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_GetCounterAvailability_Params);
  parameters.ctx = context;
  check(cuptiProfilerGetCounterAvailability(&parameters), "cuptiProfilerGetCounterAvailability");
  Image image(parameters.counterAvailabilityImageSize);
  parameters.pCounterAvailabilityImage = image.data();
  check(cuptiProfilerGetCounterAvailability(&parameters), "cuptiProfilerGetCounterAvailability");
  return image;
}

void initialize_profiler() {
  auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_Initialize_Params);
  check(cuptiProfilerInitialize(&parameters), "cuptiProfilerInitialize");
}

class CuptiRangeCounters final : public RangeCounters {
 public:
  CuptiRangeCounters() {
    const CuptiTurn turn(kTurn);
    initialize_profiler();
    context_ = current_context();
    require_supported(CUPTI_PROFILER_RANGE_PROFILING);
    host_ = std::make_unique<HostProfiler>(current_chip(), counter_availability(context_));
    const Target permitted(context_, *host_, 1, CUPTI_UserRange, CUPTI_UserReplay);
  }
  ~CuptiRangeCounters() override {
    host_.reset();
    auto parameters = CUPTI_PARAMETERS(CUpti_Profiler_DeInitialize_Params);
    cuptiProfilerDeInitialize(&parameters);
  }

  Counters count(const std::string& range, const std::function<void()>& work) override {
    const CuptiTurn turn(kTurn);
    wait_for_device();
    Target target(context_, *host_, 1, CUPTI_UserRange, CUPTI_UserReplay);
    std::size_t done = 0;
    for (bool last = false; !last; ++done) {
      // More passes than were announced would repeat the work for ever.
      if (done > 4 * passes() + 4) throw std::runtime_error(fmt::format("{}: the counters need no end of passes", range));
      target.start();
      target.push(range.c_str());
      try {
        work();
        wait_for_device();
      } catch (...) {
        target.stop_after_failure(/*pushed=*/true);
        throw;
      }
      target.pop();
      last = target.stop_was_last();
    }
    target.decode();
    if (target.ranges() != 1) throw std::runtime_error(fmt::format("{}: CUPTI counted {} ranges, not 1", range, target.ranges()));
    return host_->evaluate(target.data(), 0);
  }

  std::vector<Counters> count_kernels(std::size_t most, const std::function<void()>& work) override {
    const CuptiTurn turn(kTurn);
    wait_for_device();
    Target target(context_, *host_, most, CUPTI_AutoRange, CUPTI_KernelReplay);
    target.start();
    try {
      work();
      wait_for_device();
    } catch (...) {
      target.stop_after_failure(/*pushed=*/false);
      throw;
    }
    target.stop_was_last();
    if (const std::size_t dropped = target.decode(); dropped > 0) {
      throw std::runtime_error(fmt::format("CUPTI had no room for {} of the kernels", dropped));
    }
    std::vector<Counters> kernels;
    const std::size_t ranges = target.ranges();
    for (std::size_t range = 0; range < ranges; ++range) kernels.push_back(host_->evaluate(target.data(), range));
    return kernels;
  }

  const std::vector<std::string>& missing() const override { return host_->missing(); }
  std::size_t passes() const override { return host_->passes(); }

 private:
  static constexpr const char* kTurn = "counters of ranges";
  CUcontext context_ = nullptr;
  std::unique_ptr<HostProfiler> host_;
};

}  // namespace

RangeCountersOrReason make_range_counters() {
  try {
    require_device();
    return {std::make_unique<CuptiRangeCounters>(), ""};
  } catch (const std::runtime_error& error) {
    return {nullptr, fmt::format("GPU counters: off, {}", error.what())};
  }
}

ChipCounters counters_of_chip(const std::string& chip) {
  const HostProfiler host(chip, {});
  return {host.missing(), host.passes()};
}

}  // namespace lcnn::profiles

#else

#include <stdexcept>

namespace lcnn::profiles {
namespace {
constexpr const char* kNotBuilt = "GPU counters: off, this program was built without CUPTI's range profiler (CUDA 12.6 or later)";
}

RangeCountersOrReason make_range_counters() { return {nullptr, kNotBuilt}; }
ChipCounters counters_of_chip(const std::string&) { throw std::runtime_error(kNotBuilt); }

}  // namespace lcnn::profiles

#endif
