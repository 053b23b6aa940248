#pragma once

#include "actors/path/step_patience.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace ovir::actors {

/// What a request still has to compute.
struct work_left {
  position positions{0};   ///< of its prompt
  position chunk{1};       ///< positions in a step of these, at least 1
  std::uint32_t tokens{0}; ///< to draw, at most
};

/// What follows from a request's deadline: whether its path can meet it, and when a path that was
/// to is left for another one. A value: knows no clock.
class deadline_core {
public:
  using nanoseconds = std::chrono::nanoseconds;

  /// What the rest takes on a path of which this is expected; nothing where nothing is. The last
  /// position of a prompt is a step as of a token.
  [[nodiscard]] static std::optional<nanoseconds> predicted(const step_forecast& path,
                                                            const work_left& rest);
  /// `timed_out`, with the prediction, where the rest may take longer than what is `left`: so many
  /// times (`prediction_margin`) what is predicted.
  [[nodiscard]] static result<void> check(const step_forecast& path, const work_left& rest,
                                          nanoseconds left, double margin);

  /// How many passes of others a stage may put before a step of this request (limits::slack_usual),
  /// where the rest takes so long and so long is `left`: none where it is just in time.
  [[nodiscard]] static std::uint16_t slack(nanoseconds rest, nanoseconds left) noexcept;

  /// A token was drawn. `step`: what one takes of late; `tokens` are still to be drawn in what is
  /// `left`. True where they have not fitted for limits::deadline_behind_tokens tokens in a row:
  /// the slowest stage is to be left, if there is a better one.
  [[nodiscard]] bool falls_behind(nanoseconds step, std::uint32_t tokens, nanoseconds left);

private:
  std::uint32_t behind_{0}; ///< tokens in a row
};

} // namespace ovir::actors
