// lcnn_train: trains networks of Conv2d or LookupConv2d.
#include <csignal>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "train/options.h"
#include "train/trainer.h"
#include "variants/runtime.h"

namespace lcnn::train {
namespace {

constexpr int kExitDiverged = 1, kExitBadInput = 2, kExitInterrupted = 130;

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
  int exit_code = kExitBadInput;
  try {
    exit_code = run(parse_options({argv + 1, argv + argc}));
  } catch (const HelpRequested& help) {
    std::fputs(help.text.c_str(), stdout);
    exit_code = 0;
  } catch (const std::bad_alloc&) {
    std::fputs("lcnn_train: out of memory\n", stderr);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "lcnn_train: %s\n", text.substr(0, text.find('\n')).c_str());
  }
  lcnn::finish_process(exit_code);
}
