#include "actors/audit/verifier_actor.hpp"

#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/audit_words.hpp"
#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/hearings_actor.hpp"
#include "actors/audit/open_cases_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/mutant.hpp"
#include "verify/receipt_check.hpp"
#include "verify/receipt_replay.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <numeric>

namespace ovir::actors {

namespace {

constexpr std::chrono::seconds tick_interval{1};
/// Receipts kept to be compared with others: they are a few kilobytes each.
constexpr std::size_t recent_bytes_max = std::size_t{32} << 20U;

using receipt_bytes = verifier_state::receipt_bytes;

const compute::signer_policy anybody{compute::signer_policy::kind::any, {}};

template <class... Args>
void say(verifier_pointer self, log_level level, fmt::format_string<Args...> text, Args&&... args) {
  self->state.environment.journal->say(level, std::nullopt, text, std::forward<Args>(args)...);
}

std::uint64_t seconds_now(verifier_pointer self) {
  return self->state.environment.env->unix_seconds();
}

// Convictions

void flush(verifier_pointer self) {
  verifier_state& state = self->state;
  if (state.book && state.files) {
    if (const auto kept = state.files->append(state.book->take_events()); !kept) {
      say(self, log_level::error, "events of audits are not kept: {}", kept.error().message);
    }
  }
}

void perform(verifier_pointer self, const std::vector<ledger::audit_effect>& effects);

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

/// Never believed: who convicts must show it, and where the model is here it is computed again.
result<void> examine(verifier_pointer self, const conviction& c) {
  OVIR_TRY(compute::check_conviction(c));
  if (c.kind == conviction_kind::equivocation) {
    return {};
  }
  for (const audit_verdict& v : c.verdicts) {
    if (!is_verifier(self, v.verifier)) {
      return fail(errc::invalid_argument, "{} is no verifier here", short_name(v.verifier));
    }
  }
  if (!are_two_opinions(c.verdicts, operators_of(self))) {
    return fail(errc::invalid_argument,
                "its verdicts are of one operator, or of one kind of kernels");
  }
  OVIR_ASSIGN(const receipt r, decode_receipt(c.receipts.front()));
  const auto again = replay(self, r, compute::bounds_of(c.place));
  if (!again) { // without the model two verifiers' words have to do
    return again.error().code == errc::segment_missing ? result<void>{} : again.error();
  }
  const auto faults = compute::first_faults(r, again->again);
  const bool same = std::any_of(faults.begin(), faults.end(), [&](const auto& f) {
    return f.signer == c.guilty && f.place == c.place && f.computed == c.computed;
  });
  return same ? result<void>{}
              : fail(errc::invalid_argument, "computed again here, {} stated the truth",
                     short_name(c.guilty));
}

void take_conviction(verifier_pointer self, const node_id& from, const conviction& c) {
  verifier_state& state = self->state;
  const auto known = state.convicted.find(c.guilty);
  const bool is_known = known != state.convicted.end();
  if (is_known && (!known->second.admitted || known->second.about == accusation_digest(c))) {
    return;
  }
  if (!state.environment.access->was_member(c.guilty)) {
    return blame(
        self, from,
        fmt::format("wants {} convicted, which was never a member here", short_name(c.guilty)));
  }
  if (!is_known && state.convicted.size() >= limits::audit_convicted_max) {
    return say(self, log_level::error, "{} convictions are remembered; that of {} is not taken",
               state.convicted.size(), short_name(c.guilty));
  }
  if (const auto holds = examine(self, c); !holds) {
    return blame(self, from,
                 fmt::format("wants {} convicted, which does not hold: {}", short_name(c.guilty),
                             holds.error().message));
  }
  publish(self, c, from);
}

void convict(verifier_pointer self, const ledger::convict_signer& done) {
  const auto found = self->state.cases.find(done.about);
  if (found == self->state.cases.end()) {
    return;
  }
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
  begin_hearing(self, std::move(c));
}

void perform(verifier_pointer self, const std::vector<ledger::audit_effect>& effects) {
  verifier_state& state = self->state;
  for (const ledger::audit_effect& effect : effects) {
    if (const auto* ask = std::get_if<ledger::ask_host>(&effect)) {
      const auto found = state.cases.find(ask->about);
      if (found != state.cases.end()) {
        found->second.asked = ask->host;
        found->second.until = state.environment.env->now() + limits::second_opinion_wait;
        send_audit(self, ask->host,
                   audit_question{ask->about.value, found->second.place,
                                  ledger::taken_by(found->second.verdicts), *found->second.bytes});
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

// Audits

void compare_with_recent(verifier_pointer self, const receipt_bytes& bytes, const receipt& r) {
  verifier_state& state = self->state;
  for (const auto& [other_bytes, other] : state.recent) {
    const auto found = compute::find_equivocation(other, r);
    if (!found || state.convicted.contains(found->signer) || *other_bytes == *bytes) {
      continue;
    }
    const conviction c{
        conviction_kind::equivocation, found->signer, found->place, {}, {*other_bytes, *bytes}, {}};
    if (compute::check_conviction(c)) {
      begin_hearing(self, c);
    }
  }
  state.recent.emplace_back(bytes, r);
  state.recent_bytes += bytes->size();
  while (state.recent_bytes > recent_bytes_max ||
         state.recent.size() > limits::audit_equivocation_kept_max) {
    state.recent_bytes -= state.recent.front().first->size();
    state.recent.pop_front();
  }
}

void open_case(verifier_pointer self, const receipt_bytes& bytes, const receipt& r,
               const compute::stated_fault& fault, const audit_means& means) {
  verifier_state& state = self->state;
  if (state.hearings.contains(fault.signer)) {
    return; // it is accused already
  }
  const digest name = receipt_digest(*bytes);
  const digest key = verdict_digest(name, fault.place, fault.stated);
  const ledger::stated_unit unit{fault.signer, fault.place.window, fault.place.layer, key,
                                 fault.stated};
  const auto hosts = others_of(self, verifiers_there(self, name), std::span{&fault.signer, 1});
  const auto effects = state.book->differs(unit, fault.computed, hosts, seconds_now(self));
  ++state.count.mismatches;
  say(self, log_level::warn, "request {:016x}: {} stated {} otherwise than it is computed here",
      r.asked.request.value, short_name(fault.signer), place_text(fault.place));
  for (const ledger::audit_effect& effect : effects) {
    const auto* const ask = std::get_if<ledger::ask_host>(&effect);
    const auto* const later = std::get_if<ledger::wait_for_host>(&effect);
    if (ask != nullptr || later != nullptr) {
      state.cases[ask != nullptr ? ask->about : later->about] = {
          bytes,
          fault.place,
          fault.computed,
          {give_verdict(*state.environment.key, name, fault.place, fault.computed, means)},
          std::nullopt,
          {}};
      keep_open(self, *bytes);
    }
  }
  perform(self, effects);
}

void begin_chain(verifier_pointer self) {
  verifier_state& state = self->state;
  state.cases.clear();
  digest seed;
  state.environment.env->random(std::as_writable_bytes(std::span{seed.bytes}));
  auto chain = ledger::hash_chain::make(seed, limits::audit_chain_links_max / 64);
  say(self, log_level::info, "audits draw from a hash chain of {} links behind {}", chain->links(),
      to_hex(chain->anchor()));
  state.book.emplace(state.environment.key->id(), std::move(*chain), state.records,
                     state.environment.how);
}

/// False: what is needed to look at it is not here.
bool audit(verifier_pointer self, const waiting_receipt& next) {
  verifier_state& state = self->state;
  const auto& [from, bytes, suspect, again_here] = next;
  const auto r = decode_receipt(*bytes);
  if (!r) {
    blame(self, from, "gave what is no receipt: " + r.error().message);
    return true;
  }
  charge_for(self, from, 1 + windows_of(r->positions) / 8); // signatures
  if (const auto stranger = stranger_among(self, *r)) {
    ++state.count.strangers;
    say(self, log_level::info, "request {:016x}: {} signed and was never a member here",
        r->asked.request.value, short_name(*stranger));
    return true;
  }
  if (const auto wrong = compute::check_receipt(*r, anybody); !wrong.empty()) {
    say(self, log_level::warn, "request {:016x}: a receipt that does not hold: {}",
        r->asked.request.value, wrong.front().what);
    return true;
  }
  ++state.count.receipts;
  compare_with_recent(self, bytes, *r);
  std::vector<ledger::stated_unit> units = units_of_others(self, *r);
  const digest head = hash("ovir/audit/v1/head", std::as_bytes(std::span{r->closing.bytes}));
  auto drawn = state.book->draw(head, units);
  if (!drawn) { // the chain is used up; cases that wait are dropped with it
    begin_chain(self);
    drawn = state.book->draw(head, units);
  }
  if (suspect) { // whatever the draw says
    drawn->units.resize(units.size());
    std::iota(drawn->units.begin(), drawn->units.end(), std::size_t{0});
  }
  state.count.units += units.size();
  state.count.drawn += drawn->units.size();
  std::set<node_id> at_fault;
  if (!drawn->units.empty()) {
    compute::replay_bounds bounds;
    for (const std::size_t i : drawn->units) {
      bounds.layers = std::max(bounds.layers, units[i].layer + 1);
      bounds.windows = std::max(bounds.windows, units[i].window + 1);
    }
    charge_for(self, from, bounds.windows);
    const auto again = replay(self, *r, bounds);
    if (!again) {
      ++state.count.unaudited;
      say(self, log_level::warn, "request {:016x} is not audited: {}", r->asked.request.value,
          again.error().message);
      return false;
    }
    for (const compute::stated_fault& fault : compute::first_faults(*r, again->again)) {
      at_fault.insert(fault.signer);
      open_case(self, bytes, *r, fault, again->means);
    }
  }
  std::erase_if(units, [&](const ledger::stated_unit& u) { return at_fault.contains(u.signer); });
  if (!again_here) {
    state.book->settle(units, seconds_now(self));
  }
  if (at_fault.empty() && !drawn->units.empty()) {
    perform(self, plant_question(self, *r, units[drawn->units.front()]));
  }
  flush(self);
  return true;
}

void answer(verifier_pointer self, const waiting_question& asked) {
  const auto r = decode_receipt(asked.what.receipt);
  if (!r || !compute::check_receipt(*r, anybody).empty()) {
    return; // the asker hears nothing, as from one that is gone
  }
  const audit_place& place = asked.what.place;
  if (!compute::stated_at(*r, place)) {
    return;
  }
  const auto again = replay(self, *r, compute::bounds_of(place), asked.what.taken);
  if (!again || !compute::stands_alone(*r, again->again, place)) {
    return say(self, log_level::info, "a question of {} is not answered: {}",
               short_name(asked.from),
               again ? "what it is about follows from another's statement" : again.error().message);
  }
  const auto computed = compute::computed_at(again->again, place);
  send_audit(
      self, asked.from,
      audit_answer{asked.what.number, *computed,
                   give_verdict(*self->state.environment.key, receipt_digest(asked.what.receipt),
                                place, *computed, again->means)});
}

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
  if (const auto* const asked = std::get_if<waiting_question>(&*next)) {
    charge_for(self, asked->from, compute::bounds_of(asked->what.place).windows);
    answer(self, *asked);
  } else {
    const auto& receipt = std::get<waiting_receipt>(*next);
    if (audit(self, receipt)) {
      note_resumed(self, receipt);
    }
  }
  call_to_work(self);
}

void take_answer(verifier_pointer self, const node_id& from, const audit_answer& a) {
  verifier_state& state = self->state;
  if (take_further_answer(self, from, a)) {
    return flush(self);
  }
  const ledger::audit_case_id about{a.number};
  const auto found = state.cases.find(about);
  const auto beside = [&](const audit_verdict& v) {
    return differ_enough(v.means.kernels, a.verdict.means.kernels);
  };
  if (found == state.cases.end() || found->second.asked != from || a.verdict.verifier != from ||
      !std::all_of(found->second.verdicts.begin(), found->second.verdicts.end(), beside) ||
      !verify_verdict(a.verdict, receipt_digest(*found->second.bytes), found->second.place,
                      a.computed)) {
    return;
  }
  found->second.asked.reset();
  found->second.verdicts.push_back(a.verdict);
  perform(self, state.book->answered(about, from, a.computed, seconds_now(self)));
  if (state.book->unit_of(about) == nullptr) { // also of a planted one
    state.cases.erase(about);
  }
  flush(self);
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
  if (auto* o = std::get_if<audit_offer>(&*message)) {
    if (state.environment.audits && came.roles.has(role::scheduler)) {
      take_receipt(self, came.from,
                   std::make_shared<const std::vector<std::byte>>(std::move(o->receipt)),
                   o->suspect);
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
    const digest name = receipt_digest(*state.cases.at(about).bytes);
    perform(self, state.book->ask_again(
                      about, others_of(self, verifiers_there(self, name), std::span{&signer, 1})));
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
      [self](const quarantine_written& e) { quarantined(self, e.guilty); },
      [self](const members_changed& news) {
        tell_those_who_came(self, news.members);
        self->state.members = news.members;
      },
      [self](const verifier_tick&) { tick(self); },
      [self](const list_convictions&) { return describe_audits(self->state); },
  };
}

} // namespace ovir::actors
