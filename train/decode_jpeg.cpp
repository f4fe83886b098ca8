// JPEG, by libjpeg-turbo.
#include <csetjmp>
#include <cstdio>
// libjpeg's headers need <cstdio>'s FILE.
#include <jerror.h>
#include <jpeglib.h>

#include <stdexcept>
#include <string>

#include "train/image.h"

namespace lcnn::train {
namespace {

// libjpeg reports an error by a function that must not return: this one jumps to where decoding began.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf start;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* const errors = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->start, 1);
}

// Warnings (a negative level) mean pixels that are not the image's, but for those that cost none.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR: return;
    default: on_error(info);
  }
}

// A jump skips destructors: all that has one is here, with the caller of what jumps.
struct Decoder {
  Decoder() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
  }
  ~Decoder() { jpeg_destroy_decompress(&info); }

  jpeg_decompress_struct info{};
  ErrorManager errors{};
  ImageShape shape;
  std::vector<std::uint8_t> pixels;  // interleaved
};

// False, with a message, when the bytes are damaged.
bool decode(Decoder& decoder, std::span<const std::uint8_t> bytes) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.errors.start) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  const bool four_inks = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  if (four_inks) info.out_color_space = JCS_CMYK;
  else if (info.jpeg_color_space != JCS_GRAYSCALE) info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  decoder.shape = {info.output_components, info.output_height, info.output_width};
  decoder.pixels = interleaved_buffer(decoder.shape);
  const std::size_t pitch = static_cast<std::size_t>(info.output_width) * static_cast<std::size_t>(info.output_components);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = decoder.pixels.data() + info.output_scanline * pitch;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

// What stores CMYK in JPEG stores it inverted, as Adobe began to.
void cmyk_to_rgb(Decoder& decoder) {
  const auto count = static_cast<std::size_t>(decoder.shape.height * decoder.shape.width);
  for (std::size_t i = 0; i < count; ++i) {
    const int black = decoder.pixels[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      decoder.pixels[3 * i + c] = static_cast<std::uint8_t>((decoder.pixels[4 * i + c] * black + 127) / 255);
    }
  }
  decoder.shape.channels = 3;
  decoder.pixels.resize(3 * count);
}

}  // namespace

bool is_jpeg(std::span<const std::uint8_t> bytes) { return bytes.size() >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF; }

Image decode_jpeg(std::span<const std::uint8_t> bytes) {
  Decoder decoder;
  if (!decode(decoder, bytes)) throw std::runtime_error(std::string("it is a damaged JPEG file: ") + decoder.errors.message);
  if (decoder.shape.channels == 4) cmyk_to_rgb(decoder);
  return from_interleaved(decoder.shape, decoder.pixels);
}

}  // namespace lcnn::train
