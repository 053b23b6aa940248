#include "actors/audit/verifier_actor.hpp"

#include "actors/audit/addenda_actor.hpp"
#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/audit_words.hpp"
#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/hearings_actor.hpp"
#include "actors/audit/log_draws_actor.hpp"
#include "actors/audit/open_cases_actor.hpp"
#include "actors/audit/questions_actor.hpp"
#include "actors/audit/receipt_audits_actor.hpp"
#include "actors/audit/shown_parts_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/mutant.hpp"
#include "verify/receipt_replay.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr std::chrono::seconds tick_interval{1};

template <class... Args>
void say(verifier_pointer self, log_level level, fmt::format_string<Args...> text, Args&&... args) {
  self->state.environment.journal->say(level, std::nullopt, text, std::forward<Args>(args)...);
}

std::uint64_t seconds_now(verifier_pointer self) {
  return self->state.environment.env->unix_seconds();
}

} // namespace

void flush(verifier_pointer self) {
  verifier_state& state = self->state;
  if (state.book && state.files) {
    if (const auto kept = state.files->append(state.book->take_events()); !kept) {
      say(self, log_level::error, "events of audits are not kept: {}", kept.error().message);
    }
  }
}

namespace {

// Convictions

/// Whether what others keep for reuse may follow from what this one computed or served.
bool may_have_cached(role_set roles) {
  return roles.has(role::worker) || roles.has(role::scheduler) || roles.has(role::store);
}

/// An admission excuses once: who was put out for another fault before is convicted like a liar.
bool admits(verifier_pointer self, const conviction& c) {
  const auto before = self->state.convicted.find(c.guilty);
  return c.admission &&
         (before == self->state.convicted.end() || before->second.about == accusation_digest(c));
}

/// Puts out who was convicted, here and for good; who admitted it, until an operator lets it in
/// again. `is_new`: not read from disk, where it may have been let in since.
void eject(verifier_pointer self, const conviction& c, bool is_new) {
  verifier_state& state = self->state;
  const auto& around = state.environment;
  const node_id& guilty = c.guilty;
  conviction_view view{
      guilty, c.kind, c.place, conviction_text(c), {}, admits(self, c), accusation_digest(c)};
  for (const audit_verdict& v : c.verdicts) {
    view.verifiers.push_back(v.verifier);
  }
  state.convicted[guilty] = view;
  note_for_ledger(self, c);
  say(self, log_level::error, "convicted: {}", view.what);
  if (guilty == around.key->id()) {
    return; // the others see to it
  }
  for (const caf::actor& watcher : around.watchers()) {
    self->send(watcher, node_convicted{guilty, view.what});
  }
  if (around.quarantine && state.files && may_have_cached(around.access->past_roles_of(guilty)) &&
      !state.files->is_quarantined(guilty)) {
    around.quarantine(guilty);
  }
  const auto out = !view.admitted ? around.access->expel(guilty)
                   : is_new       ? around.access->kick(guilty) // an operator may undo it
                                  : result<void>{};
  if (!out) {
    say(self, log_level::error, "that {} is out is not kept: {}", short_name(guilty),
        out.error().message);
  }
  around.links->disconnect(guilty, {errc::invalid_argument, "convicted: " + view.what});
  if (state.book && (is_new || !view.admitted)) {
    perform(self, view.admitted ? state.book->learn_admission(guilty, seconds_now(self))
                                : state.book->learn_conviction(guilty, seconds_now(self)));
    std::erase_if(state.cases,
                  [&](const auto& entry) { return state.book->unit_of(entry.first) == nullptr; });
  }
  flush(self);
}

/// Not again after a restart.
void quarantined(verifier_pointer self, const node_id& guilty) {
  say(self, log_level::warn, "what was kept for reuse before {} was convicted is removed",
      short_name(guilty));
  verifier_state& state = self->state;
  if (const auto kept = state.files->note_quarantine(guilty); !kept) {
    say(self, log_level::error, "that is not kept, and happens again: {}", kept.error().message);
  }
}

} // namespace

void publish(verifier_pointer self, const conviction& c, const std::optional<node_id>& from) {
  verifier_state& state = self->state;
  if (state.files) {
    if (const auto kept = state.files->keep(c); !kept) {
      say(self, log_level::error, "the conviction of {} is not kept: {}", short_name(c.guilty),
          kept.error().message);
    }
  }
  for (const member& m : *state.members) {
    if (m.node != from && state.environment.links->connected(m.node)) {
      send_conviction(self, m.node, c);
    }
  }
  eject(self, c, true);
}

