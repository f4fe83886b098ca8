// The kernel's own text, compiled for the host and run thread by thread: where a machine has no GPU, what it computes and
// whether its barriers hold are tested all the same.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/wgmma_test_problems.h"
#include "kernels/reference.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448;  // an H100's

// Constants and kernel without what stands for the device.
std::string host_part(const std::string& source) {
  const auto constants = source.find("#define ROWS "), products = source.find("using lcnn_device::u64,"), kernel = source.find("// The fused kernel whose stages");
  if (constants == std::string::npos || products == std::string::npos || kernel == std::string::npos) throw std::logic_error("the source has other parts");
  std::string part = source.substr(constants, products - constants) + source.substr(kernel);
  // A map is a pointer to what it describes.
  part += R"(
#include <fstream>
int main(int, char** arguments) {
  std::ifstream in(arguments[1], std::ios::binary);
  std::int64_t sizes[20];
  in.read(reinterpret_cast<char*>(sizes), sizeof sizes);
  const auto read = [&](std::int64_t bytes) { std::vector<char> data(bytes); in.read(data.data(), bytes); return data; };
  std::vector<char> x = read(sizes[0]), dictionary = read(sizes[1]), records = read(sizes[2]), y(sizes[3], '\xFF');
  const auto map = [&](std::vector<char>& data, int i) {
    return EmulatedMap{reinterpret_cast<std::uint16_t*>(data.data()), int(sizes[i]), int(sizes[i + 1]), int(sizes[i + 2]), int(sizes[i + 3]), int(sizes[i + 4]), int(sizes[i + 5])};
  };
  EmulatedMap inputs = map(x, 4), outputs = map(y, 10);
  TensorMap input_map, output_map;
  EmulatedMap *input = &inputs, *output = &outputs;
  std::memcpy(&input_map, &input, sizeof input);
  std::memcpy(&output_map, &output, sizeof output);
  emulation::run(unsigned(sizes[16]), kThreads, 128, [&] { wgmma_fused(input_map, output_map, dictionary.data(), records.data()); });
  std::ofstream(arguments[2], std::ios::binary).write(y.data(), y.size());
}
)";
  return part;
}

class Emulation {
 public:
  Emulation() : folder_(std::filesystem::path(testing::TempDir()) / ("wgmma_emulation_" + std::to_string(::getpid()))) { std::filesystem::create_directories(folder_); }
  ~Emulation() { std::filesystem::remove_all(folder_); }

  // y, NHWC, of a tile run by `blocks` blocks for each block of channels.
  std::vector<float> run(const VectorForm& form, const std::vector<float>& input, const WgmmaTile& tile, int ring, int blocks) {
    const auto& [problem, weights] = form;
    const Conv2dProblem& conv = problem.conv;
    const WgmmaLayout layout(problem, Precision::fp16, tile);
    const std::vector<int> order = wgmma_order(weights.lookups, Precision::fp16);
    const WgmmaLookups lookups = wgmma_lookups(problem.lookup_stage(), weights.lookups, weights.bias, order, Precision::fp16, layout.places(),
                                               tile.block_channels, layout.slot_steps, tile.sparse());
    ring = std::clamp(ring, 1, lookups.most_slots);
    write("kernel.cpp", "#include \"" LCNN_HOPPER_EMULATION "\"\n" + host_part(wgmma_source(problem, Precision::fp16, tile, layout, lookups, ring)));
    const char* flags = std::getenv("LCNN_EMULATION_FLAGS");  // such as -fsanitize=thread
    call(std::string(LCNN_CXX_COMPILER " -std=c++20 -O1 -w -Wno-psabi -pthread ") + (flags == nullptr ? "" : flags) + " -o " + path("kernel") + " " + path("kernel.cpp"));

    const std::vector<std::uint32_t> dictionary = wgmma_dictionary(problem, weights.dictionary, order, Precision::fp16);
    std::vector<std::uint16_t> x;
    for (const float value : transposed(input, conv.batch, conv.in_channels)) x.push_back(bits_of(Precision::fp16, value));
    std::ofstream in(path("in"), std::ios::binary);
    const auto put = [&](const void* data, std::size_t bytes) { in.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes)); };
    const std::int64_t sizes[20] = {static_cast<std::int64_t>(x.size() * 2), static_cast<std::int64_t>(dictionary.size() * 4),
                                    static_cast<std::int64_t>(lookups.records.size() * 4), conv.output_elements() * 2,
                                    conv.in_channels, conv.width, conv.height, conv.batch, layout.pitch, tile.chunk_rows,
                                    conv.out_channels, conv.out_width(), conv.out_height(), conv.batch, std::min(tile.columns, 64), 1,
                                    std::min(blocks, layout.tiles) * layout.channel_blocks};
    put(sizes, sizeof sizes);
    put(x.data(), x.size() * 2);
    put(dictionary.data(), dictionary.size() * 4);
    put(lookups.records.data(), lookups.records.size() * 4);
    in.close();
    call("timeout 300 " + path("kernel") + " " + path("in") + " " + path("out"));
    std::vector<_Float16> stored(conv.output_elements());
    std::ifstream(path("out"), std::ios::binary).read(reinterpret_cast<char*>(stored.data()), static_cast<std::streamsize>(stored.size() * 2));
    return {stored.begin(), stored.end()};
  }

 private:
  std::string path(const char* name) const { return (folder_ / name).string(); }
  void write(const char* name, const std::string& text) const { std::ofstream(path(name)) << text; }
  static void call(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("this failed: " + command);
  }
  std::filesystem::path folder_;
};

