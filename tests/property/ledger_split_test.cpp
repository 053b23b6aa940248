#include "ledger/rules/split.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

namespace ovir::ledger {
namespace {

constexpr std::uint64_t cases = 1'000'000;
constexpr std::uint64_t usual_seed = 20'260'914;

std::uint64_t seed() {
  const char* const text = std::getenv("OVIR_SEED");
  return text == nullptr ? usual_seed : std::strtoull(text, nullptr, 10);
}

/// Numbers of every size: a random one, cut to a random number of bits.
std::uint64_t any_size(std::mt19937_64& random, unsigned bits_max) {
  return random() >> (64 - 1 - random() % bits_max);
}

std::vector<weighted> random_cohort(std::mt19937_64& random) {
  std::vector<weighted> cohort(1 + random() % (random() % 20 == 0 ? 64 : 8));
  const unsigned bits = 1 + static_cast<unsigned>(random() % 61);
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    cohort[i].participant.key[0] = static_cast<std::uint8_t>(i * 37); // 37 is odd: all different
    cohort[i].participant.key[1] = static_cast<std::uint8_t>(random());
    cohort[i].weight = any_size(random, bits);
  }
  if (cohort[0].weight == 0) {
    cohort[0].weight = 1;
  }
  return cohort;
}

TEST(ledger_split, shares_add_up_are_monotone_and_do_not_depend_on_the_order_of_participants) {
  std::mt19937_64 random{seed()};
  for (std::uint64_t n = 0; n < cases; ++n) {
    std::vector<weighted> cohort = random_cohort(random);
    const micro_credits amount = any_size(random, 63);
    const std::vector<micro_credits> shares = split(amount, cohort).value();
    wide sum = 0;
    for (std::size_t i = 0; i < cohort.size(); ++i) {
      sum += shares[i];
      const std::size_t k = (i + 1) % cohort.size();
      ASSERT_FALSE(cohort[i].weight > cohort[k].weight && shares[i] < shares[k])
          << "case " << n << ", OVIR_SEED=" << seed();
      ASSERT_FALSE(cohort[i].weight == 0 && shares[i] != 0) << "case " << n;
    }
    ASSERT_TRUE(sum == amount) << "case " << n << ", OVIR_SEED=" << seed();
    std::vector<std::size_t> order(cohort.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      order[i] = i;
    }
    std::shuffle(order.begin(), order.end(), random);
    std::vector<weighted> shuffled;
    shuffled.reserve(order.size());
    for (const std::size_t i : order) {
      shuffled.push_back(cohort[i]);
    }
    const std::vector<micro_credits> again = split(amount, shuffled).value();
    for (std::size_t i = 0; i < order.size(); ++i) {
      ASSERT_EQ(again[i], shares[order[i]]) << "case " << n << ", OVIR_SEED=" << seed();
    }
  }
}

TEST(ledger_split, accruals_add_up_to_the_settlement_whatever_the_windows) {
  std::mt19937_64 random{seed() + 1};
  for (std::uint64_t n = 0; n < 100'000; ++n) {
    const std::uint64_t rate = 1 + any_size(random, 49) % limits::ledger_rate_max;
    const std::uint64_t prompt = random() % 5'000;
    const std::uint64_t completion = random() % 5'000;
    bool prompt_accounted = false;
    std::uint64_t accounted = 0;
    wide accrued = 0;
    while (!prompt_accounted || accounted < completion) {
      const std::uint64_t frontier = std::min(completion, accounted + random() % 700);
      const token_delta d = delta_at(prompt, prompt_accounted, frontier, accounted);
      accrued += token_price(d.prompt, d.completion, rate).value();
      prompt_accounted = true;
      accounted = frontier;
    }
    ASSERT_TRUE(accrued == token_price(prompt, completion, rate).value()) << "case " << n;
  }
}

} // namespace
} // namespace ovir::ledger
