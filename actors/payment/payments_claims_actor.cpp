#include "actors/payment/payments_parts_actor.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/evidence.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

// What stages of this node signed, until who drove their requests has settled them.

namespace ovir::actors {

namespace {

using kept_claim = payments_state::kept_claim;
using claims_by_place = std::map<std::pair<digest, layer_index>, kept_claim>;

/// Batches that each fit into a message, in order; nothing where a statement alone does not.
std::vector<std::vector<std::byte>> parts_of(const std::vector<evidence_batch>& batches) {
  std::vector<std::vector<std::byte>> parts;
  for (const evidence_batch& all : batches) {
    std::size_t at = 0;
    std::size_t count = all.records.statements.size();
    do {
      evidence_batch part{all.request, all.records, {}};
      const auto& whole = all.records.statements;
      const auto first = whole.begin() + static_cast<std::ptrdiff_t>(at);
      part.records.statements.assign(first, first + static_cast<std::ptrdiff_t>(count));
      if (at > 0) {
        part.records.commitments.clear();
      }
      std::vector<std::byte> bytes = encode_evidence(part);
      if (bytes.size() > limits::claim_bytes_max) {
        if (count <= 1) {
          return {};
        }
        count /= 2;
        continue;
      }
      parts.push_back(std::move(bytes));
      at += count;
      count = std::min(count, whole.size() - at);
    } while (count > 0);
  }
  return parts;
}

claims_by_place::iterator forget(payments_state& state, claims_by_place::iterator at) {
  state.asked.claimed_bytes -= at->second.bytes;
  return state.asked.claims.erase(at);
}

/// Of those that are kept, the one that was there first goes.
void make_room(payments_state& state) {
  auto& claims = state.asked.claims;
  while (claims.size() > limits::unsettled_claims_max ||
         (claims.size() > 1 && state.asked.claimed_bytes > limits::unsettled_claims_bytes_max)) {
    forget(state, std::min_element(claims.begin(), claims.end(), [](const auto& a, const auto& b) {
             return a.second.since < b.second.since;
           }));
  }
}

} // namespace

void keep_claim(payments_pointer self, const claimable_work& done) {
  payments_state& state = self->state;
  if ((state.ledger && ledger::is_free(state.rules)) || done.batches.empty() ||
      done.batches.front().records.statements.empty()) {
    return;
  }
  kept_claim made{done.terms, parts_of(done.batches), 0, 0, 0, false, now_of(self), {}};
  for (const evidence_batch& batch : done.batches) {
    for (const statement& s : batch.records.statements) {
      made.end =
          std::max(made.end, std::uint64_t{s.window} * limits::window_positions + s.positions);
    }
  }
  if (made.parts.empty()) {
    return state.environment.journal->say(log_level::warn, done.terms.request,
                                          "what was stated of a window is too long to be claimed");
  }
  for (const std::vector<std::byte>& part : made.parts) {
    made.bytes += part.size();
  }
  const std::pair place{ledger::about_of(done.terms),
                        done.batches.front().records.signer.layers.first};
  if (const auto known = state.asked.claims.find(place); known != state.asked.claims.end()) {
    forget(state, known);
  }
  state.asked.claimed_bytes += made.bytes;
  state.asked.claims.emplace(place, std::move(made));
  make_room(state);
  keep_ticking(self);
}

bool take_answer_to_claim(payments_pointer self, const ledger::message& m) {
  payments_state& state = self->state;
  const auto found = std::find_if(state.asked.claims.begin(), state.asked.claims.end(),
                                  [&](const auto& one) { return one.second.id == m.id; });
  if (found == state.asked.claims.end()) {
    return false;
  }
  kept_claim& c = found->second;
  if (const auto* const no = std::get_if<ledger::refusal>(&m.body)) {
    state.environment.journal->say(log_level::warn, c.terms.request,
                                   "the ledger's keeper refuses a claim: {}", no->reason.message);
    if (no->reason.code != errc::busy) {
      forget(state, found);
    }
    return true;
  }
  const auto* const report = std::get_if<ledger::request_report>(&m.body);
  if (report == nullptr) {
    return true;
  }
  // The token drawn behind the last position, too.
  const bool all_paid = report->prompt_accounted && report->prompt + report->accounted > c.end;
  if (!takes_claims(*report) || (!report->open && all_paid)) {
    forget(state, found);
  } else if (std::exchange(c.asks, false)) {
    state.environment.journal->say(log_level::info, c.terms.request,
                                   "its scheduler has not paid all of it: its pay is claimed");
    for (const std::vector<std::byte>& part : c.parts) {
      say_to_all(self, c.id, ledger::claim{c.terms, part});
      say(self, c.id, ledger::claim{c.terms, part});
    }
  }
  return true;
}

void tend_claims(payments_pointer self) {
  payments_state& state = self->state;
  const auto now = now_of(self);
  for (auto at = state.asked.claims.begin(); at != state.asked.claims.end();) {
    kept_claim& c = at->second;
    if (now - c.since > limits::claim_lasts || (state.ledger && ledger::is_free(state.rules))) {
      at = forget(state, at);
      continue;
    }
    const bool due =
        c.id == 0 ? now - c.since > limits::claim_wait : now - c.at > limits::claim_again;
    if (due && ready(state)) {
      c.id = state.next_id++;
      c.at = now;
      c.asks = true;
      say(self, c.id, ledger::ask_request{at->first.first});
    }
    ++at;
  }
}

} // namespace ovir::actors
