#include "ledger/rules/replay_evidence.hpp"

#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

result<ovir::conviction> conviction_in(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(audit_message message, decode_audit(bytes));
  auto* const c = std::get_if<ovir::conviction>(&message);
  if (c == nullptr || c->receipts.empty()) {
    return fail(errc::malformed, "the evidence is a message about audits and no conviction");
  }
  return std::move(*c);
}

std::uint32_t window_of(const audit_place& place) {
  return place.of_layer() ? place.window : place.at / limits::window_positions;
}

result<void> check_verdicts(const convict& x, const ovir::conviction& c,
                            const std::function<role_set(const node_id&)>& roles_of,
                            const operator_of& operators) {
  const digest name = receipt_digest(c.receipts.front());
  for (const audit_verdict& v : c.verdicts) {
    if (v.verifier == c.guilty || !roles_of(v.verifier).has(role::verifier) ||
        !verify_verdict(v, name, c.place, c.computed)) {
      return fail(errc::invalid_argument, "the verdict of {} in the evidence does not count",
                  short_name(v.verifier));
    }
  }
  if (!are_two_opinions(c.verdicts, operators)) {
    return fail(errc::invalid_argument, "the verdicts in the evidence are of one operator, or of "
                                        "one kind of kernels");
  }
  const bool all_in = std::all_of(x.verdicts.begin(), x.verdicts.end(), [&](const verdict& said) {
    return std::any_of(c.verdicts.begin(), c.verdicts.end(),
                       [&](const audit_verdict& v) { return v.verifier == said.verifier; });
  });
  if (!all_in || x.finder != c.verdicts.front().verifier) {
    return fail(errc::invalid_argument,
                "who vouches, or the finder, gave no verdict in the evidence");
  }
  return {};
}

} // namespace

result<void> check_replay(const convict& x, const reserve& reservation,
                          std::span<const std::byte> bytes,
                          const std::function<role_set(const node_id&)>& roles_of,
                          const operator_of& operators) {
  if (evidence_digest(bytes) != x.evidence) {
    return fail(errc::invalid_argument,
                "what was examined here is not the evidence that the conviction names");
  }
  OVIR_ASSIGN(const ovir::conviction c, conviction_in(bytes));
  if (c.admission) {
    return fail(errc::invalid_argument, "{} admitted a fault and loses no stake",
                short_name(x.guilty));
  }
  if (c.kind != conviction_kind::replay || c.guilty != x.guilty) {
    return fail(errc::invalid_argument, "the evidence does not convict {} by replay",
                short_name(x.guilty));
  }
  OVIR_ASSIGN(const receipt r, decode_receipt(c.receipts.front()));
  if (about_of(terms_of(r.asked)) != reservation.about || escrow_of(reservation) != x.request) {
    return fail(errc::invalid_argument, "the evidence is about another request than {}",
                to_hex(x.request).substr(0, 8));
  }
  const std::uint32_t window = accrual_window(reservation.prompt, window_of(c.place));
  if (window != x.window) {
    return fail(errc::invalid_argument, "the evidence convicts from window {} on, not from {}",
                window, x.window);
  }
  return check_verdicts(x, c, roles_of, operators);
}

bool is_admitted(std::span<const std::byte> bytes, const reserve& reservation) {
  const auto c = conviction_in(bytes);
  if (!c || !c->admission) {
    return false;
  }
  return std::any_of(c->receipts.begin(), c->receipts.end(), [&](const auto& one) {
    const auto r = decode_receipt(one);
    return r && about_of(terms_of(r->asked)) == reservation.about;
  });
}

} // namespace ovir::ledger
