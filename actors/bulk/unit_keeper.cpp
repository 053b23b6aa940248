#include "actors/bulk/unit_keeper.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ovir::actors {

void unit_keeper::name(std::uint32_t first, std::span<const digest> prefixes) {
  if (first > names_.size()) {
    return;
  }
  const std::size_t known = names_.size() - first;
  if (known < prefixes.size()) {
    const std::span<const digest> news = prefixes.subspan(known);
    names_.insert(names_.end(), news.begin(), news.end());
  }
}

void unit_keeper::complete(std::uint32_t windows, const std::vector<compute::unit_leaf>& leaves,
                           std::vector<window_origin> origins) {
  complete_ = std::max(complete_, windows);
  std::copy_if(leaves.begin(), leaves.end(), std::back_inserter(leaves_),
               [this](const compute::unit_leaf& leaf) { return leaf.unit.window >= next_; });
  std::erase_if(origins, [this](const window_origin& o) { return o.window < next_; });
  std::move(origins.begin(), origins.end(), std::back_inserter(origins_));
}

void unit_keeper::skip_to(std::uint32_t windows) {
  complete_ = std::max(complete_, windows);
  next_ = std::max(next_, windows);
  std::erase_if(leaves_, [this](const compute::unit_leaf& l) { return l.unit.window < next_; });
  std::erase_if(origins_, [this](const window_origin& o) { return o.window < next_; });
}

std::optional<keep_units> unit_keeper::take() {
  const auto end = std::min(complete_, static_cast<std::uint32_t>(names_.size()));
  if (end <= next_) {
    return std::nullopt;
  }
  keep_units out;
  out.first = std::exchange(next_, end);
  out.prefixes =
      std::make_shared<const std::vector<digest>>(names_.begin() + out.first, names_.begin() + end);
  const auto rest =
      std::stable_partition(leaves_.begin(), leaves_.end(), [end](const compute::unit_leaf& leaf) {
        return leaf.unit.window < end;
      });
  out.leaves.assign(leaves_.begin(), rest);
  leaves_.erase(leaves_.begin(), rest);
  const auto later = std::find_if(origins_.begin(), origins_.end(),
                                  [end](const window_origin& o) { return o.window >= end; });
  out.origins.assign(std::make_move_iterator(origins_.begin()), std::make_move_iterator(later));
  origins_.erase(origins_.begin(), later);
  return out;
}

} // namespace ovir::actors
