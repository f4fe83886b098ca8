// lcnn_bench: LookupConv2d against Conv2d, one report.
#include "bench/options.h"
#include "bench/program/network_steps.h"
#include "bench/run.h"

int main(int argc, char** argv) {
  using namespace lcnn::bench;
  run_program("lcnn_bench", [&] {
    const NetworkSteps networks;
    return run(parse_options(argc, argv), &networks);
  });
}
