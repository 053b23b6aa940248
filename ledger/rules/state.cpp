#include "ledger/rules/state.hpp"

#include "ledger/rules/standing.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

constexpr std::size_t time_bytes = 8;   // at the front of an entry
constexpr std::size_t proof_bytes = 64; // at the end of a signed one
constexpr std::uint64_t seconds_per_minute = 60;

/// Tells a retry from another command under the same id. FNV-1a, eight bytes at a time: a collision
/// on purpose only makes its author's command count as a retry, which moves nothing.
std::uint64_t content_of(const entry& e, std::span<const std::byte> bytes) {
  const std::size_t tail = signer_of(e.what) != nullptr ? proof_bytes : 0;
  const std::span<const std::byte> said =
      bytes.subspan(time_bytes, bytes.size() - time_bytes - tail);
  std::uint64_t sum = 0xcbf2'9ce4'8422'2325ULL ^ said.size();
  for (std::size_t i = 0; i < said.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, said.data() + i, std::min(sizeof(word), said.size() - i));
    sum = (sum ^ word) * 0x100'0000'01b3ULL;
    sum ^= sum >> 32U;
  }
  return sum;
}

constexpr account_ref of_ledger(purse kind) { return {kind, {}}; }

} // namespace

const account* state::find(const node_id& node) const noexcept { return accounts_.find(node.key); }

const request_record* state::find_request(const escrow_id& request) const {
  const auto found = requests_.find(request);
  return found == requests_.end() ? nullptr : &found->second;
}

std::optional<std::uint64_t> state::index_of(const digest& id) const noexcept {
  const auto found = ids_.find(id);
  return found ? std::optional{found->index} : std::nullopt;
}

micro_credits* state::slot_of(const account_ref& ref) {
  switch (ref.kind) {
  case purse::mint: return nullptr;
  case purse::assurance: return &totals_.assurance;
  case purse::treasury: return &totals_.treasury;
  case purse::burn: return &totals_.burnt;
  case purse::escrow: return &requests_.at(ref.of).held;
  case purse::free: return &at(node_id{ref.of.bytes}).free;
  case purse::pending: return &at(node_id{ref.of.bytes}).pending;
  case purse::stake: return &at(node_id{ref.of.bytes}).stake;
  }
  OVIR_CHECK(false, static_cast<int>(ref.kind));
  return nullptr;
}

micro_credits state::balance(const account_ref& ref) const {
  if (ref.kind == purse::escrow) {
    const request_record* const q = find_request(ref.of);
    return q == nullptr ? 0 : q->held;
  }
  if (ref.kind == purse::mint) {
    return totals_.minted;
  }
  if (ref.kind >= purse::free && ref.kind <= purse::stake &&
      accounts_.find(ref.of.bytes) == nullptr) {
    return 0;
  }
  return *const_cast<state*>(this)->slot_of(ref); // makes nothing: what it names is there
}

void state::post(posting_kind kind, const account_ref& from, const account_ref& to,
                 micro_credits amount) {
  if (amount == 0) {
    return;
  }
  if (from.kind == purse::mint) {
    totals_.minted += amount;
  } else {
    micro_credits* const source = slot_of(from);
    OVIR_CHECK(*source >= amount, *source, amount);
    *source -= amount;
  }
  *slot_of(to) += amount; // no overflow: all credits together are at most the supply
  effects_->push_back({kind, from, to, amount, about_, about_window_});
}

result<applied> state::apply(const entry& e, std::span<const std::byte> bytes, std::uint64_t index,
                             std::vector<posting>& effects) {
  return apply(e, bytes, index, effects, id_of(e.what));
}

