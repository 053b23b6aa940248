#include "actors/group/part_shelf.hpp"

#include "messages/limits/parts.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

part_shelf::runs::iterator part_shelf::erase(runs::iterator at) {
  for (const statement& one : at->second.ends) {
    bytes_ -= compute::bytes_of(*one);
  }
  by_age_.erase(at->second.age);
  return runs_.erase(at);
}

// What a pass from `first` on leaves of those before it: of each run the longest that still holds.
void part_shelf::prune(const request_key& request, position first) {
  auto at = runs_.lower_bound({request, 0});
  while (at != runs_.end() && at->first.request == request) {
    std::vector<statement>& ends = at->second.ends;
    const auto last = std::find_if(ends.rbegin(), ends.rend(),
                                   [&](const statement& one) { return one->run.end() <= first; });
    if (last == ends.rend()) {
      at = erase(at);
      continue;
    }
    statement left = *last;
    for (const statement& one : ends) {
      bytes_ -= one == left ? 0 : compute::bytes_of(*one);
    }
    ends = {std::move(left)};
    ++at;
  }
}

void part_shelf::keep(const request_key& request, position first, std::vector<statement> made) {
  const std::lock_guard lock{guard_};
  prune(request, first);
  for (statement& one : made) {
    const place where{request, one->run.first};
    const auto [at, is_new] = runs_.try_emplace(where);
    if (is_new) {
      at->second.age = ++ages_;
      by_age_.emplace(ages_, where);
    }
    bytes_ += compute::bytes_of(*one);
    at->second.ends.push_back(std::move(one));
  }
  while (bytes_ > bytes_max_) {
    erase(runs_.find(by_age_.begin()->second));
  }
}

std::vector<part_shelf::statement> part_shelf::find(const digest& model, layer_range layers,
                                                    std::uint32_t window) const {
  const std::lock_guard lock{guard_};
  std::vector<statement> found;
  for (auto young = by_age_.rbegin(); young != by_age_.rend(); ++young) {
    if (young->second.first / limits::window_positions != window) {
      continue;
    }
    const std::vector<statement>& ends = runs_.at(young->second).ends;
    for (auto one = ends.rbegin();
         one != ends.rend() && found.size() < limits::part_statements_shown_max; ++one) {
      if ((*one)->group.model == model && (*one)->group.cut.layers == layers) {
        found.push_back(*one);
      }
    }
  }
  return found;
}

void part_shelf::keep_head(head made) {
  const std::lock_guard lock{guard_};
  head_bytes_ += compute::bytes_of(*made);
  heads_.push_back(std::move(made));
  while (head_bytes_ > bytes_max_ / 4) {
    head_bytes_ -= compute::bytes_of(*heads_.front());
    heads_.pop_front();
  }
}

std::vector<part_shelf::head> part_shelf::find_heads(const digest& model, const digest& row) const {
  const std::lock_guard lock{guard_};
  std::vector<head> found;
  for (auto one = heads_.rbegin(); one != heads_.rend(); ++one) {
    if ((*one)->row == row && (*one)->group.model == model) {
      found.push_back(*one);
    }
  }
  return found;
}

std::size_t part_shelf::bytes() const {
  const std::lock_guard lock{guard_};
  return bytes_;
}

} // namespace ovir::actors
