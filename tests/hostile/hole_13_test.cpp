// One flipped bit, one wrong build, one operator with two keys: none of them costs an honest node
// its stake and its key. What convicts needs two witnesses, and who is accused is heard first.
#include "tests/hostile/judging_node.hpp"
#include "verify/capsule_replay.hpp"

namespace ovir::test {
namespace {

class hole_13 : public judging_node {
protected:
  static std::vector<std::byte> offered(const receipt& r) {
    const auto bytes = encode_receipt(r);
    return forged([&](audit_schema::AuditMessage::Builder root) {
      auto offer = root.initOffer();
      offer.setSuspect(true); // all of it is looked at
      offer.setReceipt(data_of(bytes));
    });
  }
  /// The other verifier agrees with what this node computed.
  void agree(const receipt& r, const compute::stated_fault& fault) {
    const auto asked = told<audit_question>(second_judge);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->task, task_at(r, fault.place));
    EXPECT_TRUE(asked->taken.empty()) << "the reference goes with any";
    say_outcome(second_judge, outcome_at(r, fault.place));
    const auto revealed = told<audit_reveal>(second_judge);
    ASSERT_TRUE(revealed) << "it computed the same";
    EXPECT_EQ(revealed->place, fault.place);
    vouch(second_judge, 2, fault.computed);
  }
  static std::vector<std::byte> accusation_of(const receipt& r, const compute::stated_fault& fault,
                                              std::size_t guilty, const digest& computed) {
    const compute::piece_choice piece{
        {3 * static_cast<layer_index>(guilty), 3 * static_cast<layer_index>(guilty) + 3},
        std::min(r.positions, 32 * (fault.place.window + 1))};
    compute::serial_runner runner;
    const auto capsule =
        encode_capsule(compute::make_capsule(r, std::span{&piece, 1}, path().weights(),
                                             compute::kernels_reference(), runner)
                           .value());
    return forged([&](audit_schema::AuditMessage::Builder root) {
      auto a = root.initAccusation();
      a.setNumber(11);
      accuse(a.initWhat(), r, guilty, fault.place, computed, {{first_judge, 2}, {second_judge, 3}});
      a.setCapsule(data_of(capsule));
    });
  }
};

TEST_F(hole_13, two_verdicts_of_the_same_kernels_are_one_witness) {
  start(false, false);
  const receipt r = lied();
  const auto fault = the_lie(r);
  send(accusing(r, 1, fault.place, fault.computed, {{first_judge, 2}, {second_judge, 2}}),
       first_judge);
  EXPECT_TRUE(convicted().empty()) << "a fault of one instruction set convicts";
  send(accusing(r, 1, fault.place, fault.computed, {{first_judge, 2}, {second_judge, 3}}),
       first_judge);
  EXPECT_EQ(convicted().size(), 1U);
}

TEST_F(hole_13, two_keys_of_one_operator_are_one_witness) {
  operators_.replace({{id(first_judge), "mallory"}, {id(second_judge), "mallory"}});
  start(false, false);
  const receipt r = lied();
  const auto fault = the_lie(r);
  const auto bytes =
      accusing(r, 1, fault.place, fault.computed, {{first_judge, 2}, {second_judge, 1}});
  send(bytes, first_judge);
  EXPECT_TRUE(convicted().empty()) << "one operator convicts with two keys";
  operators_.replace({{id(first_judge), "mallory"}});
  send(bytes, first_judge);
  EXPECT_EQ(convicted().size(), 1U);
}

TEST_F(hole_13, an_update_between_two_statements_is_no_equivocation) {
  start(false, false);
  const receipt before = path().make({});
  receipt after = before;
  after.stages[2].statements[1].units[0] = hasher{"ovir/test/other"}.finish();
  after.stages[2].signer.software += ", updated";
  path().sign_all(after);
  EXPECT_FALSE(compute::find_equivocation(before, after));
  after.stages[2].signer.software = before.stages[2].signer.software;
  path().sign_all(after);
  EXPECT_TRUE(compute::find_equivocation(before, after));
}

TEST_F(hole_13, who_admits_a_fault_is_put_out_until_it_is_let_in_and_not_convicted_as_a_liar) {
  start(true, true);
  there_are({1, second_judge});
  const receipt r = lied();
  const auto fault = the_lie(r);
  send(offered(r), 0, role_set{}.add(role::scheduler));
  agree(r, fault);
  EXPECT_TRUE(convicted().empty()) << "it was not heard";
  const auto accused = told<audit_accusation>(1);
  ASSERT_TRUE(accused);
  EXPECT_EQ(accused->what.guilty, id(1));
  EXPECT_FALSE(accused->capsule.empty()) << "it has its layers alone: it needs what went in";
  // Somebody else's word is not its own.
  const auto admission_by = [&](std::size_t who) {
    return encode_audit(audit_defence{accused->number,
                                      admit_fault(path().cast().key(who), accused->what,
                                                  audit_fault::hardware),
                                      {}})
        .value();
  };
  send(admission_by(first_judge), 1, role_set{}.add(role::worker));
  EXPECT_TRUE(convicted().empty());
  send(admission_by(1), 1, role_set{}.add(role::worker));
  const auto all = convicted();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].admitted);
  EXPECT_TRUE(access_->roles_of(id(1)).empty()) << "out, until an operator lets it in";
  const auto published = told<conviction>(second_judge);
  ASSERT_TRUE(published && published->admission);
  EXPECT_TRUE(compute::check_conviction(*published));
}

