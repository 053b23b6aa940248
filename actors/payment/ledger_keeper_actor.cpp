#include "actors/payment/ledger_keeper_actor.hpp"

#include "actors/payment/payments_actor.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/spawn_apart.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/clock.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/ledger_check.hpp"
#include "storage/env/env.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

void send_all(ledger_keeper_pointer self, const std::vector<ledger::keeper_answer>& answers) {
  for (const ledger::keeper_answer& a : answers) {
    self->state.environment.links->send_credit(a.to, ledger::to_bytes(a.what));
  }
}

/// After a failed write it is unknown what lasts: nobody is answered until the log was read again.
void fail_with(ledger_keeper_pointer self, const error& why) {
  self->state.failed = true;
  self->state.environment.journal->say(log_level::error, std::nullopt,
                                       "the ledger cannot be written: {}", why.message);
}

void tell_notes(ledger_keeper_pointer self) {
  for (const std::string& note : self->state.environment.kept->take_notes()) {
    self->state.environment.journal->say(log_level::warn, std::nullopt, "{}", note);
  }
}

/// A ledger whose time is not the machine's refuses reservations sooner or later, and an operator
/// can help.
void tell_clock(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  kept_ledger& kept = *state.environment.kept;
  log& journal = *state.environment.journal;
  if (kept.take_operators_word()) {
    journal.say(log_level::warn, std::nullopt,
                "an operator says that this machine's clock is right: the ledger's time follows");
  }
  const auto now = state.environment.env->now();
  if (!kept.clock().off()) {
    state.told_clock = {};
    return;
  }
  if (state.told_clock && now - *state.told_clock < limits::ledger_clock_told_every) {
    return;
  }
  state.told_clock = now;
  const std::int64_t ahead = kept.clock().wall_ahead_s();
  journal.say(log_level::error, std::nullopt,
              "this machine's clock is {} s {} of the ledger's time, which goes on by itself; set "
              "the clock right, or, if it is right, say so with: ovir ledger clock --accept now",
              ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead");
}

/// What the log says about this node's audits goes to who makes them.
void tell_audits(ledger_keeper_pointer self) {
  const auto& around = self->state.environment;
  const caf::actor verifier = around.verifier ? around.verifier() : caf::actor{};
  if (!verifier) {
    return;
  }
  if (auto news = around.kept->take_audit_news()) {
    self->send(verifier, std::move(*news));
  }
}

// Of several keepers

raft::milliseconds group_now(ledger_keeper_pointer self) {
  return std::chrono::duration_cast<raft::milliseconds>(
      self->state.environment.env->now().time_since_epoch());
}

/// What waited is lost with it: its senders ask again.
void leave_group(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  kept_ledger& kept = *state.environment.kept;
  state.group.reset();
  state.led = false;
  state.proposed = {};
  if (kept.usable() && !kept.keeper().is_alone()) {
    (void)kept.keeper().gather(kept.tell_time(), {});
  }
}

result<void> join_group(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  kept_ledger& kept = *state.environment.kept;
  if (kept.keeper().is_alone()) {
    return {};
  }
  OVIR_ASSIGN(state.group, kept.join_group([links = state.environment.links](
                                               const node_id& to, std::vector<std::byte> bytes) {
    links->send_credit(to, std::move(bytes), message_kind::keepers);
  }));
  state.applied = kept.keeper().book().log().size();
  return {};
}

/// Who led is told apart from who leads: clients that wait for the one turn to the other.
void tell_leader(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  const bool leads = state.group->leads();
  if (std::exchange(state.led, leads) == leads) {
    return;
  }
  state.environment.journal->say(log_level::info, std::nullopt, "{} the ledger's keepers",
                                 leads ? "leads" : "no longer leads");
  if (leads) {
    const ledger::keeper& keeper = state.environment.kept->keeper();
    std::vector<ledger::keeper_answer> answers;
    keeper.tell(ledger::leader_news{keeper.self()}, answers);
    send_all(self, answers);
  }
}

/// What follows from what the group did.
void follow_group(ledger_keeper_pointer self, const std::vector<ledger::keeper_answer>& answers) {
  ledger_keeper_state& state = self->state;
  send_all(self, answers);
  if (const auto sound = state.group->sound(); !sound) {
    return fail_with(self, sound.error());
  }
  tell_leader(self);
  const std::uint64_t size = state.environment.kept->keeper().book().log().size();
  if (std::exchange(state.applied, size) != size) {
    if (state.proposed) {
      state.commits.add(state.environment.env->now() - *state.proposed);
    }
    state.proposed = {};
    tell_audits(self);
  }
  if (state.group->can_propose() && !std::exchange(state.batching, true)) {
    self->send(self, ledger_batch{});
  }
}

void propose(ledger_keeper_pointer self, bool due) {
  ledger_keeper_state& state = self->state;
  kept_ledger& kept = *state.environment.kept;
  (void)kept.tell_time();
  std::vector<ledger::keeper_answer> answers;
  const auto now = state.environment.env->now();
  const auto done = state.group->propose(
      group_now(self), due ? kept.clock().due() : ledger::due_allowance{}, answers);
  if (!done) {
    send_all(self, answers);
    return fail_with(self, done.error());
  }
  kept.clock().spent(*done);
  if (!state.proposed && state.group->is_out()) {
    state.proposed = now;
  }
  follow_group(self, answers);
}

void hear_keeper(ledger_keeper_pointer self, const credit_received& news) {
  ledger_keeper_state& state = self->state;
  const auto& keepers = state.environment.kept->keeper().book().view().origin().keepers;
  if (!state.group || !std::ranges::binary_search(keepers, news.from)) {
    if (state.strangers++ == 0) {
      state.environment.journal->say(log_level::warn, std::nullopt,
                                     "{} is none of this ledger's keepers, {}, and says what "
                                     "keepers say; it is not heard",
                                     short_name(news.from), ledger::names_of(keepers));
    }
    return;
  }
  std::vector<ledger::keeper_answer> answers;
  state.group->receive(group_now(self), news.from, *news.bytes, answers);
  follow_group(self, answers);
}

/// Goes on while the log cannot be read: then the group is there again later.
void tick_group(ledger_keeper_pointer self) {
  kept_ledger& kept = *self->state.environment.kept;
  if (kept.usable() && kept.keeper().is_alone()) {
    return;
  }
  self->delayed_send(self, limits::keepers_tick, group_tick{});
  if (self->state.failed || !self->state.group) {
    return;
  }
  std::vector<ledger::keeper_answer> answers;
  self->state.group->tick(group_now(self), answers);
  follow_group(self, answers);
}

void commit(ledger_keeper_pointer self, bool due) {
  ledger_keeper_state& state = self->state;
  if (state.group) {
    return propose(self, due);
  }
  std::vector<ledger::keeper_answer> answers;
  storage::env& env = *state.environment.env;
  kept_ledger& kept = *state.environment.kept;
  const std::uint64_t time = kept.tell_time();
  ledger::keeper& keeper = state.environment.kept->keeper();
  const std::uint64_t before = keeper.book().log().size();
  const auto begun = env.now();
  const auto done =
      keeper.commit(time, due ? kept.clock().due() : ledger::due_allowance{}, answers);
  if (!done) {
    return fail_with(self, done.error());
  }
  kept.clock().spent(*done);
  if (keeper.book().log().size() > before) {
    state.commits.add(env.now() - begun);
  }
  send_all(self, answers);
  tell_audits(self);
}

/// What the ledger has of an open request.
std::optional<claimed_request> open_request(const ledger::keeper& keeper, const digest& request) {
  claimed_request found;
  found.report = keeper.report_on_request(request);
  const auto* const record = keeper.book().view().find_request(found.report.request);
  auto reservation = keeper.reservation_of(found.report.request);
  if (record == nullptr || !record->open || !reservation) {
    return std::nullopt;
  }
  found.reservation = std::move(*reservation);
  found.payees = record->path;
  return found;
}

void take_claim(ledger_keeper_pointer self, const node_id& from, std::uint64_t id,
                const ledger::claim& claim) {
  ledger_keeper_state& state = self->state;
  const ledger::keeper& keeper = state.environment.kept->keeper();
  const digest name = ledger::about_of(claim.terms);
  ledger::message answer{id, keeper.report_on_request(name)};
  if (const auto about = open_request(keeper, name)) {
    const auto taken = state.claims.take(from, claim, *about, state.environment.env->now());
    if (!taken) {
      answer.body = ledger::refusal{taken.error()};
    }
  }
  send_all(self, {{from, std::move(answer)}});
}

/// Valid as long as the keeper is not replaced.
claims_book::surroundings around_claims(const ledger_keeper_state& state) {
  ledger::keeper& keeper = state.environment.kept->keeper();
  return {[&keeper](const ledger::escrow_id& request) { return open_request(keeper, request); },
          keeper.book().view().origin().rules,
          &keeper.ejected(),
          [links = state.environment.links](const node_id& node) { return links->reachable(node); },
          state.environment.env->now(),
          [&keeper](const ledger::window_share& s, const ledger::escrow_id& request) {
            return keeper.book().view().is_paid(s, request);
          }};
}

/// What stages claim, and who drives their requests does not see to.
void enter_claims(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  if (state.claims.empty() || (state.group && !state.group->leads())) {
    return;
  }
  ledger::keeper& keeper = state.environment.kept->keeper();
  const auto all = state.claims.due(around_claims(state));
  for (const ledger::command& what : all) {
    if (const auto entered = keeper.enter_claimed(what); !entered) {
      return; // it is due again
    }
  }
  if (!all.empty()) {
    state.environment.journal->say(log_level::info, std::nullopt,
                                   "{} commands follow from what stages claim", all.size());
  }
}

void take(ledger_keeper_pointer self, const credit_received& news) {
  ledger_keeper_state& state = self->state;
  if (state.failed) {
    return; // whoever asks, asks again
  }
  if (news.kind == message_kind::keepers) {
    return hear_keeper(self, news);
  }
  auto question = ledger::message_from(*news.bytes);
  if (!question) {
    state.environment.journal->say(log_level::warn, std::nullopt,
                                   "{} asked what is no question: {}", short_name(news.from),
                                   question.error().message);
    return;
  }
  if (const auto* const claim = std::get_if<ledger::claim>(&question->body)) {
    return take_claim(self, news.from, question->id, *claim);
  }
  std::vector<ledger::keeper_answer> answers;
  ledger::keeper& keeper = state.environment.kept->keeper();
  auto* const command = std::get_if<ledger::submit>(&question->body);
  if (state.group && command != nullptr && !state.group->begins_to_lead()) {
    if (!command->evidence.empty()) {
      (void)keeper.learn_evidence(news.from, news.roles, *command); // the one that leads will ask
    }
    const ledger::leader_news there{state.group->leader().value_or(node_id{})};
    return send_all(self, {{news.from, {question->id, there}}});
  }
  keeper.take(news.from, news.roles, std::move(*question), answers);
  send_all(self, answers);
  // Behind all that came until now: they make one batch.
  if ((state.group ? state.group->can_propose() : keeper.waiting()) &&
      !std::exchange(state.batching, true)) {
    self->send(self, ledger_batch{});
  }
}

void tick(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  self->delayed_send(self, limits::ledger_tick, ledger_tick{});
  if (state.failed) {
    leave_group(self);
    if (const auto again = state.environment.kept->reopen(); !again) {
      return fail_with(self, again.error());
    }
    if (const auto joined = join_group(self); !joined) {
      return fail_with(self, joined.error());
    }
    state.failed = false;
    tell_notes(self);
  }
  enter_claims(self);
  commit(self, true);
  if (state.failed) {
    return;
  }
  tell_clock(self);
  kept_ledger& book = *state.environment.kept;
  if (const auto noted = book.keep_time(book.tell_time()); !noted) {
    state.environment.journal->say(log_level::warn, std::nullopt, "the ledger's time: {}",
                                   noted.error().message);
  }
  if (const auto kept = state.environment.kept->keep_head(); !kept) {
    state.environment.journal->say(log_level::warn, std::nullopt, "the ledger's head: {}",
                                   kept.error().message);
  }
  std::vector<ledger::keeper_answer> answers;
  state.environment.kept->keeper().tell_head(answers);
  send_all(self, answers);
  if (!state.batching && !book.keeper().waiting()) {
    if (const auto tended = state.environment.kept->tend_index(); !tended) {
      return fail_with(self, tended.error());
    }
    tell_notes(self);
  }
}

/// For questions that come while the log cannot be read.
caf::error unreadable() {
  return to_caf(fail(errc::busy, "the ledger cannot be read just now; the node's log says why, and "
                                 "it tries again"));
}

caf::result<keeper_report> describe(const ledger_keeper_state& state) {
  if (!state.environment.kept->usable()) {
    return unreadable();
  }
  const ledger::keeper& keeper = state.environment.kept->keeper();
  keeper_report report;
  report.counts = keeper.counts();
  report.commits = state.commits;
  report.entries = keeper.book().log().size();
  report.open_requests = keeper.book().view().requests().size();
  report.pending_windows = keeper.book().view().pending_windows();
  report.wall_ahead_s = state.environment.kept->clock().wall_ahead_s();
  if (state.group) {
    report.group = state.group->report();
  }
  report.head_entries = state.environment.kept->signed_entries();
  return report;
}

error nothing_signed() {
  return fail(errc::busy, "most keepers of the ledger have signed nothing yet; try again");
}

result<std::vector<std::byte>> prove(ledger::keeper& keeper, const prove_ledger& asked) {
  if (!keeper.has_head()) {
    return nothing_signed();
  }
  const ledger::signed_head head = keeper.head();
  const ledger::ledger& book = keeper.book();
  if (!asked.since) {
    if (asked.entry >= head.head.size) {
      return fail(errc::not_found, "there is no entry {}; the log has {}", asked.entry,
                  head.head.size);
    }
    OVIR_ASSIGN(ledger::inclusion in, book.prove(asked.entry, head.head.size));
    OVIR_ASSIGN(std::vector<std::byte> entry, book.log().entry_at(asked.entry));
    return ledger::to_bytes(ledger::entry_proof{std::move(entry), std::move(in), head});
  }
  const ledger::log_head& first = asked.since->head;
  if (first.ledger != head.head.ledger || first.size == 0 || first.size > head.head.size) {
    return fail(errc::invalid_argument,
                "this is no earlier head of this ledger: it is one of {} over {} entries",
                to_hex(first.ledger).substr(0, 8), first.size);
  }
  OVIR_ASSIGN(std::vector<digest> path, book.prove_consistency(first.size, head.head.size));
  return ledger::to_bytes(ledger::consistency{*asked.since, head, std::move(path)});
}

result<log_check> check_log(storage::env& env, const std::string& path,
                            const ledger::signed_head& head) {
  OVIR_ASSIGN(const auto file, env.open_durable(path, storage::durable_use::read));
  ledger::verify_options how;
  how.heads.push_back(head);
  OVIR_ASSIGN(ledger::verify_report seen, ledger::verify_log(*file, how));
  return log_check{seen.head, seen.convictions, std::move(seen.fault)};
}

/// On a thread of its own: commands of others go on meanwhile.
caf::result<log_check> start_check(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  kept_ledger& kept = *state.environment.kept;
  if (!kept.usable()) {
    return unreadable();
  }
  if (!kept.keeper().has_head()) {
    return to_caf(nothing_signed());
  }
  if (kept.keeper().book().log().size() > limits::ledger_check_entries_max) {
    return to_caf(fail(errc::over_limit,
                       "the log has {} entries, and {} at most are checked for a shell; use ovir "
                       "ledger verify at the keeper's machine",
                       kept.keeper().book().log().size(), limits::ledger_check_entries_max));
  }
  if (std::exchange(state.checking, true)) {
    return to_caf(fail(errc::busy, "the log is being checked for another shell; try again later"));
  }
  auto answer = self->make_response_promise<log_check>();
  spawn_apart(self->system(),
              [answer, path = kept.log_path(), head = kept.keeper().head(),
               env = state.environment.env,
               keeper = caf::actor_cast<caf::actor>(self)](caf::event_based_actor* checker) {
                checker->send(keeper, ledger_checked{answer, check_log(*env, path, head)});
              });
  return answer;
}

void begin(ledger_keeper_pointer self) {
  (void)self->state.environment.kept->tell_time(); // from now on it goes on
  self->state.environment.kept->ask_of_claims([self](const ledger::command& what) {
    return self->state.claims.say(what, around_claims(self->state));
  });
  if (const auto joined = join_group(self); !joined) {
    return fail_with(self, joined.error());
  }
  commit(self, false);
}

void take_check(ledger_keeper_pointer self, ledger_checked& done) {
  self->state.checking = false;
  if (done.outcome) {
    done.answer.deliver(std::move(*done.outcome));
  } else {
    done.answer.deliver(to_caf(done.outcome.error()));
  }
}

} // namespace

