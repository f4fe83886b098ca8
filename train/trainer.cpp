#include "train/trainer.h"

#include <ATen/Context.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/costs.h"
#include "train/evaluation.h"
#include "train/loader.h"
#include "train/loss_scaler.h"
#include "train/metrics.h"
#include "train/model.h"
#include "train/optimizer.h"
#include "train/process_group.h"
#include "train/step_graph.h"
#include "train/training_step.h"
#include "train/transfer.h"
#include "variants/runtime.h"

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t stop_requested = 0;

std::vector<std::int64_t> values_of(const torch::Tensor& order) {
  const auto* const first = order.data_ptr<std::int64_t>();
  return {first, first + order.numel()};
}

// Batch normalization knows no variance of a single value, which a process's share of a batch may come down to.
void require_variance(const Options& options, const Model& model, std::int64_t images, const World& world) {
  const auto buffers = model.named_buffers();
  if (std::ranges::none_of(buffers, [](const auto& buffer) { return buffer.key().ends_with("running_var"); })) return;
  for (const std::int64_t batch : {std::min(options.batch, images), images % options.batch}) {
    // Shares are of this size, rounded up or down.
    if (batch == 0 || (batch / world.size != 1 && (batch + world.size - 1) / world.size != 1)) continue;
    const std::string whose = world.alone() ? "" : " for one of " + std::to_string(world.size) + " processes";
    throw std::invalid_argument("--batch=" + std::to_string(options.batch) + ": the last batch of " + std::to_string(images) + " images would be of one" +
                                whose + ": the batch normalization of " + options.architecture.model + " takes two or more");
  }
}

void require_shares(const Options& options, const Dataset& dataset, const World& world) {
  const std::string processes = "over " + std::to_string(world.size) + " processes";
  if (options.batch % world.size != 0) {
    throw std::invalid_argument("--batch=" + std::to_string(options.batch) + ": " + processes + ", a multiple of " + std::to_string(world.size) +
                                " is accepted");
  }
  if (dataset.validation.count() < world.size) {
    throw std::invalid_argument("the data set has " + std::to_string(dataset.validation.count()) + " validation images: too few " + processes);
  }
}

// The indices of a rank's images in each batch, one batch after the other.
std::vector<std::int64_t> own_order(const torch::Tensor& order, std::int64_t batch, const World& world) {
  const std::vector<std::int64_t> all = values_of(order);
  if (world.alone()) return all;
  std::vector<std::int64_t> own;
  const auto count = static_cast<std::int64_t>(all.size());
  for (std::int64_t first = 0; first < count; first += batch) {
    const Share share = share_of(std::min(batch, count - first), world);
    own.insert(own.end(), all.begin() + first + share.begin, all.begin() + first + share.end);
  }
  return own;
}

// Of all images in memory, or of some in files.
Normalization usual_normalization(const Dataset& dataset, const View& view, int loaders) {
  constexpr std::int64_t kEnoughImages = 1024;
  if (dataset.training.files.empty()) return normalization_of(dataset.training, dataset.shape);
  return normalization_of(load_sample(dataset.training, view, kEnoughImages, loaders), dataset.shape);
}

class Training {
 public:
  // checkpoint: of a training that is continued; from: what one starts from. At most one of them.
  Training(const Options& options, const Architecture& architecture, const Dataset& dataset, const Checkpoint* checkpoint, const Checkpoint* from,
           ProcessGroup& group, torch::Device device);
  Outcome run();

 private:
  Outcome run_epoch();
  // Nothing when the training was asked to stop.
  std::optional<ScoreSums> run_step(Loader& loader, std::int64_t step, std::int64_t step_count);
  ScoreSums add_step_gradients(const std::vector<torch::Tensor>& parts, const std::vector<torch::Tensor>& bytes, double images, double epoch);
  void seed_generator(std::int64_t step) const;
  Outcome run_and_finish_epoch();
  void finish_epoch(double seconds);
  void save(const char* name) {
    if (!group_.world().first()) return;
    progress_.loss_scaler = loss_scaler_.state();
    save_checkpoint(fs::path(options_.out) / name, architecture_, options_, normalization_, labels_, progress_, *model_, *optimizer_);
  }
  void show_progress(std::int64_t batch, std::int64_t batch_count) const;
  fs::path metrics_file() const { return fs::path(options_.out) / "metrics.jsonl"; }
  bool out_of_patience() const { return options_.patience > 0 && progress_.epochs - progress_.best_epoch >= options_.patience; }

