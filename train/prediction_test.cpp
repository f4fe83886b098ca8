#include "train/prediction.h"

#include <gtest/gtest.h>

namespace lcnn::train {
namespace {

TEST(FallbackLine, NamesTheLayersOfEachReasonOnce) {
  const LayerChoice own{.name = "conv1"};
  EXPECT_EQ(fallback_line("some", {own}), "");
  EXPECT_EQ(fallback_line("some", {own, {.name = "conv2", .fallback = "stride is not supported"}, {.name = "conv3", .fallback = "too large"},
                                   {.name = "conv4", .fallback = "stride is not supported"}}),
            "--variant=some: auto computes what it does not support: conv2, conv4 (stride is not supported); conv3 (too large)");
}

}  // namespace
}  // namespace lcnn::train