caf::behavior ledger_keeper_behavior(ledger_keeper_pointer self,
                                     ledger_keeper_environment environment) {
  make_quiet(self);
  self->state.environment = environment;
  tell_notes(self);
  self->state.failed = !environment.kept->usable(); // its predecessor could not read the log
  if (!self->state.failed) {
    begin(self);
  }
  tick_group(self);
  self->delayed_send(self, limits::ledger_tick, ledger_tick{});
  return {
      [self](const credit_received& news) { take(self, news); },
      [](const link_changed&) {},
      [self](const ledger_batch&) {
        self->state.batching = false;
        if (!self->state.failed) {
          commit(self, false);
        }
      },
      [self](const ledger_tick&) { tick(self); },
      [self](const group_tick&) { tick_group(self); },
      [self](const describe_keeper&) { return describe(self->state); },
      [self](const prove_ledger& asked) -> caf::result<ledger_proof> {
        if (!self->state.environment.kept->usable()) {
          return unreadable();
        }
        auto proof = prove(self->state.environment.kept->keeper(), asked);
        if (!proof) {
          return to_caf(proof.error());
        }
        return ledger_proof{std::move(*proof)};
      },
      [self](const check_ledger&) { return start_check(self); },
      [self](ledger_checked& done) { take_check(self, done); },
  };
}

} // namespace ovir::actors
