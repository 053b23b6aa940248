#include "tests/support/ledger/ledger_commands.hpp"

#include "ledger/rules/chain_step.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/carriage.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::test {

using namespace ledger;

namespace {

constexpr std::uint64_t mint_key_number = 100;

} // namespace

node_id ledger_commands::node(std::uint64_t number) {
  node_id id;
  id.key[0] = static_cast<std::uint8_t>(number * 73 + 1); // not in the order of numbers
  id.key[1] = static_cast<std::uint8_t>(number);
  return id;
}

genesis ledger_commands::rules_for_test(std::uint64_t seed) {
  std::mt19937_64 random{seed};
  genesis g;
  g.rules.audit_window_s = 1 + random() % 60;
  g.rules.unlock_delay_s = g.rules.audit_window_s + random() % 100;
  g.rules.reservation_s_max = 1 + random() % 200;
  g.rules.fee_ppm = random() % 3 == 0 ? 0 : random() % 100'000;
  g.rules.cache_ppm = random() % 1'000'001;
  g.rules.finder_ppm = random() % 1'000'000;
  g.rules.newcomer_units = 1 + random() % 20;
  g.rules.epoch_entries = 16 + random() % 40;
  g.rules.epoch_s = 1 + random() % 40;
  g.rules.admission_stake = random() % 1'000;
  g.rules.actions_per_minute_max = random() % 4 == 0 ? 3 : 1'000'000;
  g.rules.deterrence.audit_fee = 1 + random() % 5'000;
  if (random() % 2 == 0) {
    g.rules.deterrence.mode = trust_mode::zero_bond;
  } else {
    g.rules.deterrence.stake = random() % 3 == 0 ? 0 : random() % 200;
    g.rules.deterrence.auditor_stake = random() % 3 == 0 ? 0 : random() % 200;
  }
  g.rules.newcomer_pool_ppm = random() % 500'000;
  g.rules.relay_fee = random() % 5 == 0 ? 0 : random() % 20'000;
  g.rules.refund = random() % 3 == 0 ? refund_rule::request : refund_rule::window;
  g.mint_keys = {node(mint_key_number)};
  g.keepers = {node(mint_key_number + 1)};
  return g;
}

ledger_commands::ledger_commands(std::uint64_t seed)
    : random_(seed), rules_(rules_for_test(seed)) {}

std::uint64_t ledger_commands::amount_near(std::uint64_t there) {
  switch (below(12)) {
  case 0: return 0;
  case 1: return there + 1;
  case 2: return there;
  case 3: return ~std::uint64_t{0} - below(3);
  case 4: return (std::uint64_t{1} << 62U) + below(3) - 1;
  default: return 1 + below(there / 4 + 1);
  }
}

std::uint64_t ledger_commands::nonce() {
  if (one_in(20)) {
    return below(nonce_ + 2); // an old one
  }
  nonce_ += 1 + below(2);
  return nonce_;
}

escrow_id ledger_commands::some_request(const state& s) {
  if (s.requests().empty() || one_in(30)) {
    escrow_id none;
    none.bytes[0] = static_cast<std::uint8_t>(below(256));
    return none;
  }
  return std::next(s.requests().begin(), static_cast<long>(below(s.requests().size())))->first;
}

entry ledger_commands::next(const state& s) {
  if (s.entries() == 0) {
    return {time_, rules_, {}};
  }
  if (one_in(3)) {
    time_ += below(8);
  }
  if (one_in(500)) {
    time_ += 100;
  }
  entry e;
  if (!past_.empty() && one_in(8)) {
    e = past_[past_.size() - 1 - below(std::min<std::uint64_t>(past_.size(), 300))]; // again
    e.time = time_;
    if (one_in(6)) { // under its id, but different
      if (auto* const t = std::get_if<transfer>(&e.what)) {
        t->amount += 1;
      } else if (auto* const a = std::get_if<accrue>(&e.what)) {
        a->frontier += 1;
      }
    }
    return e;
  }
  if (const auto due = s.due(time_, 4); !due.empty() && one_in(3)) {
    e = {time_, due[below(due.size())], {}};
  } else {
    e = {time_, fresh(s), {}};
  }
  if (one_in(60)) {
    e.time -= below(100); // out of order
  }
  past_.push_back(e);
  return e;
}

