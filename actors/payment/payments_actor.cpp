#include "actors/payment/payments_actor.hpp"

#include "actors/payment/payments_parts_actor.hpp"
#include "ledger/rules/attest.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/mutant.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

// Shells

result<void> may_order(const payments_state& state) {
  if (!ready(state)) {
    return fail(errc::peer_lost, "{} that keeps the ledger cannot be reached; try again",
                short_name(state.at.node));
  }
  if (state.orders.size() >= limits::payment_actions_max) {
    return fail(errc::busy, "{} commands wait for the ledger's keeper", state.orders.size());
  }
  return {};
}

caf::result<ledger::promise> send_order(payments_pointer self, sent_command what) {
  payments_state& state = self->state;
  const std::uint64_t id = what.id;
  auto& waiting = state.orders[id];
  waiting = {std::move(what), self->make_response_promise<ledger::promise>(), now_of(self)};
  submit(self, waiting.what);
  keep_ticking(self);
  return waiting.answer;
}

/// What a shell's own account signed: passed on, for the signature is the keeper's to check.
caf::result<ledger::promise> pass_on(payments_pointer self, signed_order& asked) {
  if (const auto may = may_order(self->state); !may) {
    return to_caf(may.error());
  }
  auto e = ledger::decode_entry(asked.entry);
  if (!e) {
    return to_caf(e.error());
  }
  if (ledger::signer_of(e->what) == nullptr || e->time != 0) {
    return to_caf(fail(errc::invalid_argument,
                       "a {} with the time {} is nothing that an account signs",
                       to_string(ledger::kind_of(e->what)), e->time));
  }
  return send_order(self, make_sent(self, std::move(e->what), std::move(asked.entry)));
}

caf::result<ledger::promise> act(payments_pointer self, credit_order& asked) {
  payments_state& state = self->state;
  if (const auto may = may_order(state); !may) {
    return to_caf(may.error());
  }
  const node_id& me = state.environment.key->id();
  const std::uint64_t nonce = state.own.nonce + 1;
  std::visit(
      [&](auto& x) {
        using kind = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<kind, ledger::mint>) {
          x.by = me;
        } else if constexpr (std::is_same_v<kind, ledger::transfer>) {
          x.from = me;
        } else if constexpr (std::is_same_v<kind, ledger::lock> ||
                             std::is_same_v<kind, ledger::unlock>) {
          x.account = me;
        } else if constexpr (std::is_same_v<kind, ledger::chain_commit>) {
          x.verifier = me;
        } else if constexpr (std::is_same_v<kind, ledger::compensate>) {
          x.amount = state.rules.deterrence.audit_fee;
        }
        if constexpr (requires { x.nonce; }) {
          x.nonce = nonce;
        }
      },
      asked.what);
  if (const auto form = ledger::check_form(asked.what); !form) {
    return to_caf(form.error());
  }
  signature proof;
  if (const node_id* const signer = ledger::signer_of(asked.what); signer != nullptr) {
    if (*signer != me) {
      return to_caf(fail(errc::invalid_argument, "a {} is signed by its account, not by this node",
                         to_string(ledger::kind_of(asked.what))));
    }
    proof = ledger::sign_action(*state.environment.key, *state.ledger, asked.what);
    state.own.nonce = nonce;
  }
  auto entry = entry_of(asked.what, proof);
  return send_order(
      self, make_sent(self, std::move(asked.what), std::move(entry), std::move(asked.evidence)));
}

/// Asks the keeper, and remembers who waits in `waiting`.
template <class Answer, class Question>
caf::result<Answer> ask_keeper(payments_pointer self,
                               std::map<std::uint64_t, payments_state::question<Answer>>& waiting,
                               Question asked) {
  payments_state& state = self->state;
  if (!state.at.linked || waiting.size() >= limits::payment_actions_max) {
    return to_caf(fail(errc::peer_lost, "{} that keeps the ledger cannot be reached; try again",
                       short_name(state.at.node)));
  }
  const std::uint64_t id = state.next_id++;
  auto& q = waiting[id];
  if constexpr (requires { asked.who; }) {
    if (asked.who.empty()) {
      asked.who = state.environment.key->id();
    }
  }
  q = {self->make_response_promise<Answer>(), now_of(self), asked};
  say(self, id, std::move(asked));
  keep_ticking(self);
  return q.answer;
}

// What the keeper says

