// A small data set in CelebA's layout that tests write.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "reports/temporary_folder.h"
#include "train/image_test_files.h"

namespace lcnn::train {

inline constexpr std::array<const char*, 3> kCelebaAttributes{"5_o_Clock_Shadow", "Reddish", "Young"};

// The name of an image, from 1 on.
inline std::string celeba_image(int number) {
  const std::string digits = std::to_string(number);
  return std::string(6 - digits.size(), '0') + digits + ".jpg";
}

// `counts` images of the three parts, of 24x20 pixels. The bits of an image's number are its attributes, and visible: the lower
// part is dark, everything is red, everything is bright.
inline void write_celeba(const TemporaryFolder& folder, const std::array<int, 3>& counts) {
  std::filesystem::create_directory(folder / "img_align_celeba");
  std::string attributes = std::to_string(counts[0] + counts[1] + counts[2]) + "\n", partition;
  for (const char* const name : kCelebaAttributes) attributes += std::string(name) + " ";
  attributes += "\n";
  int number = 0;
  for (int part = 0; part < 3; ++part) {
    for (int i = 0; i < counts[static_cast<std::size_t>(part)]; ++i) {
      ++number;
      const bool dark = (number & 1) != 0, red = (number & 2) != 0, bright = (number & 4) != 0;
      std::vector<std::uint8_t> pixels;
      for (int pixel = 0; pixel < 24 * 20; ++pixel) {
        const int light = (bright ? 200 : 120) - (dark && pixel >= 12 * 20 ? 80 : 0) + number % 7;
        for (int channel = 0; channel < 3; ++channel) pixels.push_back(static_cast<std::uint8_t>(channel > 0 && red ? light / 3 : light));
      }
      folder.file("img_align_celeba/" + celeba_image(number), jpeg_bytes(3, 24, 20, pixels));
      attributes += celeba_image(number);
      for (const bool value : {dark, red, bright}) attributes += value ? "  1" : " -1";
      attributes += "\n";
      partition += celeba_image(number) + " " + std::to_string(part) + "\n";
    }
  }
  folder.file("list_attr_celeba.txt", attributes);
  folder.file("list_eval_partition.txt", partition);
}

}  // namespace lcnn::train