result<applied> state::apply(const entry& e, std::span<const std::byte> bytes, std::uint64_t index,
                             std::vector<posting>& effects, const digest& id) {
  OVIR_CHECK(index == entries_, index, entries_);
  OVIR_TRY(check_form(e.what));
  const std::uint64_t content = content_of(e, bytes);
  if (const auto known = ids_.find(id)) {
    if (known->content != content) {
      return fail(errc::invalid_argument,
                  "entry {} is another {} under the same id; use a new nonce", known->index,
                  to_string(kind_of(e.what)));
    }
    return applied{apply_outcome::duplicate, known->index};
  }
  if (std::holds_alternative<genesis>(e.what) != (index == 0)) {
    return fail(errc::invalid_argument, "a ledger begins with its rules, and has them only there");
  }
  if (e.time < time_ || e.time > limits::ledger_seconds_max) {
    return fail(errc::invalid_argument, "the time is {}, after an entry of {}; times never go back",
                e.time, time_);
  }
  if (index >= limits::ledger_entries_max) {
    return fail(errc::over_limit, "a log has at most {} entries; begin a new ledger",
                limits::ledger_entries_max);
  }
  const std::uint64_t before = std::exchange(now_, e.time);
  if (auto done = step(e, effects); !done) {
    now_ = before;
    return done.error();
  }
  ids_.append({id, content});
  time_ = e.time;
  ++entries_;
  return applied{apply_outcome::applied, index};
}

result<void> state::step(const entry& e, std::vector<posting>& effects) {
  effects_ = &effects;
  about_ = {};
  about_window_ = 0;
  OVIR_TRY(admit_action(e));
  OVIR_TRY(std::visit([&](const auto& x) { return run(x); }, e.what));
  if (const node_id* const signer = signer_of(e.what); signer != nullptr) {
    count_action(e, *signer, nonce_of(e.what));
  }
  if (tracking_) {
    note_touched(e);
  }
  return {};
}

/// A command changes no request but its own.
void state::note_touched(const entry& e) {
  std::visit(
      [&](const auto& x) {
        if constexpr (std::is_same_v<std::decay_t<decltype(x)>, reserve>) {
          touched_.requests.push_back(escrow_of(x));
        } else if constexpr (requires { x.request; }) {
          touched_.requests.push_back(x.request);
        }
      },
      e.what);
}

touched state::take_touched() {
  touched all = std::exchange(touched_, {});
  const auto each_once = [](auto& list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  };
  each_once(all.accounts);
  each_once(all.requests);
  return all;
}

/// Order and frequency of what accounts sign. Changes nothing.
result<void> state::admit_action(const entry& e) {
  const node_id* const signer = signer_of(e.what);
  const account* const a = signer == nullptr ? nullptr : find(*signer);
  if (a == nullptr) {
    return {};
  }
  if (const std::uint64_t nonce = nonce_of(e.what); nonce <= a->nonce) {
    return fail(errc::invalid_argument,
                "the nonce {} of {} is not above {}, the last it used; sign it "
                "again under a higher one",
                nonce, short_name(*signer), a->nonce);
  }
  if (a->minute == e.time / seconds_per_minute &&
      a->actions >= origin_.rules.actions_per_minute_max) {
    return fail(errc::busy, "{} asked {} times this minute, as often as it may; try again later",
                short_name(*signer), a->actions);
  }
  return {};
}

void state::count_action(const entry& e, const node_id& signer, std::uint64_t nonce) {
  account& a = at(signer);
  a.nonce = nonce;
  const std::uint64_t minute = e.time / seconds_per_minute;
  a.actions = a.minute == minute ? a.actions + 1 : 1;
  a.minute = minute;
}

result<void> state::run(const genesis& x) {
  origin_ = x;
  return {};
}

result<void> state::run(const mint& x) {
  if (!std::binary_search(origin_.mint_keys.begin(), origin_.mint_keys.end(), x.by)) {
    return fail(errc::invalid_argument, "{} is none of this ledger's mint keys", short_name(x.by));
  }
  if (x.amount > limits::ledger_supply_max - totals_.minted) {
    return fail(errc::over_limit, "minting {} beside {} would exceed {}, all there may be",
                x.amount, totals_.minted, limits::ledger_supply_max);
  }
  const account_ref to = x.target == mint_target::participant ? purse_of(purse::free, x.to)
                         : x.target == mint_target::assurance ? of_ledger(purse::assurance)
                                                              : of_ledger(purse::treasury);
  post(posting_kind::mint, of_ledger(purse::mint), to, x.amount);
  return {};
}

namespace {

error not_enough(const node_id& node, std::string_view purse, micro_credits has,
                 micro_credits wanted) {
  return fail(errc::over_limit, "{} has {} micro-credits {}, which is less than {}",
              short_name(node), has, purse, wanted);
}

} // namespace

