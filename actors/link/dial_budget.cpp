#include "actors/link/dial_budget.hpp"

#include <algorithm>

namespace ovir::actors {

bool dial_budget::may_dial(const node_id& account, const std::string& address, bool reached,
                           time_point now) {
  const auto known = told_.find(address);
  if (!reached && known != told_.end() && now < known->second.next) {
    return false;
  }
  const auto [mine, fresh] =
      accounts_.try_emplace(account, allowance{limits::dials_burst, 1, limits::dial_interval});
  if (!mine->second.has(1, now)) {
    return false;
  }
  mine->second.spend(1, now);
  if (reached) {
    return true;
  }
  if (known == told_.end() && told_.size() >= limits::told_addresses_max) {
    told_.erase(std::min_element(told_.begin(), told_.end(), [](const auto& a, const auto& b) {
      return a.second.next < b.second.next;
    }));
  }
  told& here = told_[address];
  here.wait = std::clamp(2 * here.wait, first_wait_, limits::unreached_dial_wait_max);
  here.next = now + here.wait;
  return true;
}

void dial_budget::forget_old(time_point now) {
  std::erase_if(told_, [now](const auto& one) {
    return now >= one.second.next + limits::unreached_dial_wait_max;
  });
  std::erase_if(accounts_, [now](const auto& one) {
    allowance left = one.second;
    return left.has(limits::dials_burst, now);
  });
}

} // namespace ovir::actors
