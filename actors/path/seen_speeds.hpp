#pragma once

#include "actors/runtime/speed_estimate.hpp"
#include "messages/node_id.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace ovir::actors {

/// Seconds for which a step of each stage (`steps_seen`) was on its way: to it, from it, and the
/// news of it to the lead. `to_lead`: round trips in seconds, of each stage; `between`: of each
/// stage and the next one.
[[nodiscard]] std::vector<double> seconds_on_ways(std::span<const double> to_lead,
                                                  std::span<const double> between);
/// How long a stage computed, of what its step took.
struct computed_time {
  double seconds{0};
  /// False: at most so long. Less than limits::seen_share_min of the step is left without the ways,
  /// which are not known so exactly.
  bool exact{true};
};
[[nodiscard]] computed_time without_ways(double took, double on_ways) noexcept;

/// How fast nodes were seen to decode, in weight bytes per second, by those before and behind them
/// on this scheduler's paths. From limits::speed_seen_min steps on that counts instead of what a
/// node says of itself. What is seen is less than what nodes measure alone, by a share that is much
/// the same for all: a node that is not seen any more slowly comes back to its word times the best
/// share there is, twice nearer every limits::speed_seen_fades, and after the first of these
/// altogether, so that one that was slow gets another try; after two of them where that did not
/// come near it, after four, and so on (limits::speed_tries_max). Between tries a node that was
/// seen often comes back to no more than what is usual of it (limits::speed_usual_steps): a word
/// that is too high gains nothing. At most limits::speeds_seen_max nodes are remembered. Pure:
/// times are handed in.
class seen_speeds {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `speed`, and what the node says: positive, else it is left out.
  void add(const node_id& node, double speed, double word, time_point now);
  /// What counts; nothing where the node's word does. `word`: positive.
  [[nodiscard]] std::optional<double> believed(const node_id& node, double word,
                                               time_point now) const;

  /// By what the word of a node that was not seen is to be multiplied, so that it compares with
  /// those that were seen to be faster than they say: at least 1.
  [[nodiscard]] double of_word() const noexcept { return std::max(best_share_, 1.0); }
  /// How a node of which that was seen compares to the best there is, each by its own word: above
  /// 0, at most 1. Prompts are counted by it: steps of one position have costs that they share.
  [[nodiscard]] double slower(double seen, double word) const noexcept;

private:
  struct record {
    smoothed_median speed;
    double usual{0}; ///< of many steps
    double word{0};
    std::uint32_t steps{0}; ///< up to limits::speed_usual_steps
    std::uint32_t tries{0}; ///< in a row, after which it was slower than it says
    time_point last;
  };
  [[nodiscard]] static bool is_due(const record& r, time_point now);
  std::map<node_id, record> nodes_;
  double best_share_{0}; ///< of these, seen by their words; 0: none counts yet
};

} // namespace ovir::actors