/// What the copy says about audits goes to who makes them.
void tell_audits(payments_pointer self) {
  payments_state& state = self->state;
  const caf::actor verifier =
      state.environment.verifier ? state.environment.verifier() : caf::actor{};
  if (!verifier) {
    return; // it keeps what it has for later
  }
  if (auto news = state.watch->take_news()) {
    self->send(verifier, std::move(*news));
  }
}

void ask_for_entries(payments_pointer self) {
  payments_state& state = self->state;
  if (state.lacks_entries()) {
    state.asked.entries = now_of(self);
    say(self, 0, ledger::ask_entries{state.follower->wants()});
    keep_ticking(self); // asks again where nothing comes
  }
}

/// A copy that could not be read or written goes on from what the disk has, once it can.
bool lacks_copy(const payments_state& state) {
  return state.environment.copy != nullptr && !state.follower;
}

void begin_copy(payments_pointer self, std::span<const std::byte> genesis) {
  payments_state& state = self->state;
  if (state.environment.copy == nullptr || state.follower) {
    return;
  }
  std::uint64_t seed = 0;
  state.environment.env->random(std::as_writable_bytes(std::span{&seed, 1}));
  state.watch.emplace(state.environment.key->id());
  auto opened = log_follower::open(
      *state.environment.copy, genesis, seed,
      [watch = &*state.watch](std::uint64_t index, const ledger::entry& e, const digest& chain,
                              const ledger::state& after) { watch->take(index, e, chain, after); });
  if (opened) {
    state.follower.emplace(std::move(*opened));
    tell_audits(self);
    return ask_for_entries(self);
  }
  if (opened.error().code != errc::io_failed) {
    state.environment.copy = nullptr; // what is there stays as it is
  }
  state.environment.journal->say(log_level::error, std::nullopt, "the copy of the ledger: {}",
                                 opened.error().message);
}

/// The first entry of the report's ledger: of the one that this node uses, once it uses one.
result<ledger::genesis> check_account(payments_pointer self, const ledger::account_report& report) {
  payments_state& state = self->state;
  auto first = ledger::check_report(report, state.at.node);
  if (first && state.ledger && *state.ledger != report.head.head.ledger) {
    first = fail(errc::digest_mismatch, "{} reports another ledger than before",
                 short_name(state.at.node));
  }
  if (!first) {
    state.environment.journal->say(log_level::error, std::nullopt, "{}", first.error().message);
  }
  return first;
}

void take_account(payments_pointer self, const ledger::account_report& report,
                  const ledger::genesis& first) {
  payments_state& state = self->state;
  const digest& name = report.head.head.ledger;
  state.rules = first.rules;
  if (!state.ledger) {
    if (const auto can =
            state.environment.obeys ? state.environment.obeys(state.rules) : result<void>{};
        !can) {
      state.environment.journal->say(log_level::error, std::nullopt, "{}", can.error().message);
      return;
    }
    state.environment.journal->say(log_level::info, std::nullopt, "uses the ledger {} kept by {}",
                                   to_hex(name).substr(0, 8), ledger::names_of(first.keepers));
  }
  state.ledger = name;
  state.signed_by_keepers.who = first.keepers;
  know_keepers(self);
  begin_copy(self, report.genesis);
  state.time = {report.time, now_of(self)};
  if (report.who == state.environment.key->id()) {
    state.own.nonce = std::max(state.own.nonce, report.nonce);
    sign_refused_anew(self, report.nonce);
    tend_stake(self, report);
  }
  note_standing(self, report);
  for (const node_id& node : report.ejected) {
    if (node == state.environment.key->id()) {
      continue; // others see to it
    }
    if (state.ejected.insert(node).second) {
      state.environment.journal->say(log_level::warn, std::nullopt,
                                     "{} was convicted and gets no more work", short_name(node));
      state.environment.eject(node);
    }
  }
  try_plans(self);
}

void take_answer_to_order(payments_pointer self, const ledger::message& m) {
  auto& orders = self->state.orders;
  const auto found = std::find_if(orders.begin(), orders.end(), [&](const auto& order) {
    return order.second.what.answered_by(m);
  });
  if (found == orders.end()) {
    return;
  }
  if (const auto* const p = std::get_if<ledger::promise>(&m.body)) {
    if (!holds(self, found->second.what, *p)) {
      return;
    }
    found->second.answer.deliver(*p);
  } else if (const auto* const r = std::get_if<ledger::refusal>(&m.body)) {
    found->second.answer.deliver(to_caf(r->reason));
    ask_for_account(self);
  }
  orders.erase(found);
}

