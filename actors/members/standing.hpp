#pragma once

#include "messages/node_id.hpp"

#include <cstdint>
#include <map>

namespace ovir::actors {

/// What verifiers tell a planner of the nodes they audited. A core.
class standing {
public:
  /// In ppm, at most 10^6; replaces what this verifier told before.
  void tell(const node_id& verifier, std::map<node_id, std::uint32_t> reputation_ppm);
  /// What it told counts no more.
  void forget(const node_id& verifier);
  /// By how much a node's measured speed is to be multiplied: 1 where no verifier told anything,
  /// else 0.8 + 0.4 times the mean of what they say (LEDGER.md, section 2), in which who was never
  /// audited counts 0. Between equals the one whose work was looked at is preferred; a newcomer
  /// that is much faster still gets work, without which nobody would ever look at it. No verifier
  /// alone moves it by more than 0.4 divided by their number.
  [[nodiscard]] double trust(const node_id& node) const;

private:
  std::map<node_id, std::map<node_id, std::uint32_t>> told_;
};

} // namespace ovir::actors
