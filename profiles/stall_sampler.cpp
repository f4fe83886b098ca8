#include "profiles/stall_reasons.h"

#include <fmt/format.h>

#if LCNN_HAS_CUPTI

#include <cuda_runtime_api.h>
#include <cupti_pcsampling.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "profiles/cupti_error.h"
#include "profiles/cupti_turn.h"
#include "profiles/demangle.h"

namespace lcnn::profiles {
namespace {

constexpr std::size_t kPcs = 4096;            // program counters that are read at a time
constexpr std::uint32_t kPeriodExponent = 11;  // a sample of each SM in 2^11 cycles
constexpr int kMostReads = 100'000;

// CUPTI's parameter structures of this header name their size otherwise than the others.
template <typename Parameters>
Parameters sized(std::size_t size, CUcontext context) {
  Parameters parameters{};
  parameters.size = size;
  parameters.ctx = context;
  return parameters;
}

// Room for samples, which CUPTI fills.
class PcBuffer {
 public:
  explicit PcBuffer(std::size_t reasons) : reasons_(reasons), stalls_(kPcs * reasons), pcs_(kPcs) {
    for (std::size_t i = 0; i < kPcs; ++i) {
      pcs_[i].size = sizeof pcs_[i];
      pcs_[i].stallReason = stalls_.data() + i * reasons;
    }
    data_.size = sizeof data_;
    data_.collectNumPcs = kPcs;
    data_.pPcData = pcs_.data();
    clear();
  }
  PcBuffer(const PcBuffer&) = delete;
  PcBuffer& operator=(const PcBuffer&) = delete;

  CUpti_PCSamplingData& data() { return data_; }
  // Functions' names stay: CUPTI's activity records share them.
  void clear() {
    for (CUpti_PCSamplingPCData& pc : pcs_) pc.stallReasonCount = reasons_;  // CUPTI writes how many there are, reads how many fit
    data_.totalNumPcs = 0;
    data_.droppedSamples = 0;
    data_.totalSamples = 0;
    data_.nonUsrKernelsTotalSamples = 0;
  }
  std::span<const CUpti_PCSamplingPCData> filled() const {
    return std::span(pcs_).first(std::min<std::size_t>(data_.totalNumPcs, kPcs));
  }
  bool holds_more() const { return data_.totalNumPcs > 0 || data_.remainingNumPcs > 0; }

 private:
  std::size_t reasons_;
  std::vector<CUpti_PCSamplingStallReason> stalls_;
  std::vector<CUpti_PCSamplingPCData> pcs_;
  CUpti_PCSamplingData data_{};
};

// The names of stall reasons by CUPTI's index.
std::map<std::uint32_t, std::string> reason_names(CUcontext context) {
  std::size_t count = 0;
  auto number = sized<CUpti_PCSamplingGetNumStallReasonsParams>(CUpti_PCSamplingGetNumStallReasonsParamsSize, context);
  number.numStallReasons = &count;
  check(cuptiPCSamplingGetNumStallReasons(&number), "cuptiPCSamplingGetNumStallReasons");
  std::vector<std::uint32_t> indices(count);
  std::vector<std::string> texts(count, std::string(CUPTI_STALL_REASON_STRING_SIZE, '\0'));
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  auto names = sized<CUpti_PCSamplingGetStallReasonsParams>(CUpti_PCSamplingGetStallReasonsParamsSize, context);
  names.numStallReasons = count;
  names.stallReasonIndex = indices.data();
  names.stallReasons = pointers.data();
  check(cuptiPCSamplingGetStallReasons(&names), "cuptiPCSamplingGetStallReasons");
  std::map<std::uint32_t, std::string> found;
  for (std::size_t i = 0; i < count; ++i) found[indices[i]] = texts[i].c_str();
  return found;
}

// Samples as they come, added up kernel by kernel.
class Sums {
 public:
  explicit Sums(const std::map<std::uint32_t, std::string>& names) : names_(names) {}

  void add(PcBuffer& buffer) {
    sums_.dropped += static_cast<std::int64_t>(buffer.data().droppedSamples);
    sums_.unnamed += static_cast<std::int64_t>(buffer.data().nonUsrKernelsTotalSamples);
    for (const CUpti_PCSamplingPCData& pc : buffer.filled()) {
      auto& [samples, reasons] = kernels_[demangled(pc.functionName)];
      for (std::size_t i = 0; i < pc.stallReasonCount; ++i) {
        const auto name = names_.find(pc.stallReason[i].pcSamplingStallReasonIndex);
        const std::string reason = name == names_.end() ? "" : stall_name(name->second);
        if (reason.empty()) continue;
        samples += pc.stallReason[i].samples;
        if (reason != "selected") reasons[reason] += pc.stallReason[i].samples;  // those were issued
      }
    }
  }

  StallSamples result() const {
    StallSamples found = sums_;
    for (const auto& [name, kernel] : kernels_) {
      KernelStalls& stalls = found.kernels.emplace_back(KernelStalls{.kernel = name, .samples = kernel.samples});
      for (const auto& [reason, samples] : kernel.reasons) stalls.reasons.push_back({reason, samples});
      std::ranges::stable_sort(stalls.reasons, std::greater{}, &StallReason::samples);
    }
    std::ranges::stable_sort(found.kernels, std::greater{}, &KernelStalls::samples);
    return found;
  }

