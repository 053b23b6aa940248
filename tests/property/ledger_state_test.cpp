// The ledger's rules against LEDGER.md read aloud (tests/support/ledger_model), a million random
// commands: valid, invalid, replayed, out of order, with hostile amounts.
#include "ledger/rules/invariants.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/state.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/ledger_commands.hpp"
#include "tests/support/ledger/ledger_model.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

namespace ovir::ledger {
namespace {

constexpr std::uint64_t histories = 500;
constexpr std::uint64_t commands_each = 2'000;
constexpr std::uint64_t sampled = 4; ///< histories checked after each command
constexpr std::uint64_t batch = 100;
constexpr std::uint64_t usual_seed = 20'261'120;

std::uint64_t seed() {
  const char* const text = std::getenv("OVIR_SEED");
  return text == nullptr ? usual_seed : std::strtoull(text, nullptr, 10);
}

/// Every balance of the model is the state's, and the state has no other.
void expect_equal(const state& s, const test::ledger_model& model, std::uint64_t history) {
  std::map<std::string, test::ledger_model::credits> all;
  const auto add = [&](const std::string& name, micro_credits amount) {
    if (amount > 0) {
      all[name] = amount;
    }
  };
  for (const auto& [node, a] : s.accounts()) {
    add("free/" + to_hex(node), a->free);
    add("pending/" + to_hex(node), a->pending);
    add("stake/" + to_hex(node), a->stake);
  }
  for (const auto& [id, q] : s.requests()) {
    add("escrow/" + to_hex(id), q.held);
  }
  add("assurance", s.sums().assurance);
  add("treasury", s.sums().treasury);
  add("burn", s.sums().burnt);
  std::map<std::string, test::ledger_model::credits> expected;
  for (const auto& [name, amount] : model.balances()) {
    if (amount != 0) {
      expected[name] = amount;
    }
  }
  ASSERT_EQ(all.size(), expected.size()) << "history " << history << ", OVIR_SEED=" << seed();
  for (const auto& [name, amount] : expected) {
    ASSERT_TRUE(all[name] == amount) << name << ", history " << history << ", OVIR_SEED=" << seed();
  }
}

TEST(ledger_state, a_million_random_commands_leave_the_balances_of_a_simple_model) {
  std::map<command_kind, std::uint64_t> accepted;
  std::map<command_kind, std::uint64_t> refused;
  std::uint64_t duplicates = 0;
  for (std::uint64_t h = 0; h < histories; ++h) {
    test::ledger_commands source{seed() + h};
    state s{seed()};
    test::ledger_model model;
    std::vector<posting> effects;
    std::vector<std::byte> bytes;
    for (std::uint64_t n = 0; n < commands_each; ++n) {
      const entry e = source.next(s);
      bytes.clear();
      encode(e, bytes);
      const state before = h < sampled ? s : state{0};
      const std::vector<std::byte> image = h == 0 ? s.snapshot() : std::vector<std::byte>{};
      effects.clear();
      const auto done = s.apply(e, bytes, s.entries(), effects);
      ASSERT_EQ(done.has_value(), model.apply(e.what, e.time))
          << to_string(kind_of(e.what)) << ": " << (done ? "applied" : done.error().message)
          << ", command " << n << " of history " << h << ", OVIR_SEED=" << seed();
      if (!done || done->how == apply_outcome::duplicate) {
        ASSERT_TRUE(effects.empty()) << "refused, but something moved";
        ASSERT_TRUE(h != 0 || s.snapshot() == image) << "refused, but something changed";
      }
      ++(done ? accepted : refused)[kind_of(e.what)];
      duplicates += done && done->how == apply_outcome::duplicate ? 1 : 0;
      if (h < sampled) {
        const auto right = check_invariants(s);
        ASSERT_TRUE(right) << right.error().message << " after command " << n;
        const auto slashed = check_slash(before, effects);
        ASSERT_TRUE(slashed) << slashed.error().message;
      }
      if (n % batch == 0) {
        const auto right = check_invariants(s);
        ASSERT_TRUE(right) << right.error().message << " after command " << n << " of history "
                           << h;
        expect_equal(s, model, h);
      }
    }
    expect_equal(s, model, h);
    ASSERT_EQ(state::restore(s.snapshot(), h).value().snapshot(), s.snapshot());
    if (HasFatalFailure()) {
      return;
    }
  }
  // The generator must reach everything, or the test shows nothing.
  for (std::size_t i = 0; i < std::variant_size_v<command> + 2; ++i) { // one has three kinds
    const auto kind = static_cast<command_kind>(i + 1);
    EXPECT_GT(accepted[kind], kind == command_kind::genesis ? 400U : 300U) << to_string(kind);
    EXPECT_GT(refused[kind] + (kind == command_kind::genesis ? 1'000 : 0), 300U) << to_string(kind);
  }
  EXPECT_GT(duplicates, 10'000U);
}

} // namespace
} // namespace ovir::ledger