command ledger_commands::fresh(const state& s) {
  const node_id who = any_node();
  const account none;
  const account* const found = s.find(who);
  const account& a = found == nullptr ? none : *found;
  switch (below(25)) {
  case 0:
  case 1: {
    mint m;
    m.by = one_in(10) ? who : node(mint_key_number);
    m.target = one_in(4)   ? mint_target::assurance
               : one_in(5) ? mint_target::treasury
                           : mint_target::participant;
    m.to = m.target == mint_target::participant || one_in(30) ? any_node() : node_id{};
    m.amount = one_in(15) ? amount_near(s.sums().minted) : 1 + below(100'000'000);
    m.nonce = nonce();
    return m;
  }
  case 2:
  case 3: return transfer{who, any_node(), amount_near(a.free), nonce()};
  case 4:
  case 5: return lock{who, amount_near(a.free), nonce()};
  case 6: return unlock{who, amount_near(a.stake), nonce()};
  case 7:
    return unlocked{who, a.unlockings.empty() || one_in(3) ? below(nonce_ + 1)
                                                           : a.unlockings.front().nonce};
  case 8:
  case 9:
  case 10: return make_reserve(s);
  case 11:
  case 12:
  case 13:
  case 14: return make_accrue(s);
  case 15: return make_release(s);
  case 16: {
    const escrow_id id = some_request(s);
    return one_in(2) ? command{settle{id, driver(s.find_request(id))}} : command{expire{id}};
  }
  case 17: {
    const escrow_id id = some_request(s);
    const request_record* const q = s.find_request(id);
    return cancel{id, q == nullptr || one_in(4) ? who : q->payer, nonce()};
  }
  case 18:
    if (one_in(8)) {
      return make_convict(s);
    }
    return one_in(40) ? command{rules_} : make_accrue(s);
  case 19: return one_in(8) ? command{epoch_end{s.epochs().number - below(2)}} : make_chain();
  case 20: return make_link(s);
  case 21: return make_voucher();
  case 22: return make_revoke(s);
  case 23: return make_carriage();
  default: return one_in(3) ? make_reroute(s) : make_fee(s);
  }
}

command ledger_commands::make_reroute(const state& s) {
  reroute x;
  x.request = some_request(s);
  const request_record* const q = s.find_request(x.request);
  x.scheduler = q == nullptr || one_in(6) ? any_node() : q->scheduler;
  for (std::uint64_t i = below(3) + (one_in(20) ? 0 : 1); i > 0; --i) {
    x.stages.push_back({any_node(), static_cast<std::uint32_t>(below(9) + (one_in(30) ? 0 : 1)),
                        1 + below(3'000'000)});
  }
  x.nonce = nonce();
  return x;
}

/// For an audit of some unit.
command ledger_commands::make_fee(const state& s) {
  compensate x;
  x.request = some_request(s);
  const request_record* const q = s.find_request(x.request);
  x.window = static_cast<std::uint32_t>(below(2 + (q == nullptr ? 0 : q->windows.size())));
  x.layer = static_cast<std::uint32_t>(below(q == nullptr ? 3 : q->layers + 1));
  x.receipt = one_in(20) ? digest{} : statement();
  x.signer = any_node();
  const std::uint32_t accrual = q == nullptr ? 0 : accrual_window(q->prompt, x.window);
  if (q != nullptr && accrual < q->windows.size() && !one_in(6)) {
    const auto& shares = q->windows[accrual].shares;
    x.signer = shares.empty() ? x.signer : shares[below(shares.size())].node;
  }
  x.to = any_node();
  x.amount = one_in(8) ? amount_near(s.sums().assurance / 10) : 1 + below(500);
  return x;
}

command ledger_commands::make_chain() {
  constexpr std::uint64_t links_most = 90;
  const auto links = static_cast<std::uint32_t>(below(links_most));
  digest link;
  link.bytes[0] = static_cast<std::uint8_t>(random_());
  link.bytes[1] = static_cast<std::uint8_t>(random_());
  for (std::uint32_t i = 0; i < links; ++i) {
    const digest before = link_before(link, 1);
    behind_[before] = link;
    link = before;
  }
  return chain_commit{any_node(), link, links, nonce()};
}

/// The one that is owed, or once in a while another.
command ledger_commands::make_link(const state& s) {
  const epoch_state& e = s.epochs();
  chain_link x{any_node(), e.number - (one_in(10) ? 0 : 1), statement()};
  if (!e.closed.empty() && !one_in(8)) {
    x.verifier = e.closed[below(e.closed.size())].node;
  }
  const account* const a = s.find(x.verifier);
  const audit_chain* const c = a == nullptr ? nullptr : chain_for(*a, x.epoch);
  if (c != nullptr && !one_in(8)) {
    x.link = c->last;
    for (std::uint64_t n = c->known; n < x.epoch + 1 - c->first; ++n) {
      x.link = behind_[x.link];
    }
  }
  return x;
}

