#include "actors/path/twin_runs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using run = twin_runs::run;
using piece = twin_runs::piece;

TEST(twin_runs, a_token_is_certain_when_both_computed_it_whoever_is_first) {
  twin_runs runs;
  runs.take(run::first, 0, {7, "a"});
  EXPECT_THAT(runs.certain(), IsEmpty());
  runs.take(run::second, 0, {7, ""});
  runs.take(run::second, 1, {8, ""});
  EXPECT_THAT(runs.certain(), ElementsAre(piece{7, "a"}));
  runs.take(run::first, 1, {8, "b"});
  EXPECT_THAT(runs.certain(), ElementsAre(piece{8, "b"}));
  EXPECT_FALSE(runs.differ());
}

TEST(twin_runs, nothing_is_told_from_where_they_differ) {
  for (const run late : {run::first, run::second}) {
    twin_runs runs;
    const run early = late == run::first ? run::second : run::first;
    runs.take(early, 0, {7, "a"});
    runs.take(early, 1, {8, "b"});
    runs.take(late, 0, {7, "a"});
    EXPECT_EQ(runs.certain().size(), 1U);
    runs.take(late, 1, {9, "x"});
    EXPECT_TRUE(runs.differ());
    EXPECT_THAT(runs.certain(), IsEmpty());
  }
}

TEST(twin_runs, logprobs_are_compared_and_not_the_runs_they_are_told_by) {
  const auto told = [](float logprob) {
    return std::make_shared<const token_logprobs>(token_logprobs{logprob, {}});
  };
  twin_runs runs;
  runs.take(run::first, 0, {7, "a", told(-1)});
  runs.take(run::second, 0, {7, "a", told(-1)});
  const auto certain = runs.certain();
  ASSERT_EQ(certain.size(), 1U);
  EXPECT_EQ(certain[0].logprobs->drawn, -1);
  runs.take(run::first, 1, {8, "b", told(-1)});
  runs.take(run::second, 1, {8, "b", told(-2)});
  EXPECT_TRUE(runs.differ());
  EXPECT_THAT(runs.certain(), IsEmpty());
}

TEST(twin_runs, a_run_that_is_told_again_must_be_the_same) {
  twin_runs runs;
  runs.take(run::first, 0, {7, "a"});
  runs.take(run::first, 0, {7, "a"});
  EXPECT_FALSE(runs.differ());
  runs.take(run::first, 0, {8, "a"});
  EXPECT_TRUE(runs.differ());
}

TEST(twin_runs, a_token_out_of_order_counts_for_nothing) {
  twin_runs runs;
  runs.take(run::first, 1, {7, "a"});
  runs.take(run::second, 1, {7, ""});
  EXPECT_THAT(runs.certain(), IsEmpty());
}

TEST(twin_of, names_both_ways_and_never_the_same) {
  for (const std::uint64_t value : {0ULL, 1ULL, ~0ULL, 1ULL << 63U}) {
    EXPECT_NE(twin_of(request_id{value}), request_id{value});
    EXPECT_EQ(twin_of(twin_of(request_id{value})), request_id{value});
  }
}

} // namespace
} // namespace ovir::actors