result<void> state::run(const transfer& x) {
  const account* const from = find(x.from);
  const micro_credits has = from == nullptr ? 0 : from->free;
  if (has < x.amount) {
    return not_enough(x.from, "free", has, x.amount);
  }
  post(posting_kind::transfer, purse_of(purse::free, x.from), purse_of(purse::free, x.to),
       x.amount);
  return {};
}

result<void> state::run(const lock& x) {
  const account* const a = find(x.account);
  if (a == nullptr || a->free < x.amount) {
    return not_enough(x.account, "free", a == nullptr ? 0 : a->free, x.amount);
  }
  if (a->ejected) {
    return fail(errc::invalid_argument, "{} was convicted and may stake no more",
                short_name(x.account));
  }
  post(posting_kind::lock, purse_of(purse::free, x.account), purse_of(purse::stake, x.account),
       x.amount);
  return {};
}

result<void> state::run(const unlock& x) {
  const account* const found = find(x.account);
  if (found == nullptr || found->firm_stake() < x.amount) {
    return not_enough(x.account, "at stake and not called back",
                      found == nullptr ? 0 : found->firm_stake(), x.amount);
  }
  if (found->unlockings.size() >= limits::ledger_unlockings_max) {
    return fail(errc::busy, "{} is calling back stake {} times already; wait for one to end",
                short_name(x.account), found->unlockings.size());
  }
  const std::uint64_t due = now_ + origin_.rules.unlock_delay_s;
  at(x.account).unlockings.push_back({x.amount, due, x.nonce});
  unlockings_.emplace(due, x.account, x.nonce);
  return {};
}

result<void> state::run(const unlocked& x) {
  const account* const found = find(x.account);
  const auto is_it = [&](const unlocking& u) { return u.nonce == x.unlock_nonce; };
  if (found == nullptr || std::none_of(found->unlockings.begin(), found->unlockings.end(), is_it)) {
    return fail(errc::not_found, "{} called no stake back under the nonce {}",
                short_name(x.account), x.unlock_nonce);
  }
  account& a = at(x.account);
  const auto at_it = std::find_if(a.unlockings.begin(), a.unlockings.end(), is_it);
  if (at_it->due > now_) {
    return fail(errc::invalid_argument, "this stake of {} can be lost until {}; it is {}",
                short_name(x.account), at_it->due, now_);
  }
  const micro_credits amount = at_it->amount;
  unlockings_.erase({at_it->due, x.account, at_it->nonce});
  a.unlockings.erase(at_it);
  post(posting_kind::unlock, purse_of(purse::stake, x.account), purse_of(purse::free, x.account),
       amount);
  return {};
}

result<void> state::run(const reserve& x) {
  const policy& rules = origin_.rules;
  if (x.expires <= now_ || x.expires - now_ > rules.reservation_s_max) {
    return fail(errc::invalid_argument,
                "the reservation ends at {}; it is {}, and it may last {} seconds at most",
                x.expires, now_, rules.reservation_s_max);
  }
  std::vector<priced_stage> priced;
  for (const path_stage& s : x.stages) {
    priced.push_back({s.layers, s.ask_ppm});
    OVIR_TRY(check_admission(s.node, find(s.node), rules));
  }
  OVIR_ASSIGN(const micro_credits rate, path_rate(x.rate, priced));
  OVIR_ASSIGN(const micro_credits quote, token_price(x.prompt, x.completion_max, rate));
  const account* const payer = find(x.payer);
  const micro_credits has = payer == nullptr ? 0 : payer->free;
  if (has < quote) {
    return fail(errc::over_limit,
                "{} has {} micro-credits free and this request may cost {}; add credit or ask for "
                "fewer tokens",
                short_name(x.payer), has, quote);
  }
  if (payer->open_requests >= limits::ledger_open_requests_max) {
    return fail(errc::busy, "{} has {} requests open, as many as it may; wait for one to end",
                short_name(x.payer), payer->open_requests);
  }
  about_ = escrow_of(x);
  request_record& q = requests_[about_];
  q.payer = x.payer;
  q.scheduler = x.scheduler.empty() ? x.payer : x.scheduler;
  q.rate = rate;
  q.prompt = x.prompt;
  q.completion_max = x.completion_max;
  q.expires = x.expires;
  q.reserved = quote;
  for (const path_stage& s : x.stages) {
    q.layers += s.layers; // at most ledger_layers_max each, as path_rate saw
  }
  name_payees(q, x.stages);
  ++at(x.payer).open_requests;
  expirations_.emplace(x.expires, about_);
  post(posting_kind::reserve, purse_of(purse::free, x.payer), {purse::escrow, about_}, quote);
  return {};
}

