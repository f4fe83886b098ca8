// What warps wait for, kernel by kernel, by CUPTI's sampling of program counters.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace lcnn::profiles {

struct StallReason {
  std::string name;  // "long scoreboard"
  std::int64_t samples = 0;
};

// One kernel. Warps that were issuing are in `samples`, but no reason.
struct KernelStalls {
  std::string kernel;
  std::int64_t samples = 0;
  std::vector<StallReason> reasons;  // most samples first
};

struct StallSamples {
  std::vector<KernelStalls> kernels;  // most samples first
  std::int64_t dropped = 0;           // samples that the hardware had no room for
  std::int64_t unnamed = 0;           // samples of kernels that CUPTI does not know
};

// "long scoreboard" of "smsp__pcsamp_warps_issue_stalled_long_scoreboard"; "" for what is no reason by itself: samples that
// were counted under another name already, and losses.
std::string stall_name(std::string_view cupti_name);
// "global memory" for "long scoreboard": what a warp waits for, in a few words; the name itself where we know no others.
std::string_view stall_meaning(std::string_view name);

// "63% global memory (long scoreboard), 12% ...": the `most` largest of a kernel, of its samples.
std::string to_text(const KernelStalls& stalls, std::size_t most);
nlohmann::ordered_json to_json(const StallSamples& samples);

// Samples the thread's current device. Sampling is on from the start, although samples are taken in sample() alone: CUPTI names
// kernels whose modules are loaded while it is on, for good, and none that are loaded while it is off.
class StallSampler {
 public:
  virtual ~StallSampler() = default;
  // What `work` launches; it should last a millisecond, so that there are enough samples. Slows kernels down a little, and waits
  // for the device. Throws std::runtime_error, also in a pause and where there is no sample, and what `work` throws.
  StallSamples sample(const std::function<void()>& work);

  // Sampling is off in between, for a Recorder with CUPTI's records or for RangeCounters. Pauses may nest.
  void pause();
  void resume() noexcept;

 private:
  virtual StallSamples take(const std::function<void()>& work) = 0;
  virtual void disable() = 0;
  virtual void enable() noexcept = 0;  // take() tries again where it fails, and says why
  int pauses_ = 0;
};

struct StallSamplerOrReason {
  std::unique_ptr<StallSampler> sampler;  // null where `why_not` says why
  std::string why_not;                    // "stall reasons: off, ...", in one line
};
// To be made before anything is launched: a kernel's module is loaded with its first launch.
StallSamplerOrReason make_stall_sampler();

}  // namespace lcnn::profiles
