#include "profiles/crash_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "profiles/nvtx_ranges.h"
#include "profiles/profile_session.h"
#include "reports/temporary_folder.h"

namespace lcnn::profiles {
namespace {

namespace fs = std::filesystem;

class Crash : public testing::Test {
 protected:
  // Runs `action` in a process of its own, while a session records; the signal that ended it, 0 if none did.
  int run(const std::function<void()>& action) const {
    const pid_t child = fork();
    if (child == 0) {
      if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
      ProfileSession session({.table = folder_ / "table.json", .trace = folder_ / "trace.json"}, /*cuda=*/false);
      const Recording recording(&session.recorder());
      const Range outer("still open");
      { const Range done("done before the crash"); }
      action();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  nlohmann::json file(const char* name) const {
    std::ifstream stream(folder_ / name);
    return nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
  }
  std::set<std::string> names_in_trace() const {
    std::set<std::string> names;
    const nlohmann::json trace = file("trace.json");
    if (!trace.is_object()) return names;
    for (const auto& event : trace["traceEvents"]) names.insert(event["name"].get<std::string>());
    return names;
  }
  TemporaryFolder folder_;
};

void segmentation_fault() {
  volatile int* volatile nowhere = nullptr;
  *nowhere = 1;
}

TEST_F(Crash, LeavesATraceAndATableAndDiesOfItsSignal) {
  EXPECT_EQ(run(segmentation_fault), SIGSEGV);
  EXPECT_THAT(names_in_trace(), testing::Contains("done before the crash"));
  const nlohmann::json table = file("table.json");
  ASSERT_TRUE(table.is_object());
  EXPECT_THAT(table["missing"].dump(), testing::HasSubstr("crashed"));
}

TEST_F(Crash, InAnotherThreadOrByAnUncaughtExceptionDoesSoToo) {
  EXPECT_EQ(run([] { std::thread(segmentation_fault).join(); }), SIGSEGV);
  EXPECT_THAT(names_in_trace(), testing::Contains("done before the crash"));
  fs::remove(folder_ / "trace.json");
  EXPECT_EQ(run([] { std::thread([] { throw std::runtime_error("uncaught"); }).join(); }), SIGABRT);
  EXPECT_THAT(names_in_trace(), testing::Contains("done before the crash"));
}

TEST_F(Crash, AfterTheSessionNothingIsWritten) {
  const pid_t child = fork();
  if (child == 0) {
    { ProfileSession session({.trace = folder_ / "trace.json"}, /*cuda=*/false); }
    segmentation_fault();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(folder_ / "trace.json"));
}

TEST_F(Crash, AWriterThatFailsDoesNotKeepTheProcessAlive) {
  EXPECT_EQ(run([&] { fs::remove_all(fs::path(folder_ / "table.json").parent_path()); segmentation_fault(); }), SIGSEGV);
}

TEST(CrashWriter, ASecondOneDoesNothing) {
  const CrashWriter first([](int) {});
  { const CrashWriter second([](int) {}); }
  const CrashWriter third([](int) {});
}

}  // namespace
}  // namespace lcnn::profiles
