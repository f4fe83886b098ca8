// The lookup stage of training where there is one output position, as in fully connected layers: P is a sparse matrix.
//
// Idea: a lookup meets one place of S, so Y, dS and dC are products of a sparse matrix with S or dY turned over, images innermost:
//       runs of the batch's length, whatever the kernel and the stride.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/lookup_loops.h"
#include "kernels/cpu/transpose.h"
#include "kernels/problem.h"
#include "kernels/row_accumulate.h"
#include "kernels/training.h"

namespace lcnn::cpu {

template <typename T>
class LookupsOfOnePosition {
 public:
  LookupsOfOnePosition(const Conv2dProblem& stage, const LookupArrays<T>& table)
      : p_(stage), table_(table), places_(stage.in_channels * stage.height * stage.width), place_of_(table.lookups) {
    for (std::int64_t row = 0; row < p_.out_channels * p_.taps(); ++row) {
      const std::int64_t h = input_row(p_, 0, row % p_.taps() / p_.kernel[1]), w = row % p_.kernel[1] * p_.dilation[1] - p_.padding[1];
      const bool inside = h >= 0 && h < p_.height && w >= 0 && w < p_.width;
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        place_of_[i] = inside ? (table.indices[i] * p_.height + h) * p_.width + w : places_;
      }
    }
  }

  void output(const T* s, const T* bias, T* y) const {
    const std::vector<T> turned_s = turned(s, places_);
    std::vector<T> turned_y(p_.out_channels * pitch_);
    const std::vector<RunLookup<T>> lookups = by_channel(table_.coefficients);
#pragma omp parallel for schedule(static)
    for (std::int64_t k = 0; k < p_.out_channels; ++k) {
      loops_.gather_run(lookups.data() + first_of(k), first_of(k + 1) - first_of(k), bias == nullptr ? T(0) : bias[k], turned_s.data(),
                        p_.batch, turned_y.data() + k * pitch_);
    }
    turn_back(turned_y, p_.out_channels, y);
  }

  void input_dictionary_gradient(const T* grad_y, T* grad_s) const {
    const std::vector<T> turned_y = turned(grad_y, p_.out_channels);
    std::vector<T> turned_s(places_ * pitch_);
    std::vector<std::int64_t> first(places_ + 2);  // of each place's lookups, those of padding last
    for (const std::int64_t place : place_of_) ++first[place + 1];
    for (std::int64_t place = 0; place <= places_; ++place) first[place + 1] += first[place];
    std::vector<std::int64_t> next(first.begin(), first.end() - 1);
    std::vector<RunLookup<T>> lookups(table_.lookups);
    for (std::int64_t k = 0; k < p_.out_channels; ++k) {
      for (std::int64_t i = first_of(k); i < first_of(k + 1); ++i) {
        lookups[next[place_of_[i]]++] = {static_cast<std::int32_t>(k * pitch_), table_.coefficients[i]};
      }
    }
#pragma omp parallel for schedule(static)
    for (std::int64_t place = 0; place < places_; ++place) {
      loops_.gather_run(lookups.data() + first[place], first[place + 1] - first[place], T(0), turned_y.data(), p_.batch,
                        turned_s.data() + place * pitch_);
    }
    turn_back(turned_s, places_, grad_s);
  }

  void coefficient_gradient(const T* grad_y, const T* s, T* grad_coefficients) const {
    const std::vector<T> turned_s = turned(s, places_), turned_y = turned(grad_y, p_.out_channels);
    const std::vector<RunLookup<T>> lookups = by_channel(nullptr);
    std::vector<double> sums(table_.lookups);
#pragma omp parallel for schedule(static)
    for (std::int64_t k = 0; k < p_.out_channels; ++k) {
      loops_.dot_run(lookups.data() + first_of(k), first_of(k + 1) - first_of(k), turned_y.data() + k * pitch_, turned_s.data(), p_.batch,
                     sums.data() + first_of(k));
      std::copy(sums.begin() + first_of(k), sums.begin() + first_of(k + 1), grad_coefficients + first_of(k));
    }
  }

 private:
  static constexpr std::int64_t kValues = 256;  // of an image, that a thread turns over at a time

  std::int64_t first_of(std::int64_t k) const { return table_.row_offsets[k * p_.taps()]; }

  // What each lookup reads of S turned over. The coefficients may be null.
  std::vector<RunLookup<T>> by_channel(const T* coefficients) const {
    std::vector<RunLookup<T>> lookups(table_.lookups);
    for (std::int64_t i = 0; i < table_.lookups; ++i) {
      lookups[i] = {static_cast<std::int32_t>(place_of_[i] * pitch_), coefficients == nullptr ? T(0) : coefficients[i]};
    }
    return lookups;
  }

  // [values + 1][images of `pitch_`] of [batch][values], zeros where nothing is: padding of the kernel reads the last row.
  std::vector<T> turned(const T* from, std::int64_t values) const {
    std::vector<T> to((values + 1) * pitch_);
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < values; first += kValues) {
      transpose(from + first, p_.batch, std::min(kValues, values - first), values, to.data() + first * pitch_, pitch_);
    }
    return to;
  }
  void turn_back(const std::vector<T>& from, std::int64_t values, T* to) const {
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < values; first += kValues) {
      transpose(from.data() + first * pitch_, std::min(kValues, values - first), p_.batch, pitch_, to + first, values);
    }
  }

  Conv2dProblem p_;
  LookupArrays<T> table_;
  std::int64_t places_;                 // of S of one image
  std::vector<std::int64_t> place_of_;  // each lookup's; `places_` for those that meet padding
  std::int64_t pitch_ = divided_up(p_.batch, kBeyond) * kBeyond;
  LookupLoops<T> loops_ = lookup_loops<T>();
};

}  // namespace lcnn::cpu
