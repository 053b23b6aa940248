#include "actors/payment/payee_standings.hpp"

namespace ovir::actors {

address_prefix payee_standings::site(const node_id& node) const {
  const auto found = sites.find(node);
  return found == sites.end() ? address_prefix{} : found->second;
}

std::set<node_id> payee_standings::lacking(std::uint64_t newcomer_units) const {
  std::set<node_id> all;
  std::map<address_prefix, std::uint64_t> parts;
  for (const auto& [node, known] : of) {
    if (!known.admitted) {
      all.insert(node);
    }
    if (known.newcomer) {
      parts[site(node)] += known.pending_windows;
    }
  }
  for (const auto& [node, known] : of) {
    if (known.newcomer && parts[site(node)] >= newcomer_units) {
      all.insert(node);
    }
  }
  return all;
}

} // namespace ovir::actors
