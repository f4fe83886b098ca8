#include "kernels/cuda/rotated_timing.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class Graph {
 public:
  Graph(cudaStream_t stream, const std::function<void()>& enqueue) : stream_(stream) {
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
      enqueue();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      (void)cudaGetLastError();  // of the capture that was given up
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "cudaGraphInstantiate");
  }
  ~Graph() { cudaGraphExecDestroy(executable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch() const { check(cudaGraphLaunch(executable_, stream_), "cudaGraphLaunch"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

std::string device_name() {
  int device = 0;
  cudaDeviceProp properties{};
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

RotatedTiming::RotatedTiming(const Conv2dProblem& input, Precision precision, Layout layout, std::int64_t output_bytes,
                             const Execution& execution)
    : stream_(execution.stream) {
  const std::int64_t cache = device_attribute(cudaDevAttrL2CacheSize);
  const std::int64_t input_bytes = input.input_elements() * element_bytes(precision);
  const std::int64_t sets = std::clamp<std::int64_t>(2 * cache / (input_bytes + output_bytes) + 1, 2, 64);
  for (std::int64_t set = 0; set < sets; ++set) {
    inputs_.emplace_back(*execution.allocator, input_bytes, MemoryKind::workspace);
    outputs_.emplace_back(*execution.allocator, output_bytes, MemoryKind::workspace);
    random_fill(inputs_.back().as<void>(), input, precision, layout, static_cast<std::uint64_t>(set), stream_);
  }
}

double RotatedTiming::microseconds(const std::function<void(const void* input, void* output)>& run, int timings) const {
  const Event begin, end;
  const std::size_t runs = std::max<std::size_t>(inputs_.size(), 8);
  run(inputs_.front().as<void>(), outputs_.front().as<void>());  // what a first call sets up belongs into no graph
  const Graph graph(as_stream(stream_), [&] {
    for (std::size_t i = 0; i < runs; ++i) run(inputs_[i % inputs_.size()].as<void>(), outputs_[i % inputs_.size()].as<void>());
  });
  std::vector<double> times;
  for (int timing = -1; timing < timings; ++timing) {  // the first is a warm-up
    check(cudaEventRecord(begin.get(), as_stream(stream_)), "cudaEventRecord");
    graph.launch();
    check(cudaEventRecord(end.get(), as_stream(stream_)), "cudaEventRecord");
    check(cudaEventSynchronize(end.get()), "timing a kernel");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
    if (timing >= 0) times.push_back(milliseconds * 1e3 / static_cast<double>(runs));
  }
  std::ranges::nth_element(times, times.begin() + timings / 2);
  return times[timings / 2];
}

}  // namespace lcnn::cuda
