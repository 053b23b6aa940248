#include "actors/payment/payment_core.hpp"

#include "actors/stage/lead_evidence.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/split.hpp"
#include "messages/evidence/lateness.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;

/// The commitment that covers a statement; there is one where the form is right.
const commitment* covering(const stage_records& records, std::uint32_t window) {
  const auto found = std::find_if(
      records.commitments.begin(), records.commitments.end(),
      [&](const commitment& c) { return c.window <= window && window < c.window + c.windows; });
  return found == records.commitments.end() ? nullptr : &*found;
}

} // namespace

payment_core::payment_core(evidence_terms terms, ledger::reserve reservation, ledger::policy rules,
                           reward_terms rewards,
                           std::function<std::string(const node_id&)> operator_of)
    : terms_(std::move(terms)), rules_(std::move(rules)), rewards_(std::move(rewards)),
      operator_of_(std::move(operator_of)) {
  reserve_anew(std::move(reservation));
}

void payment_core::reserve_anew(ledger::reserve reservation) {
  reservation_ = std::move(reservation);
  escrow_ = ledger::escrow_of(reservation_);
  named_.clear();
  for (const ledger::path_stage& s : reservation_.stages) {
    named_.insert(s.node);
  }
}

void payment_core::take(const computing_path& path, evidence_batch&& batch,
                        std::uint64_t unix_now) {
  const evidence_signer& by = batch.records.signer;
  const bool on_path = std::any_of(path.begin(), path.end(), [&](const auto& place) {
    return place.first == by.node && place.second == by.layers;
  });
  if (!on_path || batch.request != terms_.request || ended()) {
    return;
  }
  stage& s = stages_[by.layers.first];
  const std::size_t before = s.records.statements.size();
  if (s.records.signer != by) {
    seen_ = {}; // those of the stage whose place it takes are not its times
  }
  add_records(s.records, std::move(batch.records));
  if (s.records.statements.size() < before || s.records.statements.size() < s.verified) {
    s.verified = 0; // it began anew
    s.when.clear();
    s.values.clear();
  }
  for (std::size_t w = s.when.size(); w < s.records.statements.size(); ++w) {
    const commitment* const c = covering(s.records, static_cast<std::uint32_t>(w));
    s.when.push_back(c == nullptr || unix_now > c->deadline_unix ? timeliness::behind_deadline
                                                                 : timeliness::on_time);
  }
  count_stated(path);
}

void payment_core::verify(stage& s) const {
  if (s.verified == s.records.statements.size()) {
    return;
  }
  stage_records known = s.records; // without what it is committed to and has not stated
  while (!known.commitments.empty() && known.commitments.back().window >= known.statements.size()) {
    known.commitments.pop_back();
  }
  if (find_form_fault(known, terms_.layers) || find_void_citation(terms_, known)) {
    return;
  }
  const std::vector<bound_statement> bound = bind_statements(terms_, known);
  while (s.verified < bound.size() &&
         verify_statement(s.records.signer.node, bound[s.verified].to_sign,
                          s.records.statements[s.verified].proof)) {
    s.values.push_back(bound[s.verified].value);
    ++s.verified;
  }
}

/// Where the stages around one show that it held a step too long.
void payment_core::note_late(const std::vector<stage*>& path) const {
  std::vector<const stage_records*> said;
  for (const stage* s : path) {
    said.push_back(&s->records);
  }
  const node_id& lead =
      reservation_.scheduler.empty() ? reservation_.payer : reservation_.scheduler;
  const auto judged = judge_times(said, lead, [this](const node_id& a, const node_id& b) {
    return a == b || (operator_of_ && operator_of_(a) == operator_of_(b));
  });
  for (const late_step& step : judged.late) {
    stage& s = *path[step.stage];
    if (const std::size_t window = (step.at - 1) / window_size; window < s.when.size()) {
      s.when[window] = timeliness::shown_late;
    }
  }
}

/// Windows that all stages of the path stated since.
void payment_core::count_stated(const computing_path& path) {
  layer_index next = 0;
  std::vector<stage*> all;
  for (const auto& [node, layers] : path) {
    const auto found = stages_.find(layers.first);
    if (layers.first != next || found == stages_.end() ||
        found->second.records.signer.node != node ||
        found->second.records.signer.layers != layers ||
        found->second.records.statements.size() <= stated_) {
      return;
    }
    all.push_back(&found->second);
    next = layers.last;
  }
  if (all.empty() || next != terms_.layers) {
    return;
  }
  for (stage* s : all) {
    verify(*s);
  }
  note_late(all);
  for (;; ++stated_) {
    payable due;
    if (std::any_of(all.begin(), all.end(),
                    [this](const stage* s) { return s->verified <= stated_; })) {
      return;
    }
    const std::vector<std::uint64_t> weights = weigh(all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      add_worker(due.computed, *all[i], stated_, weights[i]);
      add_servers(due.served, *all[i], stated_);
    }
    due.end =
        std::uint64_t{stated_} * window_size + all.back()->records.statements[stated_].positions;
    payable_.push_back(std::move(due));
  }
}