namespace {

/// What is seen of a conviction from the tokens.
enum class examined : std::uint8_t {
  right,
  by_inputs, ///< the guilty one's inputs are not what follows from the tokens: they alone can tell
  by_word, ///< the model is not here as a whole: the inputs may tell, else two verifiers' words do
};

/// Never believed: who convicts must show it, and where the model is here it is computed again.
result<examined> examine(verifier_pointer self, const conviction& c) {
  OVIR_TRY(compute::check_conviction(c));
  if (c.kind == conviction_kind::equivocation) {
    return examined::right;
  }
  // By parts it is a member of a group, which no verdict names: it is seen or not taken.
  for (const audit_verdict& v : c.verdicts) {
    if (!is_verifier(self, v.verifier)) {
      return fail(errc::invalid_argument, "{} is no verifier here", short_name(v.verifier));
    }
  }
  if (!are_two_opinions(c.verdicts, operators_of(self))) {
    return fail(errc::invalid_argument,
                "its verdicts are of one operator, or of one kind of kernels");
  }
  if (c.kind == conviction_kind::parts) {
    return examined::by_inputs;
  }
  OVIR_ASSIGN(const receipt r, decode_receipt(c.receipts.front()));
  const auto again = replay(self, r, compute::bounds_of(c.place));
  if (!again) {
    return again.error().code == errc::segment_missing ? result<examined>{examined::by_word}
                                                       : again.error();
  }
  if (!compute::stands_alone(r, again->again, c.place)) {
    return examined::by_inputs;
  }
  const auto faults = compute::first_faults(r, again->again);
  const bool same = std::any_of(faults.begin(), faults.end(), [&](const auto& f) {
    return f.signer == c.guilty && f.place == c.place && f.computed == c.computed;
  });
  return same ? result<examined>{examined::right}
              : fail(errc::invalid_argument, "computed again here, {} stated the truth",
                     short_name(c.guilty));
}

bool is_news(verifier_pointer self, const conviction& c) {
  const auto known = self->state.convicted.find(c.guilty);
  return known == self->state.convicted.end() ||
         (known->second.admitted && known->second.about != accusation_digest(c));
}

/// With what the guilty one says that it was given. Where that is not to be had, a node that has
/// the whole model does not believe what it cannot see.
void take_by_inputs(verifier_pointer self, const node_id& from, const conviction& c,
                    examined seen) {
  if (self->state.under_way.convictions.size() >= limits::hearings_max ||
      !self->state.under_way.convictions.insert(accusation_digest(c)).second) {
    return; // it is told again
  }
  examine_by_inputs(self, c, [self, from, c, seen](const result<bool>& holds) {
    self->state.under_way.convictions.erase(accusation_digest(c));
    if (holds && !*holds) {
      return blame(
          self, from,
          fmt::format("wants {} convicted, who is not wrong by the inputs", short_name(c.guilty)));
    }
    if (!holds && seen == examined::by_inputs) {
      return say(self, log_level::warn,
                 "that {} is convicted cannot be seen here, and is not taken: "
                 "{}",
                 short_name(c.guilty), holds.error().message);
    }
    excuse_leader(self, c);
    if (is_news(self, c)) {
      publish(self, c, from);
    }
  });
}

void take_conviction(verifier_pointer self, const node_id& from, const conviction& c) {
  verifier_state& state = self->state;
  const bool heard = is_said_in_hearing(self, from, c);
  if (!heard && !is_news(self, c)) {
    return;
  }
  if (!state.environment.access->was_member(c.guilty)) {
    return blame(
        self, from,
        fmt::format("wants {} convicted, which was never a member here", short_name(c.guilty)));
  }
  if (!state.convicted.contains(c.guilty) &&
      state.convicted.size() >= limits::audit_convicted_max) {
    return say(self, log_level::error, "{} convictions are remembered; that of {} is not taken",
               state.convicted.size(), short_name(c.guilty));
  }
  const auto seen = examine(self, c);
  if (!seen) {
    return blame(self, from,
                 fmt::format("wants {} convicted, which does not hold: {}", short_name(c.guilty),
                             seen.error().message));
  }
  if (*seen == examined::right) {
    return publish(self, c, from);
  }
  take_by_inputs(self, from, c, *seen);
}

void convict(verifier_pointer self, const ledger::convict_signer& done) {
  const auto found = self->state.cases.find(done.about);
  if (found == self->state.cases.end()) {
    return;
  }
  const digest outcome = found->second.outcome;
  conviction c;
  c.guilty = done.guilty;
  c.place = found->second.place;
  c.computed = found->second.computed;
  c.receipts.push_back(*found->second.bytes);
  for (const audit_verdict& v : found->second.verdicts) {
    if (std::find(done.hosts.begin(), done.hosts.end(), v.verifier) != done.hosts.end()) {
      c.verdicts.push_back(v);
    }
  }
  self->state.cases.erase(found);
  if (OVIR_MUTANT("verifier_convicts_nobody")) {
    return;
  }
  if (const auto holds = compute::check_conviction(c); !holds) { // checked before it is sent, too
    return say(self, log_level::error, "a conviction made here does not hold: {}",
               holds.error().message);
  }
  begin_hearing(self, std::move(c), outcome);
}

} // namespace

