#include "tests/swarm/shrink.hpp"

#include <algorithm>

namespace ovir::swarm {

namespace {

/// Leaves runs of `list` out, long ones first (delta debugging).
template <class Member>
void leave_out(plan& all, Member plan::*list, const std::function<bool(const plan&)>& fails,
               std::size_t& tries) {
  for (std::size_t length = (all.*list).size(); length > 0; length /= 2) {
    for (std::size_t first = 0; first < (all.*list).size() && tries > 0;) {
      plan less = all;
      const auto begin = (less.*list).begin() + static_cast<std::ptrdiff_t>(first);
      const std::size_t count = std::min(length, (less.*list).size() - first);
      (less.*list).erase(begin, begin + static_cast<std::ptrdiff_t>(count));
      --tries;
      if (fails(less)) {
        all = std::move(less);
      } else {
        first += length;
      }
    }
  }
}

} // namespace

plan shrunk(plan all, const std::function<bool(const plan&)>& fails, std::size_t tries) {
  leave_out(all, &plan::faults, fails, tries);
  leave_out(all, &plan::asks, fails, tries);
  leave_out(all, &plan::faults, fails, tries);
  return all;
}

} // namespace ovir::swarm
