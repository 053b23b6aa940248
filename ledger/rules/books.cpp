#include "ledger/rules/books.hpp"

#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

const account* books::find(const node_id& node) const noexcept { return accounts.find(node.key); }

const request_record* books::find_request(const escrow_id& request) const {
  const auto found = requests.find(request);
  return found == requests.end() ? nullptr : &found->second;
}

micro_credits* books::slot_of(const account_ref& ref) {
  switch (ref.kind) {
  case purse::mint: return nullptr;
  case purse::assurance: return &sums.assurance;
  case purse::treasury: return &sums.treasury;
  case purse::burn: return &sums.burnt;
  case purse::escrow: return &requests.at(ref.of).held;
  case purse::free: return &at(node_id{ref.of.bytes}).free;
  case purse::pending: return &at(node_id{ref.of.bytes}).pending;
  case purse::stake: return &at(node_id{ref.of.bytes}).stake;
  }
  OVIR_CHECK(false, static_cast<int>(ref.kind));
  return nullptr;
}

micro_credits books::balance(const account_ref& ref) const {
  if (ref.kind == purse::escrow) {
    const request_record* const q = find_request(ref.of);
    return q == nullptr ? 0 : q->held;
  }
  if (ref.kind == purse::mint) {
    return sums.minted;
  }
  if (ref.kind >= purse::free && ref.kind <= purse::stake &&
      accounts.find(ref.of.bytes) == nullptr) {
    return 0;
  }
  return *const_cast<books*>(this)->slot_of(ref); // makes nothing: what it names is there
}

void books::post(posting_kind kind, const account_ref& from, const account_ref& to,
                 micro_credits amount) {
  if (amount == 0) {
    return;
  }
  if (from.kind == purse::mint) {
    sums.minted += amount;
  } else {
    micro_credits* const source = slot_of(from);
    OVIR_CHECK(*source >= amount, *source, amount);
    *source -= amount;
  }
  *slot_of(to) += amount; // no overflow: all credits together are at most the supply
  effects->push_back({kind, from, to, amount, about, about_window});
  if (!vouchers.empty() && about != escrow_id{}) {
    charge_voucher(kind, from, to, amount);
  }
}

/// What a voucher has reserved and spent follows the movements of its requests: whatever comes back
/// to the payer is in its budget again, a conviction's refund, too.
void books::charge_voucher(posting_kind kind, const account_ref& from, const account_ref& to,
                           micro_credits amount) {
  const auto of = requests.find(about);
  voucher_record* const v = of == requests.end() ? nullptr : vouchers.find(of->second.voucher);
  if (v == nullptr) { // none pays, or it is over, and only a refund can still come
    return;
  }
  const bool home = to == purse_of(purse::free, of->second.payer);
  if (to.kind == purse::escrow) {
    v->reserved += amount;
  } else if (from.kind == purse::escrow) {
    OVIR_CHECK(v->reserved >= amount, v->reserved, amount);
    v->reserved -= amount;
    v->spent += home ? 0 : amount;
  } else if (home && (kind == posting_kind::clawback || kind == posting_kind::slash)) {
    OVIR_CHECK(v->spent >= amount, v->spent, amount);
    v->spent -= amount;
  }
  if (tracking) {
    changed.vouchers.push_back(of->second.voucher);
  }
}

void books::note_open(const request_record& q, bool begins) {
  if (voucher_record* const v = vouchers.find(q.voucher)) {
    v->open_requests += begins ? 1 : ~std::uint64_t{0};
    if (tracking) {
      changed.vouchers.push_back(q.voucher);
    }
  }
}

/// A command changes no request but its own.
void books::note_touched(const entry& e) {
  std::visit(
      [&](const auto& x) {
        if constexpr (std::is_same_v<std::decay_t<decltype(x)>, reserve>) {
          changed.requests.push_back(escrow_of(x));
        } else if constexpr (requires { x.request; }) {
          changed.requests.push_back(x.request);
        }
      },
      e.what);
}

touched books::take_touched() {
  touched all = std::exchange(changed, {});
  const auto each_once = [](auto& list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  };
  each_once(all.accounts);
  each_once(all.requests);
  each_once(all.vouchers);
  return all;
}

