#include "kernels/tuning_cache.h"

#include <gtest/gtest.h>

#include <fstream>

namespace lcnn {
namespace {

class TuningCacheTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("lcnn_tuning_" + std::to_string(::getpid()));
  std::filesystem::path file_ = folder_ / "deep" / "tuning.json";
};

TEST_F(TuningCacheTest, KeepsChoicesForTheNextProcess) {
  TuningCache cache(file_);
  EXPECT_EQ(cache.find("a"), std::nullopt);
  cache.store("a", "tile 1");
  cache.store("a", "tile 2");
  EXPECT_TRUE(cache.measured_here("a"));
  TuningCache later(file_);
  EXPECT_EQ(later.find("a"), "tile 2");
  EXPECT_FALSE(later.measured_here("a"));
}

TEST_F(TuningCacheTest, KeepsWhatOtherProcessesStoredMeanwhile) {
  TuningCache first(file_), second(file_);
  first.store("a", "from the first");
  second.store("b", "from the second");
  TuningCache later(file_);
  EXPECT_EQ(later.find("a"), "from the first");
  EXPECT_EQ(later.find("b"), "from the second");
}

TEST_F(TuningCacheTest, FilesThatAreNoCacheCountAsEmptyAndAreReplaced) {
  for (const char* content : {"", "{", "[1]", R"({"format": 2, "choices": {"a": "b"}})", R"({"format": 1, "choices": {"a": 3}})"}) {
    std::filesystem::create_directories(file_.parent_path());
    std::ofstream(file_) << content;
    TuningCache cache(file_);
    EXPECT_EQ(cache.find("a"), std::nullopt) << content;
    cache.store("a", "tile");
    EXPECT_EQ(TuningCache(file_).find("a"), "tile") << content;
  }
}

TEST_F(TuningCacheTest, TimingsAreLoggedWhereAFileIsNamed) {
  std::filesystem::create_directories(folder_);
  const std::filesystem::path log = folder_ / "log";
  log_timing("a", "tile 1", 2.5);
  setenv("LCNN_TUNING_LOG", log.c_str(), 1);
  log_timing("a", "tile 1", 2.5);
  log_timing("a", "tile 2", 3);
  unsetenv("LCNN_TUNING_LOG");
  std::ifstream file(log);
  std::string first, second, third;
  std::getline(file, first);
  std::getline(file, second);
  EXPECT_EQ(first, R"({"candidate":"tile 1","key":"a","us":2.5})");
  EXPECT_NE(second, "");
  EXPECT_FALSE(std::getline(file, third));
}

TEST_F(TuningCacheTest, WorksWhereNothingCanBeWritten) {
  std::ofstream(folder_) << "a file where the folder should be";
  TuningCache cache(file_);
  cache.store("a", "tile");
  EXPECT_EQ(cache.find("a"), "tile");
}

}  // namespace
}  // namespace lcnn