 private:
  struct Kernel {
    std::int64_t samples = 0;
    std::map<std::string, std::int64_t> reasons;
  };
  const std::map<std::uint32_t, std::string>& names_;
  std::map<std::string, Kernel> kernels_;
  StallSamples sums_;
};

// Sampling of one context, enabled as long as it lives.
class Sampling {
 public:
  explicit Sampling(CUcontext context) : context_(context) {
    auto enable = sized<CUpti_PCSamplingEnableParams>(CUpti_PCSamplingEnableParamsSize, context_);
    check(cuptiPCSamplingEnable(&enable), "cuptiPCSamplingEnable");
    try {
      names_ = reason_names(context_);
      configured_ = std::make_unique<PcBuffer>(names_.size());
      read_ = std::make_unique<PcBuffer>(names_.size());
      configure();
    } catch (...) {
      disable();
      throw;
    }
  }
  ~Sampling() { disable(); }
  Sampling(const Sampling&) = delete;
  Sampling& operator=(const Sampling&) = delete;

  void start() const {
    auto parameters = sized<CUpti_PCSamplingStartParams>(CUpti_PCSamplingStartParamsSize, context_);
    check(cuptiPCSamplingStart(&parameters), "cuptiPCSamplingStart");
  }
  // The samples since start(): CUPTI hands in first what it put into the configured buffer, then what found no room there.
  StallSamples stop() {
    auto stop = sized<CUpti_PCSamplingStopParams>(CUpti_PCSamplingStopParamsSize, context_);
    check(cuptiPCSamplingStop(&stop), "cuptiPCSamplingStop");
    auto get = sized<CUpti_PCSamplingGetDataParams>(CUpti_PCSamplingGetDataParamsSize, context_);
    get.pcSamplingData = &read_->data();
    Sums sums(names_);
    for (int reads = 0, empty = 0; reads < kMostReads && empty < 2; ++reads) {
      read_->clear();
      check(cuptiPCSamplingGetData(&get), "cuptiPCSamplingGetData");
      sums.add(*read_);
      empty = read_->filled().empty() ? empty + 1 : 0;
      if (!read_->holds_more() && !configured_->holds_more()) break;
    }
    return sums.result();
  }

 private:
  void configure() {
    std::vector<CUpti_PCSamplingConfigurationInfo> attributes(4);
    attributes[0].attributeType = CUPTI_PC_SAMPLING_CONFIGURATION_ATTR_TYPE_COLLECTION_MODE;
    attributes[0].attributeData.collectionModeData.collectionMode = CUPTI_PC_SAMPLING_COLLECTION_MODE_CONTINUOUS;
    attributes[1].attributeType = CUPTI_PC_SAMPLING_CONFIGURATION_ATTR_TYPE_ENABLE_START_STOP_CONTROL;
    attributes[1].attributeData.enableStartStopControlData.enableStartStopControl = 1;
    attributes[2].attributeType = CUPTI_PC_SAMPLING_CONFIGURATION_ATTR_TYPE_SAMPLING_DATA_BUFFER;
    attributes[2].attributeData.samplingDataBufferData.samplingDataBuffer = &configured_->data();
    attributes[3].attributeType = CUPTI_PC_SAMPLING_CONFIGURATION_ATTR_TYPE_SAMPLING_PERIOD;
    attributes[3].attributeData.samplingPeriodData.samplingPeriod = kPeriodExponent;
    auto parameters = sized<CUpti_PCSamplingConfigurationInfoParams>(CUpti_PCSamplingConfigurationInfoParamsSize, context_);
    parameters.numAttributes = attributes.size();
    parameters.pPCSamplingConfigurationInfo = attributes.data();
    check(cuptiPCSamplingSetConfigurationAttribute(&parameters), "cuptiPCSamplingSetConfigurationAttribute");
    for (const CUpti_PCSamplingConfigurationInfo& attribute : attributes) {
      check(attribute.attributeStatus, "cuptiPCSamplingSetConfigurationAttribute, an attribute");
    }
  }

  void disable() const noexcept {
    auto parameters = sized<CUpti_PCSamplingDisableParams>(CUpti_PCSamplingDisableParamsSize, context_);
    cuptiPCSamplingDisable(&parameters);
  }

  CuptiTurn turn_{"samples of stalls"};
  CUcontext context_;
  std::map<std::uint32_t, std::string> names_;
  std::unique_ptr<PcBuffer> configured_, read_;  // CUPTI's threads fill the one, GetData() empties it into the other
};

class CuptiStallSampler final : public StallSampler {
 public:
  CuptiStallSampler() : context_(current_context()) {
    require_supported(CUPTI_PROFILER_PC_SAMPLING);
    sampling_.emplace(context_);
  }

 private:
  StallSamples take(const std::function<void()>& work) override {
    wait();
    if (!sampling_) sampling_.emplace(context_);  // enable() could not
    sampling_->start();
    try {
      work();
      wait();
    } catch (...) {
      sampling_->stop();
      throw;
    }
    StallSamples found = sampling_->stop();
    if (found.kernels.empty() && found.unnamed == 0) throw std::runtime_error("CUPTI took no sample");
    return found;
  }

  void disable() override { sampling_.reset(); }
  void enable() noexcept override {
    try {
      sampling_.emplace(context_);
    } catch (const std::runtime_error&) {
    }
  }

  static void wait() {
    if (const cudaError_t status = cudaDeviceSynchronize(); status != cudaSuccess) {
      throw std::runtime_error(fmt::format("cudaDeviceSynchronize: {}", cudaGetErrorString(status)));
    }
  }
  CUcontext context_;
  std::optional<Sampling> sampling_;
};

}  // namespace

StallSamplerOrReason make_stall_sampler() {
  try {
    require_device();
    return {std::make_unique<CuptiStallSampler>(), ""};
  } catch (const std::runtime_error& error) {
    return {nullptr, fmt::format("stall reasons: off, {}", error.what())};
  }
}

}  // namespace lcnn::profiles

#else

namespace lcnn::profiles {

StallSamplerOrReason make_stall_sampler() { return {nullptr, "stall reasons: off, this program was built without CUPTI"}; }

}  // namespace lcnn::profiles

#endif
