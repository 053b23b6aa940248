#include "tests/support/ledger/epoch_world.hpp"

#include "ledger/rules/invariants.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::test {

using ledger::credit;

ledger::genesis epoch_world::usual_rules() { return ledger_world::rules(); }

ledger::ledger_options epoch_world::options() {
  ledger::ledger_options o;
  o.log.step_bytes = 64U << 10U;
  o.watch = [this](std::uint64_t index, const ledger::entry& e, const digest& chain,
                   const ledger::state& after) {
    for (ledger::epoch_draw& d : reader.take(index, e, chain, after)) {
      draws.push_back(std::move(d));
    }
  };
  return o;
}

epoch_world::epoch_world(const ledger::genesis& rules)
    : book(ledger::ledger::create(file, rules, t0, options()).value()),
      world(book.id(), is_free(rules.rules) ? 0 : credit) {
  EXPECT_EQ(run(world.mint(client, 10'000'000 * credit)), "");
}

std::string epoch_world::run(const ledger::authentic_command& one) {
  const ledger::batch_outcome out = book.commit(std::span{&one, 1}, now).value();
  const auto right = check_invariants(book.view());
  EXPECT_TRUE(right) << right.error().message;
  return out.commands.front().done ? "" : out.commands.front().why.message;
}

std::string epoch_world::commit(std::uint8_t verifier, std::uint32_t links, std::uint8_t seed) {
  digest secret;
  secret.bytes.fill(seed);
  ledger::hash_chain chain = ledger::hash_chain::make(secret, links).value();
  const std::string why = run(world.commit(verifier, chain.anchor(), links));
  if (why.empty()) {
    std::vector<promise>& all = chains_[verifier];
    if (!all.empty() && all.back().first > epoch()) {
      all.pop_back();
    }
    all.push_back({epoch() + 2, std::move(chain)});
  }
  return why;
}

std::string epoch_world::link(std::uint8_t verifier, std::uint64_t epoch, const digest& link) {
  return run(world.keep(ledger::chain_link{ledger_world::node(verifier), epoch, link}));
}

std::string epoch_world::link(std::uint8_t verifier) {
  const std::uint64_t closed = epoch() - 1;
  const promise* owed = nullptr;
  for (const promise& p : chains_[verifier]) {
    owed = p.first <= closed ? &p : owed;
  }
  if (owed == nullptr) {
    return "no chain";
  }
  const auto number = static_cast<std::uint32_t>(closed - owed->first + 1);
  return link(verifier, closed, owed->chain.link(number).value());
}

digest epoch_world::link_of(std::uint8_t verifier, std::uint32_t number, std::size_t back) {
  const std::vector<promise>& all = chains_[verifier];
  return all[all.size() - 1 - back].chain.link(number).value();
}

void epoch_world::work(const std::vector<std::uint8_t>& stages, std::uint32_t windows) {
  EXPECT_EQ(run(world.reserve(client, stages, 40, windows * 32, now + 500)), "");
  for (std::uint32_t w = 0; w < windows; ++w) {
    EXPECT_EQ(run(world.accrue(book.view(), w * 32 + 24, stages)), "");
  }
  EXPECT_EQ(run(world.settle()), "");
}

std::string epoch_world::close() {
  now += book.view().origin().rules.epoch_s;
  return run(world.keep(ledger::epoch_end{epoch()}));
}

void epoch_world::epoch_without(const std::vector<std::uint8_t>& silent) {
  work({2, 3});
  EXPECT_EQ(close(), "");
  const std::vector<ledger::epoch_verifier> owing = book.view().epochs().closed;
  for (const auto& [verifier, chains] : chains_) {
    if (find_verifier(owing, ledger_world::node(verifier)) != nullptr &&
        std::find(silent.begin(), silent.end(), verifier) == silent.end()) {
      EXPECT_EQ(link(verifier), "");
    }
  }
}

const ledger::account& epoch_world::of(std::uint8_t who) const {
  static const ledger::account none;
  const ledger::account* const a = book.view().find(ledger_world::node(who));
  return a == nullptr ? none : *a;
}

const ledger::epoch_draw& epoch_world::draw_of(std::uint64_t epoch) const {
  const auto found = std::find_if(draws.begin(), draws.end(),
                                  [&](const ledger::epoch_draw& d) { return d.number == epoch; });
  OVIR_CHECK(found != draws.end(), epoch);
  return *found;
}

std::vector<ledger::drawn_unit> epoch_world::units_of(const ledger::epoch_draw& d) {
  std::vector<ledger::drawn_unit> all;
  d.each_drawn([&](const ledger::drawn_unit& u) { all.push_back(u); });
  return all;
}

} // namespace ovir::test
