#include "kernels/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "kernels/random.h"

namespace lcnn {
namespace {

float round_to_bf16(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  bits += 0x7FFFu + ((bits >> 16) & 1u);
  return std::bit_cast<float>(bits & 0xFFFF0000u);
}

float round_to_fp16(float value) { return static_cast<float>(static_cast<_Float16>(value)); }

constexpr double kMostLookups = 2e9;  // below 2^31 whatever the draw

// Distinct streams of one seed.
enum Stream : std::uint64_t { kDictionary = 1, kPattern, kCoefficients, kBias };
std::uint64_t stream(std::uint64_t seed, Stream id) { return random_bits(seed, id); }

// Adds every entry of P that is non-zero with probability `density`, jumping from one to the next.
void draw_bernoulli_rows(LookupTable& table, const LookupProblem& problem, double density, std::uint64_t seed) {
  const std::int64_t per_group = problem.dictionary_size_per_group();
  const std::int64_t rows_per_group = table.rows() / problem.conv.groups;
  const double log_empty = std::log1p(-density);
  std::uint64_t draw = 0;
  const auto gap = [&]() -> std::int64_t {
    if (density >= 1.0) return 0;
    if (density <= 0.0) return table.rows() * per_group;
    const double unit = (static_cast<double>(random_bits(seed, draw++) >> 11) + 0.5) * 0x1p-53;
    return static_cast<std::int64_t>(std::min(std::log(unit) / log_empty, 4e18));
  };
  std::int64_t position = gap();
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const std::int64_t first_entry = row / rows_per_group * per_group;
    for (; position < (row + 1) * per_group; position += 1 + gap()) {
      table.indices.push_back(static_cast<std::uint32_t>(first_entry + position % per_group));
    }
    table.row_offsets.push_back(static_cast<std::int32_t>(table.indices.size()));
  }
}

// Adds exactly `count` distinct ascending entries to every row (Floyd's sampling).
void draw_fixed_rows(LookupTable& table, const LookupProblem& problem, std::int64_t count, std::uint64_t seed) {
  const std::int64_t per_group = problem.dictionary_size_per_group();
  const std::int64_t rows_per_group = table.rows() / problem.conv.groups;
  std::vector<std::uint32_t> chosen;
  std::uint64_t draw = 0;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const auto first_entry = static_cast<std::uint32_t>(row / rows_per_group * per_group);
    chosen.clear();
    for (std::int64_t top = per_group - count; top < per_group; ++top) {
      const auto pick = static_cast<std::uint32_t>(random_bits(seed, draw++) % (top + 1));
      const bool taken = std::ranges::find(chosen, first_entry + pick) != chosen.end();
      chosen.push_back(first_entry + (taken ? static_cast<std::uint32_t>(top) : pick));
    }
    std::ranges::sort(chosen);
    table.indices.insert(table.indices.end(), chosen.begin(), chosen.end());
    table.row_offsets.push_back(static_cast<std::int32_t>(table.indices.size()));
  }
}

// A stored coefficient of exactly zero would be lost in conversions: take the smallest step away from it.
float non_zero_coefficient(Precision precision, float value) {
  const float rounded = round_to(precision, value);
  return rounded == 0.0f ? round_to(precision, 1e-3f) : rounded;
}

}  // namespace

float round_to(Precision precision, float value) {
  switch (precision) {
    case Precision::fp16: return round_to_fp16(value);
    case Precision::bf16: return round_to_bf16(value);
    default: return value;
  }
}

std::uint16_t bits_of(Precision precision, float value) {
  if (precision == Precision::bf16) return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  return std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
}

LookupWeights random_weights(const LookupProblem& problem, double sparsity, Precision precision,
                             std::uint64_t seed) {
  validate(problem);
  const std::int64_t per_group = problem.dictionary_size_per_group();
  if (!(sparsity >= 0.0 && sparsity <= static_cast<double>(per_group))) {
    throw std::invalid_argument(fmt::format("sparsity is {}: 0 to dictionary_size / groups = {} lookups per position",
                                            sparsity, per_group));
  }
  const Conv2dProblem dictionary_stage = problem.dictionary_stage();
  const Conv2dProblem lookup_stage = problem.lookup_stage();
  if (sparsity * static_cast<double>(lookup_stage.out_channels * lookup_stage.taps()) > kMostLookups) {
    throw std::invalid_argument(fmt::format("sparsity {} gives more than the {:.0f} lookups that 32-bit offsets reach",
                                            sparsity, kMostLookups));
  }
  LookupWeights weights;

  const std::int64_t dictionary_fan_in = dictionary_stage.in_channels_per_group() * dictionary_stage.taps();
  const float dictionary_scale = 1.0f / std::sqrt(static_cast<float>(dictionary_fan_in));
  weights.dictionary.resize(dictionary_stage.weight_elements());
  for (std::size_t i = 0; i < weights.dictionary.size(); ++i) {
    weights.dictionary[i] = round_to(precision, dictionary_scale * random_value(stream(seed, kDictionary), i));
  }

  LookupTable& table = weights.lookups;
  table = {.out_channels = lookup_stage.out_channels, .kernel = lookup_stage.kernel,
           .dictionary_size = problem.dictionary_size};
  table.row_offsets.push_back(0);
  if (problem.granularity == Granularity::filter && sparsity == std::floor(sparsity)) {
    draw_fixed_rows(table, problem, static_cast<std::int64_t>(sparsity), stream(seed, kPattern));
  } else {
    draw_bernoulli_rows(table, problem, sparsity / static_cast<double>(per_group), stream(seed, kPattern));
  }
  const double lookups_per_output = std::max(1.0, sparsity * static_cast<double>(lookup_stage.taps()));
  const float coefficient_scale = 1.0f / std::sqrt(static_cast<float>(lookups_per_output));
  table.coefficients.resize(table.indices.size());
  for (std::size_t i = 0; i < table.coefficients.size(); ++i) {
    table.coefficients[i] =
        non_zero_coefficient(precision, coefficient_scale * random_value(stream(seed, kCoefficients), i));
  }

  if (problem.conv.bias) {
    weights.bias.resize(problem.conv.out_channels);
    for (std::size_t i = 0; i < weights.bias.size(); ++i) {
      weights.bias[i] = round_to(precision, 0.5f * random_value(stream(seed, kBias), i));
    }
  }
  return weights;
}