struct Case {
  TestProblem test;
  WgmmaTile tile;
  int ring, blocks;
};

void check(const Case& each) {
  const LookupWeights weights = each.test.weights(Precision::fp16);
  const std::vector<float> input = each.test.input(Precision::fp16);
  const Conv2dProblem& conv = each.test.problem.conv;
  const std::vector<double> expected = transposed(
      reference_lookup_conv2d(each.test.problem, weights, std::vector<double>(input.begin(), input.end())), conv.batch, conv.out_channels);
  const Comparison found = compare(Emulation().run(vector_form(each.test.problem, weights), input, each.tile, each.ring, each.blocks), expected);
  EXPECT_TRUE(found.rel_err <= 1e-3) << tile_name(each.tile) << " ring " << each.ring << " " << each.test << "\nrel_err " << found.rel_err
                                     << ", not finite: " << found.non_finite;
}

TEST(WgmmaEmulation, MatchesTheFloat64ReferenceAndItsBarriersHold) {
  const auto problem = [](std::int64_t batch, std::int64_t channels, std::int64_t size, std::int64_t out_channels, Pair kernel, Pair padding, std::int64_t entries) {
    return TestProblem{.problem = {{.batch = batch, .in_channels = channels, .height = size, .width = size + 1, .out_channels = out_channels, .kernel = kernel,
                                    .padding = padding}, entries}};
  };
  const std::vector<Case> cases = {
      // X whole, by chunks of rows; P resident; several tiles a block, S once and twice.
      {problem(2, 72, 9, 72, {3, 3}, {1, 1}, 20), {.rows = 3, .columns = 10, .block_channels = 64, .output_groups = 2, .group_tiles = 1, .chunk_rows = 2}, 99, 2},
      {problem(3, 24, 6, 40, {2, 3}, {0, 2}, 7), {.rows = 2, .columns = 9, .block_channels = 64, .output_groups = 1, .group_tiles = 2, .chunk_rows = 3,
                                                .entry_buffers = 2}, 99, 2},
      // X in slices that come and go; P in a ring, of three and of two slots; warpgroups that take turns.
      {problem(4, 200, 7, 136, {3, 3}, {1, 1}, 70), {.rows = 7, .columns = 8, .block_channels = 64, .output_groups = 2, .group_tiles = 1, .chunk_rows = 7, .stages = 2,
                                                     .entry_buffers = 2, .sets = 2}, 4, 2},
      {problem(2, 136, 5, 64, {3, 2}, {1, 1}, 40), {.rows = 5, .columns = 7, .block_channels = 64, .output_groups = 1, .group_tiles = 1, .chunk_rows = 5, .stages = 3}, 2, 1},
      // Rows wider than 64 positions.
      {problem(1, 16, 70, 64, {1, 3}, {0, 1}, 16), {.rows = 2, .columns = 71, .block_channels = 64, .output_groups = 2, .group_tiles = 1, .chunk_rows = 1}, 99, 3},
  };
  for (const Case& each : cases) check(each);
}

