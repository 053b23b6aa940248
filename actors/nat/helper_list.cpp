#include "actors/nat/helper_list.hpp"

#include "actors/nat/address_rules.hpp"

#include <algorithm>
#include <tuple>

namespace ovir::actors {

void helper_list::reached(const node_id& node, const std::string& address, bool relays,
                          time_point now) {
  if (node == self_ || address.empty()) {
    return;
  }
  entry& e = known_[node];
  e.address = address;
  e.relays = relays;
  e.reached = now;
  if (known_.size() > limits::helpers_known_max) {
    const std::vector<node_id> kept = homes(now);
    const auto rank = [&kept](const auto& one) {
      return std::pair{std::find(kept.begin(), kept.end(), one.first) != kept.end(),
                       one.second.reached};
    };
    known_.erase(
        std::min_element(known_.begin(), known_.end(),
                         [&rank](const auto& a, const auto& b) { return rank(a) < rank(b); }));
  }
}

void helper_list::failed(const node_id& node, time_point now) {
  if (const auto found = known_.find(node); found != known_.end()) {
    found->second.next = now + limits::helper_retry_wait;
  }
}

std::vector<node_id> helper_list::ordered(const node_id& by, std::size_t most,
                                          time_point now) const {
  std::vector<std::tuple<bool, std::uint64_t, node_id>> all;
  for (const auto& [node, e] : known_) {
    if (node != by && e.next <= now) {
      all.emplace_back(!e.relays, helper_rank(node, by), node);
    }
  }
  std::sort(all.begin(), all.end());
  std::vector<node_id> first;
  for (std::size_t i = 0; i < std::min(most, all.size()); ++i) {
    first.push_back(std::get<2>(all[i]));
  }
  return first;
}

std::vector<node_id> helper_list::homes(time_point now) const {
  return ordered(self_, limits::helpers_kept, now);
}

std::vector<node_id> helper_list::for_node(const node_id& node, time_point now) const {
  return ordered(node, limits::helpers_asked, now);
}

std::string helper_list::address_of(const node_id& node) const {
  const auto found = known_.find(node);
  return found == known_.end() ? std::string{} : found->second.address;
}

} // namespace ovir::actors
