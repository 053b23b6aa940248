// Verifiers that ask to have an honest node convicted, and verifiers that answer what they did not
// compute: a verdict is given on what was computed before it was shown, and on nothing else.
#include "tests/hostile/judging_node.hpp"

namespace ovir::test {
namespace {

class questions : public judging_node {
protected:
  static std::vector<std::byte> offered(const receipt& r) {
    const auto bytes = encode_receipt(r);
    return forged([&](audit_schema::AuditMessage::Builder root) {
      auto offer = root.initOffer();
      offer.setSuspect(true);
      offer.setReceipt(data_of(bytes));
    });
  }
  static digest other() { return hasher{"ovir/test/other"}.finish(); }
};

TEST_F(questions, say_nothing_of_who_stated_what) {
  start(true, true);
  there_are({1, second_judge});
  const receipt r = lied();
  const auto fault = the_lie(r);
  send(offered(r), 0, role_set{}.add(role::scheduler));
  const auto asked = told<audit_question>(second_judge);
  ASSERT_TRUE(asked);
  const auto bytes = encode_audit(*asked).value();
  const auto holds = [&](std::span<const std::byte> what) {
    return std::search(bytes.begin(), bytes.end(), what.begin(), what.end()) != bytes.end();
  };
  for (const stage_records& stage : r.stages) {
    EXPECT_FALSE(holds(raw(stage.signer.node)));
    for (const statement& s : stage.statements) {
      EXPECT_FALSE(holds(raw(s.proof)));
      EXPECT_FALSE(holds(raw(s.received)));
    }
  }
  EXPECT_FALSE(holds(raw(r.lead.node)));
  EXPECT_FALSE(holds(raw(r.closing)));
  EXPECT_FALSE(holds(raw(fault.stated)));
  EXPECT_FALSE(holds(raw(fault.computed)));
  for (const digest& unit : r.stages[1].statements[1].units) { // of the window in question
    EXPECT_FALSE(holds(raw(unit)));
  }
  EXPECT_TRUE(holds(raw(r.stages[1].statements[1].input)));
}

TEST_F(questions, get_no_verdict_on_another_receipt_than_they_were_about) {
  start(true, true);
  there_are({first_judge});
  const receipt honest = path().make({});
  const receipt liar = lied();
  const compute::stated_fault lie = the_lie(liar);
  const audit_place earlier{audit_part::unit, 0, 4, 0};
  // About the lie's window of another request, or another window of this one.
  receipt longer = liar;
  longer.asked.prompt.front() += 1;
  path().sign_all(longer);
  for (const auto& [asked, revealed, place] :
       {std::tuple{task_at(liar, earlier), liar, lie.place},
        std::tuple{task_at(liar, lie.place), longer, lie.place},
        std::tuple{task_at(liar, lie.place), liar, earlier}}) {
    sent_.all.clear();
    send(question(asked), first_judge);
    ASSERT_TRUE(told<audit_answer>(first_judge));
    send(shown(revealed, place), first_judge);
    EXPECT_FALSE(told<audit_vouch>(first_judge));
  }
  // What an honest stage states gets a verdict that it is right.
  const auto said = verdict_on(honest, lie.place);
  ASSERT_TRUE(said);
  EXPECT_EQ(said->computed, compute::stated_at(honest, lie.place)->value);
}

TEST_F(questions, get_no_verdict_before_an_answer_nor_a_second_one) {
  start(true, true);
  there_are({first_judge, second_judge});
  const receipt r = lied();
  const audit_place place = the_lie(r).place;
  send(shown(r, place), first_judge);
  EXPECT_FALSE(told<audit_vouch>(first_judge));
  send(question(task_at(r, place)), first_judge);
  send(shown(r, place), second_judge); // it did not ask
  EXPECT_FALSE(told<audit_vouch>(second_judge));
  send(shown(r, place), first_judge);
  EXPECT_TRUE(told<audit_vouch>(first_judge));
  sent_.all.clear();
  send(shown(r, place), first_judge);
  EXPECT_FALSE(told<audit_vouch>(first_judge));
}

TEST_F(questions, get_no_verdict_on_a_receipt_that_does_not_hold) {
  start(true, true);
  there_are({first_judge});
  receipt r = path().make({});
  const audit_place place{audit_part::unit, 1, 4, 0};
  r.stages[1].statements[1].units[1] = other(); // nobody signed that
  EXPECT_FALSE(verdict_on(r, place));
  EXPECT_TRUE(told<audit_answer>(first_judge));
}

// Who guesses, or asks the accused, cannot vouch: it is never shown anything.
TEST_F(questions, show_nothing_to_who_computed_something_else) {
  start(true, true);
  there_are({1, second_judge});
  const receipt r = lied();
  send(offered(r), 0, role_set{}.add(role::scheduler));
  say_outcome(second_judge, other());
  EXPECT_FALSE(told<audit_reveal>(second_judge));
  EXPECT_FALSE(told<audit_accusation>(1)) << "one verdict accuses nobody";
  EXPECT_TRUE(convicted().empty());
}

TEST_F(questions, take_an_answer_that_another_signed_for_none) {
  start(true, true);
  there_are({1, first_judge, second_judge});
  const receipt r = lied();
  const auto fault = the_lie(r);
  send(offered(r), 0, role_set{}.add(role::scheduler));
  const std::size_t asked = told<audit_question>(first_judge) ? first_judge : second_judge;
  const auto question = told<audit_question>(asked);
  ASSERT_TRUE(question);
  const digest outcome = outcome_at(r, fault.place);
  const signature proof =
      sign_outcome(path().cast().key(asked == first_judge ? second_judge : first_judge),
                   task_digest(question->task), outcome);
  send(encode_audit(audit_answer{question->number, outcome, proof}).value(), asked);
  EXPECT_FALSE(told<audit_reveal>(asked));
  say_outcome(asked, outcome);
  EXPECT_TRUE(told<audit_reveal>(asked));
}

} // namespace
} // namespace ovir::test
