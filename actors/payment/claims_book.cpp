#include "actors/payment/claims_book.hpp"

#include "actors/payment/payment_core.hpp"
#include "actors/stage/lead_evidence.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/limits/credit.hpp"

#include <algorithm>
#include <limits>

namespace ovir::actors {

namespace {

const node_id& driver_of(const ledger::reserve& r) {
  return r.scheduler.empty() ? r.payer : r.scheduler;
}

/// Whether one of these, as `accepts` has it, signed that it sent just this input.
template <class Accepts>
bool was_sent(const evidence_terms& terms, const stage_records& by, const statement& s,
              Accepts accepts) {
  return std::any_of(by.senders.begin(), by.senders.end(), [&](const evidence_signer& sender) {
    return accepts(sender) &&
           verify_link(sender.node, link_digest(terms, sender, s.window, s.positions, s.input),
                       s.received);
  });
}

/// The first `most` windows, up to one that it did not sign, without what it committed to and has
/// not stated; nothing where that is out of form.
stage_records sound_part(const evidence_terms& terms, const stage_records& all, std::size_t most) {
  stage_records part = all;
  part.statements.resize(std::min(part.statements.size(), most));
  while (!part.commitments.empty() && part.commitments.back().window >= part.statements.size()) {
    part.commitments.pop_back();
  }
  if (find_form_fault(part, terms.layers) || find_void_citation(terms, part)) {
    part.statements.clear();
    return part;
  }
  const std::vector<bound_statement> bound = bind_statements(terms, part);
  std::size_t sound = 0;
  while (sound < bound.size() &&
         verify_statement(part.signer.node, bound[sound].to_sign, part.statements[sound].proof)) {
    ++sound;
  }
  part.statements.resize(sound);
  return part;
}

/// Of the first windows, how many `s` states that it took in just as `before` signed that it sent
/// and states that it made them; null: as the driver signed.
std::uint32_t windows_taken(const evidence_terms& terms, const stage_records* before,
                            const stage_records& s, const node_id& driver) {
  std::size_t most = s.statements.size();
  most = before == nullptr ? most : std::min(most, before->statements.size());
  for (std::uint32_t w = 0; w < most; ++w) {
    const statement& here = s.statements[w];
    const bool fits = before == nullptr || (before->statements[w].positions == here.positions &&
                                            output_of(before->statements[w], before->signer,
                                                      terms.layers) == here.input);
    const bool sent = fits && was_sent(terms, s, here, [&](const evidence_signer& sender) {
                        return before == nullptr
                                   ? sender.layers == layer_range{} && sender.node == driver
                                   : sender == before->signer;
                      });
    if (!sent) {
      return w;
    }
  }
  return static_cast<std::uint32_t>(most);
}

/// Whether another reservation pays a stage as much as this accrual would, for a statement that
/// binds what it is for: who went on with the request pays for all that was stated before.
bool is_paid_elsewhere(const ledger::accrue& wanted, const std::vector<const stage_records*>& all,
                       const evidence_terms& terms, const claims_book::surroundings& around,
                       std::uint64_t prompt) {
  const std::uint32_t first = ledger::windows_paid(prompt, wanted.window).first;
  for (const ledger::window_share& share : wanted.computed) {
    ledger::window_share other = share;
    if (around.is_paid(other, wanted.request)) {
      return true;
    }
    for (const stage_records* const s : all) {
      if (s->signer.node != share.node) {
        continue;
      }
      for (const bound_statement& b : bind_statements(terms, *s)) {
        other.statement = b.value;
        if (b.summary.window >= first && around.is_paid(other, wanted.request)) {
          return true;
        }
      }
    }
  }
  return false;
}

/// Whether it was reserved for so many layers, or came later, by a reroute.
bool has_place(const ledger::reserve& reserved, const evidence_signer& by) {
  bool named = false;
  for (const ledger::path_stage& s : reserved.stages) {
    if (s.node == by.node) {
      named = true;
      if (s.layers == by.layers.size()) {
        return true;
      }
    }
  }
  return !named;
}

} // namespace

result<void> claims_book::take(const node_id& from, const ledger::claim& what,
                               const claimed_request& about, time_point now) {
  if (ledger::about_of(what.terms) != about.reservation.about || !takes_claims(about.report)) {
    return fail(errc::not_found, "no request that is open is the one of this claim");
  }
  OVIR_ASSIGN(evidence_batch batch, decode_evidence(what.evidence));
  if (batch.request != what.terms.request || batch.records.signer.node != from ||
      batch.records.signer.layers.size() == 0 ||
      batch.records.signer.layers.last > what.terms.layers) {
    return fail(errc::invalid_argument, "a stage claims what it signed itself of this request");
  }
  if (std::find(about.payees.begin(), about.payees.end(), from) == about.payees.end() ||
      !has_place(about.reservation, batch.records.signer)) {
    return fail(errc::invalid_argument, "this request was not reserved for these layers of {}",
                short_name(from));
  }
  const ledger::escrow_id& escrow = about.report.request;
  if (!requests_.contains(escrow)) {
    if (requests_.size() >= limits::claimed_requests_max) {
      return fail(errc::busy, "{} requests are claimed; claim again later", requests_.size());
    }
    requests_.emplace(escrow, request{{}, 0, about.report.windows, now, now});
  }
  request& r = requests_.at(escrow);
  const place at{batch.records.signer.layers.first, from};
  const auto known = r.stages.find(at);
  const bool anew =
      known == r.stages.end() || known->second.terms != what.terms ||
      (!batch.records.commitments.empty() && batch.records.commitments.front().window == 0);
  const std::size_t size = what.evidence.size();
  const std::size_t less = known == r.stages.end() || !anew ? 0 : known->second.bytes;
  if (known == r.stages.end() && r.stages.size() >= limits::claimed_stages_max) {
    return fail(errc::over_limit, "{} stages claim this request", r.stages.size());
  }
  if (r.bytes - less + size > limits::claimed_request_bytes_max ||
      bytes_ - less + size > limits::claimed_bytes_max) {
    return fail(errc::busy, "claims of {} bytes wait; claim again later", bytes_);
  }
  stage& s = r.stages[at];
  s = anew ? stage{what.terms, {}, 0} : std::move(s);
  r.bytes += size - less;
  bytes_ += size - less;
  s.bytes += size;
  add_records(s.records, std::move(batch.records));
  return {};
}

/// The path over all layers that holds for most windows, at most `most`. Of each stage is known
/// which one before it leads there best, so each two are looked at once, whatever is claimed.
claims_book::path claims_book::longest(const std::map<place, stage>& stages,
                                       const evidence_terms& terms, const node_id& driver,
                                       std::uint32_t most) {
  struct step {
    const stage_records* here{nullptr};
    std::size_t before{0};
    std::uint32_t windows{0};
  };
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  std::vector<step> steps; // ascending by first layer: who leads to a stage stands before it
  std::size_t end = none;
  for (const auto& [at, s] : stages) {
    if (s.terms != terms) {
      continue;
    }
    step made{&s.records, none, 0};
    if (at.first == 0) {
      made.windows = std::min(most, windows_taken(terms, nullptr, s.records, driver));
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].here->signer.layers.last == at.first && steps[i].windows > made.windows) {
        const std::uint32_t taken =
            std::min(steps[i].windows, windows_taken(terms, steps[i].here, s.records, driver));
        made = taken > made.windows ? step{&s.records, i, taken} : made;
      }
    }
    const bool whole = s.records.signer.layers.last == terms.layers;
    if (whole && made.windows > 0 && (end == none || made.windows > steps[end].windows)) {
      end = steps.size();
    }
    steps.push_back(made);
  }
  path best;
  best.windows = end == none ? 0 : steps[end].windows;
  for (std::size_t i = end; i != none; i = steps[i].before) {
    best.stages.push_front(steps[i].here);
  }
  return best;
}