  const Options& options_;
  const Architecture architecture_;
  ProcessGroup& group_;
  const torch::Device device_;
  const View middle_;  // of images, as validation sees them
  const Normalization normalization_;
  const Labels labels_;
  const Batches training_, validation_;
  const std::shared_ptr<Model> model_;
  std::vector<torch::Tensor> parameters_;  // that are trained
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  LossScaler loss_scaler_;
  std::optional<StepGraph> graph_;
  Progress progress_;
  const bool terminal_ = group_.world().first() && isatty(STDERR_FILENO) == 1;
};

Training::Training(const Options& options, const Architecture& architecture, const Dataset& dataset, const Checkpoint* checkpoint,
                   const Checkpoint* from, ProcessGroup& group, torch::Device device)
    : options_(options),
      architecture_(architecture),
      group_(group),
      device_(device),
      middle_{dataset.shape, {.crop = dataset.training.files.empty() ? 0 : options.augmentation.crop}, {}, options.resize},
      normalization_(checkpoint != nullptr ? checkpoint->normalization
                     : from != nullptr     ? from->normalization
                                           : usual_normalization(dataset, middle_, options.loaders)),
      labels_(dataset.labels),
      training_(dataset.training, dataset.shape, normalization_, device_),
      validation_(dataset.validation, dataset.shape, normalization_, device_),
      model_(make_model(architecture)),
      loss_scaler_(options.autocast == Precision::fp16, device_) {
  require_variance(options, *model_, training_.count(), group.world());
  if (checkpoint != nullptr) restore_model(*checkpoint, *model_);
  if (from != nullptr && start_from(*from, *model_) && group.world().first()) {
    std::printf("%s is drawn anew for %ld outputs: %s has %ld\n", model_->output_layer().c_str(), architecture.classes, options.from.c_str(),
                from->architecture.classes);
  }
  freeze(*model_, options.freeze);
  model_->set_evaluation(options.filters ? LookupEvaluation::filters : LookupEvaluation::stages);
  model_->to(device_);
  group_.broadcast(model_->parameters());
  group_.broadcast(model_->buffers());
  if (options.channels_last) model_->to_channels_last();
  parameters_ = trained_parameters(*model_);
  optimizer_ = make_optimizer(options, parameters_);
  if (options.graph) graph_.emplace();
  if (checkpoint == nullptr) return;
  restore_optimizer(*checkpoint, *model_, *optimizer_);
  restore_generator(*checkpoint);
  progress_ = checkpoint->progress;
  try {
    loss_scaler_.restore(progress_.loss_scaler);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(checkpoint->file.string() + ": " + error.what());
  }
  if (progress_.order.defined() && progress_.order.numel() != training_.count()) {
    throw std::runtime_error(checkpoint->file.string() + ": it was trained on " + std::to_string(progress_.order.numel()) +
                             " images: there are " + std::to_string(training_.count()));
  }
}

void Training::show_progress(std::int64_t batch, std::int64_t batch_count) const {
  if (!terminal_) return;
  const double images = static_cast<double>(std::min(batch * options_.batch, training_.count()));
  std::fprintf(stderr, "\r\033[Kepoch %ld of %ld, batch %ld of %ld, loss %.4f", progress_.epochs + 1, options_.epochs, batch,
               batch_count, progress_.loss_sum / images);
}

// Dropout of every process is drawn for itself. That of the first one goes on from what its checkpoint holds; the others' depends on
// the step alone, so that no checkpoint needs it.
void Training::seed_generator(std::int64_t step) const {
  const int rank = group_.world().rank;
  if (rank == 0) return;
  std::seed_seq mixed{options_.seed & 0xFFFFFFFF, options_.seed >> 32, static_cast<std::uint64_t>(rank), static_cast<std::uint64_t>(progress_.epochs),
                      static_cast<std::uint64_t>(step)};
  std::array<std::uint32_t, 1> seed{};
  mixed.generate(seed.begin(), seed.end());
  torch::manual_seed(seed.front());
}

