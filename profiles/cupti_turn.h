// CUPTI does one of these at a time: activity records, counters of ranges, samples of stalls. It refuses some pairs of them
// without saying why, and crashes at others.
#pragma once

namespace lcnn::profiles {

// One of them has its turn, in this process, as long as it lives.
class CuptiTurn {
 public:
  // Throws std::runtime_error, one line with both, while another one has its turn. `what` has to live as long.
  explicit CuptiTurn(const char* what);
  ~CuptiTurn();
  CuptiTurn(const CuptiTurn&) = delete;
  CuptiTurn& operator=(const CuptiTurn&) = delete;
};

}  // namespace lcnn::profiles
