#include "actors/request/deadline_core.hpp"

#include "messages/limits/gather.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

} // namespace

std::optional<std::chrono::nanoseconds> deadline_core::predicted(const step_forecast& path,
                                                                 const work_left& rest) {
  if (path.token == nanoseconds{0} || path.chunk == nanoseconds{0}) {
    return std::nullopt;
  }
  // Stages compute the first chunk one behind the other, and the next ones side by side.
  const position first = std::min(rest.positions, rest.chunk);
  return first * std::max(path.through, path.chunk) / rest.chunk +
         (rest.positions - first) * path.chunk / rest.chunk +
         std::max(rest.tokens, 1U) * path.token;
}

result<void> deadline_core::check(const step_forecast& path, const work_left& rest,
                                  nanoseconds left, double margin) {
  const auto takes = predicted(path, rest);
  if (takes && seconds(*takes) * margin > seconds(left)) {
    return fail(
        errc::timed_out,
        "the deadline cannot be met: {} tokens of the prompt and at most {} of the answer "
        "take up to {:.3g} s here, and {:.3g} s are left; ask for fewer tokens or allow more time",
        rest.positions, rest.tokens, seconds(*takes) * margin,
        seconds(std::max(left, nanoseconds{0})));
  }
  return {};
}

std::uint16_t deadline_core::slack(nanoseconds rest, nanoseconds left) noexcept {
  if (left <= rest) {
    return 0;
  }
  const double spare = static_cast<double>((left - rest).count()) /
                       static_cast<double>(std::max<std::int64_t>(rest.count(), 1));
  // As much to spare as the rest takes is plenty.
  return static_cast<std::uint16_t>(std::min(spare, 1.0) * limits::slack_usual);
}

bool deadline_core::falls_behind(nanoseconds step, std::uint32_t tokens, nanoseconds left) {
  behind_ = step * tokens > left ? behind_ + 1 : 0;
  if (behind_ < limits::deadline_behind_tokens) {
    return false;
  }
  behind_ = 0;
  return true;
}

} // namespace ovir::actors
