// main of the test programs that load LibTorch: they end without its static destructors.
#include <gtest/gtest.h>

#include "variants/runtime.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lcnn::finish_process(RUN_ALL_TESTS());
}