std::vector<ledger::command> claims_book::payments(const path& found, const evidence_terms& terms,
                                                   const claimed_request& about,
                                                   const surroundings& around) {
  payment_core core{terms, about.reservation, around.rules};
  ledger::request_report known = about.report;
  known.open = true; // for claims
  core.follow(known);
  core.claim();
  ledger::reroute named;
  for (const node_id& node : about.payees) {
    named.stages.push_back({node, 0, 0});
  }
  core.applied(named);
  computing_path places;
  for (const stage_records* one : found.stages) {
    places.emplace_back(one->signer.node, one->signer.layers);
  }
  for (const stage_records* one : found.stages) {
    evidence_batch batch{terms.request, *one, {}};
    batch.records.statements.resize(found.windows);
    core.take(places, std::move(batch), 0); // when they came says nothing now
  }
  std::vector<ledger::command> all;
  while (all.size() < limits::claim_windows_at_once) {
    auto next = core.next(*around.ejected);
    if (!next || !std::holds_alternative<ledger::accrue>(*next)) {
      break; // a reroute is its driver's to sign
    }
    core.applied(*next);
    all.push_back(std::move(*next));
  }
  return all;
}

/// What follows from what the stages of one request claim. `ends`: it is settled, too, where they
/// show that something was computed for it and nothing is left to pay.
std::vector<ledger::command> claims_book::due_of(const request& r, const claimed_request& about,
                                                 const surroundings& around, bool ends) {
  const std::uint64_t most =
      (about.reservation.prompt + about.reservation.completion_max) / limits::window_positions + 1;
  std::map<place, stage> sound;
  std::vector<const stage_records*> stated; // more windows than this reservation is for
  for (const auto& [at, s] : r.stages) {
    stated.push_back(&s.records);
    sound[at] = {s.terms, sound_part(s.terms, s.records, most), 0};
  }
  bool shown = false;
  for (const auto& [at, s] : sound) { // one of them is of the first stage of each path
    const path found = at.first == 0
                           ? longest(sound, s.terms, driver_of(about.reservation),
                                     static_cast<std::uint32_t>(std::min<std::uint64_t>(
                                         most, std::numeric_limits<std::uint32_t>::max())))
                           : path{};
    if (found.windows == 0) {
      continue;
    }
    shown = true;
    auto all = payments(found, s.terms, about, around);
    if (!all.empty() &&
        !(around.is_paid && is_paid_elsewhere(std::get<ledger::accrue>(all.front()), stated,
                                              s.terms, around, about.reservation.prompt))) {
      return all;
    }
  }
  if (!shown || !ends) {
    return {};
  }
  return {ledger::settle{about.report.request}};
}