void perform(verifier_pointer self, const std::vector<ledger::audit_effect>& effects) {
  verifier_state& state = self->state;
  for (const ledger::audit_effect& effect : effects) {
    if (const auto* ask = std::get_if<ledger::ask_host>(&effect)) {
      const auto found = state.cases.find(ask->about);
      if (found != state.cases.end()) {
        found->second.asked = ask->host;
        found->second.until = state.environment.env->now() + limits::second_opinion_wait;
        found->second.answered = false;
        found->second.number =
            ask_window(self, ask->host, *found->second.bytes, found->second.place,
                       ledger::taken_by(found->second.verdicts));
      }
    } else if (const auto* guilty = std::get_if<ledger::convict_signer>(&effect)) {
      convict(self, *guilty);
    } else if (const auto* idle = std::get_if<ledger::strike_auditor>(&effect)) {
      say(self, log_level::error, "{} vouched for what others compute differently: not asked again",
          short_name(idle->host));
    } else if (const auto* later = std::get_if<ledger::wait_for_host>(&effect)) {
      const auto found = state.cases.find(later->about);
      if (found != state.cases.end()) {
        found->second.asked.reset();
        found->second.until = state.environment.env->now() + limits::second_opinion_again;
      }
    } else if (const auto* open = std::get_if<ledger::leave_open>(&effect)) {
      state.cases.erase(open->about);
      say(self, log_level::warn,
          "{} stated something else than is computed here, not convicted: {}",
          short_name(open->signer), open->reason);
    }
  }
}

