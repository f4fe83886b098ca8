#include "reports/run_render.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "reports/read_report.h"

namespace lcnn::reports {

void run_render(const std::vector<std::string>& arguments) {
  const std::string script = LCNN_REPORTS_FOLDER "/render_report.py";
  if (!std::filesystem::exists(script))
    throw UnusableInput(
        fmt::format("{}: No such file: render needs the sources that this program was built from", script));
  std::vector<const char*> command{"python3", script.c_str()};
  for (const std::string& argument : arguments) command.push_back(argument.c_str());
  command.push_back(nullptr);
  execvp(command[0], const_cast<char* const*>(command.data()));
  throw UnusableInput(fmt::format("render needs python3: {}", std::strerror(errno)));
}

}  // namespace lcnn::reports
