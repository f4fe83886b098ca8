#include "bench/selection.h"

#include <fmt/format.h>

#include <stdexcept>

namespace lcnn::bench {

RowFilter::RowFilter(std::string_view filter) : text_(filter), negated_(filter.starts_with('-')) {
  try {
    expression_ = std::regex(text_.substr(negated_ ? 1 : 0), std::regex_constants::extended);
  } catch (const std::regex_error&) {
    throw std::invalid_argument(fmt::format("--benchmark_filter={}: not an extended regular expression", filter));
  }
}

}  // namespace lcnn::bench