namespace {

/// One at a time, so that answers and convictions come in between.
void work(verifier_pointer self) {
  verifier_state& state = self->state;
  state.called = false;
  if (!state.accusations.empty()) {
    const auto accused = std::move(state.accusations.front());
    state.accusations.pop_front();
    plead(self, accused);
    return call_to_work(self);
  }
  auto next = state.waiting.next(state.environment.env->now());
  if (!next) {
    return;
  }
  if (auto* const asked = std::get_if<waiting_question>(&*next)) {
    begin_answer(self, std::move(*asked));
  } else {
    begin_audit(self, std::move(std::get<waiting_receipt>(*next)));
  }
  call_to_work(self);
}

void received(verifier_pointer self, const audit_received& came) {
  verifier_state& state = self->state;
  const auto now = state.environment.env->now();
  if (!state.senders.listens_to(came.from, now)) {
    return;
  }
  if (is_token(*came.bytes)) {
    return take_token(self, came.from, *came.bytes);
  }
  auto message = decode_audit(*came.bytes);
  if (!message) {
    return blame(self, came.from,
                 "sent what is no message about audits: " + message.error().message);
  }
  if (auto* q = std::get_if<audit_question>(&*message)) {
    return take_question(self, came.from, std::move(*q));
  }
  if (const auto* a = std::get_if<audit_answer>(&*message)) {
    return take_answer(self, came.from, *a);
  }
  if (const auto* shown = std::get_if<audit_reveal>(&*message)) {
    return take_reveal(self, came.from, *shown);
  }
  if (const auto* v = std::get_if<audit_vouch>(&*message)) {
    return take_vouch(self, came.from, *v);
  }
  if (auto* o = std::get_if<audit_offer>(&*message)) {
    if (state.environment.audits && came.roles.has(role::scheduler)) {
      take_receipt(self, came.from, std::move(*o));
    }
    return;
  }
  if (!state.senders.takes(came.from, came.bytes->size(), now)) {
    return blame(self, came.from, "sends more news of convictions than a member has");
  }
  if (const auto* c = std::get_if<conviction>(&*message)) {
    take_conviction(self, came.from, *c);
  } else if (auto* accused = std::get_if<audit_accusation>(&*message)) {
    take_accusation(self, came.from, std::move(*accused));
  } else if (const auto* said = std::get_if<audit_defence>(&*message)) {
    take_defence(self, came.from, *said);
  } else if (const auto* known = std::get_if<audit_known>(&*message)) {
    take_known(self, came.from, *known);
  } else if (const auto* told = std::get_if<audit_standing>(&*message)) {
    take_standing(self, came.from, *told);
  } else if (const auto* found = std::get_if<audit_addendum>(&*message)) {
    take_addendum(self, came.from, found->what);
  }
}

void tick(verifier_pointer self) {
  verifier_state& state = self->state;
  std::vector<std::pair<ledger::audit_case_id, node_id>> late;
  std::vector<std::pair<ledger::audit_case_id, node_id>> waiting;
  for (auto& [about, c] : state.cases) {
    if (state.environment.env->now() < c.until) {
      continue;
    }
    if (c.asked) {
      late.emplace_back(about, *c.asked);
    } else if (const auto* const unit = state.book->unit_of(about)) {
      waiting.emplace_back(about, unit->signer);
    }
  }
  for (const auto& [about, signer] : waiting) {
    const verifier_state::open_case& c = state.cases.at(about);
    const auto hosts =
        others_of(self, verifiers_of(self, *c.bytes, c.place), std::span{&signer, 1});
    perform(self, state.book->ask_again(about, hosts));
    if (state.book->unit_of(about) == nullptr) {
      state.cases.erase(about);
    }
  }
  for (const auto& [about, host] : late) {
    perform(self, state.book->silent(about, host, seconds_now(self)));
    if (state.book->unit_of(about) == nullptr) {
      state.cases.erase(about);
    }
  }
  tend_hearings(self);
  tend_open(self);
  flush(self);
  tell_ledger(self);
  tend_draws(self);
  tell_somebody(self);
  tell_standing(self);
  call_to_work(self); // who was in debt may have positions again
  self->delayed_send(self, tick_interval, verifier_tick{});
}

void start(verifier_pointer self) {
  verifier_state& state = self->state;
  auto files = audit_files::open(*state.environment.env, state.environment.state);
  if (!files) {
    say(self, log_level::error, "audits keep nothing: {}", files.error().message);
  } else {
    state.files = std::move(*files);
  }
  if (state.environment.audits) {
    const auto events =
        state.files ? state.files->read_events()
                    : result<std::vector<ledger::track_event>>{std::vector<ledger::track_event>{}};
    if (!events) {
      say(self, log_level::error, "earlier audits are not read: {}", events.error().message);
    } else {
      std::for_each(events->begin(), events->end(),
                    [&](const ledger::track_event& e) { state.records.apply(e); });
    }
    begin_chain(self);
    resume_open(self);
  }
  if (state.files) {
    for (const conviction& c : state.files->read_convictions()) {
      if (compute::check_conviction(c)) { // a file may have been changed meanwhile
        eject(self, c, false);
      }
    }
  }
}

} // namespace

caf::behavior verifier_behavior(verifier_pointer self, verifier_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->state.members = std::make_shared<const std::vector<member>>();
  start(self);
  note_counts(self->state);
  self->delayed_send(self, tick_interval, verifier_tick{});
  return {
      [self](const audit_received& came) {
        received(self, came);
        note_counts(self->state);
      },
      [self](const receipt_finished& done) {
        offer(self, done);
        note_counts(self->state);
      },
      [self](const verifier_work&) {
        work(self);
        note_counts(self->state);
      },
      [self](const ledger::audit_news& news) {
        take_log_news(self, news);
        note_counts(self->state);
      },
      [self](const quarantine_written& e) { quarantined(self, e.guilty); },
      [self](const drawn_layers_ended& e) { layers_ended(self, e); },
      [self](const members_changed& news) {
        tell_those_who_came(self, news.members);
        self->state.members = news.members;
      },
      [self](const verifier_tick&) { tick(self); },
      [self](const list_convictions&) { return describe_audits(self->state); },
  };
}

} // namespace ovir::actors
