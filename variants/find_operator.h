// Operators by name, for calls through LibTorch's dispatcher.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace lcnn {

// "lcnn::lookup_filters", as a handle whose call() has that signature. Throws c10::Error when none is registered.
template <typename Signature>
auto find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").template typed<Signature>();
}

}  // namespace lcnn