// Of one request at a time, the one that was looked at longest ago: that checks many signatures,
// and who keeps the ledger has more to do.
std::vector<ledger::command> claims_book::due(const surroundings& around) {
  request* oldest = nullptr;
  std::optional<claimed_request> its;
  for (auto at = requests_.begin(); at != requests_.end();) {
    request& r = at->second;
    auto about = around.find(at->first);
    if (!about || !takes_claims(about->report)) {
      const auto gone = at++;
      forget(gone);
      continue;
    }
    ++at;
    if (about->report.windows != r.windows) { // by who drives it, or by these claims
      r.windows = about->report.windows;
      r.since = around.now;
    }
    const auto quiet = about->report.open ? limits::claim_quiet : limits::claim_quiet_ended;
    if (around.now - std::max(r.since, r.looked) >= quiet &&
        (oldest == nullptr || r.looked < oldest->looked)) {
      oldest = &r;
      its = std::move(about);
    }
  }
  if (oldest == nullptr) {
    return {};
  }
  oldest->looked = around.now;
  return due_of(*oldest, *its, around, ends(*oldest, *its, around));
}

/// Whether its scheduler had time to go on. One that ended it itself waits for nothing.
bool claims_book::ends(const request& r, const claimed_request& about, const surroundings& around) {
  const auto quiet =
      around.is_there(driver_of(about.reservation)) ? limits::claim_ends : limits::claim_ends_away;
  return about.report.open && around.now - r.since >= quiet;
}

result<void> claims_book::say(const ledger::command& what, const surroundings& around) const {
  const auto* const window = std::get_if<ledger::accrue>(&what);
  const auto* const end = std::get_if<ledger::settle>(&what);
  const auto known = window != nullptr ? requests_.find(window->request)
                     : end != nullptr  ? requests_.find(end->request)
                                       : requests_.end();
  const auto about = known == requests_.end() ? std::nullopt : around.find(known->first);
  if (about && takes_claims(about->report)) {
    const auto wanted = ledger::action_bytes({}, what);
    for (const ledger::command& c :
         due_of(known->second, *about, around, ends(known->second, *about, around))) {
      if (ledger::action_bytes({}, c) == wanted) {
        return {};
      }
    }
  }
  return fail(errc::busy, "no claim of a stage leads to this {} here, or not yet",
              to_string(ledger::kind_of(what)));
}

void claims_book::forget(std::map<ledger::escrow_id, request>::iterator at) {
  bytes_ -= at->second.bytes;
  requests_.erase(at);
}

} // namespace ovir::actors
