#include "kernels/stored_values.h"

#include <bit>
#include <cstring>

#include "kernels/weights.h"

namespace lcnn {

void store_values(std::span<const float> values, Precision precision, void* stored) {
  auto* bytes = static_cast<char*>(stored);
  for (const float value : values) {
    const float rounded = round_to(precision, value);
    const std::uint16_t bits = element_bytes(precision) == 2 ? bits_of(precision, rounded) : 0;
    std::memcpy(bytes, element_bytes(precision) == 2 ? static_cast<const void*>(&bits) : &rounded, element_bytes(precision));
    bytes += element_bytes(precision);
  }
}

std::vector<float> load_values(const void* stored, std::int64_t count, Precision precision) {
  std::vector<float> values(count);
  if (element_bytes(precision) == 4) {
    std::memcpy(values.data(), stored, values.size() * 4);
    return values;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, static_cast<const char*>(stored) + 2 * i, 2);
    values[i] = precision == Precision::bf16 ? std::bit_cast<float>(std::uint32_t{bits} << 16) : static_cast<float>(std::bit_cast<_Float16>(bits));
  }
  return values;
}

}  // namespace lcnn
