#include "actors/payment/window_weights.hpp"

#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

std::uint64_t ask_of(const ledger::reserve& reservation, const node_id& node) {
  const auto found = std::find_if(reservation.stages.rbegin(), reservation.stages.rend(),
                                  [&](const ledger::path_stage& s) { return s.node == node; });
  return found == reservation.stages.rend() ? limits::ppm_one : found->ask_ppm;
}

} // namespace

std::vector<std::uint64_t> window_weights(const reward_terms& terms,
                                          const ledger::reserve& reservation,
                                          std::span<const stage_records* const> path,
                                          std::uint32_t window, const seen_times& seen,
                                          std::uint32_t layers) {
  std::vector<ledger::stage_part> parts;
  std::vector<ledger::stage_terms> planned;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const evidence_signer& by = path[i]->signer;
    const auto own =
        static_cast<std::uint32_t>(by.layers.size() - path[i]->statements[window].cited.size());
    const auto known = terms.nodes.find(by.node);
    ledger::stage_part part;
    part.work = {own, ask_of(reservation, by.node)};
    part.took_us = seen.steps > 0 ? std::max<std::uint64_t>(seen.held[i], 1) : 0;
    part.bytes = static_cast<std::uint64_t>(ledger::wide{terms.model_bytes} * by.layers.size() /
                                            std::max(layers, 1U));
    part.memory_bytes = known == terms.nodes.end() ? 0 : known->second.memory_bytes;
    parts.push_back(part);
    planned.push_back(known == terms.nodes.end() ? ledger::stage_terms{} : known->second.stage);
  }
  switch (terms.rule) {
  case ledger::reward_rule::divy: return ledger::divy_weights(parts);
  case ledger::reward_rule::factors: return ledger::odsi_weights(parts, planned, seen.steps);
  case ledger::reward_rule::work: break;
  }
  std::vector<std::uint64_t> weights;
  weights.reserve(parts.size());
  for (const ledger::stage_part& part : parts) {
    weights.push_back(ledger::stage_weight(part.work, {}));
  }
  return weights;
}

} // namespace ovir::actors
