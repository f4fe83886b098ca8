// For tests of what is not accepted.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace lcnn {

// What `action` throws has to be an Exception of one line; returns that line. Empty after a failure.
template <typename Exception, typename Action>
std::string refusal_by(const Action& action) {
  try {
    action();
  } catch (const Exception& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_NE(message, "");
    return message;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "threw another exception: " << error.what();
    return {};
  }
  ADD_FAILURE() << "was accepted";
  return {};
}

}  // namespace lcnn
