// The processes that train one network together, as torchrun's environment variables name them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace lcnn::train {

struct World {
  int rank = 0, size = 1;
  int local_rank = 0;        // among the processes of this machine: the index of its CUDA device
  std::string address;       // of the store where they meet
  std::uint16_t port = 0;
  bool opens_store = false;  // this process does; else another one, or torchrun itself
  std::string attempt;       // torchrun's count of restarts

  bool alone() const { return size == 1; }
  bool first() const { return rank == 0; }
};

// A part of `count` things, of which every rank has one: the first ranks' are the larger ones.
struct Share {
  std::int64_t begin = 0, end = 0;

  std::int64_t count() const { return end - begin; }
};
Share share_of(std::int64_t count, const World& world);

// From RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT; one process where neither of the first two is set. `variable` gives
// an environment variable, or null. Throws std::invalid_argument, one line that names the variable, where one is missing or no
// such number.
World world_of(const std::function<const char*(const char*)>& variable);

}  // namespace lcnn::train
