#pragma once

#include "bench/netdelay/link_settings.hpp"

namespace ovir::netdelay {

/// What chance decides about one packet; each is uniform in [0, 1).
struct chance {
  double loss{0};
  double jitter{0};
};

enum class fate : std::uint8_t {
  arrives,
  lost,    ///< on the way, as --loss says; it takes its time of the rate nevertheless
  no_room, ///< the buffer in front of the rate is full
};

struct passage {
  fate what{fate::arrives};
  instant at{}; ///< of the arrival
};

/// One direction of a link: a buffer, a rate, loss, delay and jitter, in this order. Decides when a
/// packet arrives and holds none. No clock and no randomness of its own.
///
/// The rate is a virtual clock: packets leave the buffer one after another, each after the time
/// that its bits take. An idle link saves no time for later. Packets never overtake each other: one
/// with less jitter than the packet before it arrives together with that packet.
class link_shaper {
public:
  explicit link_shaper(const link_settings& settings) : settings_(settings) {}

  /// A packet of so many bytes, at most `packet_bytes_max`, enters. `now` must not precede the
  /// previous call's.
  [[nodiscard]] passage send(std::size_t bytes, instant now, chance drawn);

  [[nodiscard]] const link_settings& settings() const { return settings_; }

private:
  [[nodiscard]] nanoseconds time_of(std::uint64_t bytes) const;

  link_settings settings_;
  instant free_at_{};      ///< when the buffer is empty
  instant last_arrival_{}; ///< of those that arrive
};

} // namespace ovir::netdelay
