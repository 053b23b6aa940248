#pragma once

#include "messages/limits/clock.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ovir::ledger {

/// What the clocks of a machine say at one moment.
struct clock_reading {
  std::uint64_t wall_s{0};                ///< seconds since 1970: may jump, and be wrong
  std::chrono::milliseconds monotonic{0}; ///< since some moment: never jumps
};

/// What may be done that time alone makes possible.
struct due_allowance {
  std::uint64_t by{0};   ///< what is due by then, in seconds since 1970
  std::size_t most{0};   ///< so much of it
  std::uint64_t up_s{0}; ///< how long the keeper has been there
};

/// The time of a ledger, which decides when pay and stake are free: it goes with the monotonic
/// clock, and only follows the wall clock (ADR 0002). A wall clock that is ahead is approached
/// slowly, one that is behind is waited for or, further back, not believed. So a wrong wall clock,
/// once or for years, releases nothing before (nearly) its time.
///
/// At a start nothing monotonic links the two. A gap up to `limits::ledger_clock_gap_s_max` is
/// believed to be time when the keeper was off, and what it made due waits as long again, but for
/// the end of an epoch, which frees no credits and waits until links could have come; with a
/// longer one, the ledger goes on from where it was until an operator says what time it is. A pure
/// core; one thread at a time.
class ledger_clock {
public:
  /// `last`: of the ledger's last entry, or a later time that its keeper noted.
  explicit ledger_clock(std::uint64_t last) : last_(last) {}

  /// The ledger's time now. Readings come in order.
  std::uint64_t tell(const clock_reading& now);
  /// An operator says what time it is. Whether the wall clock, as of the last reading, is near
  /// enough to it to be believed now; else nothing has changed.
  bool accept(std::uint64_t wall_s);

  /// As of the last reading.
  [[nodiscard]] due_allowance due() const;
  /// So much of what was due was done.
  void spent(std::size_t count);
  /// The wall clock less the ledger's time, in seconds, as of the last reading.
  [[nodiscard]] std::int64_t wall_ahead_s() const;
  /// It is further off than is waited for in silence.
  [[nodiscard]] bool off() const;

private:
  using milliseconds = std::chrono::milliseconds;

  void begin(const clock_reading& now);

  std::uint64_t last_; ///< until the first reading
  bool begun_{false};
  milliseconds at_{0}; ///< the ledger's time, since 1970
  milliseconds wall_{0};
  milliseconds began_{0};     ///< monotonic
  milliseconds read_{0};      ///< monotonic, of the last reading
  milliseconds gap_{0};       ///< that was believed at the start
  milliseconds slewed_{0};    ///< time that is not yet a step of the slew
  std::uint64_t due_left_{0}; ///< in thousandths
};

} // namespace ovir::ledger
