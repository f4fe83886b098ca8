#include "kernels/cuda/nvrtc_kernel.h"

#include <fmt/format.h>
#include <nvrtc.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/cuda/device_limits.h"
#include "kernels/random.h"
#include "kernels/tuning_cache.h"

namespace lcnn::cuda {
namespace {

void check_nvrtc(nvrtcResult status, const char* what) {
  if (status != NVRTC_SUCCESS) throw std::runtime_error(fmt::format("{}: {}", what, nvrtcGetErrorString(status)));
}

// "sm_90a": Hopper's own instructions are part of the "a" target.
std::string architecture() {
  const int major = device_attribute(cudaDevAttrComputeCapabilityMajor), minor = device_attribute(cudaDevAttrComputeCapabilityMinor);
  return fmt::format("sm_{}{}{}", major, minor, major == 9 ? "a" : "");
}

// Two independent 64-bit hashes over everything that decides the binary.
std::string cache_key(const std::string& source, const std::string& target) {
  int major = 0, minor = 0;
  check_nvrtc(nvrtcVersion(&major, &minor), "nvrtcVersion");
  std::uint64_t first = 1, second = 2;
  for (const char c : fmt::format("{} {}.{}\n{}", target, major, minor, source)) {
    first = random_bits(first, static_cast<unsigned char>(c));
    second = random_bits(second ^ 0x5bd1e995u, static_cast<unsigned char>(c));
  }
  return fmt::format("{:016x}{:016x}.cubin", first, second);
}

std::optional<std::vector<char>> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::vector<char> content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (content.empty()) return std::nullopt;
  return content;
}

}  // namespace

std::vector<char> nvrtc_compile(const std::string& source, const std::string& target) {
  nvrtcProgram program = nullptr;
  check_nvrtc(nvrtcCreateProgram(&program, source.c_str(), "lcnn.cu", 0, nullptr, nullptr), "nvrtcCreateProgram");
  const std::string option = "-arch=" + target;
  const char* options[] = {option.c_str(), "-std=c++17", "-default-device"};
  const nvrtcResult status = nvrtcCompileProgram(program, 3, options);
  if (status != NVRTC_SUCCESS) {
    std::size_t size = 0;
    nvrtcGetProgramLogSize(program, &size);
    std::string log(size, '\0');
    nvrtcGetProgramLog(program, log.data());
    nvrtcDestroyProgram(&program);
    const std::size_t error = std::min(log.find("error"), log.size()), line = log.rfind('\n', error) + 1;  // warnings may come first
    throw std::runtime_error("run-time compilation failed: " + log.substr(line, log.find('\n', error) - line));
  }
  std::size_t size = 0;
  check_nvrtc(nvrtcGetCUBINSize(program, &size), "nvrtcGetCUBINSize");
  std::vector<char> binary(size);
  check_nvrtc(nvrtcGetCUBIN(program, binary.data()), "nvrtcGetCUBIN");
  nvrtcDestroyProgram(&program);
  return binary;
}

std::vector<char> nvrtc_binary(const std::string& source) {
  const std::string target = architecture();
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return nvrtc_compile(source, target);
  const std::filesystem::path path = folder / cache_key(source, target);
  if (auto cached = read_file(path)) return *cached;
  std::vector<char> binary = nvrtc_compile(source, target);
  write_cache_file(path, {binary.begin(), binary.end()});
  return binary;
}

NvrtcKernel::NvrtcKernel(const std::string& source, const std::string& name, int dynamic_shared_bytes)
    : dynamic_shared_bytes_(dynamic_shared_bytes) {
  const std::vector<char> binary = nvrtc_binary(source);
  code_bytes_ = static_cast<std::int64_t>(binary.size());
  check(cudaLibraryLoadData(&library_, binary.data(), nullptr, nullptr, 0, nullptr, nullptr, 0), "loading a compiled kernel");
  check(cudaLibraryGetKernel(&kernel_, library_, name.c_str()), "finding a compiled kernel");
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel_), "cudaFuncGetAttributes");
  registers_ = attributes.numRegs;
  if (attributes.localSizeBytes > 0) {
    cudaLibraryUnload(library_);
    throw RegistersSpilled(fmt::format("the compiled kernel {} spills {} bytes of registers", name, attributes.localSizeBytes));
  }
  check(cudaFuncSetAttribute(kernel_, cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic_shared_bytes),
        "raising the shared-memory limit");
}

NvrtcKernel::NvrtcKernel(NvrtcKernel&& other) noexcept
    : library_(std::exchange(other.library_, nullptr)),
      kernel_(other.kernel_),
      dynamic_shared_bytes_(other.dynamic_shared_bytes_),
      registers_(other.registers_),
      code_bytes_(other.code_bytes_) {}

NvrtcKernel::~NvrtcKernel() {
  if (library_ != nullptr) cudaLibraryUnload(library_);
}

int NvrtcKernel::resident_blocks(int threads) const {
  int blocks = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel_, threads, static_cast<std::size_t>(dynamic_shared_bytes_)),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  return blocks;
}

int NvrtcKernel::resident_clusters(int threads, int blocks) const {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {static_cast<unsigned>(blocks), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(dynamic_shared_bytes_);
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  check(cudaOccupancyMaxActiveClusters(&clusters, reinterpret_cast<const void*>(kernel_), &config), "cudaOccupancyMaxActiveClusters");
  return clusters;
}

void NvrtcKernel::launch(dim3 grid, dim3 block, void** arguments, bool overlap, cudaStream_t stream) const {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = static_cast<std::size_t>(dynamic_shared_bytes_);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = overlap ? 1 : 0;
  check(cudaLaunchKernelExC(&config, kernel_, arguments), "launching a compiled kernel");
}

}  // namespace lcnn::cuda
