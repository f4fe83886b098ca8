#include "profiles/sampling_pause.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "profiles/cupti_turn.h"

namespace lcnn::profiles {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Log = std::vector<std::string>;

class FakeSampler final : public StallSampler {
 public:
  explicit FakeSampler(Log& log) : log_(log) {}

 private:
  StallSamples take(const std::function<void()>& work) override {
    work();
    return {};
  }
  void disable() override { log_.push_back("off"); }
  void enable() noexcept override { log_.push_back("on"); }
  Log& log_;
};

class FakeSource final : public Source {
 public:
  explicit FakeSource(Log& log, bool starts = true) : log_(log), starts_(starts) {}
  void start() override {
    if (!starts_) throw std::runtime_error("no");
    log_.push_back("start");
  }
  void stop() override { log_.push_back("stop"); }

 private:
  Log& log_;
  bool starts_;
};

TEST(SamplingPause, SamplingIsOffFromTheFirstToTheLastOfNestedPauses) {
  Log log;
  const auto sampler = std::make_shared<FakeSampler>(log);
  {
    const SamplingPause outer(sampler);
    const SamplingPause inner(sampler), nothing(nullptr);
    EXPECT_THROW(sampler->sample([&] { log.push_back("sampled"); }), std::runtime_error);
  }
  sampler->sample([&] { log.push_back("sampled"); });
  EXPECT_THAT(log, ElementsAre("off", "on", "sampled"));
}

TEST(PausingSource, SamplingIsOffBeforeTheSourceStartsAndUntilItHasStopped) {
  Log log;
  auto sampler = std::make_shared<FakeSampler>(log);
  Recorder recorder;
  recorder.add(std::make_unique<PausingSource>(std::make_unique<FakeSource>(log), sampler));
  recorder.start();
  recorder.stop();
  EXPECT_THAT(log, ElementsAre("off", "start", "stop", "on"));
  sampler.reset();
  log.clear();
  recorder.start();
  recorder.stop();
  EXPECT_THAT(log, ElementsAre("start", "stop")) << "there is no sampler any more";
}

TEST(PausingSource, SamplingGoesOnWhereTheSourceCannotStart) {
  Log log;
  const auto sampler = std::make_shared<FakeSampler>(log);
  Recorder recorder;
  recorder.add(std::make_unique<PausingSource>(std::make_unique<FakeSource>(log, /*starts=*/false), sampler));
  EXPECT_THROW(recorder.start(), std::runtime_error);
  EXPECT_THAT(log, ElementsAre("off", "on"));
}

TEST(CuptiTurn, TheSecondIsRefusedInALineWithBothUntilTheFirstEnds) {
  {
    const CuptiTurn first("samples of stalls");
    try {
      const CuptiTurn second("activity records");
      FAIL() << "both have their turn";
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("samples of stalls"), HasSubstr("activity records")));
    }
    EXPECT_THROW(CuptiTurn("counters"), std::runtime_error) << "whoever was refused ends nobody's turn";
  }
  const CuptiTurn third("counters");
}

}  // namespace
}  // namespace lcnn::profiles
