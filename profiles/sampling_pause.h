// Who takes turns with the sampling of stalls: sampling is to be on while kernels are loaded, and off while others use CUPTI.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "profiles/recorder.h"
#include "profiles/stall_reasons.h"

namespace lcnn::profiles {

// Stalls are not sampled as long as it lives; with a null sampler it does nothing. Pauses may nest.
class SamplingPause {
 public:
  explicit SamplingPause(std::shared_ptr<StallSampler> sampler) : sampler_(std::move(sampler)) {
    if (sampler_ != nullptr) sampler_->pause();
  }
  ~SamplingPause() {
    if (sampler_ != nullptr) sampler_->resume();
  }
  SamplingPause(const SamplingPause&) = delete;
  SamplingPause& operator=(const SamplingPause&) = delete;

 private:
  std::shared_ptr<StallSampler> sampler_;
};

// A source during whose recordings stalls are not sampled, as long as there is the sampler.
class PausingSource final : public Source {
 public:
  PausingSource(std::unique_ptr<Source> source, std::weak_ptr<StallSampler> sampler)
      : source_(std::move(source)), sampler_(std::move(sampler)) {}

  void start() override {
    pause_.emplace(sampler_.lock());
    try {
      source_->start();
    } catch (...) {
      pause_.reset();
      throw;
    }
  }
  void stop() override {
    source_->stop();
    pause_.reset();
  }

 private:
  std::unique_ptr<Source> source_;
  std::weak_ptr<StallSampler> sampler_;
  std::optional<SamplingPause> pause_;
};

}  // namespace lcnn::profiles
