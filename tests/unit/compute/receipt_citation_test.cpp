// Units that a stage reused: whose they are is shown by a signature over just what is stated, and
// who signed them answers for them.
#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/compact_receipt.hpp"
#include "tests/support/cluster/lying_path.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/capsule_replay.hpp"
#include "verify/receipt_check.hpp"
#include "verify/receipt_replay.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace ovir::compute {
namespace {

using test::receipt_maker;
constexpr std::size_t closes = receipt_maker::lead;
constexpr std::size_t cited_author = receipt_maker::stranger;
const signer_policy whoever{signer_policy::kind::any, {}};

/// Stage 1 has layers 3 to 5; windows 0 and 1 of three are whole and nothing is drawn in window 0.
class cited_units : public ::testing::Test {
protected:
  cited_units() {
    cast_.cite(r_, 1, 3, 0, cited_author);
    cast_.cite(r_, 1, 5, 0, cited_author);
    cast_.cite(r_, 1, 4, 1, cited_author);
    finish(r_);
  }
  void finish(receipt& r) const {
    cast_.sign_stage(r, 1);
    cast_.sign_link(r, 2);
    cast_.sign_stage(r, 2);
    cast_.follow_statements(r);
    cast_.close(r);
  }
  /// As a lead shows it that closed what does not hold, and as somebody does who cannot close it.
  void expect_refused(const std::function<void(statement&, statement&)>& change,
                      const std::string& why, bool of_form = false) {
    SCOPED_TRACE(why);
    receipt r = r_;
    change(r.stages[1].statements[0], r.stages[1].statements[1]);
    cast_.sign_stage(r, 1);
    auto found = check_receipt(r, whoever);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front().signer, cast_.id(1));
    EXPECT_NE(found.front().what.find(why), std::string::npos) << found.front().what;
    finish(r);
    found = check_receipt(r, whoever);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front().signer, cast_.id(of_form ? 1 : closes)) << "who closes has checked";
  }

  receipt_maker cast_;
  receipt r_ = cast_.honest();
};

TEST_F(cited_units, are_part_of_a_receipt_that_holds) {
  const auto found = check_receipt(r_, whoever);
  EXPECT_TRUE(found.empty()) << found.front().what;
  EXPECT_EQ(decode_receipt(encode_receipt(r_)).value(), r_);
  const compact_receipt brief = compact(r_).value();
  EXPECT_TRUE(check_receipt(brief, whoever).empty());
  EXPECT_TRUE(check_opening(brief, open_unit(r_, 0, 3).value()));
  EXPECT_EQ(decode_compact(encode_compact(brief)).value(), brief);
}

TEST_F(cited_units, are_of_somebody_whose_word_counts) {
  signer_policy listed{signer_policy::kind::listed, {}};
  for (const std::size_t who : {std::size_t{0}, std::size_t{1}, std::size_t{2}, closes}) {
    listed.listed.insert(cast_.id(who));
  }
  const auto found = check_receipt(r_, listed);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().signer, cast_.id(cited_author));
  listed.listed.insert(cast_.id(cited_author));
  EXPECT_TRUE(check_receipt(r_, listed).empty());
}

TEST_F(cited_units, hold_for_nothing_but_what_their_author_signed) {
  const std::string why = "show no word of another";
  const auto flip = [](digest& d) { d.bytes[3] ^= 1; };
  expect_refused([&](statement& s, statement&) { flip(s.units[0]); }, why);
  expect_refused([&](statement& s, statement&) { flip(s.units[1]); }, why); // into layer 5
  expect_refused([&](statement& s, statement&) { flip(s.kv[2]); }, why);
  expect_refused([&](statement& s, statement&) { flip(s.kv[1]); }, why); // earlier, of layer 4
  expect_refused([&](statement& s, statement&) { flip(s.cited[0].binding); }, why);
  expect_refused([&](statement& s, statement&) { s.cited[0].proof.bytes[5] ^= 2; }, why);
  expect_refused([&](statement& s, statement&) { s.cited[1].author = cast_.id(0); }, why);
  expect_refused([&](statement& s, statement&) { s.cited[0].layer = 4; }, why);
  expect_refused([&](statement& s, statement& t) { std::swap(s.cited[0], t.cited[0]); }, why);
}

