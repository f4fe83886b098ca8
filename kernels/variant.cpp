#include "kernels/variant.h"

#include <fmt/format.h>

namespace lcnn {

std::string why_not_16_bit_indices(const LookupProblem& problem) {
  if (problem.dictionary_size <= kMaxDictionarySize16Bit) return {};
  return fmt::format("dictionary_size {} does not fit 16-bit lookup indices (at most {})", problem.dictionary_size,
                     kMaxDictionarySize16Bit);
}

std::string why_not_fp32_nchw(const LookupProblem& problem, Precision precision, Layout layout) {
  if (precision != Precision::fp32) return fmt::format("{} is not supported, fp32 is", to_string(precision));
  return why_not_fp32_or_bf16_nchw(problem, precision, layout);
}

std::string why_not_fp32_or_bf16_nchw(const LookupProblem& problem, Precision precision, Layout layout) {
  if (precision != Precision::fp32 && precision != Precision::bf16) return fmt::format("{} is not supported, fp32 and bf16 are", to_string(precision));
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  return why_not_16_bit_indices(problem);
}

}  // namespace lcnn
