// A window as one verifier asks another about it: computed from the task alone it comes to what
// the receipt's stage computed.
#include "tests/support/cluster/lying_path.hpp"
#include "verify/window_task.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ovir::compute {
namespace {

using test::lie;
using test::lying_path;

const lying_path& path() {
  static const lying_path one;
  return one;
}

replay_outcome replayed(const receipt& r, const replay_bounds& bounds) {
  serial_runner runner;
  return replay(r, path().weights(), bounds, kernels_reference(), runner).value();
}

replay_outcome from_task(const audit_task& task) {
  return replayed(receipt_of(task), {task.layers.last, task.window() + 1});
}

template <class Look>
void for_each_window(const receipt& r, const Look& look) {
  for (std::size_t stage = 0; stage < r.stages.size(); ++stage) {
    for (std::uint32_t w = 0; w < windows_of(r.positions); ++w) {
      look(stage_window{stage, w});
    }
  }
}

TEST(window_task, comes_to_what_the_receipt_comes_to) {
  const receipt r = path().make({});
  const replay_outcome all = replayed(r, bounds_of(r));
  std::set<digest> names;
  for_each_window(r, [&](const stage_window& at) {
    const audit_task task = task_of(r, at);
    ASSERT_TRUE(check(task)) << at.stage << " " << at.window;
    EXPECT_EQ(task.window(), at.window);
    const auto here = outcome_for(task, all);
    const auto there = outcome_for(task, from_task(task));
    ASSERT_TRUE(here && there) << at.stage << " " << at.window;
    EXPECT_EQ(outcome_digest(*here), outcome_digest(*there));
    EXPECT_EQ(here->draws, there->draws);
    EXPECT_TRUE(follows_from_tokens(task, from_task(task)));
    EXPECT_FALSE(window_fault(r, at, *there));
    for (const audit_place& place : places_of(r, at)) {
      EXPECT_EQ(computed_at(*there, place), stated_at(r, place)->value);
    }
    EXPECT_TRUE(names.insert(task_digest(task)).second);
    EXPECT_TRUE(names.insert(outcome_digest(*here)).second);
  });
}

TEST(window_task, is_what_the_receipt_made_of_it_says) {
  const receipt r = path().make({});
  for_each_window(r, [&](const stage_window& at) {
    const audit_task task = task_of(r, at);
    EXPECT_EQ(task_of(receipt_of(task), {0, task.window()}), task);
  });
}

// What is stated of the window itself, and by whom, changes nothing in what is asked.
TEST(window_task, is_the_same_of_a_lie_and_of_the_truth) {
  const receipt honest = path().make({});
  for (const lie how : {lie::wrong_kv, lie::uncomputed_claim}) { // it computes rightly
    const receipt liar = path().make({how, 4, 40});
    const stage_window at{1, 1};
    ASSERT_TRUE(window_fault(liar, at, replayed(honest, bounds_of(honest))));
    // Tokens that follow from the lie are the request's, as they are of any.
    receipt same = honest;
    same.stages[1] = liar.stages[1];
    EXPECT_EQ(task_of(same, at), task_of(honest, at));
  }
}

TEST(window_task, does_not_follow_from_the_tokens_behind_a_lie) {
  const receipt r = path().make({lie::wrong_output, 4, 45});
  const replay_outcome again = replayed(r, bounds_of(r));
  EXPECT_TRUE(follows_from_tokens(task_of(r, {1, 1}), again)) << "the liar's own inputs do";
  EXPECT_FALSE(follows_from_tokens(task_of(r, {2, 1}), again));
  EXPECT_FALSE(follows_from_tokens(task_of(r, {1, 2}), again)) << "its K and V are stated wrong";
}

TEST(window_task, that_does_not_fit_is_refused) {
  const audit_task good = task_of(path().make({}), {1, 1});
  ASSERT_TRUE(check(good));
  const auto refused = [&](const auto& change) {
    audit_task task = good;
    change(task);
    return !check(task).has_value();
  };
  EXPECT_TRUE(refused([](audit_task& t) { t.layers = {3, 3}; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.layers.last = t.model_layers + 1; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.positions = 0; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.positions += 32; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.prompt = 0; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.prompt = 1'000; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.kv.pop_back(); }));
  EXPECT_TRUE(refused([](audit_task& t) { t.tokens.resize(10); }));
  EXPECT_TRUE(refused([](audit_task& t) { t.tokens[3] = limits::vocabulary_max; }));
  EXPECT_TRUE(refused([](audit_task& t) { t.layers = {0, 3}; })) << "tokens have no digest";
  EXPECT_TRUE(refused([](audit_task& t) { t.sampling.temperature = NAN; }));
}

} // namespace
} // namespace ovir::compute
