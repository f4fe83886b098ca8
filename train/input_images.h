// The images that lcnn_infer predicts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/dataset.h"
#include "train/infer_options.h"

namespace lcnn::train {

class InputImages {
 public:
  virtual ~InputImages() = default;
  virtual std::int64_t count() const = 0;
  virtual std::string name(std::int64_t image) const = 0;
  virtual std::optional<std::int64_t> label(std::int64_t /*image*/) const { return std::nullopt; }
  // Appends the image as the network takes it: uint8 [channels, height, width]. Throws std::runtime_error, one line that names
  // the file, when it cannot be read.
  virtual void append(std::int64_t image, std::vector<std::uint8_t>& pixels) const = 0;
};

// What the options name, for a network that takes images of that shape. Throws std::invalid_argument or std::runtime_error, one
// line, when there are none or they cannot be read.
std::unique_ptr<InputImages> open_images(const InferOptions& options, const ImageShape& shape);

}  // namespace lcnn::train
