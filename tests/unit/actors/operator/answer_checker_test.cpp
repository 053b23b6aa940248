#include "actors/operator/answer_checker.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using gateway::answer_check;
using gateway::answer_verdict;
using test::receipt_maker;
using testing::HasSubstr;

class checked_answer : public testing::Test {
protected:
  checked_answer() {
    keys_.names = {{cast_.id(0), "fox"}, {cast_.id(receipt_maker::stranger), "owl"}};
    keys_.member = [](const node_id&) { return true; };
    keys_.convicted = [](const node_id&) { return false; };
    keys_.verifier = [](const node_id&) { return true; };
  }
  void told(std::vector<unit_finding> units) {
    addendum a;
    a.receipt = name();
    a.means.kernels = audit_kernels::avx2;
    a.units = std::move(units);
    sign_addendum(a, cast_.key(receipt_maker::stranger));
    about_.addenda.push_back(a);
  }
  [[nodiscard]] digest name() const { return receipt_digest(encode_receipt(r_)); }
  [[nodiscard]] answer_check check() const { return judge_answer(r_, name(), about_, keys_); }

  receipt_maker cast_;
  receipt r_ = cast_.honest(); // three stages, three windows each
  key_facts keys_;
  addendum_shelf::news about_;
};

TEST_F(checked_answer, says_who_computed_and_that_none_audited_it) {
  about_.age = std::chrono::seconds{1};
  answer_check found = check();
  EXPECT_EQ(found.verdict, answer_verdict::unaudited);
  EXPECT_EQ(found.unaudited, "its audits may be under way");
  ASSERT_EQ(found.stages.size(), 3U);
  EXPECT_EQ(found.stages[0].by.name, "fox");
  EXPECT_EQ(found.stages[1].layers, (layer_range{3, 6}));
  EXPECT_EQ(found.stages[1].by.node, cast_.id(1));
  EXPECT_EQ(found.stages[2].windows, 3U);
  EXPECT_EQ(found.stages[2].unaudited, (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(found.lead.node, cast_.id(receipt_maker::lead));
  about_.age = std::chrono::seconds{61};
  EXPECT_EQ(check().unaudited, "no verifier told this node that it looked");
  about_.unentered = true;
  EXPECT_EQ(check().text, "It holds, and is unaudited: no entry in any log within 60 s.");
}

TEST_F(checked_answer, says_who_audited_which_windows) {
  told({{0, 1, audit_finding::right}, {2, 0, audit_finding::missing}});
  answer_check found = check();
  EXPECT_EQ(found.verdict, answer_verdict::in_part);
  EXPECT_EQ(found.text, "It holds, and others computed 1 of its 9 windows again.");
  EXPECT_EQ(found.stages[0].right, 1U);
  EXPECT_EQ(found.stages[0].unaudited, (std::vector<std::uint32_t>{0, 2}));
  EXPECT_EQ(found.stages[2].missing, 1U);
  ASSERT_EQ(found.audits.size(), 1U);
  EXPECT_EQ(found.audits[0].by.name, "owl");
  EXPECT_EQ(found.audits[0].kernels, "avx2");
  ASSERT_EQ(found.audits[0].findings.size(), 2U);
  EXPECT_EQ(found.audits[0].findings[1].what, "missing");

  std::vector<unit_finding> rest;
  for (std::uint16_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t window = 0; window < 3; ++window) {
      rest.push_back({stage, window, audit_finding::right});
    }
  }
  told(rest);
  found = check();
  EXPECT_EQ(found.verdict, answer_verdict::audited);
  EXPECT_EQ(found.unaudited, "");
  EXPECT_EQ(found.stages[2].missing, 0U) << "it came later";
}

TEST_F(checked_answer, is_disputed_where_a_verifier_computed_something_else) {
  told({{0, 1, audit_finding::right}, {1, 2, audit_finding::wrong}});
  const answer_check found = check();
  EXPECT_EQ(found.verdict, answer_verdict::disputed);
  EXPECT_EQ(found.stages[1].wrong, 1U);
  // Another verifier's word for it settles nothing.
  addendum beside;
  beside.receipt = name();
  beside.units = {{1, 2, audit_finding::right}};
  sign_addendum(beside, cast_.key(3));
  for (const bool first : {false, true}) {
    about_.addenda.resize(1);
    about_.addenda.insert(first ? about_.addenda.begin() : about_.addenda.end(), beside);
    EXPECT_EQ(check().stages[1].wrong, 1U) << first;
    EXPECT_EQ(check().audits.size(), 2U);
    std::erase(about_.addenda, beside);
  }
}

TEST_F(checked_answer, does_not_count_what_is_not_a_verifiers_to_say) {
  addendum own; // of a stage, about another
  own.receipt = name();
  own.units = {{0, 0, audit_finding::right}};
  sign_addendum(own, cast_.key(1));
  about_.addenda.push_back(own);
  answer_check found = check();
  EXPECT_EQ(found.verdict, answer_verdict::unaudited);
  ASSERT_EQ(found.rejected.size(), 1U);
  EXPECT_EQ(found.rejected[0].by->node, cast_.id(1));
  about_.addenda.clear();
  told({{0, 0, audit_finding::right}});
  keys_.verifier = [](const node_id&) { return false; };
  found = check();
  EXPECT_EQ(found.verdict, answer_verdict::unaudited);
  EXPECT_EQ(found.rejected.at(0).by->name, "owl");
}

TEST_F(checked_answer, is_wrong_or_of_the_convicted_or_of_strangers) {
  keys_.member = [this](const node_id& node) { return node != cast_.id(1); };
  EXPECT_EQ(check().verdict, answer_verdict::strangers);
  EXPECT_FALSE(check().stages[1].member);
  keys_.convicted = [this](const node_id& node) { return node == cast_.id(0); };
  EXPECT_EQ(check().verdict, answer_verdict::convicted);
  EXPECT_THAT(check().text, HasSubstr("fox"));
  r_.stages[0].statements[1].compute_us += 1;
  const answer_check found = check();
  EXPECT_EQ(found.verdict, answer_verdict::wrong);
  ASSERT_FALSE(found.failures.empty());
  EXPECT_EQ(found.failures[0].by->node, cast_.id(0));
}

TEST_F(checked_answer, names_who_served_what_was_reused) {
  cast_.cite(r_, 1, 3, 0, receipt_maker::stranger);
  const answer_check found = check();
  ASSERT_EQ(found.stages[1].reused.size(), 1U);
  EXPECT_EQ(found.stages[1].reused[0].author.name, "owl");
  EXPECT_EQ(found.stages[1].reused[0].units, 1U);
  EXPECT_TRUE(found.stages[0].reused.empty());
}

} // namespace
} // namespace ovir::actors
