#include "actors/members/gossip_queue.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace ovir::actors {

template <class Wanted>
void gossip_queue::erase_of(const node_id& subject, Wanted wanted) {
  const auto found = by_subject_.find(subject);
  if (found == by_subject_.end()) {
    return;
  }
  std::erase_if(found->second, [&](const place& p) {
    const auto it = items_.find(p);
    if (!wanted(it->second.update)) {
      return false;
    }
    items_.erase(it);
    return true;
  });
  if (found->second.empty()) {
    by_subject_.erase(found);
  }
}

void gossip_queue::push(signed_update update, std::size_t suspicions) {
  const node_id subject = subject_of(update);
  const std::uint64_t incarnation = incarnation_of(update);
  const auto* const mine = std::get_if<signed_suspicion>(&update);
  std::size_t others = 0; // suspicions of other accusers, which are as good
  erase_of(subject, [&](const signed_update& u) {
    const auto* const theirs = std::get_if<signed_suspicion>(&u);
    if (mine == nullptr) {
      return u.index() == update.index() || (theirs != nullptr && incarnation_of(u) < incarnation);
    }
    if (theirs == nullptr) {
      return false;
    }
    const bool stays = theirs->accuser != mine->accuser && theirs->incarnation == incarnation &&
                       others + 1 < suspicions;
    others += stays ? 1 : 0;
    return !stays;
  });
  const std::size_t bytes = encoded_bytes(update);
  const place at{0, pushed_++};
  items_.emplace(at, item{std::move(update), bytes});
  by_subject_[subject].push_back(at);
}

void gossip_queue::drop_suspicion(const node_id& subject) {
  erase_of(subject,
           [](const signed_update& u) { return std::holds_alternative<signed_suspicion>(u); });
}

void gossip_queue::forget(const node_id& subject) {
  erase_of(subject, [](const signed_update&) { return true; });
}

std::vector<signed_update> gossip_queue::take(const node_id& to, std::uint32_t tellings,
                                              std::size_t count, std::size_t bytes) {
  std::vector<signed_update> out;
  std::vector<items::node_type> told;
  for (auto it = items_.begin(); it != items_.end() && out.size() < count;) {
    const signed_update& u = it->second.update;
    const bool known = std::holds_alternative<signed_advert>(u) && subject_of(u) == to;
    if (!known && it->second.bytes > bytes) {
      ++it;
      continue;
    }
    if (!known) {
      bytes -= it->second.bytes;
      out.push_back(u);
    }
    told.push_back(items_.extract(it++));
  }
  for (auto& one : told) {
    auto& places = by_subject_[subject_of(one.mapped().update)];
    const auto old = std::find_if(places.begin(), places.end(),
                                  [&](const place& p) { return p.number == one.key().number; });
    if (one.key().told + 1 >= tellings) {
      places.erase(old);
      if (places.empty()) {
        by_subject_.erase(subject_of(one.mapped().update));
      }
      continue;
    }
    old->told = ++one.key().told;
    items_.insert(std::move(one));
  }
  return out;
}

std::uint32_t gossip_queue::mesh_tellings(std::size_t members) noexcept {
  return 3 * static_cast<std::uint32_t>(std::bit_width(members));
}

std::uint32_t gossip_queue::crowd_tellings(std::size_t members) noexcept {
  return 1 + static_cast<std::uint32_t>(std::bit_width(members)) / 2;
}

} // namespace ovir::actors