// parts: the indices of this process's images in each batch of the step; images: those of all batches and processes.
ScoreSums Training::add_step_gradients(const std::vector<torch::Tensor>& parts, const std::vector<torch::Tensor>& bytes, double images, double epoch) {
  const Objective objective{.lambda = warmed_up(options_.lambda, epoch, options_.lambda_warmup_epochs), .autocast = options_.autocast,
                            .loss_scaler = &loss_scaler_};
  if (!graph_) optimizer_->zero_grad();
  ScoreSums sums;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].numel() == 0) continue;
    const torch::Tensor targets = training_.targets(parts[i]);
    const auto own = static_cast<double>(parts[i].numel());
    torch::Tensor part = training_.images(bytes[i]);
    if (options_.channels_last) part = part.contiguous(torch::MemoryFormat::ChannelsLast);
    const StepResult result = graph_ ? graph_->gradients(*model_, part, targets, objective, own / images)
                                     : add_gradients(*model_, part, targets, objective, own / images);
    sums.add(result.loss * own, correct_of(result.outputs, targets));
  }
  if (group_.world().alone()) return sums;
  sums.loss = group_.sum(std::vector{sums.loss}).front();
  if (!std::isfinite(sums.loss)) return sums;
  // A last batch may have no image for this process.
  if (!sums.correct.defined()) sums.correct = torch::zeros({labels_.attributes ? architecture_.classes : 1}, torch::kLong).to(device_);
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined()) torch::Tensor(parameter).mutable_grad() = torch::zeros_like(parameter);
    gradients.push_back(parameter.grad());
  }
  group_.sum(std::vector{sums.correct});
  group_.sum(gradients);
  return sums;
}

std::optional<ScoreSums> Training::run_step(Loader& loader, std::int64_t step, std::int64_t step_count) {
  const std::int64_t first = step * options_.accumulate * options_.batch;
  const torch::Tensor which = progress_.order.slice(0, first, std::min(first + options_.accumulate * options_.batch, training_.count()));
  std::vector<torch::Tensor> parts = which.split(options_.batch), bytes;
  std::string failure;
  try {
    // All images before the first gradient: one that cannot be used leaves the training as it was.
    for (torch::Tensor& part : parts) {
      const Share share = share_of(part.numel(), group_.world());
      part = part.slice(0, share.begin, share.end);
      bytes.push_back(share.count() > 0 ? training_.bytes(loader.next()) : torch::Tensor());
    }
  } catch (const std::runtime_error& error) {
    failure = error.what();
  }
  group_.fail_together(failure);
  if (group_.sum(std::vector<double>{static_cast<double>(stop_requested)}).front() > 0) return std::nullopt;

  const double epoch = static_cast<double>(progress_.epochs) + static_cast<double>(step + 1) / static_cast<double>(step_count);
  seed_generator(step);
  const ScoreSums sums = add_step_gradients(parts, bytes, static_cast<double>(which.numel()), epoch);
  if (!std::isfinite(sums.loss)) return sums;
  set_learning_rate(*optimizer_, options_.schedule.at(epoch));
  if (loss_scaler_.unscale(parameters_)) optimizer_->step();
  else ++progress_.skipped_steps;
  return sums;
}

