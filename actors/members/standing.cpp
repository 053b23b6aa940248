#include "actors/members/standing.hpp"

#include <utility>

namespace ovir::actors {

void standing::tell(const node_id& verifier, std::map<node_id, std::uint32_t> reputation_ppm) {
  told_[verifier] = std::move(reputation_ppm);
}

void standing::forget(const node_id& verifier) { told_.erase(verifier); }

double standing::trust(const node_id& node) const {
  if (told_.empty()) {
    return 1;
  }
  double sum = 0;
  for (const auto& [verifier, told] : told_) {
    const auto found = told.find(node);
    sum += found == told.end() ? 0 : found->second;
  }
  return 0.8 + 0.4e-6 * sum / static_cast<double>(told_.size());
}

} // namespace ovir::actors
