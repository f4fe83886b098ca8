// For tests that run a program as its users do.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "reports/temporary_folder.h"

namespace lcnn {

struct Outcome {
  int exit_code = -1;  // -1: ended by `signal`
  int signal = 0;
  std::string out, err;
};

// A program with some arguments, running. It dies with the test.
class Program {
 public:
  // most_bytes: the largest file that it may write; 0: any. A full disk looks the same to it.
  explicit Program(const char* path, std::vector<std::string> arguments, rlim_t most_bytes = 0) {
    arguments.insert(arguments.begin(), path);
    const std::string out = folder_ / "out", err = folder_ / "err";
    process_ = fork();
    if (process_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open(out.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    if (most_bytes > 0) {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{most_bytes, most_bytes};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(path, argv.data());
    _exit(127);
  }
  ~Program() {
    if (!running_) return;
    send(SIGKILL);
    wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void send(int signal) const { kill(process_, signal); }

  // Whether it still runs after waiting for `condition` to come true.
  bool runs_until(const std::function<bool()>& condition) {
    while (!condition()) {
      if (waitpid(process_, &status_, WNOHANG) == process_) return running_ = false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  Outcome wait() {
    if (running_) waitpid(process_, &status_, 0);
    running_ = false;
    return {.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -1,
            .signal = WIFSIGNALED(status_) ? WTERMSIG(status_) : 0, .out = read_text(folder_ / "out"),
            .err = read_text(folder_ / "err")};
  }

 private:
  TemporaryFolder folder_;
  pid_t process_ = -1;
  int status_ = 0;
  bool running_ = true;
};

}  // namespace lcnn
