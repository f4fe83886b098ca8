// A network that is trained on random images, step by step.
#pragma once

#include <cstdint>
#include <memory>

#include "train/options.h"

namespace lcnn::profiles {

class ProfiledModel {
 public:
  // A batch of random images and labels as the options' architecture has them. Throws std::invalid_argument, one line, for what
  // the network cannot take.
  explicit ProfiledModel(const train::Options& options);
  ~ProfiledModel();
  ProfiledModel(const ProfiledModel&) = delete;
  ProfiledModel& operator=(const ProfiledModel&) = delete;

  // Forward, backward, update; on CUDA it waits for all of it. Returns the loss.
  double step();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lcnn::profiles
