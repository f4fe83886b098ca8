// Neighbouring elements that are moved together: 16 bytes of the narrower type where a row's length allows, one element otherwise.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace lcnn::cuda {

template <typename T, int kElements>
struct alignas(sizeof(T) * kElements < 16 ? sizeof(T) * kElements : 16) Pack {
  T values[kElements];
};

template <typename T>
constexpr int kWidestPack = 16 / sizeof(T);

// Calls function.operator()<elements of a pack>() for rows of `row_elements` that begin at these addresses; T is the narrowest type.
template <typename T, typename Function>
void with_pack(std::int64_t row_elements, std::initializer_list<const void*> arrays, const Function& function) {
  bool wide = row_elements % kWidestPack<T> == 0;
  for (const void* const array : arrays) wide = wide && reinterpret_cast<std::uintptr_t>(array) % 16 == 0;
  if (wide) function.template operator()<kWidestPack<T>>();
  else function.template operator()<1>();
}

}  // namespace lcnn::cuda
