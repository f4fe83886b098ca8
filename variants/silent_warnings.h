// For operators that warn at every use that they are new or will be renamed.
#pragma once

#include <c10/util/Exception.h>

namespace lcnn {

// LibTorch's warnings are dropped while it lives.
class SilentWarnings {
 private:
  struct Silence final : c10::WarningHandler {
    void process(const c10::Warning&) override {}
  };
  Silence silence_;
  c10::WarningUtils::WarningHandlerGuard guard_{&silence_};
};

}  // namespace lcnn
