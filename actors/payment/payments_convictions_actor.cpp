#include "actors/payment/payments_parts_actor.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/double_charge.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/caf/errors.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/limits/general.hpp"

#include <caf/all.hpp>

#include <algorithm>

// Convictions on their way to the ledger: one that a shell hands in with its evidence, and those
// that this node's verifier came to, or learnt of with its own verdict among them.

namespace ovir::actors {

namespace {

/// The evidence says for which escrow it is.
caf::result<ledger::promise> accuse_scheduler(payments_pointer self, accuse& asked,
                                              const ledger::double_charge& e) {
  payments_state& state = self->state;
  if (!ready(state) || state.orders.size() >= limits::payment_actions_max) {
    return to_caf(fail(errc::peer_lost, "{} that keeps the ledger cannot be reached; try again",
                       short_name(state.at.node)));
  }
  const auto& charged = std::get<ledger::accrue>(e.second.what);
  const ledger::convict x{charged.request,
                          0,
                          charged.scheduler,
                          state.environment.key->id(),
                          ledger::evidence_kind::double_charge,
                          ledger::evidence_digest(asked.evidence),
                          {}};
  if (const auto form = ledger::check_form(x); !form) {
    return to_caf(form.error());
  }
  payments_state::order order{make_sent(self, x, entry_of(x, {}), std::move(asked.evidence)),
                              self->make_response_promise<ledger::promise>(), now_of(self)};
  const auto answer = order.answer;
  const std::uint64_t id = order.what.id;
  submit(self, state.orders.emplace(id, std::move(order)).first->second.what);
  keep_ticking(self);
  return answer;
}

} // namespace

caf::result<ledger::promise> begin_accusation(payments_pointer self, accuse& asked) {
  payments_state& state = self->state;
  if (const auto charge = ledger::double_charge_from(asked.evidence)) {
    return accuse_scheduler(self, asked, *charge);
  }
  const auto evidence = ledger::equivocation_from(asked.evidence);
  const auto fault = evidence ? ledger::find_fault(*evidence)
                              : result<ledger::equivocation_fault>{evidence.error()};
  if (!fault) {
    return to_caf(fault.error());
  }
  if (!ready(state) || state.accusations.size() >= limits::payment_actions_max) {
    return to_caf(fail(errc::peer_lost, "{} that keeps the ledger cannot be reached; try again",
                       short_name(state.at.node)));
  }
  payments_state::accusation a;
  a.what.guilty = fault->guilty;
  a.what.finder = state.environment.key->id();
  a.what.kind = ledger::evidence_kind::equivocation;
  a.what.evidence = ledger::evidence_digest(asked.evidence);
  a.window = fault->window;
  a.evidence = std::move(asked.evidence);
  a.answer = self->make_response_promise<ledger::promise>();
  a.since = now_of(self);
  a.about = ledger::about_of(evidence->terms);
  const std::uint64_t id = state.next_id++;
  auto& waiting = state.accusations[id] = std::move(a);
  say(self, id, ledger::ask_request{waiting.about});
  keep_ticking(self);
  return waiting.answer;
}

namespace {

/// The escrow is known now: the conviction goes to the keeper.
void go_on_accusing(payments_pointer self, payments_state::accusation a,
                    const ledger::request_report& report) {
  payments_state& state = self->state;
  if (!report.known) {
    a.answer.deliver(to_caf(fail(errc::not_found, "the request of this evidence is over and its "
                                                  "audit window, too: nothing can be taken back")));
    return;
  }
  a.what.request = report.request;
  a.what.window = ledger::accrual_window(report.prompt, a.window);
  if (const auto form = ledger::check_form(a.what); !form) {
    a.answer.deliver(to_caf(form.error()));
    return;
  }
  auto entry = entry_of(a.what, {});
  payments_state::order order{make_sent(self, a.what, std::move(entry), std::move(a.evidence)),
                              a.answer, now_of(self)};
  const std::uint64_t id = order.what.id;
  submit(self, state.orders.emplace(id, std::move(order)).first->second.what);
}

/// What of two receipts of one request convicts by itself; nothing where they are of different
/// requests: who pays for what is known of one only.
std::optional<ledger::equivocation> equivocation_in(const conviction& c) {
  if (c.receipts.size() != 2) {
    return std::nullopt;
  }
  const auto first = decode_receipt(c.receipts[0]);
  const auto second = decode_receipt(c.receipts[1]);
  if (!first || !second || terms_of(first->asked) != terms_of(second->asked)) {
    return std::nullopt;
  }
  const auto stage_in = [&](const receipt& r) {
    return std::find_if(r.stages.begin(), r.stages.end(), [&](const stage_records& s) {
      return s.signer.node == c.guilty && s.signer.layers.first <= c.place.layer &&
             c.place.layer < s.signer.layers.last;
    });
  };
  const auto one = stage_in(*first);
  const auto other = stage_in(*second);
  if (one == first->stages.end() || other == second->stages.end()) {
    return std::nullopt;
  }
  return ledger::equivocation{terms_of(first->asked), *one, *other};
}

result<payments_state::reported> report_of(const conviction& c, const node_id& me) {
  if (c.receipts.empty()) {
    return fail(errc::malformed, "a conviction without a receipt");
  }
  OVIR_ASSIGN(const receipt r, decode_receipt(c.receipts.front()));
  payments_state::reported out;
  out.about = ledger::about_of(terms_of(r.asked));
  out.what.guilty = c.guilty;
  out.window = c.place.of_layer() ? c.place.window : c.place.at / limits::window_positions;
  if (c.kind == conviction_kind::replay) {
    out.what.finder = c.verdicts.front().verifier;                    // as each of them says
    OVIR_ASSIGN(const std::vector<std::byte> whole, encode_audit(c)); // as the keeper has it
    out.what.evidence = ledger::evidence_digest(whole);
    return out;
  }
  const auto lie = equivocation_in(c);
  if (!lie) {
    return fail(errc::unsupported, "its two receipts are of different requests");
  }
  OVIR_ASSIGN(const ledger::equivocation_fault fault, ledger::find_fault(*lie));
  out.evidence = ledger::to_bytes(*lie);
  out.window = fault.window;
  out.what.finder = me;
  out.what.kind = ledger::evidence_kind::equivocation;
  out.what.evidence = ledger::evidence_digest(out.evidence);
  return out;
}

/// The escrow is known: vouches, or hands in the evidence.
void send_conviction(payments_pointer self, payments_state::reported& c,
                     const ledger::request_report& request) {
  payments_state& state = self->state;
  c.what.request = request.request;
  c.what.window = ledger::accrual_window(request.prompt, c.window);
  c.id = state.next_id++;
  if (c.what.kind == ledger::evidence_kind::equivocation) {
    const ledger::submit what{entry_of(c.what, {}), c.evidence};
    say_to_all(self, c.id, what);
    return say(self, c.id, what);
  }
  ledger::vouch word{c.what};
  word.what.verdicts = {ledger::give_verdict(*state.environment.key, *state.ledger, c.what)};
  say_to_all(self, c.id, word); // each collects them: any may lead next
  say(self, c.id, std::move(word));
  state.at.waits.reset(); // the first of two gets no answer
}

/// It is asked again; the log says once why it was not taken.
void not_taken(payments_pointer self, const node_id& guilty, payments_state::reported& c,
               std::string why) {
  if (c.why == why) {
    return;
  }
  c.why = std::move(why);
  self->state.environment.journal->say(log_level::info, std::nullopt,
                                       "the ledger does not take the conviction of {} yet: {}",
                                       short_name(guilty), c.why);
}

} // namespace

bool take_answer_to_accusation(payments_pointer self, const ledger::message& m) {
  payments_state& state = self->state;
  if (const auto accused = state.accusations.find(m.id); accused != state.accusations.end()) {
    if (const auto* const report = std::get_if<ledger::request_report>(&m.body)) {
      payments_state::accusation a = std::move(accused->second);
      state.accusations.erase(accused);
      go_on_accusing(self, std::move(a), *report);
    }
    return true;
  }
  const auto found = std::find_if(state.convictions.begin(), state.convictions.end(),
                                  [&](const auto& c) { return c.second.id == m.id; });
  if (found == state.convictions.end()) {
    return false;
  }
  payments_state::reported& c = found->second;
  if (const auto* const report = std::get_if<ledger::request_report>(&m.body)) {
    if (report->known) {
      send_conviction(self, c, *report);
    } else {
      not_taken(self, found->first, c,
                "its request is not in the ledger, or over with its audit window");
    }
  } else if (const auto* const r = std::get_if<ledger::refusal>(&m.body)) {
    not_taken(self, found->first, c, r->reason.message); // the window may not be paid yet
  }
  return true;
}

void report_conviction(payments_pointer self, const conviction_found& news) {
  payments_state& state = self->state;
  const node_id& guilty = news.what->guilty;
  if (guilty == state.environment.key->id() || state.ejected.contains(guilty) ||
      state.convictions.contains(guilty) ||
      state.convictions.size() >= limits::payment_actions_max) {
    return;
  }
  auto made = report_of(*news.what, state.environment.key->id());
  if (!made) {
    return state.environment.journal->say(log_level::warn, std::nullopt,
                                          "the ledger is not told that {} was convicted: {}",
                                          short_name(guilty), made.error().message);
  }
  made->since = now_of(self);
  state.convictions.emplace(guilty, std::move(*made));
  tend_convictions(self);
  keep_ticking(self);
}

void tend_convictions(payments_pointer self) {
  payments_state& state = self->state;
  const auto now = now_of(self);
  for (auto it = state.convictions.begin(); it != state.convictions.end();) {
    payments_state::reported& c = it->second;
    if (state.ejected.contains(it->first)) {
      it = state.convictions.erase(it);
      continue;
    }
    if (now - c.since > limits::conviction_report_wait) {
      state.environment.journal->say(
          log_level::warn, std::nullopt, "the ledger did not take the conviction of {}: {}",
          short_name(it->first), c.why.empty() ? "no other verifier vouched for it" : c.why);
      it = state.convictions.erase(it);
      continue;
    }
    if (ready(state) && (c.id == 0 || now - c.at > limits::payment_retry)) {
      c.at = now;
      c.id = state.next_id++;
      say(self, c.id, ledger::ask_request{c.about});
    }
    ++it;
  }
}

} // namespace ovir::actors
