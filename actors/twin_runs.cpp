#include "actors/twin_runs.hpp"

#include <algorithm>

namespace ovir::actors {

void twin_runs::take(run which, std::uint32_t index, token_id token, const std::string& text) {
  const std::size_t there = which == run::first ? first_.size() : second_.size();
  if (index > there) {
    return; // a lead tells in order; what is missing is told again
  }
  if (index < there) {
    differ_ = differ_ || (which == run::first ? first_[index].token : second_[index]) != token;
    return;
  }
  if (which == run::first) {
    first_.push_back({token, text});
  } else {
    second_.push_back(token);
  }
  if (index < std::min(first_.size(), second_.size())) {
    differ_ = differ_ || first_[index].token != second_[index];
  }
}

std::vector<twin_runs::piece> twin_runs::certain() {
  std::vector<piece> now;
  const std::size_t both = differ_ ? 0 : std::min(first_.size(), second_.size());
  for (; told_ < both; ++told_) {
    now.push_back(first_[told_]);
  }
  return now;
}

} // namespace ovir::actors