/// Of the next window that is not counted yet.
std::vector<std::uint64_t> payment_core::weigh(const std::vector<stage*>& path) {
  std::vector<const stage_records*> said;
  said.reserve(path.size());
  for (const stage* s : path) {
    said.push_back(&s->records);
  }
  seen_times seen = times_seen(said, stated_);
  if (seen.steps > 0 || seen_.held.size() != path.size()) {
    seen_ = std::move(seen);
  }
  return window_weights(rewards_, reservation_, said, stated_, seen_, terms_.layers);
}

void payment_core::add_worker(cohort& all, const stage& s, std::uint32_t window,
                              std::uint64_t weight) {
  const auto& [layers, node, software] = s.records.signer;
  const auto own =
      static_cast<std::uint32_t>(layers.size() - s.records.statements[window].cited.size());
  if (own == 0) {
    return;
  }
  worker& w = all[node];
  w.weight += weight;
  w.units += own;
  w.on_time += s.when[window] == timeliness::on_time ? own : 0;
  w.late += s.when[window] == timeliness::shown_late ? own : 0;
  // A node that has two places in the path is paid for both at once.
  const digest& stated = s.values[window];
  w.statement = w.statement == digest{} ? stated : ledger::joined_statement(w.statement, stated);
}

void payment_core::add_servers(servers& all, const stage& s, std::uint32_t window) {
  for (const unit_citation& c : s.records.statements[window].cited) {
    server& from = all[c.author];
    ++from.units;
    from.what = hasher{"ovir/ledger/v1/served"}
                    .update(from.what)
                    .update(s.values[window])
                    .update(cited_leaf_digest(c))
                    .finish();
  }
}

// The first accrual is for all windows of the prompt.
std::uint64_t payment_core::first_unpaid(std::uint64_t window) const {
  return prompt_accounted_ ? window : 0;
}

payment_core::servers payment_core::served_to(std::uint64_t window) const {
  servers all;
  for (std::uint64_t w = first_unpaid(window); w <= window; ++w) {
    for (const auto& [node, from] : payable_[w].served) {
      server& sum = all[node];
      sum.units += from.units;
      sum.what = sum.what == digest{}
                     ? from.what
                     : hasher{"ovir/ledger/v1/served"}.update(sum.what).update(from.what).finish();
    }
  }
  return all;
}

/// How much of the work that each is paid for now was in time, and how much is unpaid.
void payment_core::note_times(std::vector<ledger::window_share>& of, std::uint64_t window) const {
  for (ledger::window_share& share : of) {
    std::uint64_t units = 0;
    std::uint64_t on_time = 0;
    std::uint64_t late = 0;
    for (std::uint64_t w = first_unpaid(window); w <= window; ++w) {
      const auto at = payable_[w].computed.find(share.node);
      if (at != payable_[w].computed.end()) {
        units += at->second.units;
        on_time += at->second.on_time;
        late += at->second.late;
      }
    }
    share.on_time = static_cast<std::uint32_t>(share.units * on_time / units);
    share.late_ppm = static_cast<std::uint32_t>(late * limits::ppm_one / units);
    share.amount -= ledger::scaled(share.amount, share.late_ppm, limits::ppm_one);
  }
}

void payment_core::leave_out(const std::vector<ledger::path_stage>& stages) {
  for (const ledger::path_stage& s : stages) {
    left_out_.insert(s.node);
  }
}

void payment_core::follow(const ledger::request_report& report) {
  over_ = !report.known || !report.open;
  windows_ = report.windows;
  accounted_ = report.accounted;
  prompt_accounted_ = report.prompt_accounted;
}

std::optional<ledger::command> payment_core::next(const std::set<node_id>& ejected) const {
  if (over_) {
    return std::nullopt;
  }
  const std::uint64_t prompt = reservation_.prompt;
  const std::uint64_t first = prompt == 0 ? 0 : (prompt - 1) / window_size;
  // A window whose tokens are accounted already, after a restart, is passed over.
  for (std::uint64_t w = first + (claimed_ ? 0 : windows_); w < payable_.size(); ++w) {
    const std::uint64_t end = payable_[w].end;
    const std::uint64_t frontier =
        std::min(reservation_.completion_max, end >= prompt ? end - prompt + 1 : 0);
    if (auto found = accrual(w, frontier, ejected)) {
      return found;
    }
  }
  if (!ended_) {
    return std::nullopt;
  }
  return ledger::settle{escrow_};
}

/// Nothing where all of them are named.
std::optional<ledger::command> payment_core::naming(const cohort& who, const servers& from) const {
  ledger::reroute x;
  x.request = escrow_;
  for (const auto& [node, w] : who) {
    if (!named_.contains(node)) { // what it asks was not agreed on: it gets the rate itself
      x.stages.push_back({node, w.units, limits::ppm_one});
    }
  }
  for (const auto& [node, s] : from) {
    if (!named_.contains(node) && !who.contains(node)) {
      x.stages.push_back({node, 1, limits::ppm_one});
    }
  }
  return x.stages.empty() ? std::nullopt : std::optional{ledger::command{std::move(x)}};
}

