#include "actors/payment/payments_parts_actor.hpp"
#include "ledger/rules/attest.hpp"

#include <caf/all.hpp>

#include <utility>

// Requests of a ledger whose rules charge nothing: entered behind the work, never waited for.

namespace ovir::actors {

caf::result<credit_reserved> begin_free(payments_pointer self, reserve_credit& asked) {
  payments_state& state = self->state;
  const request_id id = asked.request.id;
  if (!asked.request.receipt) {
    ++state.count.unentered;
    return credit_reserved{}; // nobody signs what could be entered
  }
  const auto known = state.requests.find(id);
  if (known == state.requests.end() &&
      (state.requests.size() >= limits::payments_open_max || state.signed_by_keepers.contradicts)) {
    ++state.count.unentered;
    return credit_reserved{};
  }
  auto& p = state.requests[id];
  p.free = true;
  p.since = now_of(self);
  p.asked = std::move(asked);
  p.lead = {};
  if (!p.reservation.empty()) { // an earlier lead of this node began it
    p.resumed = true;
    p.core.reset(); // it goes on from what the keeper has
    p.reported = false;
    make_core(self, p);
  }
  keep_ticking(self);
  return credit_reserved{true, {}};
}

void enter_free(payments_pointer self, request_id request, payments_state::paid& p,
                const computing_path& path) {
  path_description taken;
  for (const auto& [node, layers] : path) {
    planned_stage s;
    s.node = node;
    s.stage.layers = layers;
    taken.stages.push_back(std::move(s));
  }
  const node_id& me = self->state.environment.key->id();
  auto r = reservation_for(self, *p.asked, taken, me);
  if (!r) {
    ++self->state.count.unentered;
    self->state.requests.erase(request);
    return;
  }
  watch_strangers(self, r->stages);
  r->nonce = ++self->state.own.nonce;
  send_reserved(self, request, p, *r,
                ledger::sign_action(*self->state.environment.key, *self->state.ledger, *r));
  if (const auto kept = self->state.requests.find(request); kept != self->state.requests.end()) {
    make_core(self, kept->second);
  }
}

} // namespace ovir::actors