Outcome Training::run_epoch() {
  if (!progress_.order.defined()) {
    progress_.order = torch::randperm(training_.count(), torch::kLong);
    group_.broadcast({progress_.order});
  }
  const std::int64_t step_images = options_.batch * options_.accumulate;
  const std::int64_t batch_count = (training_.count() + options_.batch - 1) / options_.batch;
  const std::int64_t step_count = (training_.count() + step_images - 1) / step_images;
  const View view{architecture_.shape, options_.augmentation, Draw{options_.seed, static_cast<std::uint64_t>(progress_.epochs)}, options_.resize};
  Loader loader(training_.set(), view, own_order(progress_.order, options_.batch, group_.world()), options_.batch / group_.world().size,
                progress_.batches, options_.loaders);
  model_->train();
  while (progress_.batches < batch_count) {
    const std::optional<ScoreSums> step = run_step(loader, progress_.batches / options_.accumulate, step_count);
    if (!step) return Outcome::interrupted;
    if (!std::isfinite(step->loss)) return Outcome::diverged;
    ScoreSums sums{.loss = progress_.loss_sum, .correct = progress_.correct};
    sums.add(step->loss, step->correct);
    progress_.loss_sum = sums.loss;
    progress_.correct = sums.correct;
    progress_.batches = std::min(progress_.batches + options_.accumulate, batch_count);
    show_progress(progress_.batches, batch_count);
  }
  return Outcome::finished;
}

void Training::finish_epoch(double seconds) {
  const Score training = score_of({.loss = progress_.loss_sum, .correct = progress_.correct}, training_.count());
  group_.broadcast(model_->buffers());  // running statistics: each process has those of its images
  const Score validation = evaluate(*model_, validation_, middle_, options_.loaders, group_);
  const std::int64_t skipped_steps = std::exchange(progress_.skipped_steps, 0);
  ++progress_.epochs;
  progress_.batches = 0;
  progress_.loss_sum = 0;
  progress_.order = progress_.correct = torch::Tensor();
  progress_.loss = validation.loss;
  const bool best = validation.loss < progress_.best_loss;
  if (best) {
    progress_.best_loss = validation.loss;
    progress_.best_epoch = progress_.epochs;
  }
  if (!group_.world().first()) return;
  nlohmann::ordered_json line{{"epoch", progress_.epochs},
                              {"training_images", training_.count()},
                              {"learning_rate", options_.schedule.at(static_cast<double>(progress_.epochs))},
                              {"training", to_json(training, labels_)},
                              {"validation", to_json(validation, labels_)},
                              {"best", best},
                              {"seconds", seconds}};
  if (options_.lambda > 0) line["lambda"] = warmed_up(options_.lambda, static_cast<double>(progress_.epochs), options_.lambda_warmup_epochs);
  if (options_.autocast == Precision::fp16) {
    line["loss_scale"] = loss_scaler_.scale();
    line["skipped_steps"] = skipped_steps;
  }
  if (!group_.world().alone()) line["processes"] = group_.world().size;
  add_costs(line, *model_);
  append_metrics(metrics_file(), line);
  // A checkpoint of fewer epochs than there are lines is continued rightly, one of more is not: the lines come first.
  if (best) save("best.safetensors");
  save("last.safetensors");
  if (terminal_) std::fputs("\r\033[K", stderr);
  std::printf("epoch %ld: training loss %.4f accuracy %.4f, validation loss %.4f accuracy %.4f", progress_.epochs, training.loss,
              training.accuracy(), validation.loss, validation.accuracy());
  if (line.contains("lookups")) std::printf(", %ld lookups", line["lookups"].get<std::int64_t>());
  std::printf("%s\n", best ? ", best" : "");
  std::fflush(stdout);
}

