// What the processes of a training tell each other, by LibTorch's c10d: Gloo between CPUs, NCCL between GPUs.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "train/world.h"

namespace lcnn::train {

// Another process of the training has ended or does not answer.
struct ProcessLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// All processes call the same functions in the same order. A process that is alone calls nobody: they leave everything as it is.
// They throw ProcessLost, one line, where another process ends, or does not come within the time-out.
class ProcessGroup {
 public:
  // Waits for the others to come, at most for the time-out. device: where the tensors are. Throws std::invalid_argument where this
  // build cannot.
  ProcessGroup(const World& world, torch::Device device, std::chrono::seconds timeout);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  const World& world() const { return world_; }

  // Replaces the tensors' content by that of rank 0.
  void broadcast(const std::vector<torch::Tensor>& tensors);

  // Replaces the tensors' content by its sum over all processes.
  void sum(const std::vector<torch::Tensor>& tensors);
  std::vector<double> sum(const std::vector<double>& values);

  // Throws on every process where one of them has a failure, which is not empty: std::runtime_error with it, or with its rank.
  void fail_together(const std::string& failure);

  // Returns when all processes are here, so that none ends while others still hear from it.
  void leave() noexcept;

 private:
  struct Connection;

  const World world_;
  const torch::Device device_;
  std::unique_ptr<Connection> connection_;  // null for a process that is alone
};

// The device that this process computes on, made CUDA's current one. Throws std::invalid_argument, one line, where there are not
// as many CUDA devices as processes of this machine.
torch::Device device_of(const World& world, bool cuda);

}  // namespace lcnn::train
