// The images that lcnn_infer predicts.
#pragma once

#include <optional>
#include <string>

#include "train/infer_options.h"
#include "train/loader.h"
#include "train/predictor.h"

namespace lcnn::train {

// They are loaded as the view says (loader.h).
struct InputImages {
  ImageSet set;  // without labels and attributes where these are not known
  View view;

  std::string name(std::int64_t image) const;
  std::optional<std::int64_t> label(std::int64_t image) const;
  std::vector<std::uint8_t> attributes(std::int64_t image) const;  // none where they are not known
};

// What the options name, as the network sees it. Throws std::invalid_argument or std::runtime_error, one line, when there are no
// images, they cannot be read, or their labels are none of the network's.
InputImages open_images(const InferOptions& options, const CheckpointSummary& summary);

}  // namespace lcnn::train
