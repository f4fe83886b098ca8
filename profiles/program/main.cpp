// lcnn_profile: where the time and the memory of rows, or of a training step, go.
#include "bench/run.h"
#include "profiles/program/options.h"
#include "profiles/program/profile_training.h"

int main(int argc, char** argv) {
  using namespace lcnn;
  bench::run_program("lcnn_profile", [&] {
    const profiles::ProgramOptions options = profiles::parse_program_options({argv + 1, argv + argc});
    return options.training ? profiles::profile_training(*options.training) : bench::run(options.rows);
  });
}