result<request_record*> books::open_request(const escrow_id& request) {
  const auto found = requests.find(request);
  if (found == requests.end()) {
    return fail(errc::not_found, "there is no request {}; it is over, or was never reserved",
                to_hex(request).substr(0, 8));
  }
  if (!found->second.open) {
    return fail(errc::invalid_argument, "the request {} is closed; nothing is left in its escrow",
                to_hex(request).substr(0, 8));
  }
  about = request;
  return &found->second;
}

result<request_record*> books::driven_request(const escrow_id& request, const node_id& by,
                                              command_kind what) {
  OVIR_ASSIGN(request_record* const q, open_request(request));
  if (!by.empty() && by != q->scheduler) {
    return fail(errc::invalid_argument, "the request {} is driven by {}, who alone may {} it",
                to_hex(request).substr(0, 8), short_name(q->scheduler), to_string(what));
  }
  if (!by.empty() && q->ended) {
    return fail(errc::invalid_argument,
                "the request {} was ended by who drives it; it is open for claims of its stages "
                "alone",
                to_hex(request).substr(0, 8));
  }
  return q;
}

void books::end(const escrow_id& request, request_record& q, posting_kind why) {
  if (q.held == 0) {
    return close(request, q, why);
  }
  q.ended = true;
  --at(q.payer).open_requests;
  expirations.erase({q.expires, request});
  q.expires = std::min(q.expires, now + limits::ledger_claims_wait_s);
  expirations.emplace(q.expires, request);
}

void books::close(const escrow_id& request, request_record& q, posting_kind why) {
  const micro_credits rest = q.held;
  q.open = false;
  q.returned = rest;
  at(q.payer).open_requests -= q.ended ? 0 : 1;
  note_open(q, false);
  expirations.erase({q.expires, request});
  post(why, {purse::escrow, request}, purse_of(purse::free, q.payer), rest);
  forget_if_done(request);
}

bool books::is_newcomer(const node_id& node) const {
  const account* const a = find(node);
  return origin.rules.deterrence.mode == trust_mode::zero_bond &&
         (a == nullptr || ledger::is_newcomer(*a, origin.rules));
}

result<void> books::check_admission(const node_id& node) const {
  const policy& rules = origin.rules;
  OVIR_TRY(check_server(node, find(node), rules));
  if (!is_newcomer(node)) {
    return {};
  }
  std::uint64_t all = 0;
  std::uint64_t newcomers = 0;
  for (const node_id& one : earning) {
    const account& its = *find(one);
    all += its.pending_windows;
    newcomers += ledger::is_newcomer(its, rules) ? its.pending_windows : 0;
  }
  const std::uint64_t most =
      std::max(rules.newcomer_units, scaled(all, rules.newcomer_pool_ppm, limits::ppm_one));
  return newcomers < most
             ? result<void>{}
             : fail(errc::busy,
                    "{} has neither stake nor history, and all such have {} windows pending "
                    "together, as many as they may; wait for their audits",
                    short_name(node), newcomers);
}

/// A request that is closed and has nothing pending cannot change any more.
void books::forget_if_done(const escrow_id& request) {
  const auto found = requests.find(request);
  if (!found->second.open && found->second.unsettled == 0) {
    requests.erase(found);
  }
}

void books::add_window(const escrow_id& request, request_record& q, std::uint32_t number,
                       window_record record) {
  record.accrued_at = now;
  note_paid(request, number, record);
  releases.emplace(now + origin.rules.audit_window_s, request, number);
  ++q.unsettled;
  for (const pending_share& s : record.shares) {
    account& a = at(s.node);
    a.assigned_units += s.units;
    a.last_active = now;
    if (a.pending_windows++ == 0) {
      earning.insert(s.node);
    }
  }
  (number >= first_compensation ? q.compensations : q.windows).push_back(std::move(record));
}

void books::note_paid(const escrow_id& request, std::uint32_t window, const window_record& w) {
  for (const pending_share& s : w.shares) {
    if (s.statement != digest{}) {
      paid.emplace(s.statement, s.node, request, window);
    }
  }
}

