#include "train/world.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

namespace lcnn::train {
namespace {

using Environment = std::map<std::string, std::string>;

World parse(const Environment& environment) {
  return world_of([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found != environment.end() ? found->second.c_str() : nullptr;
  });
}

std::string refusal(const Environment& environment) {
  try {
    parse(environment);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "was accepted";
}

const Environment kSecondOfThree{{"RANK", "1"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "host"}, {"MASTER_PORT", "29500"}};

Environment changed(const std::string& name, const std::string& value) {
  Environment environment = kSecondOfThree;
  environment[name] = value;
  return environment;
}

Environment without(const std::string& name) {
  Environment environment = kSecondOfThree;
  environment.erase(name);
  return environment;
}

TEST(World, IsOneProcessWithoutALauncher) {
  EXPECT_TRUE(parse({}).alone());
  EXPECT_TRUE(parse({}).first());
  EXPECT_TRUE(parse({{"MASTER_ADDR", "host"}}).alone());
  EXPECT_TRUE(parse({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).alone()) << "needs no address";
}

TEST(World, IsReadAsTorchrunSetsIt) {
  const World world = parse(kSecondOfThree);
  EXPECT_EQ(world.rank, 1);
  EXPECT_EQ(world.size, 3);
  EXPECT_EQ(world.local_rank, 1) << "the rank, where it is not given";
  EXPECT_EQ(world.address, "host");
  EXPECT_EQ(world.port, 29500);
  EXPECT_FALSE(world.opens_store);
  EXPECT_EQ(parse(changed("LOCAL_RANK", "0")).local_rank, 0);
  EXPECT_TRUE(parse(changed("RANK", "0")).opens_store);
  Environment agent = changed("RANK", "0");
  agent["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_FALSE(parse(agent).opens_store);
}

TEST(World, WhatIsMissingOrNoNumberIsNamed) {
  EXPECT_EQ(refusal(without("RANK")), "WORLD_SIZE is set, RANK is not: torchrun sets both");
  EXPECT_EQ(refusal(without("WORLD_SIZE")), "RANK is set, WORLD_SIZE is not: torchrun sets both");
  EXPECT_EQ(refusal(without("MASTER_ADDR")), "WORLD_SIZE is set, MASTER_ADDR is not: torchrun sets both");
  EXPECT_EQ(refusal(without("MASTER_PORT")), "WORLD_SIZE is set, MASTER_PORT is not: torchrun sets both");
  EXPECT_EQ(refusal(changed("RANK", "3")), "RANK=3: a whole number from 0 to 2 is accepted");
  EXPECT_EQ(refusal(changed("WORLD_SIZE", "two")), "WORLD_SIZE=two: a whole number from 1 to 1000000 is accepted");
  EXPECT_EQ(refusal(changed("MASTER_PORT", "65536")), "MASTER_PORT=65536: a whole number from 1 to 65535 is accepted");
  EXPECT_EQ(refusal(changed("LOCAL_RANK", "-1")), "LOCAL_RANK=-1: a whole number from 0 to 1000000 is accepted");
}

TEST(World, SharesCoverEverythingOnce) {
  for (const int size : {1, 2, 3, 7}) {
    for (const std::int64_t count : {0, 1, 2, 5, 14, 100}) {
      std::int64_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Share share = share_of(count, {.rank = rank, .size = size});
        EXPECT_EQ(share.begin, end);
        EXPECT_LE(share.count(), (count + size - 1) / size);
        EXPECT_GE(share.count(), count / size);
        if (rank == 0) {
          EXPECT_EQ(share.count(), (count + size - 1) / size) << "rank 0 has an image where there is one";
        }
        end = share.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

}  // namespace
}  // namespace lcnn::train