TEST_F(hole_13, who_computes_again_what_it_stated_is_put_before_a_further_host) {
  start(true, true);
  there_are({1, first_judge, second_judge});
  const receipt r = lied();
  const auto fault = the_lie(r);
  send(offered(r), 0, role_set{}.add(role::scheduler));
  const bool first = told<audit_question>(first_judge).has_value();
  const std::size_t second = first ? first_judge : second_judge;
  const std::size_t third = first ? second_judge : first_judge;
  const auto bytes = encode_receipt(r);
  say_outcome(second, outcome_at(r, fault.place));
  vouch(second, 2, fault.computed);
  const auto accused = told<audit_accusation>(1);
  ASSERT_TRUE(accused);
  ASSERT_FALSE(told<audit_question>(third));
  send(encode_audit(
           audit_defence{accused->number,
                         {},
                         give_verdict(path().cast().key(1), receipt_digest(bytes), fault.place,
                                      fault.stated, {audit_kernels::reference, "accused"})})
           .value(),
       1, role_set{}.add(role::worker));
  EXPECT_TRUE(convicted().empty());
  const auto asked = told<audit_question>(third);
  ASSERT_TRUE(asked) << "a further host is asked before anything happens";
  EXPECT_EQ(asked->taken, std::vector{audit_kernels::avx2});
  say_outcome(third, hasher{"ovir/test/other"}.finish()); // both judges were wrong
  EXPECT_TRUE(convicted().empty());
  EXPECT_FALSE(access_->roles_of(id(1)).empty());
}

TEST_F(hole_13, an_accused_node_computes_again_and_admits_or_contests) {
  start(true, false, 1);
  there_are({first_judge});
  const receipt flipped = lied(); // it stated that, once
  const auto fault = the_lie(flipped);
  send(accusation_of(flipped, fault, 1, fault.computed), first_judge);
  const auto admits = told<audit_defence>(first_judge);
  ASSERT_TRUE(admits && admits->admission);
  EXPECT_EQ(admits->number, 11U);
  EXPECT_EQ(admits->admission->fault, audit_fault::hardware);
  sent_.all.clear();

  const receipt honest = path().make({});
  compute::stated_fault false_one = fault;
  false_one.computed = hasher{"ovir/test/forged"}.finish();
  send(accusation_of(honest, false_one, 1, false_one.computed), first_judge);
  const auto contests = told<audit_defence>(first_judge);
  ASSERT_TRUE(contests && contests->counter);
  EXPECT_TRUE(verify_verdict(*contests->counter, receipt_digest(encode_receipt(honest)),
                             fault.place, compute::stated_at(honest, fault.place)->value));
}

} // namespace
} // namespace ovir::test
