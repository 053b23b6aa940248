#include "actors/audit/receipt_audits_actor.hpp"

#include "actors/audit/addenda_actor.hpp"
#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/audit_words.hpp"
#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/hearings_actor.hpp"
#include "actors/audit/log_draws_actor.hpp"
#include "actors/audit/open_cases_actor.hpp"
#include "actors/audit/questions_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"
#include "ledger/rules/equivocation.hpp"
#include "verify/receipt_check.hpp"
#include "verify/window_task.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

namespace ovir::actors {

namespace {

/// Receipts kept to be compared with others: they are a few kilobytes each.
constexpr std::size_t recent_bytes_max = std::size_t{32} << 20U;

const compute::signer_policy any_signer{compute::signer_policy::kind::any, {}};

using receipt_bytes = verifier_state::receipt_bytes;

/// A receipt whose drawn windows are being looked at.
struct receipt_audit {
  waiting_receipt what;
  std::shared_ptr<const receipt> r;
  std::vector<ledger::stated_unit> windows; ///< that can be drawn: a unit of each stands for it
  std::vector<std::size_t> drawn;           ///< of `windows`
  std::set<layer_index> stages;             ///< first layers of those that can be drawn
  std::set<node_id> at_fault;
  std::vector<compute::stated_fault> faults;            ///< said at the end: a line takes time
  std::vector<drawn_audits::duty> duties;               ///< by the log; none: it draws by itself
  std::set<std::pair<std::size_t, std::uint32_t>> seen; ///< stage, window: computed again
  std::size_t open{0};                                  ///< stages that are being looked at
  bool looked_at{true};                                 ///< else what it takes is not here
  addendum_notes found;
  /// Another verifier is asked about this one if it is right.
  std::optional<compute::stage_window> planted;
  std::uint64_t lot{0}; ///< which place of it
};
using audit_pointer = std::shared_ptr<receipt_audit>;

template <class... Args>
void note(verifier_pointer self, log_level level, const receipt& r,
          fmt::format_string<Args...> text, Args&&... args) {
  self->state.environment.journal->say(level, std::nullopt, "request {:016x}: {}",
                                       r.asked.request.value,
                                       fmt::format(text, std::forward<Args>(args)...));
}

std::uint64_t unix_now(verifier_pointer self) {
  return self->state.environment.env->unix_seconds();
}

void compare_with_recent(verifier_pointer self, const receipt_bytes& bytes, const receipt& r) {
  verifier_state& state = self->state;
  for (const auto& [other_bytes, other] : state.recent.all) {
    const auto found = compute::find_equivocation(other, r);
    if (!found || state.convicted.contains(found->signer) || *other_bytes == *bytes) {
      continue;
    }
    const conviction c{
        conviction_kind::equivocation, found->signer, found->place, {}, {*other_bytes, *bytes}, {}};
    if (compute::check_conviction(c)) {
      begin_hearing(self, c, {});
    }
  }
  state.recent.all.emplace_back(bytes, r);
  state.recent.bytes += bytes->size();
  while (state.recent.bytes > recent_bytes_max ||
         state.recent.all.size() > limits::audit_equivocation_kept_max) {
    state.recent.bytes -= state.recent.all.front().first->size();
    state.recent.all.pop_front();
  }
}

/// A window computed here.
struct computed_window {
  compute::stage_window at;
  const replayed& again;
};

/// Another verifier is asked about a fault, or about what is right, the answer to which is known.
/// Both go one way, step by step: who is asked may see of this node all that others see.
void open_case(verifier_pointer self, receipt_audit& a, const compute::stated_fault& found,
               const computed_window& w) {
  verifier_state& state = self->state;
  const receipt_bytes& bytes = a.what.bytes;
  const auto outcome =
      compute::outcome_for(compute::task_of(*a.r, w.at), w.again.again); // all of the window
  if (!outcome || state.hearings.contains(found.signer)) {
    return; // it is accused already
  }
  const digest name = receipt_digest(*bytes);
  const digest key = verdict_digest(name, found.place, found.stated);
  const ledger::stated_unit unit{found.signer, found.place.window, found.place.layer, key,
                                 found.stated};
  const auto hosts =
      others_of(self, verifiers_of(self, *bytes, found.place), std::span{&found.signer, 1});
  const bool known = found.stated == found.computed;
  const auto effects = known ? state.book->plant(unit, hosts)
                             : state.book->differs(unit, found.computed, hosts, unix_now(self));
  for (const ledger::audit_effect& effect : effects) {
    const auto* const ask = std::get_if<ledger::ask_host>(&effect);
    const auto* const later = std::get_if<ledger::wait_for_host>(&effect);
    if (ask != nullptr || later != nullptr) {
      verifier_state::open_case c{
          bytes,
          found.place,
          found.computed,
          {give_verdict(*state.environment.key, name, found.place, found.computed, w.again.means)},
          std::nullopt,
          {}};
      c.outcome = compute::outcome_digest(*outcome);
      c.signers = signers_of(*a.r);
      state.cases[ask != nullptr ? ask->about : later->about] = std::move(c);
      keep_open(self, *bytes);
    }
  }
  perform(self, effects);
  if (!known) {
    ++state.count.mismatches;
    a.faults.push_back(found);
  }
}

/// Of each signer one fault: what else differs may follow from it.
void take_fault(verifier_pointer self, receipt_audit& a, const compute::stated_fault& fault,
                const replayed& again) {
  const auto at = compute::window_of(*a.r, fault.place);
  if (at && fault.signer != self->state.environment.key->id() &&
      a.at_fault.insert(fault.signer).second) {
    open_case(self, a, fault, {*at, again});
  }
}

/// Asks about something in this window as if it were a fault; of what is right the answer is known.
/// Once: a stage may be looked at from its inputs, and then from the tokens.
void plant(verifier_pointer self, receipt_audit& a, const computed_window& w) {
  a.planted.reset();
  const std::vector<audit_place> places = compute::places_of(*a.r, w.at);
  if (places.empty() || compute::window_fault(*a.r, w.at, w.again.again)) {
    return;
  }
  const audit_place& place = places[a.lot % places.size()];
  const auto stated = compute::stated_at(*a.r, place);
  if (stated->signer != self->state.environment.key->id()) {
    open_case(self, a, {place, stated->signer, stated->value, stated->value}, w);
  }
}

/// Windows of others' stages whose layers are here: a statement is drawn as a whole, by the key of
/// its first unit.
void find_windows(verifier_pointer self, receipt_audit& a) {
  const receipt& r = *a.r;
  for (const stage_records& stage : r.stages) {
    if (stage.signer.node != self->state.environment.key->id() &&
        model_with(self, r.asked.model, stage.signer.layers)) {
      a.stages.insert(stage.signer.layers.first);
    }
  }
  for (const compute::keyed_unit& u : compute::units_of(r)) {
    const auto at = compute::window_of(r, {audit_part::unit, u.unit.window, u.unit.layer, 0});
    if (at && a.stages.contains(u.unit.layer)) {
      a.windows.push_back(
          {r.stages[at->stage].signer.node, u.unit.window, u.unit.layer, u.key, u.stated});
    }
  }
}

/// What shares of the ledger pay for by this receipt, of each signer (`window_share::statement`).
std::map<node_id, std::set<digest>> paid_statements(const receipt& r) {
  std::map<std::pair<node_id, std::size_t>, digest> joined;
  for (const stage_records& stage : r.stages) {
    const std::vector<bound_statement> bound = bind_statements(terms_of(r.asked), stage);
    for (std::size_t w = 0; w < bound.size(); ++w) {
      const auto [at, first] = joined.try_emplace({stage.signer.node, w}, bound[w].value);
      at->second = first ? at->second : ledger::joined_statement(at->second, bound[w].value);
    }
  }
  std::map<node_id, std::set<digest>> all;
  for (const auto& [of, statement] : joined) {
    all[of.first].insert(statement);
  }
  return all;
}

/// Whether this receipt is of the request that the log means: several may be about the same. It is
/// paid for by its statements; where a stage stated anew since, by who drives it.
bool is_meant(const drawn_audits::duty& d, const receipt& r,
              const std::map<node_id, std::set<digest>>& paid) {
  const auto found = paid.find(d.unit.signer);
  return d.driver == r.lead.node ||
         (found != paid.end() && found->second.contains(d.unit.statement));
}

/// What the log drew for this node, of what it can look at.
void take_duties(verifier_pointer self, receipt_audit& a) {
  const auto& audits = self->state.draws.audits;
  if (!audits) {
    return;
  }
  a.duties = audits->duties_of(ledger::about_of(terms_of(a.r->asked)));
  if (!a.duties.empty()) {
    std::erase_if(a.duties, [&, paid = paid_statements(*a.r)](const drawn_audits::duty& d) {
      return !is_meant(d, *a.r, paid);
    });
  }
  for (std::size_t i = 0; i < a.windows.size(); ++i) {
    const ledger::stated_unit& u = a.windows[i];
    if (std::any_of(a.duties.begin(), a.duties.end(), [&](const drawn_audits::duty& d) {
          return d.unit.window == u.window && d.unit.signer == u.signer;
        })) {
      a.drawn.push_back(i);
    }
  }
}

/// The log hears that this node looked at what it had to.
void enter_seen(verifier_pointer self, const receipt_audit& a) {
  for (const drawn_audits::duty& d : a.duties) {
    for (const auto& [stage, window] : a.seen) {
      const evidence_signer& signer = a.r->stages[stage].signer;
      if (window == d.unit.window && signer.node == d.unit.signer) {
        enter_audit(self, *a.r, a.what.bytes, d, signer.layers.first);
        break;
      }
    }
  }
}

void draw_windows(verifier_pointer self, receipt_audit& a) {
  verifier_state& state = self->state;
  take_duties(self, a);
  if (a.what.drawn) {
    state.count.units += a.windows.size();
    state.count.drawn += a.drawn.size();
    return;
  }
  a.drawn.clear();
  const digest head = hash("ovir/audit/v1/head", std::as_bytes(std::span{a.r->closing.bytes}));
  auto drawn = state.book->draw(head, a.windows);
  if (!drawn) { // the chain is used up; cases that wait are dropped with it
    begin_chain(self);
    drawn = state.book->draw(head, a.windows);
  }
  a.drawn = std::move(drawn->units);
  if (a.what.suspect) { // whatever the draw says
    a.drawn.resize(a.windows.size());
    std::iota(a.drawn.begin(), a.drawn.end(), std::size_t{0});
  }
  state.count.units += a.windows.size();
  state.count.drawn += a.drawn.size();
}

void end_audit(verifier_pointer self, receipt_audit& a) {
  verifier_state& state = self->state;
  if (!a.looked_at && !a.what.drawn) { // what was drawn is offered again
    ++state.count.unaudited;
  }
  enter_seen(self, a);
  for (const compute::stated_fault& fault : a.faults) {
    note(self, log_level::warn, *a.r, "{} stated {} otherwise than it is computed here",
         short_name(fault.signer), place_text(fault.place));
  }
  if (!a.what.again && a.looked_at) {
    std::vector<ledger::stated_unit> valid = units_of_others(self, *a.r);
    std::erase_if(valid, [&](const ledger::stated_unit& u) {
      const auto at = compute::window_of(*a.r, {audit_part::unit, u.window, u.layer, 0});
      return !at || a.at_fault.contains(u.signer) ||
             !a.stages.contains(a.r->stages[at->stage].signer.layers.first);
    });
    state.book->settle(valid, unix_now(self));
  }
  tell_addendum(self, *a.r, a.what.bytes, a.found);
  if (a.looked_at) {
    note_resumed(self, a.what);
  }
  flush(self);
  --state.under_way.count;
  call_to_work(self);
}

/// From the tokens, with the whole model; else the stage, if it was reached, is known to have
/// withheld what it stated. `faulty`: something wrong was found already.
void look_from_tokens(verifier_pointer self, receipt_audit& a, const windows_of_stage& which,
                      bool reached, bool faulty) {
  const stage_records& stage = a.r->stages[which.stage];
  const compute::replay_bounds bounds{stage.signer.layers.last, which.windows.back() + 1};
  const auto again = replay(self, *a.r, bounds);
  if (!again && faulty) {
    return; // enough is known of it
  }
  if (!again) {
    note(self, log_level::warn, *a.r,
         "what {} computed is not audited, because its inputs are not "
         "to be had: {}",
         short_name(stage.signer.node), again.error().message);
    a.looked_at = false;
    a.found.use(own_means(self, *a.r));
    for (const std::uint32_t window : which.windows) {
      a.found.note(which.stage, window, audit_finding::missing);
    }
    if (reached) {
      ++self->state.count.withheld;
      self->state.book->withheld(stage.signer.node, unix_now(self));
    }
    return;
  }
  charge_for(self, a.what.from, bounds.windows);
  ++self->state.count.from_tokens;
  for (const std::uint32_t window : which.windows) {
    a.seen.insert({which.stage, window});
  }
  const bool here = a.planted && a.planted->stage == which.stage &&
                    compute::follows_from_tokens(compute::task_of(*a.r, *a.planted), again->again);
  const auto faults = compute::first_faults(*a.r, again->again);
  a.found.use(again->means);
  note_replay(*a.r, which.stage, which.windows, faults, a.found);
  const auto before = std::find_if(faults.begin(), faults.end(), [&](const auto& fault) {
    return here && fault.place.window > a.planted->window;
  });
  for (auto fault = faults.begin(); fault != before; ++fault) {
    take_fault(self, a, *fault, *again);
  }
  if (here) { // in its place among the windows
    plant(self, a, {*a.planted, *again});
  }
  for (auto fault = before; fault != faults.end(); ++fault) {
    take_fault(self, a, *fault, *again);
  }
}

/// All of the windows, whatever is found: where it stops would be seen in the log.
void look_at_stage(verifier_pointer self, receipt_audit& a, const windows_of_stage& which,
                   const known_inputs& inputs) {
  bool faulty = false;
  for (const std::uint32_t window : which.windows) {
    const compute::stage_window at{which.stage, window};
    const auto again = replay_window(self, *a.r, at, inputs);
    if (!again) {
      return look_from_tokens(self, a, which, inputs.reached, faulty);
    }
    charge_for(self, a.what.from, 1);
    ++self->state.count.from_inputs;
    a.seen.insert({which.stage, window});
    a.found.use(again->means);
    const auto fault = compute::window_fault(*a.r, at, again->again);
    a.found.note(which.stage, window, fault ? audit_finding::wrong : audit_finding::right);
    if (fault) {
      faulty = true;
      take_fault(self, a, *fault, *again);
    } else if (a.planted == at) {
      plant(self, a, {at, *again});
    }
  }
}

/// Who has what windows were computed from: their signer, the authors of the units it reuses, and
/// the signer again, which may just now have put the last of it away.
std::vector<node_id> sources_of(const receipt& r, const windows_of_stage& which) {
  const stage_records& stage = r.stages[which.stage];
  std::vector<node_id> sources{stage.signer.node};
  for (const statement& s : stage.statements) {
    for (const unit_citation& c : s.cited) {
      const bool known = std::find(sources.begin(), sources.end(), c.author) != sources.end();
      if (!known && sources.size() < limits::audit_sources_max) {
        sources.push_back(c.author);
      }
    }
  }
  sources.push_back(stage.signer.node);
  return sources;
}

void look_at_windows(verifier_pointer self, const audit_pointer& a) {
  std::map<std::size_t, windows_of_stage> drawn;
  for (const std::size_t i : a->drawn) {
    const ledger::stated_unit& u = a->windows[i];
    const auto at = compute::window_of(*a->r, {audit_part::unit, u.window, u.layer, 0});
    windows_of_stage& which = drawn[at->stage];
    which.stage = at->stage;
    which.windows.push_back(u.window);
  }
  const auto known =
      ledger::planted_among(a->drawn.size(), self->state.environment.how.planted_ppm, chance(self));
  if (known) {
    const ledger::stated_unit& u = a->windows[a->drawn[*known]];
    a->planted = compute::window_of(*a->r, {audit_part::unit, u.window, u.layer, 0});
    a->lot = chance(self);
  }
  a->open = drawn.size() + 1;
  const auto ended = [self, a] {
    if (--a->open == 0) {
      end_audit(self, *a);
    }
  };
  for (auto& entry : drawn) {
    windows_of_stage& which = entry.second;
    std::sort(which.windows.begin(), which.windows.end());
    fetch_windows(self, a->r, which, sources_of(*a->r, which),
                  [self, a, which, ended](const known_inputs& inputs) {
                    look_at_stage(self, *a, which, inputs);
                    ended();
                  });
  }
  ended();
}

/// Of a receipt that is worth looking at; null otherwise.
std::shared_ptr<const receipt> sound_receipt_of(verifier_pointer self,
                                                const waiting_receipt& next) {
  auto decoded = decode_receipt(*next.bytes);
  if (!decoded) {
    blame(self, next.from, "gave what is no receipt: " + decoded.error().message);
    return nullptr;
  }
  auto r = std::make_shared<const receipt>(std::move(*decoded));
  charge_for(self, next.from, 1 + windows_of(r->positions) / 8); // signatures
  if (const auto stranger = stranger_among(self, *r)) {
    ++self->state.count.strangers;
    note(self, log_level::info, *r, "{} signed and was never a member here", short_name(*stranger));
    return nullptr;
  }
  if (const auto wrong = compute::check_receipt(*r, any_signer); !wrong.empty()) {
    note(self, log_level::warn, *r, "a receipt that does not hold: {}", wrong.front().what);
    return nullptr;
  }
  return r;
}

} // namespace

void begin_chain(verifier_pointer self) {
  verifier_state& state = self->state;
  state.cases.clear();
  digest seed;
  state.environment.env->random(std::as_writable_bytes(std::span{seed.bytes}));
  auto chain = ledger::hash_chain::make(seed, limits::audit_chain_links_max / 64);
  state.environment.journal->say(log_level::info, std::nullopt,
                                 "audits draw from a hash chain of {} links behind {}",
                                 chain->links(), to_hex(chain->anchor()));
  state.book.emplace(state.environment.key->id(), std::move(*chain), state.records,
                     state.environment.how);
}

void begin_audit(verifier_pointer self, waiting_receipt next) {
  auto r = sound_receipt_of(self, next);
  if (r == nullptr) {
    return note_resumed(self, next);
  }
  ++self->state.count.receipts;
  compare_with_recent(self, next.bytes, *r);
  const auto a = std::make_shared<receipt_audit>();
  a->what = std::move(next);
  a->r = std::move(r);
  if (a->what.drawn) {
    fetch_drawn_layers(self, *a->r);
  }
  find_windows(self, *a);
  ++self->state.under_way.count;
  if (a->windows.empty()) {
    note(self, a->what.drawn ? log_level::debug : log_level::info, *a->r,
         "not audited: none of its stages' layers is here");
    a->looked_at = false;
    return end_audit(self, *a);
  }
  draw_windows(self, *a);
  look_at_windows(self, a);
}

} // namespace ovir::actors
