#pragma once

#include "messages/evidence/evidence.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// What the neighbours of a stage say of its time. No clocks are compared, but intervals of each,
/// by what they are beyond the least of the request: the stage before says how long a step was away
/// until it got the next one, the one behind how long it waited for a step, and from the sending of
/// the one to the arrival at the other a step took longer than another by the same time for any two
/// clocks. What all three show was between the two: a missed deadline is shown by two signatures
/// that are not the late stage's, and by one of them alone it is not.
namespace ovir {

/// A stage held this step, or the ways to it and from it did, at least `over_us` longer than it was
/// committed to.
struct late_step {
  std::size_t stage{0};
  position at{0}; ///< the step ends below it
  std::uint64_t over_us{0};
  std::uint32_t allowed_us{0}; ///< what it was committed to

  friend bool operator==(const late_step&, const late_step&) = default;
};
/// What a stage says of its own time is not what its neighbours saw: of three signers one at least
/// is wrong, or a way between them was slow. It costs nobody anything.
struct differing_times {
  std::size_t stage{0};
  position at{0};
  std::uint64_t seen_us{0};   ///< beyond the fastest step, between its neighbours
  std::uint64_t stated_us{0}; ///< likewise, by itself

  friend bool operator==(const differing_times&, const differing_times&) = default;
};
struct stage_lateness {
  std::vector<late_step> late;
  std::vector<differing_times> differing;
};

/// Judges the stages of a path, in its order, by windows that all three of a stage and its
/// neighbours stated. A neighbour counts that is another node, of another operator, and not the
/// lead: of the first stage and the last nothing is said. Times alone are looked at: signatures are
/// the caller's to check.
[[nodiscard]] stage_lateness
judge_times(std::span<const stage_records* const> path, const node_id& lead,
            const std::function<bool(const node_id&, const node_id&)>& same_operator);

} // namespace ovir
