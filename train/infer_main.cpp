// lcnn_infer: predicts with a network that lcnn_train trained.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "train/input_images.h"
#include "train/prediction.h"
#include "train/program.h"

namespace lcnn::train {
namespace {

std::vector<Prediction> predict_all(const InputImages& images, Predictor& predictor, std::int64_t batch) {
  std::vector<Prediction> predictions;
  const auto outputs = predictor.summary().labels.names.size();
  for (std::int64_t first = 0; first < images.count(); first += batch) {
    const std::int64_t end = std::min(first + batch, images.count());
    std::vector<std::uint8_t> pixels;
    for (std::int64_t i = first; i < end; ++i) images.append(i, pixels);
    const std::vector<double> probabilities = predictor.predict(pixels);
    for (std::int64_t i = first; i < end; ++i) {
      const auto begin = probabilities.begin() + (i - first) * static_cast<std::ptrdiff_t>(outputs);
      predictions.push_back({images.name(i), images.label(i), {begin, begin + static_cast<std::ptrdiff_t>(outputs)}});
    }
  }
  return predictions;
}

int run(const InferOptions& options) {
  Predictor predictor(options.checkpoint, options.variant, options.device, options.batch, options.threads);
  const CheckpointSummary& summary = predictor.summary();
  const auto images = open_images(options, summary.architecture.shape);
  const std::vector<Prediction> predictions = predict_all(*images, predictor, options.batch);
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
