// PNG, by libpng.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <stdexcept>
#include <string>

#include "train/image.h"

namespace lcnn::train {
namespace {

// A jump, which is how libpng reports errors, skips destructors: all that has one is here, with the caller of what jumps.
struct Decoder {
  explicit Decoder(std::span<const std::uint8_t> bytes) : rest(bytes) {}
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }

  std::span<const std::uint8_t> rest;  // what libpng has not read yet
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string message;
  ImageShape shape;
  std::vector<std::uint8_t> pixels;  // interleaved
  std::vector<png_bytep> rows;
};

void on_error(png_structp png, png_const_charp message) {
  static_cast<Decoder*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read(png_structp png, png_bytep to, std::size_t count) {
  auto& rest = static_cast<Decoder*>(png_get_io_ptr(png))->rest;
  if (count > rest.size()) png_error(png, "it ends early");
  std::memcpy(to, rest.data(), count);
  rest = rest.subspan(count);
}

// False, with a message, when the bytes are damaged.
bool decode(Decoder& decoder) {
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png == nullptr) throw std::bad_alloc();
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  decoder.info = png_create_info_struct(decoder.png);
  png_set_read_fn(decoder.png, &decoder, read);
  png_read_info(decoder.png, decoder.info);
  png_set_scale_16(decoder.png);
  // Palettes become RGB, fewer than 8 bits 8; transparency becomes alpha, which is dropped.
  png_set_expand(decoder.png);
  png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  decoder.shape = {png_get_channels(decoder.png, decoder.info), png_get_image_height(decoder.png, decoder.info),
                   png_get_image_width(decoder.png, decoder.info)};
  decoder.pixels = interleaved_buffer(decoder.shape);
  const std::size_t pitch = png_get_rowbytes(decoder.png, decoder.info);
  for (std::int64_t y = 0; y < decoder.shape.height; ++y) {
    decoder.rows.push_back(decoder.pixels.data() + static_cast<std::size_t>(y) * pitch);
  }
  png_read_image(decoder.png, decoder.rows.data());
  png_read_end(decoder.png, nullptr);
  return true;
}

}  // namespace

bool is_png(std::span<const std::uint8_t> bytes) { return bytes.size() >= 8 && png_sig_cmp(bytes.data(), 0, 8) == 0; }

Image decode_png(std::span<const std::uint8_t> bytes) {
  Decoder decoder(bytes);
  if (!decode(decoder)) throw std::runtime_error("it is a damaged PNG file: " + decoder.message);
  return from_interleaved(decoder.shape, decoder.pixels);
}

}  // namespace lcnn::train
