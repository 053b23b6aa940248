#pragma once

#include "messages/node_id.hpp"

#include <cstddef>
#include <set>

namespace ovir::swarm {

/// Verifiers in league with a liar. They compute whatever is asked of them, find nothing wrong with
/// what it states, vouch for it to others and do not believe that it is convicted. Of honest
/// nodes they find something wrong, which each of them confirms; they hear neither the accused nor
/// any verifier that is not one of them. All else is what a verifier does: its draws, messages and
/// signatures. The linker puts this in front of what verifiers compare (tests/CMakeLists.txt).
struct collusion {
  std::set<std::size_t> members; ///< numbers of hosts
  std::set<node_id> keys;        ///< of these
  node_id liar;
};
struct collusion_count {
  std::uint64_t passed_over{0}; ///< lies of their friend that they saw
  std::uint64_t vouched{0};     ///< answers that repeat what it stated
  std::uint64_t accused{0};     ///< what honest nodes stated and they call wrong
  std::uint64_t confirmed{0};   ///< answers that say so, too
};
/// Forgets what the last ones did.
void begin_collusion(collusion how);
void end_collusion();
[[nodiscard]] const collusion_count& colluded() noexcept;

} // namespace ovir::swarm
