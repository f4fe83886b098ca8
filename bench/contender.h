// A row on its way through a comparison: prepared, verified, then timed in turn with the others.
#pragma once

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "bench/comparison.h"
#include "bench/elapsed.h"
#include "bench/samples.h"

namespace lcnn::bench {

// Plan: what was asked for. Work: what is run and timed.
template <typename Plan, typename Work>
struct Contender {
  const Plan* plan = nullptr;
  Row row;
  std::unique_ptr<Work> work;
  std::unique_ptr<Timer> timer;
  Samples samples;

  bool alive() const { return row.disposition == Disposition::measured; }

  void fail(Disposition disposition, std::string reason) {
    row.disposition = disposition;
    row.reason = std::move(reason);
    timer.reset();
    work.reset();
  }

  // A row's failure is the row's; so is what it cannot do.
  template <typename Action>
  void attempt(Session& session, const Action& action) {
    try {
      action();
    } catch (const Interrupted&) {
      throw;
    } catch (const Unsupported& reason) {
      row.memory.reset();
      row.verification.reset();
      fail(Disposition::unsupported, reason.what());
    } catch (const std::bad_alloc&) {
      fail(Disposition::error, "out of memory");
    } catch (const std::exception& error) {
      fail(Disposition::error, reason_of_failure(session, row.name, error));
    }
  }

  // sample: takes one and returns microseconds.
  template <typename Sample>
  void add_sample(Session& session, const Sample& sample) {
    const auto begin = std::chrono::steady_clock::now();
    const double us = sample();
    samples.add(us, seconds_since(begin), session.read_clocks());
  }
};

}  // namespace lcnn::bench