/// The keepers signed what cannot both be: nothing is reserved with them any more, and what shows
/// it is kept for everybody to check.
void distrust(payments_pointer self, const std::string& why, std::span<const std::byte> evidence) {
  payments_state& state = self->state;
  if (OVIR_MUTANT("payments_overlook_forks")) {
    return;
  }
  state.signed_by_keepers.contradicts = true;
  const std::string path = state.environment.folder + "/fork";
  const auto kept = [&]() -> result<void> {
    OVIR_ASSIGN(const auto file, state.environment.env->stage(path));
    OVIR_TRY(file->append(evidence));
    return file->commit();
  }();
  state.environment.journal->say(log_level::error, std::nullopt,
                                 "{}; nothing is reserved in this ledger any more, {}", why,
                                 kept ? "the evidence is in " + path : kept.error().message);
}

/// The names of those whom it convicts.
std::string guilty_of(const payments_state& state, const ledger::fork_evidence& fork) {
  const auto guilty = ledger::check_fork(fork, *state.ledger, state.signed_by_keepers.who);
  return guilty ? ledger::names_of(*guilty) : guilty.error().message;
}

/// The copy has grown: promises of what it holds now were kept, or convict.
void check_promises(payments_pointer self) {
  payments_state& state = self->state;
  for (auto it = state.signed_by_keepers.promises.begin();
       it != state.signed_by_keepers.promises.end() && it->first < state.follower->size();) {
    const auto fork = state.follower->broken(it->second);
    if (fork && *fork) {
      distrust(self,
               fmt::format("{} promised another entry {} than the log has",
                           guilty_of(state, **fork), it->first),
               ledger::to_bytes(**fork));
      state.signed_by_keepers.promises.clear();
      return;
    }
    it = fork ? state.signed_by_keepers.promises.erase(it) : std::next(it);
  }
}

error unbelieved(const payments_state& state) {
  return fail(
      errc::digest_mismatch,
      "{} sent entries under a head that is not signed by more than half of the keepers, {}",
      short_name(state.at.node), ledger::names_of(state.signed_by_keepers.who));
}

void take_entries(payments_pointer self, const ledger::entry_run& run) {
  payments_state& state = self->state;
  if (!state.follower || state.signed_by_keepers.contradicts) {
    return;
  }
  if (!believed(state, run.head)) { // it convicts none of them, and is asked for again
    return state.environment.journal->say(log_level::warn, std::nullopt, "{}",
                                          unbelieved(state).message);
  }
  const std::uint64_t before = state.follower->wants();
  if (const auto taken = state.follower->take(run); !taken) {
    if (taken.error().code == errc::over_limit || taken.error().code == errc::io_failed) {
      state.environment.journal->say(log_level::error, std::nullopt, "the copy of the ledger: {}",
                                     taken.error().message);
      state.follower.reset();
      if (taken.error().code == errc::over_limit) {
        state.environment.copy = nullptr; // it would lack as much again
      }
      return keep_ticking(self);
    }
    return distrust(self, taken.error().message, ledger::to_bytes(run.head));
  }
  check_promises(self);
  tell_audits(self);
  if (state.follower->wants() > before) {
    ask_for_entries(self);
  }
}

/// Any node may send it, because its signatures are checked. Members pass heads on, so keepers that
/// show them different logs are found.
void take_head(payments_pointer self, const node_id& from, const ledger::signed_head& head) {
  payments_state& state = self->state;
  if (state.signed_by_keepers.contradicts || !believed(state, head)) {
    return;
  }
  if (state.signed_by_keepers.head && state.signed_by_keepers.head->head.size == head.head.size &&
      (state.signed_by_keepers.head->head.root != head.head.root ||
       state.signed_by_keepers.head->head.chain != head.head.chain)) {
    const ledger::fork_evidence fork{*state.signed_by_keepers.head, head, {}, {}};
    return distrust(self,
                    fmt::format("{} signed two different logs of {} entries",
                                guilty_of(state, fork), head.head.size),
                    ledger::to_bytes(fork));
  }
  if (state.follower) {
    if (const auto same = state.follower->check(head);
        !same && same.error().code == errc::digest_mismatch) {
      return distrust(self, same.error().message, ledger::to_bytes(head));
    }
  }
  if (state.signed_by_keepers.head && state.signed_by_keepers.head->head.size >= head.head.size) {
    return;
  }
  state.signed_by_keepers.head = head;
  for (const node_id& node : state.linked_nodes) {
    if (node != from && !may_ask(state, node)) {
      state.environment.links->send_credit(
          node, ledger::to_bytes(ledger::message{0, ledger::head_news{head}}));
    }
  }
  ask_for_entries(self);
}

