#include "train/process_group.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/cuda.h>
#include <torch/utils.h>

#include <cstdlib>

#if LCNN_HAS_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif
#ifdef USE_C10D_NCCL
#include <torch/csrc/cuda/nccl.h>
#endif

C10_DECLARE_int(caffe2_log_level);

namespace lcnn::train {
namespace {

// c10d's messages begin with where in its sources they were written, and end with a trace.
std::string reason_of(const std::exception& error) {
  std::string text = error.what();
  text = text.substr(0, text.find('\n'));
  const auto place = text.find("] ");
  return text.starts_with('[') && place != std::string::npos ? text.substr(place + 2) : text;
}

#ifdef USE_C10D_GLOO
constexpr bool kHasGloo = true;
#else
constexpr bool kHasGloo = false;
#endif
#ifdef USE_C10D_NCCL
constexpr bool kHasNccl = true;
#else
constexpr bool kHasNccl = false;
#endif

// Throws std::invalid_argument where this build has nothing by which processes talk.
void require_backend(const World& world, bool cuda) {
  if (!(cuda ? kHasNccl : kHasGloo)) {
    throw std::invalid_argument("WORLD_SIZE=" + std::to_string(world.size) + ": this build has no " + (cuda ? "NCCL" : "Gloo") + ": one process is accepted");
  }
#ifdef USE_C10D_NCCL
  // c10d's options hold a struct of NCCL's header, whose size is its version's.
  constexpr std::uint64_t kHeader = (std::uint64_t{NCCL_MAJOR} << 16) | NCCL_MINOR;
  if (cuda && torch::cuda::nccl::version() >> 16 != kHeader) {
    throw std::invalid_argument("WORLD_SIZE=" + std::to_string(world.size) +
                                ": this build has the header of another NCCL than LibTorch's: one process is accepted");
  }
#endif
}

c10::intrusive_ptr<c10d::Backend> make_backend([[maybe_unused]] const c10::intrusive_ptr<c10d::Store>& store, [[maybe_unused]] const World& world,
                                               [[maybe_unused]] bool cuda, [[maybe_unused]] std::chrono::seconds timeout) {
#ifdef USE_C10D_NCCL
  if (cuda) {
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", /*overwrite=*/0);  // else a time-out would abort the process
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, world.rank, world.size, options);
  }
#endif
#ifdef USE_C10D_GLOO
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, world.rank, world.size, c10d::ProcessGroupGloo::Options::create_default(timeout));
#else
  return {};
#endif
}

}  // namespace

struct ProcessGroup::Connection {
  c10::intrusive_ptr<c10d::Backend> backend;

  template <typename Start>
  void run(const Start& start) const {
    try {
      start(*backend)->wait();
    } catch (const std::exception& error) {
      throw ProcessLost("another process of this training has ended or does not answer: " + reason_of(error));
    }
  }
};

ProcessGroup::ProcessGroup(const World& world, torch::Device device, std::chrono::seconds timeout) : world_(world), device_(device) {
  if (world.alone()) return;
  require_backend(world, device.is_cuda());
  FLAGS_caffe2_log_level = c10::GLOG_FATAL;  // what c10d logs is what it throws, or says who has to wait for another
  try {
    c10d::TCPStoreOptions options;
    options.port = world.port;
    options.isServer = world.opens_store;
    options.numWorkers = static_cast<std::size_t>(world.size);
    options.timeout = timeout;
    const auto store = c10::make_intrusive<c10d::PrefixStore>("lcnn_train/" + world.attempt, c10::make_intrusive<c10d::TCPStore>(world.address, options));
    store->setTimeout(timeout);
    connection_ = std::make_unique<Connection>(make_backend(store, world, device.is_cuda(), timeout));
  } catch (const std::exception& error) {
    throw ProcessLost("the " + std::to_string(world.size) + " processes of this training did not meet at MASTER_ADDR=" + world.address +
                      " MASTER_PORT=" + std::to_string(world.port) + ": " + reason_of(error));
  }
}

ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::broadcast(const std::vector<torch::Tensor>& tensors) {
  if (connection_ == nullptr) return;
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& tensor : tensors) {
    std::vector<torch::Tensor> sent{tensor.detach().to(device_).contiguous()};
    connection_->run([&](c10d::Backend& backend) { return backend.broadcast(sent); });
    torch::Tensor(tensor).copy_(sent.front());
  }
}

void ProcessGroup::sum(const std::vector<torch::Tensor>& tensors) {
  if (connection_ == nullptr) return;
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> summed = tensors;
  connection_->run([&](c10d::Backend& backend) { return backend.allreduce_coalesced(summed); });
}

std::vector<double> ProcessGroup::sum(const std::vector<double>& values) {
  if (connection_ == nullptr) return values;
  const torch::Tensor tensor = torch::tensor(values, torch::kDouble).to(device_);
  sum(std::vector{tensor});
  const torch::Tensor host = tensor.to(torch::kCPU);
  return {host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel()};
}

void ProcessGroup::fail_together(const std::string& failure) {
  if (!failure.empty()) sum(std::vector<double>{1});
  else if (sum(std::vector<double>{0}).front() == 0) return;
  throw std::runtime_error(failure.empty() ? "another process of this training cannot go on" : failure);
}

void ProcessGroup::leave() noexcept {
  if (connection_ == nullptr) return;
  try {
    connection_->run([](c10d::Backend& backend) { return backend.barrier(); });
  } catch (const ProcessLost&) {
    // The training is over: there is nothing more to hear.
  }
}

torch::Device device_of(const World& world, bool cuda) {
  if (!cuda) return torch::kCPU;
#if LCNN_HAS_CUDA
  if (world.local_rank >= static_cast<int>(torch::cuda::device_count())) {
    throw std::invalid_argument("LOCAL_RANK=" + std::to_string(world.local_rank) + ": this machine has " +
                                std::to_string(torch::cuda::device_count()) + " CUDA devices");
  }
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(world.local_rank));
#endif
  return torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(world.local_rank));
}

}  // namespace lcnn::train
