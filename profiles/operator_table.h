// The table of a profile: what took how long on the CPU and on the device, one line a name.
//
// Device time counts for the kernels, copies and memsets themselves and, once more, for the operators and ranges that
// launched them: the host's lines share it out, and so do the device's lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "profiles/profile.h"

namespace lcnn::profiles {

// All events of one kind and name. Times in nanoseconds.
struct TableRow {
  std::string name;
  std::string kind;               // "range", "operator", "cuda_call", "kernel", "memcpy", "memset"
  std::int64_t self_cpu_ns = 0;   // without the spans inside
  std::int64_t cpu_total_ns = 0;  // with them; a name inside itself counts once
  std::int64_t self_cuda_ns = 0;  // of what it is or launched itself
  std::int64_t cuda_total_ns = 0;  // and of what the spans inside launched
  std::int64_t calls = 0;
};

struct OperatorTable {
  std::vector<TableRow> rows;  // by kind, then by name
  std::int64_t cpu_total_ns = 0;   // all self times of the CPU, what percentages are of
  std::int64_t cuda_total_ns = 0;  // all work of the device
};

OperatorTable tabulate(const Profile& profile);

// What the table can be sorted by: "self_cpu", "cpu_total", "cpu_time_avg", "self_cuda", "cuda_total",
// "cuda_time_avg", "calls", largest first, and "name".
const std::vector<std::string>& sort_columns();

// Sorts by a column. Throws std::invalid_argument, one line, when there is no such one.
void sort_by(OperatorTable& table, std::string_view column);

// The first `most` rows as text in the columns that PyTorch's profiler prints: Name, Self CPU %, Self CPU, CPU total %,
// CPU total, CPU time avg, Self CUDA, Self CUDA %, CUDA total, CUDA time avg, # of Calls.
std::string to_text(const OperatorTable& table, std::size_t most);

// All rows in their order and the totals, the same columns; times in microseconds.
nlohmann::ordered_json to_json(const OperatorTable& table);

}  // namespace lcnn::profiles
