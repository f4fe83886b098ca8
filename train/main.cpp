// lcnn_train: trains networks of Conv2d or LookupConv2d.
#include <csignal>
#include <cstdio>

#include "train/program.h"
#include "train/trainer.h"

namespace lcnn::train {
namespace {

constexpr int kExitDiverged = 1, kExitInterrupted = 130;

void on_interrupt(int signal) {
  request_stop();
  std::signal(signal, SIG_DFL);  // a second Ctrl-C ends the program at once
}

int run(const Options& options) {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  switch (train(options)) {
    case Outcome::finished: return 0;
    case Outcome::diverged:
      std::fputs("lcnn_train: the loss is no longer finite: lower --learning-rate; the last checkpoint is from before\n", stderr);
      return kExitDiverged;
    case Outcome::interrupted:
      std::fprintf(stderr, "lcnn_train: interrupted; --resume --out=%s continues it\n", options.out.c_str());
      return kExitInterrupted;
  }
  return kExitBadInput;
}

}  // namespace
}  // namespace lcnn::train

int main(int argc, char** argv) {
  using namespace lcnn::train;
  run_program("lcnn_train", [&] { return run(parse_options({argv + 1, argv + argc})); });
}