TEST(WgmmaEmulation, MatchesTheFloat64ReferenceWithSparseP) {
  const auto problem = [](std::int64_t batch, std::int64_t channels, std::int64_t size, std::int64_t out_channels, Pair kernel, Pair dilation, std::int64_t entries,
                          double sparsity) {
    return TestProblem{.problem = {{.batch = batch, .in_channels = channels, .height = size, .width = size + 1, .out_channels = out_channels, .kernel = kernel,
                                    .padding = {1, 1}, .dilation = dilation}, entries}, .sparsity = sparsity};
  };
  const std::vector<Case> cases = {
      // A piece of whole rows for each warpgroup, P resident; entries that fill half a step; many lookups among four entries.
      {problem(2, 72, 9, 72, {3, 3}, {1, 1}, 33, 9), {.rows = 5, .columns = 10, .block_channels = 64, .output_groups = 2, .chunk_rows = 2, .piece = 48}, 99, 2},
      // Two groups of channels, one piece that is no multiple of 64; S twice.
      {problem(3, 24, 6, 136, {2, 3}, {1, 2}, 30, 1), {.rows = 3, .columns = 5, .block_channels = 128, .output_groups = 2, .chunk_rows = 5, .entry_buffers = 2,
                                                     .piece = 24}, 99, 2},
      // X in slices; P in a ring; warpgroups that take turns, more pieces than they take at once.
      {problem(4, 200, 7, 136, {3, 3}, {1, 1}, 70, 2), {.rows = 7, .columns = 8, .block_channels = 64, .output_groups = 2, .chunk_rows = 7, .stages = 2,
                                                        .entry_buffers = 2, .sets = 2, .piece = 48}, 4, 2},
      // Several slots, all resident; a part stored in two pieces that are under way together; entries filled up to a step; S twice.
      {problem(3, 24, 11, 72, {1, 2}, {1, 2}, 130, 3), {.rows = 7, .columns = 12, .block_channels = 128, .output_groups = 2, .chunk_rows = 7, .entry_buffers = 2,
                                                       .piece = 112}, 99, 2},
      // Rows wider than 64 positions; every entry is looked up.
      {problem(1, 16, 70, 64, {1, 3}, {1, 1}, 16, 16), {.rows = 1, .columns = 71, .block_channels = 64, .output_groups = 2, .chunk_rows = 1, .piece = 64}, 99, 3},
  };
  for (const Case& each : cases) check(each);
}

// LCNN_TEST_PROBLEMS raises their number: each is compiled.
TEST(WgmmaEmulation, MatchesTheFloat64ReferenceOnRandomProblems) {
  const char* wanted = std::getenv("LCNN_TEST_PROBLEMS");
  const std::uint64_t problems = wanted == nullptr ? 3 : std::stoull(wanted);
  for (std::uint64_t seed = 0; seed < problems; ++seed) {
    TestProblem test = wgmma_problem(seed, 3'000'000);
    const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
    std::vector<WgmmaTile> kinds = wgmma_kinds(form, Precision::fp16, kSharedLimit, 4);
    std::erase_if(kinds, [&](const WgmmaTile& tile) { return tile.sparse() != (seed % 2 == 0); });  // either form of P in turn
    if (kinds.empty()) continue;  // a dictionary that is too large
    const int ring = 2 + static_cast<int>(random_bits(seed, 0) % 5), blocks = 1 + static_cast<int>(random_bits(seed, 1) % 2);
    check({.test = test, .tile = kinds[random_bits(seed, 2) % kinds.size()], .ring = ring, .blocks = blocks});
  }
}

}  // namespace
}  // namespace lcnn::cuda
