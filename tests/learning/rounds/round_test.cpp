// Whole rounds: the sum is exact, drop-outs or not, and only masked numbers leave a worker.
#include "learning/rounds/fixed_point.hpp"
#include "tests/learning/rounds/round_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ovir::test {
namespace {

using namespace learning;
using ::testing::HasSubstr;

/// Runs all phases; worker i answers in the first `steps[i]` of them.
void run_round(round_world& w, const std::vector<int>& steps) {
  for (int phase = 0; phase < 5 && w.coordinator->phase() != round_phase::failed; ++phase) {
    w.exchange([&](std::size_t i) { return steps[i] > phase; });
    w.coordinator->end_phase();
  }
}

std::vector<node_id> those_with(const round_world& w, const std::vector<int>& steps, int least) {
  std::vector<node_id> out;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] >= least) {
      out.push_back(w.task.members[i]);
    }
  }
  return out;
}

TEST(round, every_pair_of_drop_outs_at_every_phase_leaves_the_exact_sum_of_survivors) {
  std::uint64_t seed = 48;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (std::size_t one = 0; one < 5; ++one) {
    for (std::size_t other = one + 1; other < 5; ++other) {
      for (int first = 0; first <= 5; ++first) {
        for (int second = 0; second <= 5; second += one == 0 ? 1 : 2) {
          round_world w{{.numbers = 7, .seed = ++seed % 200 + 1}};
          std::vector<int> steps(5, 5);
          steps[one] = first;
          steps[other] = second;
          run_round(w, steps);
          ASSERT_EQ(w.coordinator->phase(), round_phase::summed) << w.coordinator->reason();
          const auto wanted = those_with(w, steps, 3);
          ASSERT_EQ(w.coordinator->outcome().survivors, wanted);
          ASSERT_EQ(w.coordinator->outcome().sum, w.sum_of(wanted));
        }
      }
    }
  }
}

TEST(round, larger_cohorts_under_seeds_give_the_exact_sum) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    round_world w{{.members = 12, .drop_outs = 4, .colluders = 2, .numbers = 30, .seed = seed}};
    std::vector<int> steps(12, 5);
    std::uint64_t state = seed * 77;
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      steps[(state >> 33U) % 12] = static_cast<int>((state >> 40U) % 6);
    }
    run_round(w, steps);
    ASSERT_EQ(w.coordinator->phase(), round_phase::summed) << w.coordinator->reason();
    EXPECT_EQ(w.coordinator->outcome().sum, w.sum_of(w.coordinator->outcome().survivors));
  }
}

TEST(round, below_the_least_cohort_there_is_no_sum_at_any_phase) {
  for (int phase = 0; phase < 5; ++phase) {
    round_world w{{}};
    run_round(w, {5, 5, phase, phase, phase});
    EXPECT_EQ(w.coordinator->phase(), round_phase::failed);
    EXPECT_THAT(w.coordinator->reason(), HasSubstr("2 of"));
    const auto told = w.coordinator->letter_for(w.task.members[0]);
    ASSERT_TRUE(told.has_value());
    EXPECT_TRUE(std::holds_alternative<round_end>(*told));
  }
}

/// The bytes of one number as a letter has them.
bool has_number(const std::vector<std::byte>& bytes, std::int64_t x) {
  const auto wanted = std::as_bytes(std::span{&x, 1});
  return std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()) != bytes.end();
}

