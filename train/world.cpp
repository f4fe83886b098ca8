#include "train/world.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <stdexcept>

namespace lcnn::train {

Share share_of(std::int64_t count, const World& world) {
  const auto begin_of = [&](std::int64_t rank) { return (count * rank + world.size - 1) / world.size; };
  return {begin_of(world.rank), begin_of(world.rank + 1)};
}

World world_of(const std::function<const char*(const char*)>& variable) {
  const auto text = [&](const char* name, const std::string& preset = "") -> std::string {
    const char* const value = variable(name);
    return value != nullptr ? value : preset;
  };
  const auto number = [&](const char* name, int least, int most, const std::string& preset = "") {
    const std::string given = text(name, preset);
    int value = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
    if (error == std::errc{} && end == given.data() + given.size() && value >= least && value <= most) return value;
    throw std::invalid_argument(fmt::format("{}={}: a whole number from {} to {} is accepted", name, given, least, most));
  };
  const auto require = [&](const char* name, const char* by) {
    if (text(name).empty()) throw std::invalid_argument(fmt::format("{} is set, {} is not: torchrun sets both", by, name));
  };
  World world;
  if (text("WORLD_SIZE").empty() && text("RANK").empty()) return world;
  require("WORLD_SIZE", "RANK");
  require("RANK", "WORLD_SIZE");
  world.size = number("WORLD_SIZE", 1, 1'000'000);
  world.rank = number("RANK", 0, world.size - 1);
  world.local_rank = number("LOCAL_RANK", 0, 1'000'000, std::to_string(world.rank));
  if (world.alone()) return world;
  require("MASTER_ADDR", "WORLD_SIZE");
  require("MASTER_PORT", "WORLD_SIZE");
  world.address = text("MASTER_ADDR");
  world.port = static_cast<std::uint16_t>(number("MASTER_PORT", 1, std::numeric_limits<std::uint16_t>::max()));
  world.opens_store = world.first() && text("TORCHELASTIC_USE_AGENT_STORE") != "True";
  world.attempt = text("TORCHELASTIC_RESTART_COUNT", "0");
  return world;
}

}  // namespace lcnn::train
