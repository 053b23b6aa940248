#pragma once

#include "messages/limits/draft.hpp"
#include "messages/request/params.hpp"

#include <array>
#include <chrono>
#include <cstdint>

/// Whether guessing tokens pays. Pure: times are handed in.
namespace ovir::actors {

/// Decides how many guessed tokens a pass of one request carries. It knows what passes with and
/// without guesses took and how many guesses were right, and picks the number that promises most
/// tokens per second. Where none promises more than no guess does it rests, longer each time, and
/// then tries again. A value; owned by the lead.
class draft_control {
public:
  explicit draft_control(speculation mode = speculation::automatic) : mode_(mode) {}

  /// False while no guess is wanted, whatever it is.
  [[nodiscard]] bool asks() const noexcept;
  /// Tokens per second that the best number of guesses, at most `available`, promises; per pass
  /// where no pass without guesses was measured. 0: none is wanted.
  [[nodiscard]] double promise(std::uint32_t available) const;
  /// How many of a guess of `available` tokens, at most limits::draft_tokens_max, to send.
  [[nodiscard]] std::uint32_t choose(std::uint32_t available);
  /// A pass with `drafted` guesses, of which `accepted` were right, took `time`.
  void passed(std::uint32_t drafted, std::uint32_t accepted, std::chrono::nanoseconds time);
  /// A pass with guesses did not come back.
  void lost() { rest(); }

private:
  /// Passes without a guess before the first with one, so that there is something to compare with.
  static constexpr std::uint32_t plain_first = 2;
  /// While guesses pay, one pass in so many goes without: what that takes may have changed.
  static constexpr std::uint32_t plain_every = 64;
  static constexpr std::uint32_t rest_min = 16;
  static constexpr std::uint32_t rest_max = 512;
  /// How many guesses are tried after a rest.
  static constexpr std::uint32_t trial = 3;
  /// Less is not worth its noise.
  static constexpr double gain_min = 1.03;

  [[nodiscard]] double time_of(std::uint32_t drafted) const;
  [[nodiscard]] std::uint32_t best_of(std::uint32_t available) const;
  void rest();

  speculation mode_;
  std::array<double, limits::draft_tokens_max + 1> seconds_{}; ///< by guesses; 0: not measured
  std::uint32_t plain_seen_{0};
  std::uint32_t since_plain_{0};
  std::uint32_t resting_{0}; ///< passes to go without a guess
  std::uint32_t rest_next_{rest_min};
  bool trying_{false};
  double right_{0}; ///< guesses, old ones counting less ...
  double tried_{0}; ///< ... of these, those behind a wrong one left out
};

} // namespace ovir::actors