std::optional<paid_place> books::find_paid(const window_share& share, const node_id& by) const {
  for (auto at = paid.lower_bound({share.statement, share.node, escrow_id{}, 0});
       at != paid.end() && std::get<0>(*at) == share.statement && std::get<1>(*at) == share.node;
       ++at) {
    const escrow_id& request = std::get<2>(*at);
    const std::uint32_t window = std::get<3>(*at);
    const std::vector<pending_share>& shares = requests.at(request).windows.at(window).shares;
    const auto its = std::find_if(shares.begin(), shares.end(), [&](const pending_share& s) {
      return s.node == share.node && s.statement == share.statement;
    });
    if (!by.empty() || its->amount >= share.amount) {
      return paid_place{request, window};
    }
  }
  return std::nullopt;
}

void books::end_window(const escrow_id& request, request_record& q, std::uint32_t number,
                       window_phase phase) {
  window_record& w = number >= first_compensation ? q.compensations[number - first_compensation]
                                                  : q.windows[number];
  OVIR_CHECK(w.phase == window_phase::pending, number);
  releases.erase({w.accrued_at + origin.rules.audit_window_s, request, number});
  w.phase = phase;
  --q.unsettled;
  for (const pending_share& s : w.shares) {
    paid.erase({s.statement, s.node, request, number});
    if (--at(s.node).pending_windows == 0) {
      earning.erase(s.node);
    }
  }
}

std::vector<command> books::due(std::uint64_t time, std::size_t most,
                                std::uint64_t epochs_by) const {
  std::vector<command> found;
  most = std::min(most, limits::ledger_due_max);
  if (most > 0 && is_due(epochs, origin.rules, std::max(time, epochs_by))) {
    found.emplace_back(epoch_end{epochs.number});
  }
  for (auto at = expirations.begin();
       at != expirations.end() && at->first <= time && found.size() < most; ++at) {
    found.emplace_back(expire{at->second});
  }
  for (auto at = releases.begin();
       at != releases.end() && std::get<0>(*at) <= time && found.size() < most; ++at) {
    found.emplace_back(release{std::get<1>(*at), std::get<2>(*at)});
  }
  for (auto at = unlockings.begin();
       at != unlockings.end() && std::get<0>(*at) <= time && found.size() < most; ++at) {
    found.emplace_back(unlocked{std::get<1>(*at), std::get<2>(*at)});
  }
  return found;
}

/// Links do not count: an epoch must not be closed because of the links of the one before.
void books::count_entry(const command& c) {
  if (std::holds_alternative<epoch_end>(c) || std::holds_alternative<chain_link>(c)) {
    return;
  }
  ++epochs.entries;
  if (const accrue* const x = std::get_if<accrue>(&c)) {
    epochs.first_accrual = epochs.accruals == 0 ? now : epochs.first_accrual;
    ++epochs.accruals;
    const std::uint64_t prompt = requests.at(x->request).prompt;
    epochs.units += std::uint64_t{windows_paid(prompt, x->window).count} * x->computed.size();
  }
}

/// What becomes due when, of one request.
void books::note_due(const escrow_id& id, const request_record& q) {
  const std::uint64_t window = origin.rules.audit_window_s;
  if (q.open) {
    expirations.emplace(q.expires, id);
  }
  for (const bool extra : {false, true}) {
    const std::vector<window_record>& windows = extra ? q.compensations : q.windows;
    for (std::uint32_t i = 0; i < windows.size(); ++i) {
      if (windows[i].phase == window_phase::pending) {
        const std::uint32_t number = (extra ? first_compensation : 0) + i;
        releases.emplace(windows[i].accrued_at + window, id, number);
        note_paid(id, number, windows[i]);
      }
    }
  }
}

std::vector<std::pair<node_id, const account*>> books::in_order() const {
  std::vector<std::pair<node_id, const account*>> all;
  accounts.for_each([&](const auto& key, const account& a) { all.emplace_back(node_id{key}, &a); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return all;
}

} // namespace ovir::ledger
