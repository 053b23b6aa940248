// What members and the keeper of a ledger say to each other: one encoding each, bounded.
#include "ledger/keeper/message.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::receipt_maker;

/// Movements with and without everything that a line may leave out.
statement_report statement_of(const node_id& who) {
  const account_ref free = purse_of(purse::free, who);
  const account_ref other = purse_of(purse::free, ledger_world::node(2));
  const account_ref escrow{purse::escrow, leaf_hash({})};
  statement_report report;
  report.who = who;
  report.more = true;
  report.lines = {
      {1, 5, {posting_kind::mint, {purse::mint, {}}, free, 70, {}, 0}, false},
      {2, 6, {posting_kind::transfer, free, other, 7, {}, 0}, true},
      {2, 6, {posting_kind::reserve, free, escrow, 8, leaf_hash({}), 0}, true},
      {3,
       7,
       {posting_kind::accrue, escrow, purse_of(purse::pending, who), 2, leaf_hash({}), 4},
       false},
      {4, 8, {posting_kind::carriage, free, other, 3, {}, 0}, true}};
  report.payers = {{leaf_hash({}), who}};
  return report;
}

std::vector<message> one_of_each() {
  const signed_head head = sign(ledger_world::key(ledger_world::keeper),
                                {digest{}, 3, leaf_hash({}), digest{}, ledger_world::t0});
  const std::vector<std::byte> some(90, std::byte{4});
  account_report account{
      ledger_world::node(1), some, head, 1, 2, 3, 4, 5, 6, 7, 8, false, true, 10, 9, {}};
  account.ejected = {ledger_world::node(2), ledger_world::node(3)};
  request_report request{leaf_hash({}), true, true, false, 3, 40, 70, 100, 50, 50, 77, {}};
  convict word;
  word.request = leaf_hash({});
  word.window = 3;
  word.guilty = ledger_world::node(4);
  word.finder = ledger_world::node(5);
  word.evidence = leaf_hash({});
  word.verdicts = {{ledger_world::node(5), {}}};
  const acknowledgement promised{{2, leaf_hash({}), {digest{}, digest{}}}, head};
  return {
      {1, ask_account{ledger_world::node(1)}},
      {2, submit{some, {}}},
      {3, submit{some, some}},
      {4, ask_request{leaf_hash({})}},
      {5, ask_entries{9}},
      {6, account},
      {7, promise{ledger_world::t0, promised}},
      {8, refusal{{errc::busy, "later"}}},
      {9, request},
      {10, entry_run{4, {some, {}, some}, head}},
      {11, head_news{head}},
      {12, ask_statement{ledger_world::node(1), {9, 3, false}}},
      {13, ask_statement{ledger_world::node(1), {0, 0, true}}},
      {14, statement_of(ledger_world::node(1))},
      {15, vouch{word}},
      {16, claim{{{77}, leaf_hash({}), leaf_hash(some), "exact-1", 8}, some}},
      {17, leader_news{ledger_world::node(6)}},
      {21, ask_voucher{leaf_hash({}), true}},
      {18, ask_voucher_statement{leaf_hash({}), 9}},
      {19, budget_report{leaf_hash(some), true, leaf_hash({}), ledger_world::node(1),
                         leaf_hash(some), 10, 3, 4, 77, false, true, 5, 6}},
      {20, budget_statement{leaf_hash({}),
                            true,
                            12,
                            {{leaf_hash({}), 7, 70, ledger_world::node(2), true, 4, 2, 9, 6},
                             {leaf_hash(some), 8, 71, ledger_world::node(2), false, 1, 2, 3, 3}}}}};
}

TEST(credit_message, comes_back_as_it_was_said) {
  for (const message& m : one_of_each()) {
    const auto again = message_from(to_bytes(m));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, m);
  }
}

TEST(credit_message, of_a_member_is_a_question_and_of_the_keeper_none) {
  std::size_t questions = 0;
  for (const message& m : one_of_each()) {
    questions += is_question(to_bytes(m)) ? 1 : 0;
  }
  EXPECT_EQ(questions, 11U);
  EXPECT_FALSE(is_question({}));
}

TEST(credit_message, shortened_or_lengthened_is_refused) {
  for (const message& m : one_of_each()) {
    std::vector<std::byte> bytes = to_bytes(m);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(message_from(std::span{bytes}.first(size))) << size;
    }
    bytes.emplace_back();
    EXPECT_FALSE(message_from(bytes));
  }
}

TEST(credit_message, with_any_bit_flipped_is_refused_or_another) {
  for (const message& m : one_of_each()) {
    const std::vector<std::byte> bytes = to_bytes(m);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::vector<std::byte> flipped = bytes;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      const auto read = message_from(flipped);
      if (read) {
        EXPECT_NE(*read, m) << bit;
        EXPECT_EQ(to_bytes(*read), flipped) << bit;
      } else {
        EXPECT_FALSE(read.error().message.empty());
      }
    }
  }
}

TEST(credit_message, that_claims_more_than_it_has_allocates_nothing_for_it) {
  for (const message& m : one_of_each()) {
    for (std::size_t at = 10; at + 4 <= to_bytes(m).size(); ++at) {
      std::vector<std::byte> bytes = to_bytes(m);
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 4, std::byte{0xff});
      (void)message_from(bytes); // under the sanitizers: no huge vector, no read beyond the end
    }
  }
  std::vector<std::byte> large(limits::credit_message_bytes_max + 1, std::byte{1});
  EXPECT_EQ(message_from(large).error().code, errc::over_limit);
}

