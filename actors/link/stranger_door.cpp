#include "actors/link/stranger_door.hpp"

#include <algorithm>

namespace ovir::actors {

void stranger_door::forget_late(std::uint64_t now_s) {
  std::erase_if(places_, [now_s](const auto& one) {
    return !one.second.linked && now_s > one.second.since + limits::stranger_arrival_s;
  });
}

std::size_t stranger_door::of_site(const address_prefix& site) const {
  return static_cast<std::size_t>(std::count_if(
      places_.begin(), places_.end(), [&](const auto& one) { return one.second.site == site; }));
}

bool stranger_door::put_one_out_for(const address_prefix& site) {
  std::map<address_prefix, std::size_t> crowds;
  for (const auto& one : places_) {
    ++crowds[one.second.site];
  }
  const auto largest =
      std::max_element(crowds.begin(), crowds.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto own = crowds.find(site);
  if (largest == crowds.end() || gone_.size() >= limits::strangers_linked_max ||
      largest->second <= (own == crowds.end() ? 0 : own->second) + 1) {
    return false;
  }
  auto last = places_.end();
  for (auto at = places_.begin(); at != places_.end(); ++at) {
    if (at->second.site == largest->first &&
        (last == places_.end() || at->second.number > last->second.number)) {
      last = at;
    }
  }
  gone_.push_back(last->first);
  places_.erase(last);
  ++count_.replaced;
  return true;
}

result<void> stranger_door::enter(const node_id& node, const address_prefix& from,
                                  std::uint64_t now_s) {
  forget_late(now_s);
  const address_prefix site = site_of(from);
  const auto known = places_.find(node);
  if (known != places_.end() && known->second.site == site) {
    known->second.since = now_s;
    return {};
  }
  const std::size_t here = of_site(site);
  if (here >= limits::strangers_per_site_max) {
    ++count_.refused;
    return fail(errc::busy,
                "{} nodes without leave come from the network of {} already, as many as one "
                "network may have here; come later, or ask an admin for a join token",
                here, short_name(node));
  }
  if (known == places_.end() && places_.size() >= limits::strangers_linked_max &&
      !put_one_out_for(site)) {
    ++count_.refused;
    return fail(errc::busy,
                "{} nodes without leave are linked, as many as this node takes; try another "
                "member, or ask an admin for a join token",
                places_.size());
  }
  places_[node] = {site, known != places_.end() && known->second.linked, now_s, ++last_number_};
  std::erase(gone_, node);
  return {};
}

stranger_door::counts stranger_door::count() const {
  counts all = count_;
  all.here = places_.size();
  return all;
}

void stranger_door::came(const node_id& node) {
  if (const auto at = places_.find(node); at != places_.end()) {
    at->second.linked = true;
  }
}

} // namespace ovir::actors
