// How S lies between the dictionary kernel and the gather: with its padding, so that a strip of rows is one piece of memory.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cuda {

// Where element (image, entry, row, column) of S lies: origin plus these times its indices.
struct InputDictionaryStrides {
  std::int64_t origin, image, entry, row, column;
};

// S as [image][row][entry][column]. `rows_before` rows of zeros lie in front of each image and behind the last one: the
// rows behind an image are those in front of the next. `lead` zeros lie in front of each row: its left padding, and the
// right padding of what lies in front. Rows and leads are whole words of 16 bytes.
struct PaddedLayout {
  int element_bytes;
  int entries, rows_before, lead, pitch, image_rows;
  std::int64_t batch;

  // `stage` is a lookup stage; S is stored as `precision` stores X.
  PaddedLayout(const Conv2dProblem& stage, Precision precision)
      : element_bytes(static_cast<int>(lcnn::element_bytes(precision))),
        entries(static_cast<int>(stage.in_channels)),
        rows_before(static_cast<int>(stage.padding[0])),
        lead(whole_words(stage.padding[1])),
        pitch(whole_words(stage.width + lead)),
        image_rows(static_cast<int>(stage.height) + rows_before),
        batch(stage.batch) {}

  InputDictionaryStrides strides() const {
    const std::int64_t row = static_cast<std::int64_t>(entries) * pitch;
    return {.origin = rows_before * row + lead, .image = image_rows * row, .entry = pitch, .row = row, .column = 1};
  }
  std::int64_t rows() const { return batch * image_rows + rows_before; }
  std::int64_t elements() const { return rows() * entries * pitch; }
  std::int64_t bytes() const { return elements() * element_bytes; }

 private:
  int whole_words(std::int64_t columns) const {
    const std::int64_t word = 16 / element_bytes;
    return static_cast<int>((columns + word - 1) / word * word);
  }
};

}  // namespace lcnn::cuda
