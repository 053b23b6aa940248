#include "actors/payment/payments_parts_actor.hpp"
#include "actors/stage/lead_evidence.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/caf/errors.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/mutant.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

// What a request would cost: its path, who may be on it, the reservation, and offers to clients.

namespace ovir::actors {

namespace {

/// Asked again now and then: nobody waits for that. Of a node that was never heard of, a plan waits
/// for what the keeper says: it may be a newcomer that has to wait for its audits.
const payee_standing* standing_of(payments_pointer self, const node_id& node) {
  payments_state& state = self->state;
  if (!state.payees.of.contains(node) && state.payees.of.size() >= limits::standings_max) {
    std::erase_if(state.payees.of, [&](const auto& known) {
      return now_of(self) - known.second.asked > limits::reputation_every;
    });
    if (state.payees.of.size() >= limits::standings_max) {
      return nullptr;
    }
  }
  auto& known = state.payees.of[node];
  if (known.asked == storage::env::time_point{} ||
      now_of(self) - known.asked > limits::admission_every) {
    known.asked = now_of(self);
    say(self, 0, ledger::ask_account{node});
  }
  return &known;
}

/// Those that may not be paid now, for whoever plans.
void tell_admission(payments_pointer self) {
  payments_state& state = self->state;
  auto lacking = state.payees.lacking(state.rules.newcomer_units);
  if (const caf::actor paths = state.environment.paths();
      paths && lacking != state.payees.told_lacking) {
    self->send(caf::actor_cast<pathfinder_actor>(paths), admission_told{lacking});
    state.payees.told_lacking = std::move(lacking);
  }
}

/// Whether the keeper said of every planned node what it may be; who lacks admission is asked about
/// as well, for it gets it back.
bool all_known(payments_pointer self, const path_description& planned) {
  bool known = true;
  for (const planned_stage& s : planned.stages) {
    const auto* const standing = standing_of(self, s.node);
    known = known && (standing == nullptr || standing->told);
  }
  for (const node_id& node : self->state.payees.told_lacking) {
    (void)standing_of(self, node);
  }
  return known;
}

bool is_stranger(payments_pointer self, const node_id& node) {
  const peers* const links = self->state.environment.links;
  return links != nullptr && links->is_stranger(node);
}

} // namespace

void watch_strangers(payments_pointer self, const std::vector<ledger::path_stage>& stages) {
  for (const ledger::path_stage& s : stages) {
    if (is_stranger(self, s.node)) {
      (void)standing_of(self, s.node);
    }
  }
}

void note_standing(payments_pointer self, const ledger::account_report& report) {
  if (self->state.payees.of.contains(report.who)) {
    self->state.payees.note(report, is_stranger(self, report.who));
    tell_admission(self);
  }
}

void note_site(payments_pointer self, const link_changed& news) {
  payments_state& state = self->state;
  if (state.payees.sites.size() >= limits::standings_max) {
    std::erase_if(state.payees.sites,
                  [&](const auto& one) { return !state.linked_nodes.contains(one.first); });
  }
  state.payees.sites[news.node] = ovir::site_of(news.from);
}

/// They have a window more pending: the next plan waits for what the keeper says of them now.
void doubt_newcomers(payments_pointer self, const ledger::accrue& paid) {
  for (const ledger::window_share& share : paid.computed) {
    const auto known = self->state.payees.of.find(share.node);
    if (known != self->state.payees.of.end() && known->second.newcomer) {
      known->second.told = false;
      known->second.asked = {};
      (void)standing_of(self, share.node);
    }
  }
}

void doubt_standing(payments_pointer self, const std::vector<ledger::path_stage>& stages) {
  for (const ledger::path_stage& s : stages) {
    auto& standing = self->state.payees.of[s.node];
    standing.told = false;
    standing.asked = {};
    (void)standing_of(self, s.node);
  }
}

void try_plans(payments_pointer self) {
  for (const auto& again : std::exchange(self->state.waiting_plans, {})) {
    again();
  }
}

namespace {

bool lacks_admission(const payments_state& state, const path_description& planned) {
  return std::any_of(planned.stages.begin(), planned.stages.end(), [&](const planned_stage& s) {
    return state.payees.told_lacking.contains(s.node);
  });
}

/// One that the keeper admits, but for those at the same place: there is no way around it.
const planned_stage* crowded_out(const payments_state& state, const path_description& planned) {
  const auto found =
      std::find_if(planned.stages.begin(), planned.stages.end(), [&](const planned_stage& s) {
        const auto known = state.payees.of.find(s.node);
        return state.payees.told_lacking.contains(s.node) && known != state.payees.of.end() &&
               known->second.admitted;
      });
  return found == planned.stages.end() ? nullptr : &*found;
}

/// `told`: whoever plans was told of everybody who lacks admission before it was asked.
void plan_once(payments_pointer self, const reserve_credit& asked, storage::env::time_point since,
               const std::function<void(const path_description&)>& use, bool told) {
  payments_state& state = self->state;
  const generation_request& q = asked.request;
  const describe_path wanted{q.model, static_cast<std::uint32_t>(q.prompt.size() + q.max_tokens),
                             q.ends, q.tier, q.twin};
  const auto again = [self, asked, since, use] { plan_once(self, asked, since, use, false); };
  const auto late = [self, since] { return now_of(self) - since >= limits::reserve_wait; };
  const caf::actor paths = state.environment.paths();
  if (!paths && !late()) {
    state.waiting_plans.emplace_back(again);
    return keep_ticking(self);
  }
  const auto none = [use](error why) {
    path_description empty;
    empty.planned = std::move(why);
    use(empty);
  };
  if (!paths) {
    return none(fail(errc::peer_lost, "this node plans no paths; ask a scheduler"));
  }
  self->request(caf::actor_cast<pathfinder_actor>(paths), limits::reserve_wait, wanted)
      .then(
          [self, asked, since, use, told, again, late, none](const path_description& found) {
            // A node may come; and of one that is there, the keeper may have to say more.
            const bool complete = found.planned && all_known(self, found);
            if (complete && !told && lacks_admission(self->state, found)) {
              self->state.payees.told_lacking.clear(); // who plans may have begun anew
              tell_admission(self);
              return plan_once(self, asked, since, use, true); // the news came meanwhile
            }
            const planned_stage* const crowded =
                complete ? crowded_out(self->state, found) : nullptr;
            if (crowded != nullptr) {
              return none(fail(errc::busy,
                               "{} has neither stake nor history, and those at its address have "
                               "{} windows pending together, as many as one may; wait for their "
                               "audit",
                               short_name(crowded->node), self->state.rules.newcomer_units));
            }
            if (complete || (late() && !found.planned)) {
              return use(found);
            }
            if (late()) {
              return none(fail(errc::timed_out,
                               "{} that keeps the ledger does not say who may be paid; try again",
                               short_name(self->state.at.node)));
            }
            self->state.waiting_plans.emplace_back(again);
            keep_ticking(self);
          },
          [none](const caf::error& reason) { none(from_caf(reason)); });
}

} // namespace

void find_plan(payments_pointer self, const reserve_credit& asked, storage::env::time_point since,
               const std::function<void(const path_description&)>& use) {
  plan_once(self, asked, since, use, false);
}

layer_places places_of(const path_description& planned) {
  layer_places places;
  for (const planned_stage& s : planned.stages) {
    places.emplace_back(s.node, s.stage.layers);
  }
  return places;
}

digest about_of(const reserve_credit& asked) {
  return ledger::about_of(terms_of(facts_of(asked.request, asked.layers)));
}

result<ledger::reserve> reservation_for(payments_pointer self, const reserve_credit& asked,
                                        const path_description& planned, const node_id& payer) {
  payments_state& state = self->state;
  const node_id& me = state.environment.key->id();
  ledger::reserve r;
  const generation_request& q = asked.request;
  r.payer = payer;
  r.scheduler = payer == me ? node_id{} : me;
  r.about = about_of(asked);
  if (!ledger::is_free(state.rules)) {
    OVIR_ASSIGN(r.rate, ledger::model_rate(asked.model_bytes));
  }
  r.prompt = q.prompt.size() + q.drawn.size();
  r.completion_max = q.max_tokens - std::min<std::uint64_t>(q.max_tokens, q.drawn.size());
  // A little less than the most, for the keeper's clock may be behind.
  const std::uint64_t most = state.rules.reservation_s_max;
  const std::uint64_t lasts =
      std::min(static_cast<std::uint64_t>(q.deadline.count()) + limits::reserve_beyond_s,
               most - std::min(limits::reserve_clock_s, most / 2));
  const auto since =
      std::chrono::duration_cast<std::chrono::seconds>(now_of(self) - state.time.said);
  r.expires = OVIR_MUTANT("payments_trust_their_clock")
                  ? state.environment.env->unix_seconds() + lasts
                  : state.time.unix_s + static_cast<std::uint64_t>(since.count()) + lasts;
  for (const planned_stage& s : planned.stages) {
    r.stages.push_back({s.node, s.stage.layers.size(), s.ask_ppm});
  }
  return r;
}

/// What of the division is known before anything is computed: the plan, the ledger, and what nodes
/// say of their memory.
reward_terms rewards_of(payments_pointer self, const reserve_credit& asked,
                        const path_description& planned) {
  reward_terms terms;
  terms.rule = self->state.environment.rewards;
  terms.model_bytes = asked.model_bytes;
  const auto positions =
      static_cast<double>(asked.request.prompt.size() + asked.request.max_tokens);
  const double allotted_s = std::chrono::duration<double>(asked.request.deadline).count() /
                            std::max(1.0, positions) / static_cast<double>(planned.stages.size());
  const auto microseconds = [](double seconds) {
    return static_cast<std::uint64_t>(std::clamp(seconds, 0.0, 1e6) * 1e6);
  };
  for (const planned_stage& s : planned.stages) {
    const auto* const standing = standing_of(self, s.node);
    terms.nodes.emplace(s.node, reward_terms::planned{
                                    {microseconds(s.stage.decode_seconds), microseconds(allotted_s),
                                     standing == nullptr ? 0 : standing->reputation_ppm},
                                    s.memory_bytes});
  }
  return terms;
}

// Clients that pay for themselves

caf::result<credit_quote> offer(payments_pointer self, const quote_credit& asked) {
  payments_state& state = self->state;
  if (!ready(state)) {
    return to_caf(fail(errc::peer_lost, "{} that keeps the ledger cannot be reached; try again",
                       short_name(state.at.node)));
  }
  std::erase_if(state.offers, [&](const auto& one) {
    return now_of(self) - one.second.since > limits::payment_quote_lasts;
  });
  if (state.offers.size() + state.waiting_plans.size() >= limits::payment_quotes_max) {
    return to_caf(fail(errc::busy, "{} quotes are not signed yet; try again later",
                       state.offers.size() + state.waiting_plans.size()));
  }
  auto answer = self->make_response_promise<credit_quote>();
  find_plan(self, asked.asked, now_of(self),
            [self, asked, answer](const path_description& planned) mutable {
              auto r = planned.planned ? reservation_for(self, asked.asked, planned, asked.payer)
                                       : result<ledger::reserve>{planned.planned.error()};
              if (!r) {
                answer.deliver(to_caf(r.error()));
                return;
              }
              self->state.offers[r->about] = {*r, rewards_of(self, asked.asked, planned),
                                              places_of(planned), now_of(self)};
              r->nonce = 1; // the payer puts its own
              answer.deliver(credit_quote{entry_of(*r, {}), *self->state.ledger});
            });
  return answer;
}

result<payments_state::offered> take_signed(payments_pointer self, const reserve_credit& asked) {
  payments_state& state = self->state;
  OVIR_ASSIGN(ledger::entry e, ledger::decode_entry(*asked.request.payment));
  auto* const said = std::get_if<ledger::reserve>(&e.what);
  if (said == nullptr || e.time != 0) {
    return fail(errc::invalid_argument, "a request is paid for with a reservation, not with a {}",
                to_string(ledger::kind_of(e.what)));
  }
  if (said->about != about_of(asked)) {
    return fail(errc::invalid_argument, "this payment was signed for another request");
  }
  OVIR_TRY(ledger::check_signatures(*state.ledger, e.what, e.proof));
  said->nonce = 0;
  const auto found = state.offers.find(said->about);
  if (found == state.offers.end() ||
      now_of(self) - found->second.since > limits::payment_quote_lasts) {
    return fail(errc::invalid_argument,
                "this node offered nothing like this payment within {} s; ask for a new quote",
                limits::payment_quote_lasts.count());
  }
  if (found->second.what != *said) {
    return fail(errc::invalid_argument,
                "this payment is not what this node offered; sign the quote as it is");
  }
  payments_state::offered taken = std::move(found->second);
  state.offers.erase(found);
  return taken;
}

} // namespace ovir::actors
