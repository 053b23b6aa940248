#include "tests/support/ledger/ledger_model.hpp"

#include <algorithm>

namespace ovir::test {

namespace {

using credits = ledger_model::credits;
using ledger::command;

constexpr credits million = 1'000'000;
constexpr credits supply = credits{1} << 62;
constexpr credits tokens_most = 1'000'000'000;
constexpr credits rate_most = 1'000'000'000'000'000;

std::string text(const node_id& n) { return to_hex(n); }
std::string text(const digest& d) { return to_hex(d); }

credits ceil_div(credits a, credits b) { return (a + b - 1) / b; }

/// Under which name an operation is done at most once.
std::string name_of(const command& c) {
  const std::string kind = std::to_string(c.index()) + "/";
  return kind + std::visit(
                    [](const auto& x) -> std::string {
                      if constexpr (requires { x.carried; }) {
                        const counted_stream& s = x.carried.what;
                        return text(s.relay) + text(s.sender) + text(s.receiver) +
                               std::string{s.session.begin(), s.session.end()} +
                               std::to_string(x.carried.part);
                      } else if constexpr (requires { x.by; }) {
                        return text(x.by) + std::to_string(x.nonce);
                      } else if constexpr (requires { x.from; }) {
                        return text(x.from) + std::to_string(x.nonce);
                      } else if constexpr (requires { x.unlock_nonce; }) {
                        return text(x.account) + std::to_string(x.unlock_nonce);
                      } else if constexpr (requires { x.account; }) {
                        return text(x.account) + std::to_string(x.nonce);
                      } else if constexpr (requires {
                                             x.stages;
                                             x.request;
                                           }) {
                        return text(x.scheduler) + std::to_string(x.nonce);
                      } else if constexpr (requires { x.stages; }) {
                        const bool pays = x.voucher == digest{};
                        return (pays ? text(x.payer) : text(x.voucher) + text(x.scheduler)) +
                               text(x.about) + std::to_string(x.nonce);
                      } else if constexpr (requires { x.anchor; }) {
                        return text(x.verifier) + std::to_string(x.nonce);
                      } else if constexpr (requires { x.link; }) {
                        return text(x.verifier) + std::to_string(x.epoch);
                      } else if constexpr (requires { x.number; }) {
                        return std::to_string(x.number);
                      } else if constexpr (requires { x.guilty; }) {
                        return text(x.guilty);
                      } else if constexpr (requires { x.receipt; }) {
                        return text(x.request) + std::to_string(x.window) + "." +
                               std::to_string(x.layer) + text(x.to);
                      } else if constexpr (requires { x.window; }) {
                        return text(x.request) + std::to_string(x.window);
                      } else if constexpr (requires { x.request; }) {
                        return text(x.request);
                      } else {
                        return {};
                      }
                    },
                    c);
}

std::string content_of(const command& c) {
  std::vector<std::byte> bytes;
  ledger::encode({0, c, {}}, bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct signed_by {
  std::string who;
  std::uint64_t nonce{0};
};
signed_by signer(const command& c) {
  return std::visit(
      [](const auto& x) -> signed_by {
        if constexpr (requires { x.carried; }) {
          return {text(x.carried.what.relay), x.nonce};
        } else if constexpr (requires { x.by; }) {
          return {text(x.by), x.nonce};
        } else if constexpr (requires { x.from; }) {
          return {text(x.from), x.nonce};
        } else if constexpr (requires {
                               x.account;
                               x.nonce;
                             }) {
          return {text(x.account), x.nonce};
        } else if constexpr (requires { x.completion_max; }) {
          return {text(x.voucher == digest{} ? x.payer : x.scheduler), x.nonce};
        } else if constexpr (requires { x.payer; }) {
          return {text(x.payer), x.nonce};
        } else if constexpr (requires {
                               x.scheduler;
                               x.nonce;
                             }) {
          return {text(x.scheduler), x.nonce};
        } else if constexpr (requires { x.anchor; }) {
          return {text(x.verifier), x.nonce};
        } else {
          return {};
        }
      },
      c);
}

} // namespace

credits ledger_model::of(const std::string& name) const {
  const auto found = balances_.find(name);
  return found == balances_.end() ? 0 : found->second;
}

std::uint64_t ledger_model::balance(const std::string& name) const {
  return static_cast<std::uint64_t>(of(name));
}

void ledger_model::go(const std::string& from, const std::string& to, credits amount) {
  if (amount != 0) {
    balances_[from] -= amount;
    balances_[to] += amount;
  }
}

credits ledger_model::up_to(const std::string& from, const std::string& to, credits amount) {
  const credits there = std::min(amount, of(from));
  go(from, to, there);
  return there;
}

bool ledger_model::apply(const command& c, std::uint64_t now) {
  if (!ledger::check_form(c)) {
    return false;
  }
  const std::string id = name_of(c);
  if (const auto found = done_.find(id); found != done_.end()) {
    return found->second == content_of(c);
  }
  if (now < last_ || (c.index() == 0) != done_.empty()) {
    return false;
  }
  now_ = now;
  const signed_by by = signer(c);
  if (!by.who.empty()) {
    const auto used = nonces_.find(by.who);
    if ((used != nonces_.end() && by.nonce <= used->second) ||
        actions_[{by.who, now / 60}] >= rules_.rules.actions_per_minute_max) {
      return false;
    }
  }
  if (!std::visit([&](const auto& x) { return run(x); }, c)) {
    return false;
  }
  last_ = now;
  done_[id] = content_of(c);
  count(c);
  if (!by.who.empty()) {
    nonces_[by.who] = by.nonce;
    ++actions_[{by.who, now / 60}];
  }
  return true;
}

bool ledger_model::run(const ledger::genesis& x) {
  rules_ = x;
  return true;
}

bool ledger_model::run(const ledger::mint& x) {
  const auto& keys = rules_.mint_keys;
  if (std::find(keys.begin(), keys.end(), x.by) == keys.end() || minted_ + x.amount > supply) {
    return false;
  }
  minted_ += x.amount;
  const std::string to = x.target == ledger::mint_target::participant ? "free/" + text(x.to)
                         : x.target == ledger::mint_target::assurance ? "assurance"
                                                                      : "treasury";
  balances_[to] += x.amount;
  return true;
}

bool ledger_model::run(const ledger::transfer& x) {
  if (of("free/" + text(x.from)) < x.amount) {
    return false;
  }
  go("free/" + text(x.from), "free/" + text(x.to), x.amount);
  return true;
}

bool ledger_model::run(const ledger::carriage& x) {
  constexpr credits part = credits{64} << 20;
  const counted_stream& s = x.carried.what;
  const credits begin = credits{x.carried.part} * part;
  const credits price = std::min(credits{s.bytes} - begin, part) * rules_.rules.relay_fee >> 20;
  if (price == 0 || of("free/" + text(s.receiver)) < price) {
    return false;
  }
  go("free/" + text(s.receiver), "free/" + text(s.relay), price);
  return true;
}

bool ledger_model::run(const ledger::lock& x) {
  const std::string node = text(x.account);
  if (of("free/" + node) < x.amount || ejected_.contains(node)) {
    return false;
  }
  go("free/" + node, "stake/" + node, x.amount);
  return true;
}

credits ledger_model::leaving(const std::string& node) const {
  credits sum = 0;
  if (const auto found = called_back_.find(node); found != called_back_.end()) {
    for (const auto& [nonce, c] : found->second) {
      sum += c.amount;
    }
  }
  return sum;
}

bool ledger_model::run(const ledger::unlock& x) {
  const std::string node = text(x.account);
  if (of("stake/" + node) - leaving(node) < x.amount || called_back_[node].size() >= 8) {
    return false;
  }
  called_back_[node][x.nonce] = {x.amount, now_ + rules_.rules.unlock_delay_s};
  return true;
}

bool ledger_model::run(const ledger::unlocked& x) {
  const std::string node = text(x.account);
  const auto found = called_back_[node].find(x.unlock_nonce);
  if (found == called_back_[node].end() || found->second.due > now_) {
    return false;
  }
  go("stake/" + node, "free/" + node, found->second.amount);
  called_back_[node].erase(found);
  return true;
}

std::uint64_t ledger_model::pending_windows(const std::string& node) const {
  std::uint64_t pending = 0;
  for (const window& w : windows_) {
    if (w.phase == 0) {
      for (const part& p : w.parts) {
        pending += p.node == node ? 1 : 0;
      }
    }
  }
  return pending;
}

bool ledger_model::may_take_part(const ledger::path_stage& s) const {
  const std::string node = text(s.node);
  if (s.layers == 0 || s.layers > 65'536 || s.ask_ppm == 0 || s.ask_ppm > 1'000'000'000 ||
      ejected_.contains(node)) {
    return false;
  }
  const ledger::deterrence_terms& t = rules_.rules.deterrence;
  if (t.mode == ledger::trust_mode::bonded) {
    return firm_stake(node) >= t.stake;
  }
  if (is_known(node)) {
    return true;
  }
  std::uint64_t all = 0;
  std::uint64_t newcomers = 0;
  for (const window& w : windows_) {
    for (const part& p : w.phase == 0 ? w.parts : std::vector<part>{}) {
      ++all;
      newcomers += is_known(p.node) ? 0 : 1;
    }
  }
  const std::uint64_t pool = all * rules_.rules.newcomer_pool_ppm / 1'000'000;
  return pending_windows(node) < rules_.rules.newcomer_units &&
         newcomers < std::max(rules_.rules.newcomer_units, pool);
}

credits ledger_model::firm_stake(const std::string& node) const {
  return of("stake/" + node) - leaving(node);
}

bool ledger_model::is_known(const std::string& node) const {
  const auto valid = valid_.find(node);
  const credits firm = firm_stake(node);
  return (valid != valid_.end() && valid->second > 0) ||
         (firm > 0 && firm >= rules_.rules.admission_stake);
}

bool ledger_model::run(const ledger::reroute& x) {
  const auto found = requests_.find(text(x.request));
  if (found == requests_.end() || !found->second.open) {
    return false;
  }
  request& q = found->second;
  if (q.ended || text(x.scheduler) != (q.scheduler.empty() ? q.payer : q.scheduler) ||
      q.path.size() + x.stages.size() > 256 ||
      !std::all_of(x.stages.begin(), x.stages.end(),
                   [&](const ledger::path_stage& s) { return may_take_part(s); })) {
    return false;
  }
  for (const ledger::path_stage& s : x.stages) {
    q.path.insert(text(s.node));
  }
  return true;
}

bool ledger_model::run(const ledger::reserve& x) {
  if (x.expires <= now_ || x.expires - now_ > rules_.rules.reservation_s_max || x.rate == 0 ||
      x.rate > static_cast<std::uint64_t>(rate_most)) {
    return false;
  }
  credits layers = 0;
  credits asked = 0;
  for (const ledger::path_stage& s : x.stages) {
    if (!may_take_part(s)) {
      return false;
    }
    layers += s.layers;
    asked += credits{s.layers} * s.ask_ppm;
  }
  const credits rate = ceil_div(credits{x.rate} * asked, layers * million);
  const credits quote = (credits{x.prompt} + x.completion_max) * rate;
  const std::string payer = text(x.payer);
  const auto open = std::count_if(requests_.begin(), requests_.end(), [&](const auto& r) {
    return r.second.payer == payer && r.second.open && !r.second.ended;
  });
  if (rate > rate_most || quote > of("free/" + payer) || open >= 1'024 ||
      (x.voucher != digest{} && !may_spend(x, quote))) {
    return false;
  }
  const std::string id = text(ledger::escrow_of(x));
  const std::string scheduler =
      x.scheduler.empty() || x.scheduler == x.payer ? "" : text(x.scheduler);
  requests_[id] = {payer,
                   scheduler,
                   rate,
                   x.prompt,
                   x.completion_max,
                   0,
                   false,
                   true,
                   x.expires,
                   {},
                   {},
                   {},
                   static_cast<std::uint64_t>(layers),
                   0,
                   false,
                   x.voucher == digest{} ? "" : text(x.voucher),
                   quote};
  for (const ledger::path_stage& s : x.stages) {
    requests_[id].path.insert(text(s.node));
  }
  go("free/" + payer, "escrow/" + id, quote);
  return true;
}

std::vector<credits> ledger_model::share_out(credits amount, std::vector<part> by_weight) {
  credits sum = 0;
  for (const part& p : by_weight) {
    sum += p.amount;
  }
  std::vector<credits> out(by_weight.size(), 0);
  std::vector<credits> rest(by_weight.size(), 0);
  credits left = amount;
  for (std::size_t i = 0; i < by_weight.size(); ++i) {
    out[i] = amount * by_weight[i].amount / sum;
    rest[i] = amount * by_weight[i].amount % sum;
    left -= out[i];
  }
  for (; left > 0; --left) { // one unit at a time, to whoever has the most left over
    std::size_t best = 0;
    for (std::size_t i = 1; i < out.size(); ++i) {
      if (rest[i] > rest[best] ||
          (rest[i] == rest[best] && by_weight[i].node < by_weight[best].node)) {
        best = i;
      }
    }
    ++out[best];
    rest[best] = -1;
  }
  return out;
}

bool ledger_model::shares_are_right(const request& q,
                                    const std::vector<ledger::window_share>& shares,
                                    credits amount) const {
  std::uint64_t units = 0;
  std::vector<part> weights;
  credits sum = 0;
  credits paid = 0;
  std::set<std::string> names;
  for (const ledger::window_share& s : shares) {
    units += s.units;
    if (ejected_.contains(text(s.node)) || !names.insert(text(s.node)).second ||
        !q.path.contains(text(s.node)) || units > q.layers || s.weight > (std::uint64_t{1} << 62)) {
      return false;
    }
    weights.push_back({text(s.node), credits{s.weight}});
    sum += s.weight;
  }
  if (shares.empty()) {
    return amount == 0;
  }
  if (sum == 0) {
    return false;
  }
  const std::vector<credits> right = share_out(amount, weights);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const credits late = right[i] * shares[i].late_ppm / million;
    if (right[i] - late != credits{shares[i].amount}) {
      return false;
    }
    paid += right[i];
  }
  return paid == amount;
}

/// Under audit somewhere. Claims pay what was paid less for, or by the same request in part.
bool ledger_model::is_paid(const ledger::window_share& s, const ledger::accrue& x) const {
  const bool claimed = x.scheduler.empty();
  return std::any_of(windows_.begin(), windows_.end(), [&](const window& w) {
    return w.phase == 0 && !(claimed && w.request == text(x.request)) &&
           std::any_of(w.parts.begin(), w.parts.end(), [&](const part& p) {
             return p.node == text(s.node) && p.computed == text(s.statement) &&
                    (!claimed || p.amount >= credits{s.amount});
           });
  });
}

bool ledger_model::run(const ledger::accrue& x) {
  const std::string id = text(x.request);
  const auto found = requests_.find(id);
  if (found == requests_.end() || !found->second.open || x.window != found->second.windows.size() ||
      x.frontier > found->second.completion || !may_say(id, x.scheduler)) {
    return false;
  }
  request& q = found->second;
  const credits prompt = q.prompt_done ? 0 : credits{q.prompt};
  const credits completion = std::max<credits>(0, credits{x.frontier} - q.accounted);
  if (prompt + completion == 0) {
    return false;
  }
  const credits gross = (prompt + completion) * q.rate;
  const credits cached = gross * x.cached_ppm / million;
  const credits serving = cached * rules_.rules.cache_ppm / million;
  const credits fee_a = (gross - cached) * rules_.rules.fee_ppm / million;
  const credits fee_b = serving * rules_.rules.fee_ppm / million;
  if (!shares_are_right(q, x.computed, gross - cached - fee_a) ||
      !shares_are_right(q, x.served, serving - fee_b) ||
      std::any_of(x.computed.begin(), x.computed.end(),
                  [&](const ledger::window_share& s) { return is_paid(s, x); })) {
    return false;
  }
  window w{id, now_, gross, fee_a + fee_b, cached - serving, 0, false, 0, {}};
  credits paid = 0;
  for (const auto* shares : {&x.computed, &x.served}) {
    for (const ledger::window_share& s : *shares) {
      go("escrow/" + id, "pending/" + text(s.node), s.amount);
      w.parts.push_back({text(s.node), credits{s.amount},
                         shares == &x.computed ? text(s.statement) : std::string{}});
      paid += s.amount;
    }
  }
  w.withheld = gross - w.fee - w.refund - paid;
  go("escrow/" + id, "assurance", w.fee + w.withheld);
  go("escrow/" + id, "free/" + q.payer, w.refund);
  q.cost -= w.refund;
  q.prompt_done = true;
  q.accounted += static_cast<std::uint64_t>(completion);
  q.windows.push_back(windows_.size());
  windows_.push_back(std::move(w));
  units_.emplace_back();
  for (const auto* shares : {&x.computed, &x.served}) {
    for (const ledger::window_share& s : *shares) {
      units_.back().push_back(s.on_time);
    }
  }
  return true;
}

/// Closed and nothing pending: the ledger knows no such request any more.
bool ledger_model::gone(const std::string& id) const {
  const auto found = requests_.find(id);
  if (found == requests_.end()) {
    return true;
  }
  const auto pending = [&](std::size_t at) { return windows_[at].phase == 0; };
  const request& q = found->second;
  return !q.open && std::none_of(q.windows.begin(), q.windows.end(), pending) &&
         std::none_of(q.compensations.begin(), q.compensations.end(), pending);
}

bool ledger_model::run(const ledger::release& x) {
  const std::string id = text(x.request);
  const bool extra = x.window >= (1U << 31U);
  const std::size_t place = extra ? x.window - (1U << 31U) : x.window;
  if (gone(id)) {
    return false;
  }
  const request& q = requests_.at(id);
  const auto& list = extra ? q.compensations : q.windows;
  if (place >= list.size()) {
    return false;
  }
  window& w = windows_[list[place]];
  if (w.phase != 0 || now_ < w.at + rules_.rules.audit_window_s) {
    return false;
  }
  for (std::size_t i = 0; i < w.parts.size(); ++i) {
    const part& p = w.parts[i];
    if (!ejected_.contains(p.node)) {
      go("pending/" + p.node, "free/" + p.node, p.amount);
      valid_[p.node] += units_[list[place]].empty() ? 0 : units_[list[place]][i];
    }
  }
  w.phase = 1;
  return true;
}

bool ledger_model::close(const std::string& id) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || !found->second.open) {
    return false;
  }
  found->second.open = false;
  found->second.cost -= of("escrow/" + id);
  go("escrow/" + id, "free/" + found->second.payer, of("escrow/" + id));
  return true;
}

