// The GPU's clock and why it is held back, from the driver's management library, loaded when it is there.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bench/session.h"

namespace lcnn::bench {

class NvmlClocks {
 public:
  // The device with the given PCI bus id ("0000:01:00.0").
  explicit NvmlClocks(const std::string& pci_bus_id);
  ~NvmlClocks();

  // Nothing where the library or the device does not answer. Never changes a setting.
  std::optional<ClockReading> read() const;
  std::string driver_version() const;  // "unknown" where the library is absent

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace lcnn::bench
