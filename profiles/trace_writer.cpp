#include "profiles/trace_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "profiles/output_file.h"

namespace lcnn::profiles {
namespace {

constexpr int kHostProcess = 0;  // devices follow: device 0 is process 1

// A name as a JSON string; bytes that are no UTF-8 are replaced.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

struct Track {
  int process = kHostProcess, thread = 0;
};

std::string span(const Track& track, std::string_view category, const std::string& name, double at,
                 double duration, const std::string& arguments) {
  return fmt::format(
      R"({{"ph":"X","cat":"{}","name":{},"pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"args":{{{}}}}})",
      category, quoted(name), track.process, track.thread, at, duration, arguments);
}

std::string metadata(const char* what, const Track& track, const std::string& name) {
  return fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":{}}}}})", what,
                     track.process, track.thread, quoted(name));
}

// Streams as tracks. Kernels of one stream may overlap (programmatic dependent launch), spans of a track may
// not: those that begin before the last one has ended go to further tracks of the stream.
class StreamTracks {
 public:
  explicit StreamTracks(const Profile& profile) : tracks_(profile.device.size()) {
    std::vector<std::size_t> order(profile.device.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return profile.device[i].begin_ns; });
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<Lane>> streams;
    for (const std::size_t i : order) {
      const DeviceEvent& event = profile.device[i];
      std::vector<Lane>& lanes = streams[{event.device, event.stream}];
      auto lane =
          std::ranges::find_if(lanes, [&](const Lane& free) { return free.end_ns <= event.begin_ns; });
      if (lane == lanes.end()) {
        const Track track{static_cast<int>(event.device) + 1, ++count_};
        const std::string suffix = lanes.empty() ? "" : fmt::format(" ({})", lanes.size() + 1);
        names_.push_back(metadata("thread_name", track, fmt::format("stream {}{}", event.stream, suffix)));
        lane = lanes.insert(lanes.end(), {.track = track});
      }
      lane->end_ns = event.end_ns;
      tracks_[i] = lane->track;
    }
  }
  const Track& of(std::size_t device_event) const { return tracks_[device_event]; }
  const std::vector<std::string>& names() const { return names_; }

 private:
  struct Lane {
    Track track;
    std::int64_t end_ns = 0;
  };
  std::vector<Track> tracks_;
  std::vector<std::string> names_;
  int count_ = 0;
};

class Trace {
 public:
  Trace(const Profile& profile, const TraceOptions& options)
      : profile_(profile),
        options_(options),
        nesting_(nest(profile)),
        launched_by_(launching_calls(profile, nesting_)),
        streams_(profile) {
    for (const HostEvent& event : profile.host) origin_ns_ = std::min(origin_ns_, event.begin_ns);
    for (const DeviceEvent& event : profile.device) origin_ns_ = std::min(origin_ns_, event.begin_ns);
    for (const MemoryEvent& event : profile.memory) origin_ns_ = std::min(origin_ns_, event.time_ns);
  }

  TraceSummary write(OutputFile& file) const {
    std::string text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
    text += metadata("process_name", {kHostProcess, 0}, "CPU");
    for (const std::string& name : tracks()) text += ",\n" + name;
    std::int64_t bytes = static_cast<std::int64_t>(text.size());
    file.write(text);

    TraceSummary summary;
    for (const Item& item : items()) {
      text = ",\n" + (this->*item.text)(item.index);
      bytes += static_cast<std::int64_t>(text.size());
      if (bytes > options_.most_bytes) break;  // the rest is later: an arrow's begin is never without its end
      file.write(text);
      ++summary.events;
    }
    summary.left_out =
        static_cast<std::int64_t>(profile_.host.size() + profile_.device.size() + profile_.memory.size()) -
        summary.events;
    file.write(fmt::format("\n],\"otherData\":{{\"events_left_out\":{}}}}}\n",
                           summary.left_out + profile_.left_out));
    return summary;
  }

 private:
  // One event of the profile, with its arrow.
  struct Item {
    std::int64_t time_ns;
    std::string (Trace::*text)(std::size_t) const;
    std::size_t index;
  };

