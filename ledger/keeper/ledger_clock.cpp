#include "ledger/keeper/ledger_clock.hpp"

#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t per_thousand = 1'000;

/// Beyond the last second that a ledger has, all are the same.
milliseconds since_1970(std::uint64_t unix_s) {
  return seconds{std::min(unix_s, limits::ledger_seconds_max)};
}

} // namespace

void ledger_clock::begin(const clock_reading& now) {
  begun_ = true;
  at_ = since_1970(last_);
  began_ = read_ = now.monotonic;
  const milliseconds gap = wall_ - at_;
  if (gap > milliseconds{0} && gap <= seconds{limits::ledger_clock_gap_s_max}) {
    at_ = wall_;
    gap_ = gap;
  }
}

std::uint64_t ledger_clock::tell(const clock_reading& now) {
  wall_ = since_1970(now.wall_s);
  if (!begun_) {
    begin(now);
  }
  const milliseconds passed = std::max(now.monotonic - read_, milliseconds{0});
  read_ = std::max(read_, now.monotonic);
  due_left_ = std::min<std::uint64_t>(due_left_ + static_cast<std::uint64_t>(passed.count()) *
                                                      limits::ledger_due_per_second_max,
                                      limits::ledger_due_max * per_thousand);
  const milliseconds ahead = wall_ - at_;
  if (ahead > milliseconds{0}) {
    slewed_ += passed;
    const milliseconds extra = slewed_ / limits::ledger_clock_slew;
    slewed_ -= extra * limits::ledger_clock_slew;
    at_ += std::min(ahead, passed + extra);
  } else if (-ahead > seconds{limits::ledger_clock_told_s}) {
    at_ += passed; // it went back: not believed
  }                // else it is waited for
  at_ = std::min(at_, milliseconds{seconds{limits::ledger_seconds_max}});
  return static_cast<std::uint64_t>(std::chrono::duration_cast<seconds>(at_).count());
}

bool ledger_clock::accept(std::uint64_t wall_s) {
  const milliseconds apart = std::chrono::abs(since_1970(wall_s) - wall_);
  if (!begun_ || apart > seconds{limits::ledger_clock_word_s} || wall_ < at_) {
    return false; // entries never go back
  }
  at_ = wall_;
  return true;
}

due_allowance ledger_clock::due() const {
  const milliseconds waits = read_ - began_ < gap_ ? gap_ : milliseconds{0};
  const auto by = std::chrono::duration_cast<seconds>(at_ - waits).count();
  return {static_cast<std::uint64_t>(std::max<std::int64_t>(by, 0)),
          static_cast<std::size_t>(due_left_ / per_thousand),
          static_cast<std::uint64_t>(std::chrono::duration_cast<seconds>(read_ - began_).count())};
}

void ledger_clock::spent(std::size_t count) {
  due_left_ -= std::min<std::uint64_t>(due_left_, count * per_thousand);
}

std::int64_t ledger_clock::wall_ahead_s() const {
  return std::chrono::duration_cast<seconds>(wall_ - at_).count();
}

bool ledger_clock::off() const {
  return std::chrono::abs(wall_ - at_) > seconds{limits::ledger_clock_told_s};
}

} // namespace ovir::ledger
