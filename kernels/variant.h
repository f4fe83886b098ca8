// What an implementation of the layer is: a name, what it supports, how it is prepared, and then run many times.
//
// A new variant is one new file that defines one `const Variant`, and one line in variants/variant_table.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn {

// What a piece of memory is for; reports itemise by it.
enum class MemoryKind {
  weights,    // the parameters as stored
  prepared,   // whatever else preparation keeps: converted layouts, compiled tables
  workspace,  // scratch that a run writes and reads
};

// Hands out memory of one device. Implemented by the caller, who counts it.
class Allocator {
 public:
  virtual ~Allocator() = default;
  // At least `bytes` bytes aligned to 256; throws std::bad_alloc or a c10::Error when there is none.
  virtual void* allocate(std::int64_t bytes, MemoryKind kind) = 0;
  virtual void release(void* pointer) noexcept = 0;
};

// Memory of an Allocator, released with the object. Must not outlive its allocator.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Allocator& allocator, std::int64_t bytes, MemoryKind kind)
      : allocator_(&allocator), data_(allocator.allocate(bytes, kind)) {}
  Buffer(Buffer&& other) noexcept
      : allocator_(std::exchange(other.allocator_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(allocator_, other.allocator_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) allocator_->release(data_);
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Allocator* allocator_ = nullptr;
  void* data_ = nullptr;
};

// C [m, n] = A [m, k] B [k, n], all row-major floats with the given row pitches. The library's GEMM on the CPU.
using HostGemm = void (*)(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_pitch,
                          const float* b, std::int64_t b_pitch, float* c, std::int64_t c_pitch);

// How much a preparation searches.
enum class Tuning {
  none,        // first choices: quick, for tests of what is computed
  libraries,   // libraries try what they have; variants of ours take what the tuning cache holds, else a cost model's choice
  everything,  // variants of ours measure, too, and keep what was fastest in the tuning cache
};

// Where a variant is prepared. CPU variants run on as many threads as OpenMP has then.
struct Execution {
  Allocator* allocator = nullptr;
  void* stream = nullptr;        // cudaStream_t for CUDA, unused on the CPU
  HostGemm host_gemm = nullptr;  // CPU only
  Tuning tuning = Tuning::libraries;
};

// One problem with its weights, ready to run.
class PreparedConvolution {
 public:
  virtual ~PreparedConvolution() = default;

  // x [batch, in_channels, height, width] -> y [batch, out_channels, out_height, out_width], in the precision and
  // layout of the preparation, on the device. Allocates nothing of its own; on CUDA it only enqueues work on
  // `stream`, so that it can be captured into a graph. Every element of y is written.
  virtual void run(const void* x, void* y, void* stream) = 0;

  // For implementations that keep tensors in a layout of their own (oneDNN's blocked one) or return memory of their
  // own: converts x once before runs on it, and after a run writes the result that belongs to y into y. Never timed.
  virtual void adopt_input(const void* /*x*/, void* /*stream*/) {}
  virtual void emit_output(void* /*y*/, void* /*stream*/) {}
  // Whether a run leaves its result in memory of its own, and y to emit_output.
  virtual bool owns_output() const { return false; }

  // Bytes of code that was compiled for this problem; it belongs to the prepared data.
  virtual std::int64_t code_bytes() const { return 0; }

  // What preparation chose (engine, tile), for the report; empty when there was nothing to choose.
  virtual std::string choice() const { return {}; }
};

// Thrown by a preparation that finds in the weights what makes the problem unsupported; says why in one sentence.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class VariantKind { lookup, conv2d, peer };

// The function that a variant computes, and so the reference it is verified against.
enum class Computes {
  lookups,        // Y = conv(conv(X, D), P) + b from D and P as stored
  dense_weights,  // Conv2d with W reconstructed from D and P and rounded to the precision
  pruned_2_4,     // Conv2d with that W pruned to 2:4 structured sparsity
};

struct Variant {
  std::string_view name;
  VariantKind kind = VariantKind::lookup;
  Device device = Device::cpu;
  Computes computes = Computes::lookups;

  // Why this cannot be computed, in one sentence; empty when it can.
  std::string (*why_unsupported)(const LookupProblem&, Precision, Layout) = nullptr;

  // Converts, copies to the device, compiles, tunes: all that a run should not do. Throws std::runtime_error
  // (or what the library throws) when that fails.
  std::unique_ptr<PreparedConvolution> (*prepare)(const LookupProblem&, const LookupWeights&, Precision, Layout,
                                                  const Execution&) = nullptr;
};

// `prepare` of a class whose constructor takes the same arguments.
template <typename Prepared>
std::unique_ptr<PreparedConvolution> prepare_as(const LookupProblem& problem, const LookupWeights& weights,
                                                Precision precision, Layout layout, const Execution& execution) {
  return std::make_unique<Prepared>(problem, weights, precision, layout, execution);
}

// Reasons that several variants share, usable as why_unsupported; empty when there is none.
std::string why_not_16_bit_indices(const LookupProblem& problem);
std::string why_not_fp32_nchw(const LookupProblem& problem, Precision precision, Layout layout);
std::string why_not_fp32_or_bf16_nchw(const LookupProblem& problem, Precision precision, Layout layout);

}  // namespace lcnn
