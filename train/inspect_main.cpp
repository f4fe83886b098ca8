// lcnn_inspect: what the convolutions of a trained network are made of, and what they cost.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "train/inspection.h"
#include "train/prediction.h"
#include "train/program.h"

namespace lcnn::train {
namespace {

int run(const InspectOptions& options) {
  Predictor predictor(options.checkpoint, options.variant, options.device, options.batch, options.threads);
  const std::vector<InspectedLayer> layers = predictor.inspect(options.runs);
  warn_of_fallback("lcnn_inspect", predictor);
  if (!options.out.empty()) write_weights(layers, options);
  if (options.json) {
    std::puts(to_json(layers, predictor, options).dump(2).c_str());
    return 0;
  }
  std::fputs(loaded_line(predictor.summary()).c_str(), stdout);
  std::fputs(table_of(layers).c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace lcnn::train

int main(int argc, char** argv) {
  using namespace lcnn::train;
  run_program("lcnn_inspect", [&] { return run(parse_inspect_options({argv + 1, argv + argc})); });
}