/// Of what claims lead to, the keeper is sure.
bool ledger_model::may_say(const std::string& id, const node_id& by) const {
  const auto found = requests_.find(id);
  return by.empty() || (found != requests_.end() && !found->second.ended &&
                        text(by) == (found->second.scheduler.empty() ? found->second.payer
                                                                     : found->second.scheduler));
}

/// What is left waits a minute for claims.
void ledger_model::end(const std::string& id) {
  request& q = requests_.at(id);
  if (of("escrow/" + id) == 0) {
    close(id);
    return;
  }
  q.ended = true;
  q.expires = std::min<std::uint64_t>(q.expires, now_ + 60);
}

bool ledger_model::run(const ledger::settle& x) {
  const std::string id = text(x.request);
  const auto found = requests_.find(id);
  if (found == requests_.end() || !found->second.open || !may_say(id, x.scheduler)) {
    return false;
  }
  if (x.scheduler.empty()) {
    return close(id);
  }
  end(id);
  return true;
}

bool ledger_model::run(const ledger::cancel& x) {
  const auto found = requests_.find(text(x.request));
  if (found == requests_.end() || !found->second.open || found->second.ended ||
      found->second.payer != text(x.payer) || !found->second.scheduler.empty() ||
      !found->second.windows.empty()) {
    return false;
  }
  end(found->first);
  return true;
}

bool ledger_model::run(const ledger::expire& x) {
  const auto found = requests_.find(text(x.request));
  return found != requests_.end() && found->second.expires <= now_ && close(text(x.request));
}

} // namespace ovir::test
