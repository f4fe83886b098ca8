#include "kernels/operation_count.h"

namespace lcnn {
namespace {

double dense_multiplications(const Conv2dProblem& problem) {
  return static_cast<double>(problem.output_elements()) *
         static_cast<double>(problem.in_channels_per_group() * problem.taps());
}

}  // namespace

OperationCount count_operations(const LookupProblem& problem, const LookupTable& table) {
  const Conv2dProblem& conv = problem.conv;
  return {.conv2d_multiplications = dense_multiplications(conv),
          .dictionary_multiplications = dense_multiplications(problem.dictionary_stage()),
          .lookups = static_cast<double>(table.lookups()) *
                     static_cast<double>(conv.batch * conv.out_height() * conv.out_width())};
}

std::int64_t input_output_bytes(const Conv2dProblem& problem, Precision precision) {
  return (problem.input_elements() + problem.output_elements()) * element_bytes(precision);
}

}  // namespace lcnn
