// What a profile is to contain and where it goes: the options that lcnn_bench --profile and lcnn_profile share.
#pragma once

#include <cstddef>
#include <string>

namespace lcnn::profiles {

struct ProfileOptions {
  std::string table, trace;  // JSON files; empty: not written
  bool gzip = false;         // of the trace
  std::string sort;          // a column of the table; empty: the device's time, without any the CPU's
  std::size_t rows = 40;     // lines of the table that are printed
  bool counters = false;     // hardware counters and stall reasons of the GPU
};

}  // namespace lcnn::profiles
