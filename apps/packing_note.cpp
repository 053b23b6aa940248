#include "apps/packing_note.hpp"

#include <fmt/format.h>

#include <chrono>

namespace ovir::apps {

std::string packing_note::at(storage::env::time_point now, std::uint64_t done,
                             std::uint64_t total) {
  if (now - told_ < std::chrono::seconds{1} || done >= total) {
    return {};
  }
  told_ = now;
  return fmt::format("packing weights: {} of {} MiB\n", done >> 20U, total >> 20U);
}

} // namespace ovir::apps