/// The answer to a question of a shell, or why there is none; false: it is to none of these.
template <class Answer>
bool take_page(payments_pointer self,
               std::map<std::uint64_t, payments_state::question<Answer>>& waiting,
               ledger::message& m) {
  const auto asked = waiting.find(m.id);
  if (asked == waiting.end()) {
    return false;
  }
  if (auto* const page = std::get_if<Answer>(&m.body)) {
    if constexpr (std::is_same_v<Answer, ledger::entry_run>) {
      if (!believed(self->state, page->head)) {
        asked->second.answer.deliver(to_caf(unbelieved(self->state)));
        waiting.erase(asked);
        return true;
      }
    }
    asked->second.answer.deliver(std::move(*page));
  } else if (const auto* const r = std::get_if<ledger::refusal>(&m.body)) {
    asked->second.answer.deliver(to_caf(r->reason));
  }
  waiting.erase(asked);
  return true;
}

void take_message(payments_pointer self, const credit_received& news) {
  payments_state& state = self->state;
  auto m = ledger::message_from(*news.bytes);
  if (!m) {
    state.environment.journal->say(log_level::warn, std::nullopt, "{} sent no answer: {}",
                                   short_name(news.from), m.error().message);
    return;
  }
  if (auto* const head = std::get_if<ledger::head_news>(&m->body)) {
    return take_head(self, news.from, head->head); // from anybody: its signature is what counts
  }
  if (!is_heard(self, news.from, *m)) {
    return;
  }
  if (auto* const report = std::get_if<ledger::account_report>(&m->body)) {
    const auto first = check_account(self, *report);
    const auto asked = state.asked.accounts.find(m->id);
    if (asked != state.asked.accounts.end()) {
      if (first) {
        asked->second.answer.deliver(*report);
      } else {
        asked->second.answer.deliver(to_caf(first.error()));
      }
      state.asked.accounts.erase(asked);
    }
    if (first) {
      take_account(self, *report, *first);
      take_head(self, news.from, report->head);
    }
    return;
  }
  if (const auto* const run = std::get_if<ledger::entry_run>(&m->body);
      run != nullptr && !state.asked.log_pages.contains(m->id)) {
    return take_entries(self, *run);
  }
  if (take_page(self, state.asked.statements, *m) || take_page(self, state.asked.log_pages, *m) ||
      take_page(self, state.asked.budgets, *m) ||
      take_page(self, state.asked.budget_requests, *m)) {
    return;
  }
  if (m->id == 0 || !state.ledger) {
    return;
  }
  if (take_answer_to_accusation(self, *m) || take_answer_to_claim(self, *m)) {
    return;
  }
  const auto of = std::find_if(state.requests.begin(), state.requests.end(), [&](const auto& r) {
    return r.second.under_way && r.second.under_way->answered_by(*m);
  });
  if (of == state.requests.end()) {
    return take_answer_to_order(self, *m);
  }
  if (const auto* const p = std::get_if<ledger::promise>(&m->body)) {
    take_promise(self, of->first, *p);
  } else if (const auto* const r = std::get_if<ledger::refusal>(&m->body)) {
    take_refusal(self, of->first, r->reason);
  } else if (const auto* const q = std::get_if<ledger::request_report>(&m->body)) {
    take_report(self, of->first, *q);
  } else if (const auto* const b = std::get_if<budget_report>(&m->body)) {
    take_budget(self, of->first, *b);
  }
}

// Time

/// What waits for the keeper and was asked too long ago.
template <class Waiting>
void give_up_late(Waiting& all, storage::env::time_point now) {
  for (auto it = all.begin(); it != all.end();) {
    if (now - it->second.since > limits::payment_action_wait) {
      it->second.answer.deliver(
          to_caf(fail(errc::timed_out, "the ledger's keeper did not answer; try again")));
      it = all.erase(it);
    } else {
      ++it;
    }
  }
}

