#include "train/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "train/read_file.h"
#include "train/replace_file.h"

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and so is what is copied here");

namespace lcnn::train {
namespace {

constexpr std::size_t kLengthBytes = 8, kAlignment = 8;

// Bytes of an element; 0 for a type that is not read.
std::uint64_t element_bytes(const std::string& type) {
  if (type == "F64" || type == "I64") return 8;
  if (type == "F32" || type == "I32") return 4;
  return type == "U8" ? 1 : 0;
}

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& why) {
  throw std::runtime_error(fmt::format("{}: {}", file.string(), why));
}

// The bytes that such a tensor has, or none when no file can hold them.
std::uint64_t bytes_of(const StoredTensor& tensor, std::uint64_t most) {
  std::uint64_t bytes = element_bytes(tensor.type);
  for (const std::int64_t extent : tensor.shape) {
    if (extent < 0) return most + 1;
    if (extent != 0 && bytes > most / static_cast<std::uint64_t>(extent)) return most + 1;
    bytes *= static_cast<std::uint64_t>(extent);
  }
  return bytes;
}

}  // namespace

const StoredTensor* TensorFile::find(const std::string& name) const {
  const auto found = std::ranges::find(tensors, name, &StoredTensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

void write_safetensors(const std::filesystem::path& file, TensorFile content) {
  // The format allows no holes: the widest types first keeps every tensor aligned.
  std::ranges::stable_sort(content.tensors, std::ranges::greater{},
                           [](const StoredTensor& tensor) { return element_bytes(tensor.type); });
  nlohmann::ordered_json header;
  header["__metadata__"] = content.metadata;
  std::uint64_t offset = 0;
  for (const StoredTensor& tensor : content.tensors) {
    header[tensor.name] = {{"dtype", tensor.type}, {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text = header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t length = text.size();
  std::string start(kLengthBytes, '\0');
  std::memcpy(start.data(), &length, kLengthBytes);
  start += text;
  std::vector<std::string_view> parts{start};
  for (const StoredTensor& tensor : content.tensors) parts.push_back(tensor.bytes);
  replace_file(file, parts);
}

TensorFile read_safetensors(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  std::uint64_t length = 0;
  if (bytes.size() < kLengthBytes) refuse(file, "it is no safetensors file: it has fewer than 8 bytes");
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (bytes.size() > kLengthBytes && bytes[kLengthBytes] != '{') refuse(file, "it is no safetensors file");
  if (length > bytes.size() - kLengthBytes) refuse(file, "it is truncated: it ends within its header");
  const auto first = bytes.begin() + kLengthBytes;
  const auto header = nlohmann::ordered_json::parse(first, first + static_cast<std::ptrdiff_t>(length), nullptr, false);
  if (!header.is_object()) refuse(file, "it is damaged: its header is no JSON object");

  TensorFile content;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  const std::uint64_t data_bytes = bytes.size() - kLengthBytes - length;
  for (const auto& [name, entry] : header.items()) {
    try {
      if (name == "__metadata__") {
        entry.get_to(content.metadata);
        continue;
      }
      StoredTensor tensor{.name = name, .type = entry.at("dtype"), .shape = entry.at("shape")};
      const std::array<std::uint64_t, 2> place = entry.at("data_offsets");
      if (element_bytes(tensor.type) == 0) {
        refuse(file, fmt::format("{} is of type {}: F32, F64, I32, I64 and U8 are read", name, tensor.type));
      }
      if (place[0] > place[1] || place[1] - place[0] != bytes_of(tensor, place[1])) {
        refuse(file, fmt::format("it is damaged: the offsets of {} do not fit its shape", name));
      }
      places.emplace_back(place[0], place[1]);
      if (place[1] <= data_bytes) tensor.bytes = bytes.substr(kLengthBytes + length + place[0], place[1] - place[0]);
      content.tensors.push_back(std::move(tensor));
    } catch (const nlohmann::json::exception&) {
      refuse(file, fmt::format("it is damaged: its header's entry {} is incomplete", name));
    }
  }
  std::ranges::sort(places);
  std::uint64_t end = 0;
  for (const auto& [begin, next] : places) {
    if (begin != end) refuse(file, "it is damaged: its tensors overlap or leave holes");
    end = next;
  }
  if (end > data_bytes) refuse(file, fmt::format("it is truncated: {} of {} bytes of tensors are there", data_bytes, end));
  if (end < data_bytes) refuse(file, fmt::format("it goes on behind its {} bytes of tensors", end));
  return content;
}

}  // namespace lcnn::train