std::uint64_t payment_core::paid_positions() const noexcept {
  return std::max(paid_before_, prompt_accounted_ ? reservation_.prompt + accounted_ : 0);
}

/// What was paid before, these did not compute again.
void payment_core::add_kept(servers& from, const cohort& who, std::uint64_t positions) {
  for (const auto& [node, w] : who) {
    server& its = from[node];
    its.units += w.units * ((positions + window_size - 1) / window_size);
    its.what = hasher{"ovir/ledger/v1/kept"}.update(its.what).update(w.statement).finish();
  }
}

/// Nothing where no token is new, or nobody is left to pay.
std::optional<ledger::command> payment_core::accrual(std::uint64_t window, std::uint64_t frontier,
                                                     const std::set<node_id>& ejected) const {
  const ledger::token_delta d =
      ledger::delta_at(reservation_.prompt, prompt_accounted_, frontier, accounted_);
  const auto unpaid = [&](const auto& one) {
    return ejected.contains(one.first) || left_out_.contains(one.first);
  };
  cohort who = payable_[window].computed;
  servers from = served_to(window);
  std::erase_if(who, unpaid);
  std::erase_if(from, unpaid);
  const std::uint64_t all = d.prompt + d.completion;
  if (all == 0 || who.empty()) {
    return std::nullopt;
  }
  const std::uint64_t begin = prompt_accounted_ ? reservation_.prompt + accounted_ : 0;
  const std::uint64_t kept = std::min(all, paid_before_ - std::min(paid_before_, begin));
  const std::uint64_t kept_ppm = kept * limits::ppm_one / all;
  const std::uint64_t cited_ppm = share_of(from, prompt_accounted_ ? 1 : window + 1);
  if (kept > 0) {
    add_kept(from, who, kept);
  }
  if (who.size() + from.size() > limits::ledger_participants_max) {
    return std::nullopt;
  }
  if (auto first = naming(who, from)) {
    return first;
  }
  std::vector<ledger::priced_stage> priced;
  for (const ledger::path_stage& s : reservation_.stages) {
    priced.push_back({s.layers, s.ask_ppm});
  }
  const auto rate = ledger::path_rate(reservation_.rate, priced);
  const auto gross = rate ? ledger::token_price(d.prompt, d.completion, *rate) : rate;
  if (!gross) {
    return std::nullopt;
  }
  ledger::accrue a;
  a.request = escrow_;
  a.window = windows_;
  a.frontier = frontier;
  a.cached_ppm = kept_ppm + ledger::scaled(cited_ppm, limits::ppm_one - kept_ppm, limits::ppm_one);
  const ledger::micro_credits cached = ledger::scaled(*gross, a.cached_ppm, limits::ppm_one);
  const auto less_fee = [&](ledger::micro_credits amount) {
    return amount - ledger::scaled(amount, rules_.fee_ppm, limits::ppm_one);
  };
  auto for_computing = shares(kept < all ? who : cohort{}, less_fee(*gross - cached));
  const auto for_serving =
      shares(from, less_fee(ledger::scaled(cached, rules_.cache_ppm, limits::ppm_one)));
  if (!for_computing || !for_serving) {
    return std::nullopt;
  }
  note_times(*for_computing, window);
  a.computed = std::move(*for_computing);
  a.served = *for_serving;
  return ledger::command{std::move(a)};
}

// In millionths of all units of so many windows.
std::uint64_t payment_core::share_of(const servers& from, std::uint64_t windows) const {
  std::uint64_t units = 0;
  for (const auto& [node, s] : from) {
    units += s.units;
  }
  return units * limits::ppm_one / (windows * terms_.layers);
}

template <class Payees>
std::optional<std::vector<ledger::window_share>>
payment_core::shares(const Payees& who, ledger::micro_credits amount) {
  std::vector<ledger::window_share> out;
  std::vector<ledger::weighted> weights;
  for (const auto& [node, one] : who) {
    out.push_back(share(node, one));
    weights.push_back({node, out.back().weight});
  }
  if (out.empty()) {
    return out;
  }
  const auto parts = ledger::split(amount, weights);
  if (!parts) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].amount = (*parts)[i];
  }
  return out;
}

void payment_core::applied(const ledger::command& done) {
  if (const auto* const a = std::get_if<ledger::accrue>(&done)) {
    windows_ = a->window + 1;
    accounted_ = std::max(accounted_, a->frontier);
    prompt_accounted_ = true;
  } else if (const auto* const x = std::get_if<ledger::reroute>(&done)) {
    for (const ledger::path_stage& s : x->stages) {
      named_.insert(s.node);
    }
  } else {
    over_ = true;
  }
}

} // namespace ovir::actors
