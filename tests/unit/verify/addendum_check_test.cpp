// Verifiers that forge: each thing that they could say and that is not theirs to say is refused,
// and told with their key, where it bears their signature.
#include "tests/support/model/receipt_maker.hpp"
#include "verify/addendum_check.hpp"

#include <gtest/gtest.h>

namespace ovir::compute {
namespace {

using kind = addendum_fault::kind;
using test::receipt_maker;

class told_addenda : public testing::Test {
protected:
  [[nodiscard]] addendum by(std::size_t who, std::vector<unit_finding> units) const {
    addendum a;
    a.receipt = name_;
    a.units = std::move(units);
    sign_addendum(a, cast_.key(who));
    return a;
  }
  [[nodiscard]] addendum honest() const {
    return by(receipt_maker::stranger,
              {{0, 0, audit_finding::right}, {2, 1, audit_finding::right}});
  }
  [[nodiscard]] std::optional<addendum_fault> fault(const addendum& a,
                                                    std::span<const addendum> before = {}) const {
    return find_addendum_fault(a, subject_of(r_, name_), before);
  }
  void expect(const addendum& a, kind what, std::optional<std::size_t> who,
              std::span<const addendum> before = {}) const {
    const auto found = fault(a, before);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->what, what) << found->text;
    EXPECT_EQ(found->by, who ? std::optional{cast_.id(*who)} : std::nullopt) << found->text;
  }

  receipt_maker cast_;
  receipt r_ = cast_.honest();
  digest name_ = receipt_digest(encode_receipt(r_));
};

TEST_F(told_addenda, count_of_a_verifier_that_had_no_part_in_it) { EXPECT_FALSE(fault(honest())); }

TEST_F(told_addenda, do_not_count_of_who_took_part) {
  for (const std::size_t who :
       {std::size_t{0}, std::size_t{1}, std::size_t{2}, receipt_maker::lead}) {
    expect(by(who, {{0, 0, audit_finding::right}}), kind::party, who);
  }
  cast_.cite(r_, 1, 3, 0, receipt_maker::stranger); // it served a unit of stage 1
  expect(honest(), kind::party, receipt_maker::stranger);
}

TEST_F(told_addenda, do_not_count_without_the_signature_of_the_key_they_name) {
  addendum a = honest();
  a.units[0].what = audit_finding::wrong;
  expect(a, kind::unsigned_word, std::nullopt);
  a = by(0, {{0, 0, audit_finding::right}});
  a.verifier = cast_.id(receipt_maker::stranger);
  expect(a, kind::unsigned_word, std::nullopt);
}

TEST_F(told_addenda, do_not_count_about_another_receipt) {
  addendum a = honest();
  a.receipt = receipt_digest(encode_receipt(cast_.other_question()));
  sign_addendum(a, cast_.key(receipt_maker::stranger));
  expect(a, kind::elsewhere, receipt_maker::stranger);
}

TEST_F(told_addenda, do_not_count_about_what_the_receipt_has_not) {
  expect(by(receipt_maker::stranger, {{3, 0, audit_finding::right}}), kind::no_unit,
         receipt_maker::stranger);
  expect(by(receipt_maker::stranger, {{0, 3, audit_finding::right}}), kind::no_unit,
         receipt_maker::stranger);
}

TEST_F(told_addenda, do_not_count_twice_and_take_nothing_back) {
  const std::vector<addendum> before{honest()};
  expect(honest(), kind::repetition, receipt_maker::stranger, before);
  expect(by(receipt_maker::stranger, {{0, 0, audit_finding::missing}}), kind::repetition,
         receipt_maker::stranger, before);
  expect(by(receipt_maker::stranger, {{0, 0, audit_finding::wrong}, {1, 0, audit_finding::right}}),
         kind::contradiction, receipt_maker::stranger, before);
  EXPECT_FALSE(fault(
      by(receipt_maker::stranger, {{0, 0, audit_finding::right}, {1, 0, audit_finding::right}}),
      before))
      << "it says something new, too";
  const std::vector<addendum> in_vain{
      by(receipt_maker::stranger, {{0, 0, audit_finding::missing}})};
  EXPECT_FALSE(fault(by(receipt_maker::stranger, {{0, 0, audit_finding::wrong}}), in_vain))
      << "what was missing came";
}

TEST_F(told_addenda, are_judged_one_after_the_other) {
  const std::vector<addendum> all{honest(), by(1, {{0, 0, audit_finding::right}}), honest()};
  const judged_addenda judged = judge_addenda(subject_of(r_, name_), all);
  EXPECT_EQ(judged.sound, std::vector<addendum>{honest()});
  ASSERT_EQ(judged.faults.size(), 2U);
  EXPECT_EQ(judged.faults[0].what, kind::party);
  EXPECT_EQ(judged.faults[1].what, kind::repetition);
}

} // namespace
} // namespace ovir::compute
