// What the main functions of this folder's programs share.
#pragma once

#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <string>

#include "train/options.h"
#include "variants/runtime.h"

namespace lcnn::train {

inline constexpr int kExitBadInput = 2;

// Ends the process with what `run` returns; an exception ends it with one line that starts with the program's name.
[[noreturn]] inline void run_program(const char* name, const std::function<int()>& run) {
  int exit_code = kExitBadInput;
  try {
    exit_code = run();
  } catch (const HelpRequested& help) {
    std::fputs(help.text.c_str(), stdout);
    exit_code = 0;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory\n", name);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "%s: %s\n", name, text.substr(0, text.find('\n')).c_str());
  }
  finish_process(exit_code);
}

}  // namespace lcnn::train