void tick(payments_pointer self) {
  payments_state& state = self->state;
  state.ticking = false;
  const auto now = now_of(self);
  leave_silent(self);
  if ((!state.ledger || lacks_copy(state) || state.own.lacks_stake) &&
      now - state.at.asked_account > limits::payment_retry) {
    ask_for_account(self);
  }
  if (state.lacks_entries() && now - state.asked.entries > limits::payment_retry) {
    ask_for_entries(self);
  }
  try_plans(self);
  tend_commands(self);
  for (auto it = state.orders.begin(); it != state.orders.end();) {
    if (now - it->second.since > limits::payment_action_wait) {
      it->second.answer.deliver(
          to_caf(fail(errc::timed_out, "the ledger's keeper did not answer; the command may have "
                                       "been taken: look at the account before trying again")));
      it = state.orders.erase(it);
    } else {
      ++it;
    }
  }
  give_up_late(state.accusations, now);
  tend_convictions(self);
  tend_claims(self);
  tend_bills(self);
  give_up_late(state.asked.accounts, now);
  give_up_late(state.asked.statements, now);
  give_up_late(state.asked.log_pages, now);
  give_up_late(state.asked.budgets, now);
  give_up_late(state.asked.budget_requests, now);
  if (!state.ledger || lacks_copy(state) || state.lacks_entries() || state.own.lacks_stake ||
      !state.requests.empty() || !state.orders.empty() || !state.asked.accounts.empty() ||
      !state.asked.statements.empty() || !state.asked.log_pages.empty() ||
      !state.accusations.empty() || !state.convictions.empty() || !state.waiting_plans.empty() ||
      !state.asked.claims.empty() || !state.asked.budgets.empty() ||
      !state.asked.budget_requests.empty() || state.at.waits || state.environment.carried) {
    keep_ticking(self);
  }
}

void keeper_link(payments_pointer self, const link_changed& news) {
  payments_state& state = self->state;
  if (news.up) {
    state.linked_nodes.insert(news.node);
    note_site(self, news);
  } else {
    state.linked_nodes.erase(news.node);
  }
  if (may_ask(state, news.node)) {
    link_to_keeper(self, news);
  }
}

} // namespace

caf::behavior payments_behavior(payments_pointer self, payments_environment environment) {
  make_quiet(self);
  payments_state& state = self->state;
  state.environment = std::move(environment);
  begin_with_keepers(self);
  self->set_down_handler([self](caf::down_msg& message) { lead_down(self, message); });
  load_reservations(self);
  keep_ticking(self);
  return {
      [self](reserve_credit& asked) { return reserve(self, asked); },
      [self](const paid_lead& news) {
        const auto found = self->state.requests.find(news.request);
        if (found != self->state.requests.end()) {
          found->second.lead = news.lead.address();
          self->monitor(news.lead);
        }
      },
      [self](const work_stated& news) { take_stated(self, news); },
      [self](const work_over& news) { end_request(self, news.request); },
      [self](const claimable_work& done) { keep_claim(self, done); },
      [self](const credit_received& news) { take_message(self, news); },
      [self](const link_changed& news) { keeper_link(self, news); },
      [self](const quote_credit& asked) { return offer(self, asked); },
      [self](credit_order& asked) { return act(self, asked); },
      [self](signed_order& asked) { return pass_on(self, asked); },
      [self](accuse& asked) { return begin_accusation(self, asked); },
      [self](const conviction_found& news) { report_conviction(self, news); },
      [self](const describe_account& asked) {
        return ask_keeper(self, self->state.asked.accounts, ledger::ask_account{asked.who});
      },
      [self](const describe_statement& asked) {
        return ask_keeper(self, self->state.asked.statements,
                          ledger::ask_statement{asked.who, asked.from});
      },
      [self](const describe_budget& asked) {
        return ask_keeper(self, self->state.asked.budgets, question_about(asked.of));
      },
      [self](const describe_budget_requests& asked) {
        return ask_keeper(self, self->state.asked.budget_requests,
                          ledger::ask_voucher_statement{asked.voucher, asked.first});
      },
      [self](const describe_log& asked) {
        return ask_keeper(self, self->state.asked.log_pages, ledger::ask_entries{asked.first});
      },
      [self](const payment_tick&) { tick(self); },
      [self](const ask_again&) { ask_another(self); },
      [self](const describe_payments&) {
        const payments_state& now = self->state;
        const auto& head = now.signed_by_keepers.head;
        return payments_report{now.requests.size(), head ? head->head.size : 0, now.count.refused,
                               now.count.unordered, now.count.unentered,        now.at.all,
                               now.at.node};
      },
  };
}

} // namespace ovir::actors
