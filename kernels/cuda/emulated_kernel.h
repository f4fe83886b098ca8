// A kernel's text for 16-bit elements, compiled for the host and run thread by thread (hopper_emulation.h), for tests where there is no GPU.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/problem.h"
#include "kernels/test_problems.h"
#include "kernels/weights.h"

namespace lcnn::cuda {

class EmulatedKernel {
 public:
  // What a tiled copy takes.
  struct Box {
    int columns = 1, rows = 1, images = 1, channels = 64;
  };
  // How a map sees y besides its channels, and the box that is stored.
  struct Output {
    std::int64_t width, height, batch;
    Box box;
  };

  // `source` is the kernel's for fp16; its own text begins with `first_comment`. `launch` calls it with input_map, output_map, dictionary.data(),
  // records.data(); its named barriers are of `named_threads` threads.
  EmulatedKernel(const std::string& source, const std::string& first_comment, const std::string& launch, int named_threads)
      : folder_(std::filesystem::path(testing::TempDir()) / ("emulated_kernel_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
    // Constants and kernel without what stands for the device.
    const auto constants = source.find("\n#define "), products = source.find("using lcnn_device::u64,"), kernel = source.find(first_comment);
    if (constants == std::string::npos || products == std::string::npos || kernel == std::string::npos) throw std::logic_error("the source has other parts");
    std::ofstream(path("kernel.cpp")) << "#include \"" LCNN_HOPPER_EMULATION "\"\n" << source.substr(constants, products - constants) << source.substr(kernel) << R"(
#include <fstream>
int main(int, char** arguments) {
  std::ifstream in(arguments[1], std::ios::binary);
  std::int64_t sizes[21];
  in.read(reinterpret_cast<char*>(sizes), sizeof sizes);
  const auto read = [&](std::int64_t bytes) { std::vector<char> data(bytes); in.read(data.data(), bytes); return data; };
  std::vector<char> x = read(sizes[0]), dictionary = read(sizes[1]), records = read(sizes[2]), y(sizes[3], '\xFF');
  const auto map = [&](std::vector<char>& data, int i) {
    return EmulatedMap{reinterpret_cast<std::uint16_t*>(data.data()), int(sizes[i]), int(sizes[i + 1]), int(sizes[i + 2]), int(sizes[i + 3]), int(sizes[i + 4]), int(sizes[i + 5]), int(sizes[i + 6]), int(sizes[i + 7])};
  };
  EmulatedMap inputs = map(x, 4), outputs = map(y, 12);
  TensorMap input_map, output_map;  // a map is a pointer to what it describes
  EmulatedMap *input = &inputs, *output = &outputs;
  std::memcpy(&input_map, &input, sizeof input);
  std::memcpy(&output_map, &output, sizeof output);
  emulation::run(unsigned(sizes[20]), kThreads, )" << named_threads << ", [&] { " << launch << R"(; });
  std::ofstream(arguments[2], std::ios::binary).write(y.data(), y.size());
}
)";
    const char* flags = std::getenv("LCNN_EMULATION_FLAGS");  // such as -fsanitize=thread
    call(std::string(LCNN_CXX_COMPILER " -std=c++20 -O1 -w -Wno-psabi -pthread ") + (flags == nullptr ? "" : flags) + " -o " + path("kernel") + " " + path("kernel.cpp"));
  }
  ~EmulatedKernel() { std::filesystem::remove_all(folder_); }

  // y, NHWC, for `input`, NCHW.
  std::vector<float> run(const Conv2dProblem& conv, const std::vector<float>& input, const std::vector<std::uint32_t>& dictionary,
                         const std::vector<std::uint32_t>& records, const Box& in_box, const Output& output, int blocks) const {
    std::vector<std::uint16_t> x;
    for (const float value : transposed(input, conv.batch, conv.in_channels)) x.push_back(bits_of(Precision::fp16, value));
    std::ofstream in(path("in"), std::ios::binary);
    const auto put = [&](const void* data, std::size_t bytes) { in.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes)); };
    const std::int64_t sizes[21] = {static_cast<std::int64_t>(x.size() * 2), static_cast<std::int64_t>(dictionary.size() * 4),
                                    static_cast<std::int64_t>(records.size() * 4), conv.output_elements() * 2,
                                    conv.in_channels, conv.width, conv.height, conv.batch, in_box.columns, in_box.rows, in_box.images, in_box.channels,
                                    conv.out_channels, output.width, output.height, output.batch, output.box.columns, output.box.rows, output.box.images, output.box.channels, blocks};
    put(sizes, sizeof sizes);
    put(x.data(), x.size() * 2);
    put(dictionary.data(), dictionary.size() * 4);
    put(records.data(), records.size() * 4);
    in.close();
    call("timeout 300 " + path("kernel") + " " + path("in") + " " + path("out"));
    std::vector<_Float16> stored(conv.output_elements());
    std::ifstream(path("out"), std::ios::binary).read(reinterpret_cast<char*>(stored.data()), static_cast<std::streamsize>(stored.size() * 2));
    return {stored.begin(), stored.end()};
  }

 private:
  std::string path(const char* name) const { return (folder_ / name).string(); }
  static void call(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("this failed: " + command);
  }
  std::filesystem::path folder_;
};

}  // namespace lcnn::cuda
