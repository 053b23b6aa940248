// A verifier in league with a liar: it asks about an honest stage behind the liar, whose output
// does not follow from the tokens and does follow from what it was sent.
#include "tests/hostile/judging_node.hpp"

namespace ovir::test {
namespace {

class hole_04 : public judging_node {};

TEST_F(hole_04, a_question_about_an_honest_stage_behind_a_liar_gets_no_verdict) {
  start(true, true);
  there_are({first_judge});
  const receipt r = lied();
  const compute::stated_fault lie = the_lie(r);
  ASSERT_EQ(lie.signer, id(1));
  const auto again = computed(r);
  std::size_t followed = 0;
  for (std::uint32_t w = 0; w < windows_of(r.positions); ++w) {
    for (layer_index layer = 0; layer < lying_path::layers; ++layer) {
      const audit_place place{audit_part::unit, w, layer, 0};
      const auto stated = compute::stated_at(r, place);
      const bool differs = stated->value != *compute::computed_at(again, place);
      if (!differs || place == lie.place) {
        continue;
      }
      EXPECT_FALSE(verdict_on(r, place))
          << "a verdict on layer " << layer << " over window " << w << " of "
          << short_name(stated->signer) << ", which computed what it was sent";
      followed += stated->signer == id(2) ? 1 : 0;
    }
  }
  EXPECT_GT(followed, 0U);
}

TEST_F(hole_04, a_question_about_the_lie_and_one_about_what_is_right_are_answered) {
  start(true, true);
  there_are({first_judge});
  const receipt r = lied();
  const compute::stated_fault lie = the_lie(r);
  const auto said = verdict_on(r, lie.place);
  ASSERT_TRUE(said);
  EXPECT_EQ(said->computed, lie.computed);
  const audit_place right{audit_part::unit, 0, 7, 0};
  const auto other = verdict_on(r, right);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->computed, compute::stated_at(r, right)->value);
}

TEST_F(hole_04, a_conviction_of_the_honest_stage_holds_nowhere_that_the_model_is) {
  start(true, false);
  const receipt r = lied();
  const audit_place place{audit_part::unit, 1, 6, 0};
  ASSERT_EQ(compute::stated_at(r, place)->signer, id(2));
  send(accusing(r, 2, place, *compute::computed_at(computed(r), place),
                {{first_judge, 2}, {second_judge, 1}}),
       first_judge);
  EXPECT_TRUE(convicted().empty());
}

} // namespace
} // namespace ovir::test