Outcome Training::run_and_finish_epoch() {
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = run_epoch();
  if (outcome == Outcome::finished) finish_epoch(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return outcome;
}

Outcome Training::run() {
  while (progress_.epochs < options_.epochs && !out_of_patience()) {
    Outcome outcome = Outcome::interrupted;
    try {
      outcome = run_and_finish_epoch();
    } catch (const ProcessLost& error) {
      if (terminal_) std::fputs("\r\033[K", stderr);
      throw std::runtime_error(std::string(error.what()) + "; --resume continues from the last checkpoint");
    } catch (const std::runtime_error& error) {
      if (terminal_) std::fputs("\r\033[K", stderr);
      if (progress_.batches == 0) throw;
      // An image that cannot be used, in the middle of an epoch: what was trained is kept.
      save("last.safetensors");
      throw std::runtime_error(std::string(error.what()) + "; --resume continues from before it");
    }
    if (terminal_ && outcome != Outcome::finished) std::fputs("\r\033[K", stderr);
    if (outcome == Outcome::interrupted) save("last.safetensors");
    if (outcome != Outcome::finished) return outcome;
  }
  if (!group_.world().first()) return Outcome::finished;
  std::printf("best: epoch %ld, validation loss %.4f\n", progress_.best_epoch, progress_.best_loss);
  if (labels_.attributes && progress_.best_epoch > 0) {
    std::fputs(attribute_lines(read_metrics(metrics_file(), progress_.best_epoch).at("validation")).c_str(), stdout);
  }
  return Outcome::finished;
}

// The first images only, as --subset asks for.
void take_subset(ImageSet& set, std::int64_t count, const ImageShape& shape) {
  if (count == 0) return;
  if (count > set.count()) {
    throw std::invalid_argument("--subset=" + std::to_string(count) + ": there are " + std::to_string(set.count()) + " training images");
  }
  std::vector<std::int64_t> first(static_cast<std::size_t>(count));
  std::iota(first.begin(), first.end(), std::int64_t{0});
  set = chosen_images(set, shape, first);
}

Dataset read_dataset(const Options& options) {
  const auto entry = std::ranges::find(dataset_table(), options.dataset, &DatasetEntry::name);
  Dataset dataset = entry->read(options.data);
  if (entry->files) dataset.shape = {3, options.image_size, options.image_size};
  take_subset(dataset.training, options.subset, dataset.shape);
  if (options.examples_per_class > 0) dataset.training = few_examples(dataset, options.examples_per_class, options.seed);
  return dataset;
}

// Of LibTorch's CUDA libraries, before they are first used.
void make_deterministic() {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);  // cuBLAS repeats itself with that one alone
  at::globalContext().setDeterministicCuDNN(true);
  // It warns of maximum pooling, whose channels-last form alone adds in any order: --channels-last is refused.
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
}

void prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder) || access(folder.c_str(), W_OK) != 0) {
    throw std::runtime_error("--out=" + folder.string() + ": it is no folder that can be written");
  }
}

}  // namespace

void request_stop() { stop_requested = 1; }

Outcome train(const Options& given, const World& world) {
  const fs::path folder = given.out, last = folder / "last.safetensors";
  if (!given.resume && fs::exists(last)) {
    throw std::invalid_argument("--out=" + given.out + ": it holds a training already; --resume continues it");
  }
  Options options = given;
  std::optional<Checkpoint> checkpoint, from;
  const auto with = [&](const fs::path& file, const auto& options_of) {
    Checkpoint read = read_checkpoint(file);
    try {
      options = options_of(given, read.options);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(file.string() + ": " + error.what());
    }
    return read;
  };
  if (given.resume) checkpoint = with(last, continued_options);
  else if (!given.from.empty()) from = with(given.from, transferred_options);
  if (options.device == Device::cuda) {
    if (const std::string reason = why_no_cuda(); !reason.empty()) throw std::invalid_argument("--device=cuda: " + reason);
  }
  if (options.deterministic) make_deterministic();
  if (options.threads > 0) set_threads(options.threads);
  const torch::Device device = device_of(world, options.device == Device::cuda);
  ProcessGroup group(world, device, std::chrono::seconds(options.timeout));
  const Dataset dataset = read_dataset(options);
  require_shares(options, dataset, world);
  Architecture architecture = options.architecture;
  architecture.shape = dataset.shape;
  architecture.classes = dataset.classes;
  if (checkpoint && to_json(checkpoint->architecture) != to_json(architecture)) {
    throw std::runtime_error(last.string() + ": it is a checkpoint of another architecture: " +
                             to_json(checkpoint->architecture).dump() + ", not " + to_json(architecture).dump());
  }
  torch::manual_seed(options.seed);
  Training training(options, architecture, dataset, checkpoint ? &*checkpoint : nullptr, from ? &*from : nullptr, group, device);
  if (world.first()) {
    prepare_folder(folder);
    truncate_metrics(folder / "metrics.jsonl", checkpoint ? checkpoint->progress.epochs : 0);
  }
  const Outcome outcome = training.run();
  group.leave();
  return outcome;
}

}  // namespace lcnn::train