digest ledger_commands::statement() {
  digest d;
  d.bytes[0] = static_cast<std::uint8_t>(below(256)); // now and then the same twice
  d.bytes[1] = 1;
  d.bytes[2] = one_in(4) ? 0 : static_cast<std::uint8_t>(below(256));
  return d;
}

node_id ledger_commands::payee(const request_record& q) {
  return q.path.empty() || one_in(25) ? any_node() : q.path[below(q.path.size())];
}

node_id ledger_commands::driver(const request_record* q) {
  return one_in(4) ? node_id{} : q == nullptr || one_in(10) ? any_node() : q->scheduler;
}

command ledger_commands::make_reserve(const state& s) {
  reserve r;
  r.payer = any_node();
  if (one_in(3)) {
    r.scheduler = any_node(); // now and then the payer, which is refused
  }
  redeem_one(s, r);
  const account* const a = s.find(r.payer);
  r.about.bytes[0] = static_cast<std::uint8_t>(below(3));
  r.prompt = below(40);
  r.completion_max = below(100);
  r.rate = 1 + below(200'000);
  if (one_in(20)) {
    r.rate = amount_near(a == nullptr ? 1 : a->free);
  }
  r.expires = time_ + 1 + below(s.origin().rules.reservation_s_max + (one_in(10) ? 9 : 0));
  for (std::uint64_t i = below(4) + (one_in(20) ? 0 : 1); i > 0; --i) {
    r.stages.push_back({any_node(), static_cast<std::uint32_t>(below(9) + (one_in(30) ? 0 : 1)),
                        1 + below(3'000'000)});
  }
  r.nonce = nonce();
  return r;
}

void ledger_commands::redeem_one(const state& s, reserve& r) {
  const auto& all = s.vouchers().all();
  if (all.empty() || one_in(2)) {
    return;
  }
  const auto& [name, v] = *std::next(all.begin(), static_cast<long>(below(all.size())));
  r.voucher = one_in(30) ? statement() : name;
  r.payer = one_in(15) ? any_node() : v.account;
  r.scheduler = one_in(8) ? any_node() : v.schedulers[below(v.schedulers.size())];
}

command ledger_commands::make_voucher() {
  voucher v;
  v.account = any_node();
  v.key = one_in(30) ? digest{} : statement();
  v.limit = one_in(20) ? amount_near(1'000) : 1 + below(60'000'000);
  v.expires = time_ + below(one_in(8) ? 3 : 400);
  for (std::uint64_t i = below(4) + (one_in(20) ? 0 : 1); i > 0; --i) {
    v.schedulers.push_back(any_node());
  }
  std::sort(v.schedulers.begin(), v.schedulers.end());
  if (!one_in(20)) {
    v.schedulers.erase(std::unique(v.schedulers.begin(), v.schedulers.end()), v.schedulers.end());
  }
  v.nonce = nonce();
  return v;
}

command ledger_commands::make_revoke(const state& s) {
  const auto& all = s.vouchers().all();
  revoke x;
  x.account = any_node();
  if (all.empty() || one_in(15)) {
    x.voucher = one_in(3) ? digest{} : statement();
  } else {
    const auto& [name, v] = *std::next(all.begin(), static_cast<long>(below(all.size())));
    x.voucher = name;
    x.account = one_in(3) ? x.account : v.account;
  }
  x.nonce = nonce();
  return x;
}

command ledger_commands::make_carriage() {
  carriage x;
  counted_stream& stream = x.carried.what;
  stream.relay = any_node(); // now and then one of the other two, which is refused
  stream.sender = any_node();
  stream.receiver = any_node();
  stream.session[3] = static_cast<std::uint8_t>(below(2));
  stream.bytes = one_in(20) ? amount_near(1) : below(3 * limits::relay_part_bytes);
  x.carried.part = static_cast<std::uint32_t>(below(3));
  x.nonce = nonce();
  return x;
}

std::vector<window_share> ledger_commands::cohort(const request_record& q, std::uint64_t most) {
  std::vector<window_share> shares;
  for (std::uint64_t i = 1 + below(most); i > 0; --i) {
    const auto units = static_cast<std::uint32_t>(below(one_in(10) ? 5 : 3));
    const window_share share{
        payee(q),
        below(1'000'000),
        0,
        units,
        units == 0 ? 0 : static_cast<std::uint32_t>(below(units + 1)),
        units == 0 || !one_in(4) ? 0 : static_cast<std::uint32_t>(below(1'000'002)),
        one_in(50) ? digest{} : statement()};
    const bool there = std::any_of(shares.begin(), shares.end(),
                                   [&](const window_share& s) { return s.node == share.node; });
    if (!there || one_in(40)) {
      shares.push_back(share);
    }
  }
  return shares;
}

void ledger_commands::divide(std::vector<window_share>& shares, std::uint64_t amount) {
  std::vector<weighted> weights;
  weights.reserve(shares.size());
  for (const window_share& s : shares) {
    weights.push_back({s.node, s.weight});
  }
  if (const auto parts = split(amount, weights)) {
    for (std::size_t i = 0; i < shares.size(); ++i) {
      shares[i].amount =
          (*parts)[i] - scaled((*parts)[i], std::min(shares[i].late_ppm, 1'000'000U), 1'000'000);
    }
  }
  if (one_in(12) && !shares.empty()) { // one too many or too few
    shares[below(shares.size())].amount += one_in(2) ? 1 : ~std::uint64_t{0};
  } else if (one_in(20) && shares.size() > 1) { // conserved, but not by the weights
    ++shares[0].amount;
    --shares[1].amount;
  }
}

command ledger_commands::make_accrue(const state& s) {
  accrue a;
  a.request = some_request(s);
  const request_record* const q = s.find_request(a.request);
  if (q == nullptr) {
    return a;
  }
  a.scheduler = driver(q);
  a.window = static_cast<std::uint32_t>(q->windows.size() + (one_in(20) ? below(3) : 0));
  a.frontier = std::min(q->completion_max + (one_in(20) ? 1 : 0), q->accounted + below(33));
  a.cached_ppm = one_in(3) ? below(1'000'001) : one_in(4) ? 1'000'000 : 0;
  const token_delta d = delta_at(q->prompt, q->prompt_accounted, a.frontier, q->accounted);
  const policy& rules = s.origin().rules;
  const std::uint64_t gross = (d.prompt + d.completion) * q->rate;
  const std::uint64_t cached = scaled(gross, a.cached_ppm, 1'000'000);
  const std::uint64_t serving = scaled(cached, rules.cache_ppm, 1'000'000);
  const std::uint64_t computed = gross - cached - scaled(gross - cached, rules.fee_ppm, 1'000'000);
  const std::uint64_t served = serving - scaled(serving, rules.fee_ppm, 1'000'000);
  if (computed > 0 || one_in(10)) {
    a.computed = cohort(*q, 4);
    divide(a.computed, computed);
  }
  if (served > 0 || one_in(10)) {
    a.served = cohort(*q, 2);
    for (window_share& s : a.served) {
      s.late_ppm = one_in(20) ? s.late_ppm : 0;
    }
    divide(a.served, served);
  }
  return a;
}

command ledger_commands::make_release(const state& s) {
  release r{some_request(s), 0};
  const request_record* const q = s.find_request(r.request);
  if (q != nullptr && !q->windows.empty()) {
    r.window = static_cast<std::uint32_t>(below(q->windows.size() + (one_in(10) ? 1 : 0)));
  }
  if (q != nullptr && one_in(5)) {
    r.window = first_compensation + static_cast<std::uint32_t>(below(3));
  }
  return r;
}

command ledger_commands::make_convict(const state& s) {
  convict x;
  x.request = some_request(s);
  const request_record* const q = s.find_request(x.request);
  x.guilty = any_node();
  if (q != nullptr && !q->windows.empty()) {
    x.window = static_cast<std::uint32_t>(below(q->windows.size()));
    const auto& shares = q->windows[x.window].shares;
    if (!shares.empty() && !one_in(8)) {
      x.guilty = shares[below(shares.size())].node;
    }
  }
  x.finder = any_node();
  x.kind = one_in(2)   ? evidence_kind::replay
           : one_in(3) ? evidence_kind::double_charge
                       : evidence_kind::equivocation;
  if (x.kind == evidence_kind::double_charge && q != nullptr && !one_in(4)) {
    x.guilty = q->scheduler;
  }
  x.evidence.bytes[0] = one_in(20) ? 0 : 1;
  for (std::uint64_t i = below(4); i > 0; --i) {
    x.verdicts.push_back({one_in(10) ? node(200 + i) : any_node(), {}});
  }
  std::sort(x.verdicts.begin(), x.verdicts.end(),
            [](const verdict& a, const verdict& b) { return a.verifier < b.verifier; });
  return x;
}

} // namespace ovir::test
