#include "actors/path/twin_runs.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

bool same(const twin_runs::piece& a, const twin_runs::piece& b) {
  const bool both = a.logprobs != nullptr && b.logprobs != nullptr;
  return a.token == b.token && (both ? *a.logprobs == *b.logprobs : a.logprobs == b.logprobs);
}

} // namespace

void twin_runs::take(run which, std::uint32_t index, piece told) {
  std::vector<piece>& pieces = which == run::first ? first_ : second_;
  if (index > pieces.size()) {
    return; // a lead tells in order; what is missing is told again
  }
  if (index < pieces.size()) {
    differ_ = differ_ || !same(pieces[index], told);
    return;
  }
  if (which == run::second) {
    told.text.clear();
  }
  pieces.push_back(std::move(told));
  if (index < std::min(first_.size(), second_.size())) {
    differ_ = differ_ || !same(first_[index], second_[index]);
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
