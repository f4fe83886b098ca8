// lcnn_infer: predicts with a network that lcnn_train trained.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "train/input_images.h"
#include "train/prediction.h"
#include "train/program.h"

namespace lcnn::train {
namespace {

std::vector<Prediction> predict_all(const InputImages& images, Predictor& predictor, std::int64_t batch) {
  std::vector<Prediction> predictions;
  const auto outputs = predictor.summary().labels.names.size();
  const std::int64_t count = images.set.count();
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Loader loader(images.set, images.view, order, batch, 0, usual_loaders());
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t end = std::min(first + batch, count);
    const std::vector<double> probabilities = predictor.predict(loader.next());
    for (std::int64_t i = first; i < end; ++i) {
      const auto begin = probabilities.begin() + (i - first) * static_cast<std::ptrdiff_t>(outputs);
      predictions.push_back({images.name(i), images.label(i), images.attributes(i), {begin, begin + static_cast<std::ptrdiff_t>(outputs)}});
    }
  }
  return predictions;
}

int run(const InferOptions& options) {
  Predictor predictor(options.checkpoint, options.variant, options.device, options.batch, options.threads);
  const CheckpointSummary& summary = predictor.summary();
  const auto images = open_images(options, summary);
  const std::vector<Prediction> predictions = predict_all(images, predictor, options.batch);
  warn_of_fallback("lcnn_infer", predictor);
  if (options.json) {
    std::puts(to_json(predictions, predictor, options).dump(2).c_str());
    return 0;
  }
  std::fputs(loaded_line(summary).c_str(), stdout);
  for (const Prediction& prediction : predictions) std::fputs(lines_of(prediction, summary.labels, options.top).c_str(), stdout);
  std::fputs(closing_lines(predictions, predictor, options).c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace lcnn::train

int main(int argc, char** argv) {
  using namespace lcnn::train;
  run_program("lcnn_infer", [&] { return run(parse_infer_options({argv + 1, argv + argc})); });
}
