#include "profiles/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace lcnn::profiles {

std::string_view to_string(HostKind kind) {
  switch (kind) {
    case HostKind::range:
      return "range";
    case HostKind::operator_call:
      return "operator";
    case HostKind::cuda_call:
      return "cuda_call";
  }
  return "?";
}

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kernel:
      return "kernel";
    case DeviceKind::memcpy:
      return "memcpy";
    case DeviceKind::memset:
      return "memset";
  }
  return "?";
}

Names::Id Names::id(std::string_view name) {
  const auto found = ids_.find(name);
  if (found != ids_.end()) return found->second;
  const auto [added, is_new] = ids_.emplace(name, static_cast<Id>(by_id_.size()));
  by_id_.push_back(&added->first);
  return added->second;
}

Nesting nest(const Profile& profile) {
  const std::vector<HostEvent>& host = profile.host;
  Nesting nesting;
  nesting.order.resize(host.size());
  nesting.parent.assign(host.size(), kNoParent);
  nesting.end_ns.resize(host.size());
  std::iota(nesting.order.begin(), nesting.order.end(), std::size_t{0});
  // Of spans with the same times, those of a coarser kind are outside; of one kind those that were recorded
  // later, because a span is recorded when it ends.
  std::ranges::sort(nesting.order, {}, [&](std::size_t i) {
    return std::tuple(host[i].thread, host[i].begin_ns, -host[i].end_ns, host[i].kind,
                      -static_cast<std::int64_t>(i));
  });
  std::vector<std::size_t> open;
  for (const std::size_t i : nesting.order) {
    const auto encloses = [&](std::size_t outer) {
      return host[outer].thread == host[i].thread && host[i].begin_ns <= nesting.end_ns[outer] &&
             (host[i].begin_ns < nesting.end_ns[outer] || host[i].end_ns == host[i].begin_ns);
    };
    while (!open.empty() && !encloses(open.back())) open.pop_back();
    nesting.end_ns[i] = host[i].end_ns;
    if (!open.empty()) {
      nesting.parent[i] = open.back();
      nesting.end_ns[i] = std::min(nesting.end_ns[i], nesting.end_ns[open.back()]);
    }
    open.push_back(i);
  }
  nesting.adopted_by.assign(host.size(), kNoParent);
  const SpanFinder spans(profile, nesting);
  for (const std::size_t i : nesting.order) {
    if (nesting.parent[i] != kNoParent || host[i].kind == HostKind::range) continue;
    nesting.adopted_by[i] = spans.range_of_another(host[i].thread, host[i].begin_ns, host[i].end_ns);
  }
  return nesting;
}

SpanFinder::SpanFinder(const Profile& profile, const Nesting& nesting) : profile_(profile), nesting_(nesting) {
  for (std::size_t at = 0; at < nesting_.order.size(); ++at) {
    const auto thread = threads_.try_emplace(profile_.host[nesting_.order[at]].thread, at, at).first;
    thread->second.second = at + 1;
  }
}

std::size_t SpanFinder::innermost(std::int32_t thread, std::int64_t time_ns) const {
  const auto found = threads_.find(thread);
  if (found == threads_.end()) return kNoParent;
  const auto first = nesting_.order.begin() + static_cast<std::ptrdiff_t>(found->second.first);
  const auto last = nesting_.order.begin() + static_cast<std::ptrdiff_t>(found->second.second);
  const auto after = std::upper_bound(first, last, time_ns, [&](std::int64_t time, std::size_t span) {
    return time < profile_.host[span].begin_ns;
  });
  if (after == first) return kNoParent;
  std::size_t span = *std::prev(after);
  while (span != kNoParent && nesting_.end_ns[span] < time_ns) span = nesting_.parent[span];
  return span;
}

std::size_t SpanFinder::range_of_another(std::int32_t thread, std::int64_t begin_ns, std::int64_t end_ns) const {
  std::size_t found = kNoParent;
  for (const auto& [other, where] : threads_) {
    if (other == thread) continue;
    std::size_t span = innermost(other, begin_ns);
    while (span != kNoParent && (profile_.host[span].kind != HostKind::range || nesting_.end_ns[span] < end_ns)) {
      span = nesting_.parent[span];
    }
    if (span == kNoParent) continue;
    if (found != kNoParent) return kNoParent;  // two threads may have asked for it
    found = span;
  }
  return found;
}

std::vector<std::size_t> launching_calls(const Profile& profile, const Nesting& nesting) {
  std::unordered_map<std::uint32_t, std::size_t> calls;
  for (const std::size_t i : nesting.order) {
    if (profile.host[i].correlation != 0)
      calls[profile.host[i].correlation] = i;  // the innermost of one id stays
  }
  std::vector<std::size_t> launched_by;
  launched_by.reserve(profile.device.size());
  for (const DeviceEvent& event : profile.device) {
    const auto found = calls.find(event.correlation);
    launched_by.push_back(found == calls.end() ? kNoParent : found->second);
  }
  return launched_by;
}

std::string missing_records(const Profile& profile) {
  std::unordered_set<std::uint32_t> answered;
  for (const DeviceEvent& event : profile.device) answered.insert(event.correlation);
  const Nesting nesting = nest(profile);
  std::int64_t launches = 0, missing = 0;
  std::string first;
  std::int32_t thread = 0;
  bool capturing = false;
  for (const std::size_t i : nesting.order) {
    const HostEvent& event = profile.host[i];
    if (event.kind != HostKind::cuda_call) continue;
    const std::string& name = profile.names[event.name];
    if (event.thread != std::exchange(thread, event.thread)) capturing = false;
    if (name.find("StreamBeginCapture") != std::string::npos) capturing = true;
    if (name.find("StreamEndCapture") != std::string::npos) capturing = false;
    if (!event.launches || capturing) continue;
    ++launches;
    if (answered.contains(event.correlation)) continue;
    if (missing++ == 0) first = name;
  }
  std::vector<std::string> reasons;
  if (missing > 0) {
    reasons.push_back(
        fmt::format("{} of {} launches have no record of their work on the device, the first of them {}",
                    missing, launches, first));
  }
  if (profile.lost_records > 0)
    reasons.push_back(fmt::format("CUPTI dropped {} records", profile.lost_records));
  if (profile.left_out > 0)
    reasons.push_back(fmt::format("{} events came when the recorder was full", profile.left_out));
  return fmt::format("{}", fmt::join(reasons, "; "));
}

}  // namespace lcnn::profiles