  std::vector<Item> items() const {
    std::vector<Item> items;
    for (const std::size_t i : nesting_.order)
      items.push_back({profile_.host[i].begin_ns, &Trace::host_text, i});
    for (std::size_t i = 0; i < profile_.device.size(); ++i) {
      // Work never comes before the call that launched it, even where clocks disagree by some ticks.
      const std::int64_t launch_ns =
          launched_by_[i] == kNoParent ? 0 : profile_.host[launched_by_[i]].begin_ns;
      items.push_back({std::max(profile_.device[i].begin_ns, launch_ns), &Trace::device_text, i});
    }
    for (std::size_t i = 0; i < profile_.memory.size(); ++i) {
      items.push_back({profile_.memory[i].time_ns, &Trace::memory_text, i});
    }
    std::ranges::stable_sort(items, {}, &Item::time_ns);
    return items;
  }

  std::vector<std::string> tracks() const {
    std::vector<std::string> names = streams_.names();
    std::map<std::int32_t, bool> threads;
    for (const HostEvent& event : profile_.host) threads[event.thread] = true;
    for (const auto& [thread, used] : threads) {
      names.push_back(metadata("thread_name", {kHostProcess, thread}, fmt::format("thread {}", thread)));
    }
    std::map<std::uint32_t, bool> devices;
    for (const DeviceEvent& event : profile_.device) devices[event.device] = true;
    for (const auto& [device, used] : devices) {
      names.push_back(
          metadata("process_name", {static_cast<int>(device) + 1, 0}, fmt::format("CUDA device {}", device)));
    }
    return names;
  }

  double us(std::int64_t ns) const { return static_cast<double>(ns - origin_ns_) / 1e3; }

  std::string host_text(std::size_t i) const {
    const HostEvent& event = profile_.host[i];
    return span({kHostProcess, event.thread}, to_string(event.kind), profile_.names[event.name],
                us(event.begin_ns), static_cast<double>(nesting_.end_ns[i] - event.begin_ns) / 1e3,
                event.correlation != 0 ? fmt::format("\"correlation\":{}", event.correlation) : "");
  }

  std::string device_text(std::size_t i) const {
    const DeviceEvent& event = profile_.device[i];
    const Track& track = streams_.of(i);
    std::string arguments = fmt::format("\"correlation\":{}", event.correlation);
    if (event.kind != DeviceKind::kernel) arguments += fmt::format(",\"bytes\":{}", event.bytes);
    if (event.registers > 0) arguments += fmt::format(",\"registers_per_thread\":{}", event.registers);
    std::string text = span(track, to_string(event.kind), profile_.names[event.name], us(event.begin_ns),
                            static_cast<double>(event.end_ns - event.begin_ns) / 1e3, arguments);
    if (launched_by_[i] == kNoParent) return text;
    const HostEvent& launch = profile_.host[launched_by_[i]];
    const auto arrow = [&](const char* phase, const Track& at, std::int64_t ns) {
      return fmt::format(
          ",\n{{\"ph\":\"{}\",\"cat\":\"launch\",\"name\":\"launch\",\"id\":{},\"pid\":{},\"tid\":{},\"ts\":{"
          ":.3f}{}}}",
          phase, i + 1, at.process, at.thread, us(ns), *phase == 'f' ? ",\"bp\":\"e\"" : "");
    };
    return text + arrow("s", {kHostProcess, launch.thread}, launch.begin_ns) +
           arrow("f", track, event.begin_ns);
  }

  std::string memory_text(std::size_t i) const {
    const MemoryEvent& event = profile_.memory[i];
    return fmt::format(R"({{"ph":"C","name":{},"pid":{},"tid":0,"ts":{:.3f},"args":{{"live_bytes":{}}}}})",
                       quoted("memory: " + profile_.names[event.allocator]), kHostProcess, us(event.time_ns),
                       event.live_bytes);
  }

  const Profile& profile_;
  const TraceOptions& options_;
  Nesting nesting_;
  std::vector<std::size_t> launched_by_;
  StreamTracks streams_;
  std::int64_t origin_ns_ = std::numeric_limits<std::int64_t>::max();
};

}  // namespace

TraceSummary write_trace(const Profile& profile, const std::string& path, const TraceOptions& options) {
  OutputFile file(path, options.gzip);
  const TraceSummary summary = Trace(profile, options).write(file);
  file.finish();
  return summary;
}

}  // namespace lcnn::profiles
