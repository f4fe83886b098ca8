// A whole run of rows, as options ask for it: lcnn_bench's, and lcnn_profile's where it profiles rows.
#pragma once

#include <functional>
#include <string>

namespace lcnn::bench {

struct Options;
class TrainingNetworks;

constexpr int kExitRowFailed = 1, kExitBadInput = 2, kExitInterrupted = 130;

// Measures the rows, writes what the options name, prints tables; steps of training only where `networks` are given. Returns the
// exit code. Throws std::invalid_argument or std::runtime_error, one line, for what cannot be used.
int run(const Options& options, const TrainingNetworks* networks = nullptr);

// The main function of a program: ends the process with what `program` returns; what it throws is one line on stderr that
// begins with the name, and an exit code.
[[noreturn]] void run_program(const std::string& name, const std::function<int()>& program);

}  // namespace lcnn::bench
