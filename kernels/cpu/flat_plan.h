// How flat_gather cuts a problem: into strips of output rows, and each strip into blocks of vectors.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/flat_gather_loops.h"
#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/folded_taps.h"

namespace lcnn::cpu {

// Rows of one column phase and how they are placed.
struct RowPlaces {
  std::int64_t count;
  std::vector<RowPlace> rows;
};

// What is done for one strip, whatever the image.
struct StripPlan {
  RowsUnder under;
  std::vector<RowPlaces> rows;         // of X, or of S, to their places
  std::vector<PlaneVector> plane;      // in place of rows where S is moved by whole vectors
  std::int64_t formed;                 // positions of S
  std::vector<FlatBlock> form;         // that cover S; those behind the first form_units go with the last of these
  std::int64_t form_units;
  std::vector<FlatBlock> gather;       // that cover the output pixels
  std::vector<std::int64_t> first_out;  // of each gather block its first in `out`
  std::vector<OutVector> out;
};

// How lookups are gathered.
enum class Gathering {
  channels,  // one output channel after the other
  columns,   // so, one column of the kernel after the other: loads are aligned, sums move by one element from column to column
  quads,     // four output channels share each load
  filters,   // some taps are folded: output channels are products of X with their own filters, and other taps' lookups are added
};

// What is decided for a problem on some threads.
class FlatPlan {
 public:
  // gathering is `filters` where taps are folded.
  FlatPlan(const LookupProblem& problem, int threads, Gathering gathering, const FoldedTaps& folded);

  // The problem as it is computed: with a 1x1 kernel the two granularities are one, and a filter's takes the stride first.
  const LookupProblem problem;
  const Conv2dProblem conv = problem.conv;
  const int block_size;  // dictionary entries whose sums are in registers together
  const int filter_block_size;  // output channels with filters whose sums are in registers together
  const BlockShape shape = block_shape(block_size);
  const Gathering gathering;

  const bool of_filters = problem.granularity == Granularity::filter;  // D has the taps, and S is laid out as the output is
  const bool one_position;                                             // S is a matrix by a vector
  const bool pads_x;                                                   // X is padded and sorted, else S is

  const std::int64_t s_phases;  // phases of S up to the last one that is looked up; 0 where all taps are folded

  std::int64_t strip_rows, strips;
  bool strip_each;  // each thread has strips of its own, else all share one after the other

  FlatLayout layout{conv, 1};  // of strip_rows
  bool copies_x;  // X is padded, or too small for vectors that may not end beyond it
  bool places_s;  // S is formed without padding, and moved to its places

  // Elements from channel to channel of the X tile, from entry to entry of the S tile and of S as it is formed.
  std::int64_t x_plane, s_plane, run_plane;
  std::vector<StripPlan> strip_plans;

  // Where a kernel tap of one of the two stages lies from an element's own place.
  std::int64_t tap_offset(const Conv2dProblem& stage, std::int64_t tap) const {
    return stage.taps() == 1 ? 0 : layout.tap_offset(tap / stage.kernel[1], tap % stage.kernel[1]);
  }

 private:
  void choose_strips(int threads);
  std::int64_t tile_bytes(std::int64_t rows) const;
  std::int64_t s_elements(const FlatLayout& of, std::int64_t rows) const;
  std::int64_t fewest_rows_under() const;
  StripPlan plan_of(std::int64_t strip) const;
  // With rows that begin with a vector where gathered by columns.
  FlatLayout layout_of(std::int64_t rows) const { return {conv, rows, gathering == Gathering::columns ? shape.lanes : 0}; }
  std::vector<RowPlaces> row_places(const RowsUnder& under) const;
  std::vector<PlaneVector> plane_vectors(const RowsUnder& under) const;
  void append_out_vectors(const FlatBlock& block, std::int64_t length, std::vector<OutVector>& vectors) const;
};

}  // namespace lcnn::cpu