/// Precondition: there is room for them.
void state::name_payees(request_record& q, const std::vector<path_stage>& stages) {
  for (const path_stage& s : stages) {
    const auto at = std::lower_bound(q.path.begin(), q.path.end(), s.node);
    if (at == q.path.end() || *at != s.node) {
      q.path.insert(at, s.node);
    }
  }
}

result<request_record*> state::open_request(const escrow_id& request) {
  const auto found = requests_.find(request);
  if (found == requests_.end()) {
    return fail(errc::not_found, "there is no request {}; it is over, or was never reserved",
                to_hex(request).substr(0, 8));
  }
  if (!found->second.open) {
    return fail(errc::invalid_argument, "the request {} is closed; nothing is left in its escrow",
                to_hex(request).substr(0, 8));
  }
  about_ = request;
  return &found->second;
}

void state::close(const escrow_id& request, request_record& q, posting_kind why) {
  const micro_credits rest = q.held;
  q.open = false;
  q.returned = rest;
  --at(q.payer).open_requests;
  expirations_.erase({q.expires, request});
  post(why, {purse::escrow, request}, purse_of(purse::free, q.payer), rest);
  forget_if_done(request);
}

/// A request that is closed and has nothing pending cannot change any more.
void state::forget_if_done(const escrow_id& request) {
  const auto found = requests_.find(request);
  if (!found->second.open && found->second.unsettled == 0) {
    requests_.erase(found);
  }
}

result<void> state::run(const settle& x) {
  OVIR_ASSIGN(request_record* const q, open_request(x.request));
  close(x.request, *q, posting_kind::settle);
  return {};
}

result<void> state::run(const cancel& x) {
  OVIR_ASSIGN(request_record* const q, open_request(x.request));
  if (q->payer != x.payer) {
    return fail(errc::invalid_argument, "{} did not make this reservation", short_name(x.payer));
  }
  if (q->scheduler != q->payer) { // else it could take the answer first
    return fail(errc::invalid_argument,
                "this reservation is entrusted to {}; it ends when that settles it, or at {}",
                short_name(q->scheduler), q->expires);
  }
  if (!q->windows.empty()) {
    return fail(errc::invalid_argument,
                "work was done for this request; it ends when its scheduler settles it, or at {}",
                q->expires);
  }
  close(x.request, *q, posting_kind::cancel);
  return {};
}

result<void> state::run(const expire& x) {
  OVIR_ASSIGN(request_record* const q, open_request(x.request));
  if (q->expires > now_) {
    return fail(errc::invalid_argument, "the reservation lasts until {}; it is {}", q->expires,
                now_);
  }
  close(x.request, *q, posting_kind::expire);
  return {};
}

std::vector<command> state::due(std::uint64_t now, std::size_t most) const {
  std::vector<command> found;
  most = std::min(most, limits::ledger_due_max);
  for (auto at = expirations_.begin();
       at != expirations_.end() && at->first <= now && found.size() < most; ++at) {
    found.emplace_back(expire{at->second});
  }
  for (auto at = releases_.begin();
       at != releases_.end() && std::get<0>(*at) <= now && found.size() < most; ++at) {
    found.emplace_back(release{std::get<1>(*at), std::get<2>(*at)});
  }
  for (auto at = unlockings_.begin();
       at != unlockings_.end() && std::get<0>(*at) <= now && found.size() < most; ++at) {
    found.emplace_back(unlocked{std::get<1>(*at), std::get<2>(*at)});
  }
  return found;
}

std::vector<std::pair<node_id, const account*>> state::accounts() const {
  std::vector<std::pair<node_id, const account*>> all;
  accounts_.for_each(
      [&](const auto& key, const account& a) { all.emplace_back(node_id{key}, &a); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return all;
}

} // namespace ovir::ledger
