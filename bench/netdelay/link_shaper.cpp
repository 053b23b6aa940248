#include "bench/netdelay/link_shaper.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::netdelay {

passage link_shaper::send(std::size_t bytes, instant now, chance drawn) {
  instant sent = now;
  if (settings_.rate > 0) {
    const instant first = std::max(now, free_at_);
    sent = first + time_of(bytes);
    if (sent - now > time_of(settings_.buffer_bytes)) {
      return {fate::no_room, {}};
    }
    free_at_ = sent;
  }
  if (drawn.loss < settings_.loss) {
    return {fate::lost, {}};
  }
  const double spread = (2 * drawn.jitter - 1) * static_cast<double>(settings_.jitter.count());
  const instant arrival = sent + settings_.delay + nanoseconds{std::llround(spread)};
  last_arrival_ = std::max(arrival, last_arrival_);
  return {fate::arrives, last_arrival_};
}

// Up: a link is never faster than its rate. At most 2^26 bytes, so that 64 bits suffice.
nanoseconds link_shaper::time_of(std::uint64_t bytes) const {
  static_assert(buffer_bytes_max <= (1U << 26U) && packet_bytes_max <= buffer_bytes_max);
  return nanoseconds{(bytes * 8 * 1'000'000'000 + settings_.rate - 1) / settings_.rate};
}

} // namespace ovir::netdelay
