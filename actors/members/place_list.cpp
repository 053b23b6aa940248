#include "actors/members/place_list.hpp"

namespace ovir::actors {

void place_list::touch(const digest& place) {
  const auto [known, fresh] = used_.try_emplace(place, 0);
  if (fresh) {
    changed_ = true;
  } else {
    order_.erase(known->second);
  }
  known->second = ++touches_;
  order_.emplace(touches_, place);
  if (used_.size() > places_max_) {
    used_.erase(order_.begin()->second);
    order_.erase(order_.begin());
  }
}

void place_list::forget(const digest& place) {
  const auto known = used_.find(place);
  if (known != used_.end()) {
    order_.erase(known->second);
    used_.erase(known);
    changed_ = true;
  }
}

void place_list::clear() {
  changed_ = changed_ || !used_.empty();
  used_.clear();
  order_.clear();
}

std::vector<digest> place_list::look() {
  changed_ = false;
  std::vector<digest> all;
  all.reserve(used_.size());
  for (const auto& [place, when] : used_) {
    all.push_back(place);
  }
  return all;
}

} // namespace ovir::actors
