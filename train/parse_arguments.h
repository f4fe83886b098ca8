// What the command lines of this folder's programs share.
#pragma once

#include <CLI/CLI.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "train/options.h"

namespace lcnn::train {

// Sets what `app` describes. Throws HelpRequested for --help, std::invalid_argument, one line, for what is not accepted.
inline void parse_arguments(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw HelpRequested{app.help()};
  } catch (const CLI::ParseError& error) {
    const std::string message = error.what();
    throw std::invalid_argument(message.substr(0, message.find('\n')) + "; --help lists what is accepted");
  }
}

}  // namespace lcnn::train