TEST(round, only_masked_numbers_leave_a_worker) {
  round_world w{{.numbers = 400, .seed = 5}};
  for (auto& units : w.units) {
    ASSERT_EQ(units.size(), 400U);
  }
  run_round(w, {5, 5, 5, 3, 2});
  ASSERT_EQ(w.coordinator->phase(), round_phase::summed) << w.coordinator->reason();
  for (std::size_t i = 0; i < w.size(); ++i) {
    for (const letter& l : w.sent[i]) {
      const std::vector<std::byte> bytes = to_bytes(l);
      EXPECT_FALSE(std::holds_alternative<open_update>(l));
      int found = 0;
      for (std::size_t k = 0; k < 400; ++k) {
        found += has_number(bytes, w.units[i][k]) && w.units[i][k] != 0 ? 1 : 0;
        if (k < w.workers[i]->noised().size() && w.workers[i]->noised()[k] != 0) {
          found += has_number(bytes, w.workers[i]->noised()[k]) ? 1 : 0;
        }
      }
      EXPECT_EQ(found, 0) << "worker " << i << ", letter " << l.index();
    }
  }
  // What does leave looks like 64 random bits: each bit is set in about half of the numbers.
  const auto& masked = std::get<masked_update>(w.sent[0].at(2));
  for (unsigned bit = 0; bit < 64; ++bit) {
    const auto set = std::count_if(masked.values.begin(), masked.values.end(),
                                   [&](std::uint64_t v) { return (v >> bit & 1U) != 0; });
    EXPECT_GT(set, 130) << bit; // 7 standard deviations of 400 coins
    EXPECT_LT(set, 270) << bit;
  }
}

TEST(round, the_masked_numbers_of_all_but_one_say_nothing_of_it) {
  round_world w{{.drop_outs = 1, .numbers = 200, .seed = 6}};
  run_round(w, {5, 5, 5, 5, 3});
  ASSERT_EQ(w.coordinator->phase(), round_phase::summed);
  // Without the self-mask, the sum of a survivor's masked numbers and all opened pairs would be it.
  std::vector<std::uint64_t> sum(200);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& values = std::get<masked_update>(w.sent[i].at(2)).values;
    for (std::size_t k = 0; k < sum.size(); ++k) {
      sum[k] += values[k];
    }
  }
  EXPECT_FALSE(unwrapped(sum, 4)); // masks of pairs with the fifth and self-masks remain
}

TEST(round, open_rounds_sum_clipped_updates_and_refuse_larger_ones) {
  round_world w{{.mode = round_mode::open}};
  std::vector<std::int64_t> wanted(w.task.numbers);
  for (std::size_t i = 0; i < 4; ++i) {
    open_update update{name_of(w.task), {}, wrapped(w.units[i]), {}};
    sign(update, w.keys[i]);
    ASSERT_TRUE(w.coordinator->take(w.keys[i].id(), update));
    for (std::size_t k = 0; k < wanted.size(); ++k) {
      wanted[k] += w.units[i][k];
    }
  }
  open_update large{name_of(w.task), {}, std::vector<std::uint64_t>(w.task.numbers, 1'000), {}};
  sign(large, w.keys[4]);
  const auto refused = w.coordinator->take(w.keys[4].id(), large);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("norm"));
  w.coordinator->end_phase();
  ASSERT_EQ(w.coordinator->phase(), round_phase::summed) << w.coordinator->reason();
  EXPECT_EQ(w.coordinator->outcome().sum, wanted);
}

TEST(round, the_same_letters_and_ends_give_the_same_coordinator) {
  round_world w{{.seed = 7}};
  round_coordinator again{w.task};
  for (int phase = 0; phase < 5; ++phase) {
    w.exchange([&](std::size_t i) { return i < 4 || phase < 2; });
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (i < 4 || phase < 2) {
        ASSERT_TRUE(again.take(w.keys[i].id(), w.sent[i].back()));
        ASSERT_TRUE(again.take(w.keys[i].id(), w.sent[i].back())); // changes nothing
      }
    }
    w.coordinator->end_phase();
    again.end_phase();
    for (const node_id& n : w.task.members) {
      EXPECT_EQ(again.letter_for(n), w.coordinator->letter_for(n));
    }
  }
  EXPECT_EQ(again.outcome().sum, w.coordinator->outcome().sum);
}

} // namespace
} // namespace ovir::test
