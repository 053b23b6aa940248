#include "ledger/keeper/charges.hpp"

#include "ledger/rules/equivocation.hpp"

#include <utility>

namespace ovir::ledger {

log_lookup lookup_in(const ledger& book) {
  return [&book](const digest& id) -> std::optional<logged_entry> {
    const auto index = book.view().index_of(id);
    auto bytes = index ? book.log().entry_at(*index) : result<std::vector<std::byte>>{error{}};
    return index && bytes ? std::optional{logged_entry{*index, std::move(*bytes)}} : std::nullopt;
  };
}

bool is_proved_by_charges(const command& what) {
  const convict* const x = std::get_if<convict>(&what);
  return x != nullptr && x->kind == evidence_kind::double_charge;
}

std::optional<found_charge> find_double_charge(const ledger& book, const authentic_command& refused,
                                               const node_id& finder) {
  const accrue* const second = std::get_if<accrue>(&refused.what());
  if (second == nullptr || second->scheduler.empty() || second->scheduler == finder) {
    return std::nullopt;
  }
  const log_lookup find = lookup_in(book);
  for (const window_share& share : second->computed) {
    const auto place = book.view().find_paid(share, second->scheduler, second->request);
    const auto logged =
        place ? find(id_of(accrue{place->request, {}, place->window, 0, 0, {}, {}})) : std::nullopt;
    const auto first = logged ? decode_entry(logged->bytes) : result<entry>{error{}};
    if (!logged || !first) {
      continue;
    }
    std::vector<std::byte> evidence =
        to_bytes(double_charge{*first, {0, *second, refused.proof()}});
    const convict x{
        second->request,           0, second->scheduler, finder, evidence_kind::double_charge,
        evidence_digest(evidence), {}};
    auto ready = by_log_keeper(book.id(), x);
    if (ready && check_double_charge(book.id(), x, evidence, find)) {
      return found_charge{std::move(*ready), std::move(evidence)};
    }
  }
  return std::nullopt;
}

} // namespace ovir::ledger