TEST_F(cited_units, are_in_order_of_another_and_of_whole_windows_without_draws) {
  const std::string why = "is said to be another's";
  expect_refused([&](statement& s, statement&) { std::swap(s.cited[0], s.cited[1]); }, why, true);
  expect_refused([&](statement& s, statement&) { s.cited[1] = s.cited[0]; }, why, true);
  expect_refused([&](statement& s, statement&) { s.cited[0].layer = 2; }, why, true);
  expect_refused([&](statement& s, statement&) { s.cited[1].layer = 6; }, why, true);
  expect_refused([&](statement& s, statement&) { s.cited[0].author = {}; }, why, true);
  expect_refused([&](statement& s, statement&) { s.cited[0].author = cast_.id(1); }, why, true);
  for (const std::uint32_t window : {1U, 2U}) { // of the last stage: drawn from, and cut short
    receipt r = cast_.make({3, 3, 40, 51, 17});
    cast_.cite(r, 2, 7, window, cited_author);
    cast_.sign_stage(r, 2);
    EXPECT_FALSE(check_receipt(r, whoever).empty()) << window;
  }
}

TEST_F(cited_units, are_their_authors_to_answer_for) {
  const auto who = [&](audit_part part, std::uint32_t window, layer_index layer) {
    return stated_at(r_, {part, window, layer, 0})->signer;
  };
  for (const audit_part part : {audit_part::unit, audit_part::kv}) {
    EXPECT_EQ(who(part, 0, 3), cast_.id(cited_author));
    EXPECT_EQ(who(part, 0, 4), cast_.id(1));
    EXPECT_EQ(who(part, 1, 3), cast_.id(1));
    EXPECT_EQ(who(part, 1, 4), cast_.id(cited_author));
  }
  EXPECT_EQ(signer_of(r_, {0, 5}), cast_.id(cited_author));
  EXPECT_EQ(signer_of(r_, {1, 5}), cast_.id(1));
  const auto units = units_of(r_);
  EXPECT_EQ(std::count_if(units.begin(), units.end(),
                          [&](const keyed_unit& u) { return u.signer == cast_.id(cited_author); }),
            3);
}

const test::lying_path& path() {
  static const test::lying_path one;
  return one;
}

replay_outcome again(const receipt& r) {
  serial_runner runner;
  return replay(r, path().weights(), bounds_of(r), kernels_reference(), runner).value();
}

// Who computes with K and V that another signed computes something else than everybody would; the
// fault is that other's alone.
TEST(cited_lies, convict_their_author_and_not_who_computed_from_them) {
  const receipt honest = path().make({});
  const replay_outcome right = again(honest);
  ASSERT_TRUE(first_faults(honest, right).empty());
  receipt r = honest;
  statement& first = r.stages[1].statements[0];
  statement& second = r.stages[1].statements[1];
  first.kv[1].bytes[0] ^= 1;     // layer 4, cited
  second.units[1].bytes[0] ^= 1; // computed from it
  second.units[2].bytes[0] ^= 1;
  EXPECT_EQ(first_faults(r, right).front().signer, path().cast().id(1)) << "its own";
  path().cast().cite(r, 1, 4, 0, cited_author);
  const auto faults = first_faults(r, right);
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].signer, path().cast().id(cited_author));
  EXPECT_EQ(faults[0].place, (audit_place{audit_part::kv, 0, 4, 0}));
  EXPECT_TRUE(stands_alone(r, right, faults[0].place));
  EXPECT_FALSE(stands_alone(r, right, {audit_part::unit, 1, 4, 0}));
}

TEST(cited_lies, are_no_contradiction_of_who_passed_them_on) {
  const receipt honest = path().make({});
  receipt r = honest;
  r.stages[1].statements[0].units[2].bytes[0] ^= 1;
  r.stages[1].statements[1].units[0].bytes[0] ^= 1;
  const auto as_equivocation = [&] {
    return ledger::equivocation{terms_of(r.asked), honest.stages[1], r.stages[1]};
  };
  ASSERT_TRUE(find_equivocation(honest, r));
  path().cast().sign_stage(r, 1);
  EXPECT_EQ(ledger::find_fault(as_equivocation()).value().window, 0U);
  path().cast().cite(r, 1, 5, 0, cited_author);
  path().cast().sign_stage(r, 1);
  EXPECT_FALSE(find_equivocation(honest, r));
  EXPECT_FALSE(find_equivocation(r, honest));
  EXPECT_FALSE(ledger::find_fault(as_equivocation()));
}

// A stage that blames another for a unit whose word it does not have.
TEST(cited_lies, are_not_shown_without_their_authors_word) {
  const receipt honest = path().make({});
  receipt r = honest;
  path().cast().cite(r, 1, 5, 0, cited_author);
  r.stages[1].statements[0].units[2].bytes[0] ^= 1;
  path().cast().sign_stage(r, 1);
  const auto said = ledger::find_fault({terms_of(r.asked), honest.stages[1], r.stages[1]});
  ASSERT_FALSE(said);
  EXPECT_NE(said.error().message.find("cites what its author did not sign"), std::string::npos);
}

} // namespace
} // namespace ovir::compute