class equivocations : public ::testing::Test {
protected:
  equivocations() {
    honest_ = cast_.honest();
    receipt other = honest_;
    other.stages[1].statements[2].units[1].bytes[0] ^= 1;
    cast_.sign_stage(other, 1);
    lie_ = {terms_of(honest_.asked), honest_.stages[1], other.stages[1]};
  }

  receipt_maker cast_;
  receipt honest_;
  equivocation lie_;
};

TEST_F(equivocations, convict_who_signed_two_results_of_one_input) {
  const auto fault = find_fault(lie_);
  ASSERT_TRUE(fault) << fault.error().message;
  EXPECT_EQ(fault->guilty, cast_.id(1));
  EXPECT_EQ(fault->window, 2U);
  const auto again = equivocation_from(to_bytes(lie_));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, lie_);
}

TEST_F(equivocations, of_nobody_convict_nobody) {
  equivocation same = lie_;
  same.second = same.first;
  EXPECT_FALSE(find_fault(same));
  equivocation forged = lie_; // who has not the key cannot make the second one
  forged.second.statements[2].units[0].bytes[3] ^= 1;
  EXPECT_FALSE(find_fault(forged));
  equivocation other_request = lie_; // signatures hold for the request they were made for
  other_request.terms.request.value ^= 1;
  EXPECT_FALSE(find_fault(other_request));
  equivocation two_nodes = lie_;
  two_nodes.second = honest_.stages[2];
  EXPECT_FALSE(find_fault(two_nodes));
}

TEST_F(equivocations, need_the_same_input) {
  receipt other = honest_; // the stage before lied: what came out differs, and is right
  other.stages[1].statements[1].input.bytes[0] ^= 1;
  other.stages[1].statements[1].units[0].bytes[0] ^= 1;
  cast_.sign_stage(other, 1);
  const auto fault = find_fault({terms_of(honest_.asked), honest_.stages[1], other.stages[1]});
  ASSERT_FALSE(fault);
  EXPECT_NE(fault.error().message.find("other values came in"), std::string::npos);
}

TEST_F(equivocations, may_differ_in_what_was_only_claimed) {
  receipt other = honest_;
  other.stages[1].statements[1].compute_us += 5;
  cast_.sign_stage(other, 1);
  EXPECT_FALSE(find_fault({terms_of(honest_.asked), honest_.stages[1], other.stages[1]}));
}

TEST_F(equivocations, lead_to_their_escrow_and_to_no_other) {
  reserve r;
  r.payer = ledger_world::node(1);
  r.about = about_of(lie_.terms);
  r.prompt = honest_.asked.prompt.size(); // 70: the first accrual pays for windows 0 to 2
  r.nonce = 1;
  const std::vector<std::byte> bytes = to_bytes(lie_);
  convict x;
  x.request = escrow_of(r);
  x.guilty = cast_.id(1);
  x.kind = evidence_kind::equivocation;
  x.evidence = evidence_digest(bytes);
  EXPECT_TRUE(check_equivocation(x, r, bytes));
  x.window = 1;
  EXPECT_FALSE(check_equivocation(x, r, bytes));
  x.window = 0;
  x.guilty = cast_.id(0);
  EXPECT_FALSE(check_equivocation(x, r, bytes));
  x.guilty = cast_.id(1);
  reserve other = r;
  other.about.bytes[0] ^= 1;
  EXPECT_FALSE(check_equivocation(x, other, bytes));
  std::vector<std::byte> changed = bytes;
  changed.back() ^= std::byte{1};
  EXPECT_FALSE(check_equivocation(x, r, changed));
}

TEST_F(equivocations, in_any_other_bytes_are_refused) {
  const std::vector<std::byte> bytes = to_bytes(lie_);
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    EXPECT_FALSE(equivocation_from(std::span{bytes}.first(size)));
  }
  for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
    std::vector<std::byte> flipped = bytes;
    flipped[byte] ^= std::byte{0x10};
    if (const auto read = equivocation_from(flipped)) {
      EXPECT_EQ(to_bytes(*read), flipped) << byte;
    }
  }
}

TEST(accruals, pay_for_the_prompt_in_their_first_window) {
  EXPECT_EQ(accrual_window(1, 0), 0U);
  EXPECT_EQ(accrual_window(32, 1), 1U);
  EXPECT_EQ(accrual_window(33, 1), 0U);
  EXPECT_EQ(accrual_window(70, 1), 0U);
  EXPECT_EQ(accrual_window(70, 2), 0U);
  EXPECT_EQ(accrual_window(70, 3), 1U);
  EXPECT_EQ(accrual_window(0, 4), 4U);
  for (const std::uint64_t prompt : {0U, 1U, 32U, 33U, 70U}) {
    std::uint32_t next = 0;
    for (std::uint32_t accrual = 0; accrual < 5; ++accrual) {
      const paid_windows paid = windows_paid(prompt, accrual);
      EXPECT_EQ(paid.first, next);
      for (next = paid.first; next < paid.first + paid.count; ++next) {
        EXPECT_EQ(accrual_window(prompt, next), accrual);
      }
    }
  }
}

} // namespace
} // namespace ovir::ledger