DenseWeights dense_weights(const LookupProblem& problem, const LookupWeights& weights, Precision precision) {
  const Conv2dProblem& conv = problem.conv;
  const LookupTable& table = weights.lookups;
  const std::int64_t dictionary_taps = problem.dictionary_stage().taps();
  const std::int64_t channels = conv.in_channels_per_group();
  const std::int64_t lookup_taps = problem.lookup_stage().taps();
  DenseWeights dense{.weight = std::vector<float>(conv.weight_elements()), .bias = weights.bias};
  std::vector<double> filter(channels * dictionary_taps);
  for (std::int64_t k = 0; k < conv.out_channels; ++k) {
    for (std::int64_t tap = 0; tap < lookup_taps; ++tap) {
      std::ranges::fill(filter, 0.0);
      const std::int64_t row = k * lookup_taps + tap;
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        const float* entry = weights.dictionary.data() + table.indices[i] * filter.size();
        const double coefficient = table.coefficients[i];
        for (std::size_t j = 0; j < filter.size(); ++j) filter[j] += coefficient * entry[j];
      }
      // One of the two tap counts is 1, so (channel, dictionary tap, lookup tap) runs over W's (channel, r, c).
      for (std::size_t j = 0; j < filter.size(); ++j) {
        dense.weight[(k * filter.size() + j) * lookup_taps + tap] =
            round_to(precision, static_cast<float>(filter[j]));
      }
    }
  }
  return dense;
}

LookupProblem vector_form(const LookupProblem& problem) {
  LookupProblem form = problem;
  if (problem.granularity == Granularity::filter) form.dictionary_size *= problem.conv.taps();
  form.granularity = Granularity::vector;
  return form;
}

VectorForm vector_form(const LookupProblem& problem, const LookupWeights& weights) {
  if (problem.granularity == Granularity::vector) return {problem, weights};
  const std::int64_t taps = problem.conv.taps(), channels = problem.conv.in_channels_per_group();
  VectorForm form{vector_form(problem),
                  {.dictionary = std::vector<float>(weights.dictionary.size()), .bias = weights.bias}};
  for (std::int64_t d = 0; d < problem.dictionary_size; ++d) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        form.weights.dictionary[(d * taps + tap) * channels + c] = weights.dictionary[(d * channels + c) * taps + tap];
      }
    }
  }
  const LookupTable& table = weights.lookups;
  LookupTable& spread = form.weights.lookups;
  spread = {.out_channels = table.out_channels, .kernel = problem.conv.kernel,
            .dictionary_size = form.problem.dictionary_size};
  spread.row_offsets.push_back(0);
  for (std::int64_t k = 0; k < table.out_channels; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int32_t i = table.row_offsets[k]; i < table.row_offsets[k + 1]; ++i) {
        spread.indices.push_back(static_cast<std::uint32_t>(table.indices[i] * taps + tap));
        spread.coefficients.push_back(table.coefficients[i]);
      }
      spread.row_offsets.push_back(static_cast<std::int32_t>(spread.indices.size()));
    }
  }
  return form;
}

std::vector<float> dense_lookups(const LookupProblem& problem, const LookupTable& table) {
  const Conv2dProblem stage = problem.lookup_stage();
  const std::int64_t per_group = problem.dictionary_size_per_group(), taps = stage.taps();
  std::vector<float> dense(stage.weight_elements(), 0.0f);
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const std::int64_t k = row / taps, tap = row % taps;
    for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
      dense[(k * per_group + table.indices[i] % per_group) * taps + tap] = table.coefficients[i];
    }
  }
  return dense;
}

DenseWeights prune_2_4(const Conv2dProblem& problem, DenseWeights weights) {
  const std::int64_t channels = problem.in_channels_per_group(), taps = problem.taps();
  const std::int64_t row_length = channels * taps;
  for (std::int64_t k = 0; k < problem.out_channels; ++k) {
    const auto at = [&](std::int64_t position) -> float& {
      return weights.weight[k * row_length + position % channels * taps + position / channels];
    };
    for (std::int64_t first = 0; first + 4 <= row_length; first += 4) {
      std::array<std::int64_t, 4> order{first, first + 1, first + 2, first + 3};
      std::ranges::stable_sort(order, [&](auto a, auto b) { return std::abs(at(a)) < std::abs(at(b)); });
      at(order[0]) = at(order[1]) = 0.0f;
    }
  }
  return weights;
}

std::int64_t stored_bytes(const LookupWeights& weights, Precision precision) {
  return weights.lookups.stored_bytes(precision) +
         static_cast<std::int64_t>(weights.dictionary.size() + weights.bias.size()) * element_bytes(precision);
}

std::int64_t stored_bytes(const DenseWeights& weights, Precision precision) {
  return static_cast<std::int64_t>(weights.weight.size() + weights.bias.size()) * element_bytes(precision);
}

}  // namespace lcnn
