// What stages sign about windows that they take from a cache.
#include "tests/unit/actors/stage/signed_work.hpp"

namespace ovir::actors {
namespace {

using namespace signed_work;

class signed_reuse : public signed_request {};

// A stage states again what it computed for an earlier request.
TEST_P(signed_reuse, that_reuses_windows_has_them_stated_too) {
  run(9);
  finish();
  const auto first = make();
  ASSERT_TRUE(first) << first.error().message;
  again(kept());
  step(32, 13, {}, 1);
  while (tokens_.size() < 45 + 9) {
    step(static_cast<position>(tokens_.size() - 1), 1, {}, 1);
  }
  finish();
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(check_receipt(*r, anybody).empty());
  EXPECT_EQ(r->transcript, first->transcript);
  for (std::size_t i = 0; i < 3; ++i) {
    const statement& reused = r->stages[i].statements.front();
    EXPECT_EQ(reused.units, first->stages[i].statements.front().units);
    EXPECT_EQ(reused.kv, first->stages[i].statements.front().kv);
    EXPECT_EQ(reused.compute_us, 0U);
    EXPECT_GT(r->stages[i].statements.back().compute_us, 0U);
  }
}

// What another computed is stated with that one's word, and is for it to answer for.
TEST_P(signed_reuse, that_reuses_windows_of_another_cites_it) {
  run(9);
  std::vector<units_found> units = kept();
  units[1] = stages_[1]->kept(7);
  again(std::move(units));
  step(32, 13, {}, 1);
  finish();
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(check_receipt(*r, anybody).empty());
  EXPECT_TRUE(r->stages[0].statements.front().cited.empty());
  const statement& s = r->stages[1].statements.front();
  ASSERT_EQ(s.cited.size(), 2U);
  for (const unit_citation& c : s.cited) {
    EXPECT_EQ(c.author, key_number(7).id());
  }
  EXPECT_TRUE(r->stages[1].statements.back().cited.empty());
}

TEST_P(signed_reuse, states_no_window_that_was_computed_from_something_else) {
  run(1);
  auto units = kept();
  asked_.prompt[3] = 9; // but the first stage believes what it is given
  lead_ = std::make_unique<lead_evidence>(desk_, asked_, 1'900'000'000);
  again(std::move(units));
  step(32, 13, {}, 1);
  finish();
  const auto r = make();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::timed_out);
}

// The next stage may not have been told to sign before there is a step.
TEST_P(signed_reuse, signs_what_it_sent_of_reused_windows_with_the_first_step) {
  run(9);
  again(kept());
  for (const auto& stage : stages_) {
    EXPECT_TRUE(stage->news.to_next.links.empty());
  }
  EXPECT_EQ(stages_[0]->evidence->links().links.size(), 1U);
  EXPECT_TRUE(stages_[2]->evidence->links().links.empty()) << "the last stage sends no boundary";
  const std::size_t before = links_;
  step(32, 13, {}, 1);
  EXPECT_EQ(links_ - before, 2U * 2U) << "of two stages, windows 0 and 1";
}

TEST_P(signed_reuse, takes_no_units_that_do_not_belong_together) {
  run(1);
  auto units = kept();
  std::swap(units[1].blocks[0], units[2].blocks[0]);
  const auto restored = [&](std::size_t i) {
    signing_stage fresh{stages_[i]->range(), 9, GetParam()};
    fresh.begin(lead_->order());
    return fresh.restore(units[i]);
  };
  EXPECT_EQ(restored(0), 32U);
  EXPECT_EQ(restored(1), 0U) << "its first layer put something else out";
}

INSTANTIATE_TEST_SUITE_P(answers, signed_reuse,
                         ::testing::Values(stage_answers::logits, stage_answers::highest));

} // namespace
} // namespace ovir::actors
