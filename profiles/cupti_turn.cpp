#include "profiles/cupti_turn.h"

#include <fmt/format.h>

#include <atomic>
#include <stdexcept>

namespace lcnn::profiles {
namespace {

std::atomic<const char*> holder{nullptr};

}  // namespace

CuptiTurn::CuptiTurn(const char* what) {
  const char* found = nullptr;
  if (!holder.compare_exchange_strong(found, what)) {
    throw std::runtime_error(fmt::format("CUPTI takes no {} while it takes {}", what, found));
  }
}

CuptiTurn::~CuptiTurn() { holder = nullptr; }

}  // namespace lcnn::profiles
