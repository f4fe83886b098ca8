// A libFuzzer program: its input is a report. scripts/fuzz builds and runs it.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "reports/every_reader.h"

// A sanitizer stops the program; so does what is thrown: a bug.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lcnn::reports;
  static const Report base = read_report(LCNN_REPORTS_FOLDER "/fixtures/version1.json");
  static const int file = memfd_create("report", 0);
  static const std::string path = fmt::format("/proc/self/fd/{}", file);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  give_to_every_reader(base, path, std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
