#include "train/evaluation.h"

#include <torch/utils.h>

#include <numeric>
#include <stdexcept>

namespace lcnn::train {
namespace {

constexpr std::int64_t kEvaluationBatch = 500;

void add_to(torch::Tensor& sum, const torch::Tensor& more) { sum = sum.defined() ? sum.to(more.device()) + more : more; }

}  // namespace

void ScoreSums::add(double loss_sum, const torch::Tensor& correct_images) {
  loss += loss_sum;
  add_to(correct, correct_images);
}

Score score_of(const ScoreSums& sums, std::int64_t images) {
  const torch::Tensor host = sums.correct.to(torch::kCPU, torch::kDouble).div(static_cast<double>(images));
  Score score{sums.loss / static_cast<double>(images), {host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel()}};
  if (!sums.class_counts.defined()) return score;
  const torch::Tensor counts = sums.class_counts.to(torch::kCPU).contiguous();
  const auto count = counts.accessor<std::int64_t, 2>();
  for (std::int64_t i = 0; i < counts.size(1); ++i) score.classes.push_back({count[0][i], count[1][i], count[2][i]});
  return score;
}

Score evaluate(Model& model, const Batches& batches, const View& view, int loaders, ProcessGroup& group) {
  const torch::NoGradGuard no_grad;
  model.eval();
  const Share share = share_of(batches.count(), group.world());
  std::vector<std::int64_t> order(static_cast<std::size_t>(share.count()));
  std::iota(order.begin(), order.end(), share.begin);
  Loader loader(batches.set(), view, order, kEvaluationBatch, 0, loaders);
  ScoreSums sums;
  std::string failure;
  try {
    for (std::int64_t first = share.begin; first < share.end; first += kEvaluationBatch) {
      const torch::Tensor which = torch::arange(first, std::min(first + kEvaluationBatch, share.end), torch::kLong);
      const torch::Tensor outputs = model.forward(batches.images(batches.bytes(loader.next()))), targets = batches.targets(which);
      sums.add(loss_of(outputs, targets).item<double>() * static_cast<double>(which.numel()), correct_of(outputs, targets));
      add_to(sums.class_counts, class_counts_of(outputs, targets));
    }
  } catch (const std::runtime_error& error) {
    failure = error.what();
  }
  group.fail_together(failure);
  sums.loss = group.sum(std::vector{sums.loss}).front();
  group.sum(std::vector{sums.correct, sums.class_counts});
  return score_of(sums, batches.count());
}

}  // namespace lcnn::train
