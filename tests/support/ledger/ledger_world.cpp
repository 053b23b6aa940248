#include "tests/support/ledger/ledger_world.hpp"

#include <algorithm>
#include <array>

namespace ovir::test {

using namespace ledger;

secret_key ledger_world::key(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{number};
  return secret_key::from_seed(seed);
}

genesis ledger_world::rules() {
  genesis g;
  g.rules.audit_window_s = 100;
  g.rules.unlock_delay_s = 1'000;
  g.rules.finder_ppm = 200'000;
  deterrence_terms& t = g.rules.deterrence;
  t.audit_rate_ppm = 800'000;
  t.unit_fee = 32 * credit;
  t.saved = 25 * credit;
  t.planted_ppm = 800'000;
  t.audit_fee = 8 * credit;
  t.audit_cost = 6 * credit;
  g.mint_keys = {node(minter)};
  g.keepers = {node(keeper)};
  g.salt.bytes[0] = 7;
  return g;
}

authentic_command ledger_world::sign(std::uint8_t who, command c) const {
  const secret_key secret = key(who);
  const signature proof = sign_action(secret, id_, c);
  return authenticate(id_, std::move(c), proof).value();
}

authentic_command ledger_world::keep(command c) const {
  return by_log_keeper(id_, std::move(c)).value();
}

authentic_command ledger_world::mint(std::uint8_t to, std::uint64_t amount) {
  return sign(minter, ovir::ledger::mint{node(minter), mint_target::participant, node(to), amount,
                                         ++nonce_});
}

authentic_command ledger_world::mint_assurance(std::uint64_t amount) {
  return sign(minter,
              ovir::ledger::mint{node(minter), mint_target::assurance, {}, amount, ++nonce_});
}

authentic_command ledger_world::transfer(std::uint8_t from, std::uint8_t to, std::uint64_t amount) {
  return sign(from, ovir::ledger::transfer{node(from), node(to), amount, ++nonce_});
}

authentic_command ledger_world::lock(std::uint8_t who, std::uint64_t amount) {
  return sign(who, ovir::ledger::lock{node(who), amount, ++nonce_});
}

authentic_command ledger_world::unlock(std::uint8_t who, std::uint64_t amount) {
  return sign(who, ovir::ledger::unlock{node(who), amount, ++nonce_});
}

authentic_command ledger_world::reserve(std::uint8_t payer, const std::vector<std::uint8_t>& stages,
                                        std::uint64_t prompt, std::uint64_t completion,
                                        std::uint64_t expires) {
  ovir::ledger::reserve r;
  r.payer = node(payer);
  r.about.bytes[0] = 1;
  r.rate = rate_;
  r.prompt = prompt;
  r.completion_max = completion;
  r.expires = expires;
  for (const std::uint8_t stage : stages) {
    r.stages.push_back({node(stage), 4, 1'000'000});
  }
  r.nonce = ++nonce_;
  last_request = escrow_of(r);
  drivers_[last_request] = payer;
  return sign(payer, r);
}

authentic_command ledger_world::accrue(const state& s, std::uint64_t frontier,
                                       const std::vector<std::uint8_t>& stages,
                                       std::uint64_t cached_ppm,
                                       const std::vector<std::uint8_t>& servers) {
  const request_record& q = *s.find_request(last_request);
  ovir::ledger::accrue a;
  a.request = last_request;
  a.window = static_cast<std::uint32_t>(q.windows.size());
  a.frontier = frontier;
  a.cached_ppm = cached_ppm;
  const token_delta d = delta_at(q.prompt, q.prompt_accounted, frontier, q.accounted);
  const policy& rules = s.origin().rules;
  const std::uint64_t gross = (d.prompt + d.completion) * q.rate;
  const std::uint64_t cached = scaled(gross, cached_ppm, 1'000'000);
  const std::uint64_t serving = scaled(cached, rules.cache_ppm, 1'000'000);
  const auto fill = [&](std::vector<window_share>& shares, const std::vector<std::uint8_t>& who,
                        std::uint64_t amount) {
    std::vector<weighted> weights;
    weights.reserve(who.size());
    for (const std::uint8_t n : who) {
      weights.push_back({node(n), 1});
    }
    const std::vector<micro_credits> parts = split(amount, weights).value();
    for (std::size_t i = 0; i < who.size(); ++i) {
      shares.push_back({node(who[i]), 1, parts[i], 4, 4, 0, statement(++statements_)});
    }
  };
  if (!stages.empty()) {
    fill(a.computed, stages, gross - cached - scaled(gross - cached, rules.fee_ppm, 1'000'000));
  }
  if (!servers.empty()) {
    fill(a.served, servers, serving - scaled(serving, rules.fee_ppm, 1'000'000));
  }
  a.scheduler = q.scheduler;
  return sign(drivers_.at(last_request), a);
}

authentic_command ledger_world::settle() const {
  const std::uint8_t driver = drivers_.at(last_request);
  return sign(driver, ovir::ledger::settle{last_request, node(driver)});
}

authentic_command ledger_world::commit(std::uint8_t verifier, const digest& anchor,
                                       std::uint32_t links) {
  return sign(verifier, chain_commit{node(verifier), anchor, links, ++nonce_});
}

digest ledger_world::statement(std::uint64_t number) {
  digest d;
  d.bytes.back() = 0xee;
  for (std::size_t i = 0; i < sizeof(number); ++i) {
    d.bytes[i] = static_cast<std::uint8_t>(number >> 8 * i);
  }
  return d;
}

authentic_command ledger_world::reroute(std::uint8_t scheduler,
                                        const std::vector<std::uint8_t>& stages) {
  ovir::ledger::reroute x;
  x.request = last_request;
  x.scheduler = node(scheduler);
  for (const std::uint8_t stage : stages) {
    x.stages.push_back({node(stage), 4, 1'000'000});
  }
  x.nonce = ++nonce_;
  return sign(scheduler, x);
}

authentic_command ledger_world::convict(std::uint32_t window, std::uint8_t guilty,
                                        std::uint8_t finder) {
  ovir::ledger::convict x;
  x.request = last_request;
  x.window = window;
  x.guilty = node(guilty);
  x.finder = node(finder);
  x.evidence.bytes[0] = 9;
  for (const std::uint8_t verifier : {std::uint8_t{120}, std::uint8_t{121}}) {
    x.verdicts.push_back(give_verdict(key(verifier), id_, x));
  }
  std::sort(x.verdicts.begin(), x.verdicts.end(),
            [](const verdict& a, const verdict& b) { return a.verifier < b.verifier; });
  return keep(x);
}

} // namespace ovir::test
