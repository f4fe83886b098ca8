// lcnn_train: trains networks of Conv2d or LookupConv2d.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "train/program.h"
#include "train/trainer.h"

namespace lcnn::train {
namespace {

constexpr int kExitDiverged = 1, kExitInterrupted = 130;

void on_interrupt(int signal) {
  request_stop();
  std::signal(signal, SIG_DFL);  // a second Ctrl-C ends the program at once
}

int run(const Options& options, const World& world) {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  switch (train(options, world)) {
    case Outcome::finished: return 0;
    case Outcome::diverged:
      if (world.first()) std::fputs("lcnn_train: the loss is no longer finite: lower --learning-rate; the last checkpoint is from before\n", stderr);
      return kExitDiverged;
    case Outcome::interrupted:
      if (world.first()) std::fprintf(stderr, "lcnn_train: interrupted; --resume --out=%s continues it\n", options.out.c_str());
      return kExitInterrupted;
  }
  return kExitBadInput;
}

}  // namespace
}  // namespace lcnn::train

int main(int argc, char** argv) {
  using namespace lcnn::train;
  run_program("lcnn_train", [&] {
    const World world = world_of([](const char* name) -> const char* { return std::getenv(name); });
    try {
      return run(parse_options({argv + 1, argv + argc}), world);
    } catch (const std::exception& error) {
      if (world.alone()) throw;
      throw std::runtime_error("rank " + std::to_string(world.rank) + ": " + error.what());
    }
  });
}
