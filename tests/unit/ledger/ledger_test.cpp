#include "ledger/keeper/ledger.hpp"
#include "ledger/rules/invariants.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

#include <array>

namespace ovir::ledger {
namespace {

constexpr std::uint64_t t0 = test::ledger_world::t0;
constexpr micro_credits c = credit;
using test::ledger_world;

class ledger_test : public testing::Test {
protected:
  explicit ledger_test(const genesis& rules = ledger_world::rules(), micro_credits rate = c)
      : book(ledger::create(file, rules, t0, options()).value()), world(book.id(), rate) {}

  static ledger_options options() {
    ledger_options o;
    o.log.step_bytes = 64U << 10U;
    return o;
  }
  /// Applies one command; its outcome.
  command_outcome run(const authentic_command& one, std::uint64_t now = t0) {
    batch_outcome out = book.commit(std::span{&one, 1}, now).value();
    const auto right = check_invariants(book.view());
    EXPECT_TRUE(right) << right.error().message;
    effects = std::move(out.effects);
    return std::move(out.commands.front());
  }
  void must(const authentic_command& one, std::uint64_t now = t0) {
    const command_outcome out = run(one, now);
    EXPECT_TRUE(out.done) << out.why.message;
  }
  void run_due(std::uint64_t then) {
    for (const command& due : book.view().due(then, 10)) {
      must(world.keep(due), then);
    }
  }
  std::string refusal(const authentic_command& one, std::uint64_t now = t0) {
    const digest before = hash_plain(book.view().snapshot());
    const command_outcome out = run(one, now);
    EXPECT_FALSE(out.done);
    EXPECT_TRUE(effects.empty());
    EXPECT_EQ(hash_plain(book.view().snapshot()), before) << "refused, but something changed";
    return out.why.message;
  }
  const account& of(std::uint8_t who) {
    static const account none;
    const account* const a = book.view().find(ledger_world::node(who));
    return a == nullptr ? none : *a;
  }
  micro_credits held() { return book.view().balance({purse::escrow, world.last_request}); }

  test::memory_file file;
  ledger book;
  ledger_world world;
  std::vector<posting> effects;
};

TEST_F(ledger_test, a_request_is_reserved_accrued_released_and_the_rest_refunded) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 3}, 20, 40));
  EXPECT_EQ(of(1).free, 40 * c);
  EXPECT_EQ(held(), 60 * c);
  must(world.accrue(book.view(), 10, {2, 3})); // 20 + 10 tokens
  EXPECT_EQ(of(2).pending, 14'850'000U);
  EXPECT_EQ(book.view().sums().assurance, 300'000U);
  must(world.accrue(book.view(), 30, {2, 3}), t0 + 50);
  const release first{world.last_request, 0};
  EXPECT_NE(refusal(world.keep(first), t0 + 99).find("can be audited until"), std::string::npos);
  must(world.settle(), t0 + 99);
  EXPECT_EQ(held(), 10 * c) << "stages may claim what its scheduler left out";
  must(world.keep(first), t0 + 100);
  EXPECT_EQ(of(2).free, 14'850'000U);
  EXPECT_EQ(of(2).earned, 14'850'000U);
  run_due(t0 + 150);
  EXPECT_EQ(of(2).pending, 0U);
  EXPECT_EQ(of(3).free, 24'750'000U);
  EXPECT_EQ(of(1).free, 40 * c);
  run_due(t0 + 159);
  EXPECT_EQ(of(1).free, 50 * c);
  EXPECT_EQ(book.view().find_request(world.last_request), nullptr);
}

TEST_F(ledger_test, cached_windows_pay_a_tenth_to_who_served_them_and_refund_the_rest) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 5}, 0, 40));
  must(world.accrue(book.view(), 10, {2}, 500'000, {5}));
  EXPECT_EQ(of(2).pending, 4'950'000U); // half of ten credits, less one percent
  EXPECT_EQ(of(5).pending, 495'000U);   // a tenth of the other half
  EXPECT_EQ(of(1).free, 64'500'000U);
  EXPECT_EQ(held(), 30 * c);
  must(world.accrue(book.view(), 20, {}, 1'000'000, {5}));
  EXPECT_EQ(of(1).free, 73'500'000U);
}

TEST_F(ledger_test, a_client_without_credit_is_refused_clearly_before_any_work) {
  must(world.mint(1, 59 * c));
  const std::string text = refusal(world.reserve(1, {2}, 20, 40));
  EXPECT_NE(text.find("has 59000000 micro-credits free and this request may cost 60000000"),
            std::string::npos)
      << text;
}

TEST_F(ledger_test, shares_that_do_not_add_up_move_nothing) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 3}, 20, 40));
  for (const int change : {1, -1}) {
    accrue a = std::get<accrue>(world.accrue(book.view(), 10, {2, 3}).what());
    a.computed[0].amount += static_cast<micro_credits>(change);
    EXPECT_NE(refusal(world.sign(1, a)).find("nothing was moved"), std::string::npos);
  }
  accrue a = std::get<accrue>(world.accrue(book.view(), 10, {2, 3}).what());
  a.computed[0].amount += 5;
  a.computed[1].amount -= 5; // conserved, but not what the weights say
  EXPECT_NE(refusal(world.sign(1, a)).find("by the weights it is"), std::string::npos);
  a.computed[0].amount = ~std::uint64_t{0};
  EXPECT_NE(refusal(world.sign(1, a)).find("too much"), std::string::npos);
}

// A third of what stage 3 computed was late: it gets the rest, and no other stage that third.
TEST_F(ledger_test, late_work_is_withheld_for_audits_and_refunded_with_its_window) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 3}, 20, 40));
  accrue a = std::get<accrue>(world.accrue(book.view(), 10, {2, 3}).what());
  a.computed[1].late_ppm = 333'333;
  EXPECT_NE(refusal(world.sign(1, a)).find("add up to 29700000, but there are 24750005 to divide"),
            std::string::npos);
  a.computed[1].amount -= 4'949'995;
  a.computed[1].on_time = 2;
  accrue wrong = a;
  wrong.computed[1].late_ppm = 1'000'001;
  EXPECT_NE(check_form(wrong).error().message.find("ppm of a share"), std::string::npos);
  wrong = a; // what was withheld is given to the other
  wrong.computed[0].amount += 4'949'995;
  EXPECT_NE(refusal(world.sign(1, wrong)).find("add up to"), std::string::npos);
  must(world.sign(1, a));
  EXPECT_EQ(of(2).pending, 14'850'000U);
  EXPECT_EQ(of(3).pending, 9'900'005U);
  EXPECT_EQ(of(3).stake, 0U);
  EXPECT_EQ(book.view().sums().assurance, 300'000U + 4'949'995U);
  must(world.convict(0, 2, 7)); // the client has all of it back
  EXPECT_EQ(of(1).free, 70 * c);
  EXPECT_EQ(of(3).pending, 0U) << "nothing is left to compensate it";
}

TEST_F(ledger_test, shares_are_for_statements_and_units_within_the_path) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 3}, 20, 40));
  accrue a = std::get<accrue>(world.accrue(book.view(), 10, {2, 3}).what());
  accrue wrong = a;
  wrong.computed[0].statement = {};
  EXPECT_NE(check_form(wrong).error().message.find("names no statement"), std::string::npos);
  wrong = a;
  wrong.computed[0].statement = a.computed[1].statement;
  EXPECT_NE(check_form(wrong).error().message.find("paid for once"), std::string::npos);
  wrong = a;
  wrong.computed[0].units = 5; // they would become history and influence
  EXPECT_NE(refusal(world.sign(1, wrong)).find("its path has 8 layers"), std::string::npos);
  must(world.sign(1, a));
}

TEST_F(ledger_test, a_fee_is_for_one_audited_unit_that_another_was_paid_for_within_its_request) {
  must(world.mint(1, 200 * c));
  must(world.mint_assurance(500 * c));
  must(world.reserve(1, {2, 3}, 40, 60));
  compensate fee{
      world.last_request,    0,      3, ledger_world::statement(1), ledger_world::node(2),
      ledger_world::node(9), 300'000};
  EXPECT_NE(refusal(world.keep(fee)).find("no accrual"), std::string::npos);
  must(world.accrue(book.view(), 10, {2, 3})); // 50 tokens: 500,000 for assurance
  must(world.keep(fee));
  EXPECT_EQ(of(9).pending, 300'000U);
  compensate again = fee;
  again.receipt = ledger_world::statement(2);
  EXPECT_NE(refusal(world.keep(again)).find("under the same id"), std::string::npos);
  for (const auto party : {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{3}}) {
    compensate own = fee;
    own.to = ledger_world::node(party);
    EXPECT_NE(refusal(world.keep(own)).find("took part"), std::string::npos);
  }
  compensate other = fee;
  other.signer = ledger_world::node(8);
  other.layer = 4;
  EXPECT_NE(refusal(world.keep(other)).find("has no share"), std::string::npos);
  other = fee;
  other.layer = 8;
  EXPECT_NE(refusal(world.keep(other)).find("the path has 8"), std::string::npos);
  other.layer = 4;
  other.amount = 9 * c;
  EXPECT_NE(refusal(world.keep(other)).find("at most"), std::string::npos);
  other.amount = 300'000;
  must(world.keep(other));
  EXPECT_EQ(of(9).pending, 500'000U) << "what is left of what the request paid, and no more";
  EXPECT_EQ(book.view().sums().assurance, 500 * c);
  other.layer = 6;
  must(world.keep(other)); // the audit is in the log, for nothing
  EXPECT_EQ(of(9).pending, 500'000U);
  for (const command& due : book.view().due(t0 + 100, 10)) {
    must(world.keep(due), t0 + 100);
  }
  other.layer = 5;
  other.amount = 1;
  EXPECT_NE(refusal(world.keep(other), t0 + 100).find("no accrual"), std::string::npos)
      << "once its audit is over";
}

TEST_F(ledger_test, a_liar_loses_stake_and_pending_the_consumer_is_refunded_honest_stages_paid) {
  must(world.mint(1, 200 * c));
  must(world.mint(2, 100 * c)); // honest
  must(world.mint(3, 100 * c)); // lies from window 1 on
  must(world.lock(3, 50 * c));
  must(world.reserve(1, {2, 3}, 20, 80));
  must(world.accrue(book.view(), 0, {2, 3}));
  must(world.accrue(book.view(), 40, {2, 3}));
  must(world.accrue(book.view(), 60, {2, 3}));
  EXPECT_EQ(of(3).pending, 39'600'000U);
  must(world.convict(1, 3, 7));
  // Windows 1 and 2 cost 60 credits: all of it is back.
  EXPECT_EQ(of(1).free, 160 * c);
  EXPECT_EQ(of(3).pending, 0U);
  EXPECT_EQ(of(3).stake, 0U);
  EXPECT_EQ(of(3).free, 50 * c); // what was neither pending nor at stake stays its
  EXPECT_TRUE(of(3).ejected);
  // The honest stage: window 0 stands, the rest is paid from what the liar lost: its 9.9 pending of
  // window 0 and 19.8 of its stake.
  EXPECT_EQ(of(2).pending, 39'600'000U);
  EXPECT_EQ(of(7).free, 6'040'000U); // a fifth of the 30.2 that are left of the stake
  EXPECT_EQ(book.view().sums().burnt, 24'160'000U);
  EXPECT_EQ(book.view().sums().assurance, 200'000U); // of window 0 alone
  // It earns no more, is not planned with, and its share of window 0 is not released.
  EXPECT_NE(refusal(world.accrue(book.view(), 70, {2, 3})).find("paid no more"), std::string::npos);
  EXPECT_NE(refusal(world.lock(3, c)).find("convicted"), std::string::npos);
  EXPECT_NE(refusal(world.accrue(book.view(), 70, {2, 8})).find("reroutes it first"),
            std::string::npos);
  EXPECT_NE(refusal(world.reroute(2, {8})).find("who alone may reroute"), std::string::npos);
  must(world.reroute(1, {8}));
  must(world.accrue(book.view(), 70, {2, 8}));
  for (const command& due : book.view().due(t0 + 100, 10)) {
    must(world.keep(due), t0 + 100);
  }
  EXPECT_EQ(of(2).free, 100 * c + 39'600'000U + 4'950'000U);
  EXPECT_EQ(of(3).free, 50 * c);
}

TEST_F(ledger_test, without_stake_honest_stages_are_paid_from_assurance_as_far_as_it_reaches) {
  must(world.mint(1, 100 * c));
  must(world.mint_assurance(5 * c));
  must(world.reserve(1, {2, 3, 4}, 0, 60));
  must(world.accrue(book.view(), 30, {2, 3, 4}));
  must(world.convict(0, 4, 7));
  EXPECT_EQ(of(1).free, 70 * c);
  EXPECT_EQ(held(), 30 * c);
  EXPECT_EQ(book.view().sums().assurance, 0U);
  EXPECT_EQ(of(2).pending, 2'500'000U);
  EXPECT_EQ(of(3).pending, 2'500'000U);
}

TEST_F(ledger_test, evidence_is_two_hosts_verdicts_and_convicts_once) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 3}, 0, 60));
  must(world.accrue(book.view(), 30, {2, 3}));
  convict x = std::get<convict>(world.convict(0, 3, 7).what());
  convict one = x;
  one.verdicts.pop_back();
  EXPECT_FALSE(by_log_keeper(book.id(), one));
  convict same = x;
  same.verdicts[1] = same.verdicts[0];
  EXPECT_FALSE(by_log_keeper(book.id(), same));
  convict forged = x;
  forged.verdicts[0].proof = forged.verdicts[1].proof;
  EXPECT_NE(by_log_keeper(book.id(), forged).error().message.find("not signed"), std::string::npos);
  convict moved = x; // verdicts about another window
  moved.window = 1;
  EXPECT_FALSE(by_log_keeper(book.id(), moved));
  convict none = x;
  none.evidence = {};
  EXPECT_FALSE(by_log_keeper(book.id(), none));
  must(world.keep(x));
  EXPECT_EQ(run(world.keep(x)).done->how, apply_outcome::duplicate);
  EXPECT_NE(refusal(world.convict(0, 5, 7)).find("had no part"), std::string::npos);
}

TEST_F(ledger_test, a_retry_is_the_first_answer_again_and_a_reused_id_is_refused) {
  must(world.mint(1, 100 * c));
  const authentic_command pay = world.transfer(1, 2, 10 * c);
  const std::uint64_t index = run(pay).done->index;
  const command_outcome again = run(pay, t0 + 10);
  EXPECT_EQ(again.done->how, apply_outcome::duplicate);
  EXPECT_EQ(again.done->index, index);
  EXPECT_EQ(of(2).free, 10 * c);
  transfer other = std::get<transfer>(pay.what());
  other.amount = 11 * c;
  EXPECT_NE(refusal(world.sign(1, other)).find("under the same id"), std::string::npos);
}

TEST_F(ledger_test, actions_are_signed_for_this_ledger_in_order_and_not_too_often) {
  must(world.mint(1, 10'000 * c));
  const transfer t{ledger_world::node(1), ledger_world::node(2), c, 1'000};
  const signature good = sign_action(ledger_world::key(1), book.id(), t);
  EXPECT_TRUE(authenticate(book.id(), t, good));
  EXPECT_FALSE(authenticate(book.id(), t, sign_action(ledger_world::key(2), book.id(), t)));
  EXPECT_FALSE(authenticate(book.id(), t, sign_action(ledger_world::key(1), digest{}, t)));
  transfer more = t;
  more.amount += 1;
  EXPECT_FALSE(authenticate(book.id(), more, good));
  EXPECT_FALSE(by_log_keeper(book.id(), t)) << "the keeper does not pay with others' credits";
  EXPECT_FALSE(authenticate(book.id(), settle{}, good));
  must(world.sign(1, t));
  transfer old = t;
  old.nonce = 999;
  EXPECT_NE(refusal(world.sign(1, old)).find("nonce"), std::string::npos);
  for (std::uint64_t n = 1; n < book.view().origin().rules.actions_per_minute_max; ++n) {
    transfer next = t;
    next.nonce += n;
    must(authentic_command::unchecked_for_test(next));
  }
  transfer one_more = t;
  one_more.nonce = 9'999;
  EXPECT_NE(refusal(authentic_command::unchecked_for_test(one_more)).find("this minute"),
            std::string::npos);
  must(authentic_command::unchecked_for_test(one_more), t0 + 60);
}

TEST_F(ledger_test, stake_comes_back_after_its_delay_and_can_be_lost_until_then) {
  must(world.mint(1, 100 * c));
  must(world.lock(1, 60 * c));
  const authentic_command back = world.unlock(1, 20 * c);
  must(back);
  EXPECT_EQ(of(1).stake, 60 * c);
  EXPECT_EQ(of(1).firm_stake(), 40 * c);
  EXPECT_NE(refusal(world.unlock(1, 41 * c)).find("less than"), std::string::npos);
  const unlocked done{ledger_world::node(1), std::get<unlock>(back.what()).nonce};
  EXPECT_NE(refusal(world.keep(done), t0 + 999).find("can be lost until"), std::string::npos);
  EXPECT_EQ(book.view().due(t0 + 1'000, 5).size(), 1U);
  must(world.keep(done), t0 + 1'000);
  EXPECT_EQ(of(1).free, 60 * c);
}

TEST_F(ledger_test, nothing_is_stuck_when_a_party_dies) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2}, 10, 10, t0 + 50));
  EXPECT_TRUE(book.view().due(t0 + 49, 5).empty());
  run_due(t0 + 50);
  EXPECT_EQ(of(1).free, 100 * c);
  const authentic_command later = world.reserve(1, {2}, 10, 10, t0 + 500);
  must(later, t0 + 60);
  must(world.sign(1, cancel{world.last_request, ledger_world::node(1), 500}), t0 + 60);
  EXPECT_EQ(of(1).free, 80 * c) << "its stages may have begun";
  run_due(t0 + 60 + limits::ledger_claims_wait_s);
  EXPECT_EQ(of(1).free, 100 * c);
}

TEST_F(ledger_test, only_mint_keys_mint_and_not_beyond_the_supply) {
  const mint own{ledger_world::node(1), mint_target::participant, ledger_world::node(1), c, 5};
  EXPECT_NE(refusal(world.sign(1, own)).find("mint keys"), std::string::npos);
  must(world.mint(1, std::uint64_t{1} << 62U));
  EXPECT_NE(refusal(world.mint(1, 1)).find("all there may be"), std::string::npos);
}

class zero_bond_ledger_test : public ledger_test {
protected:
  zero_bond_ledger_test() : ledger_test(few_at_a_time()) {}

  static genesis few_at_a_time() {
    genesis g = ledger_world::rules();
    deterrence_terms& t = g.rules.deterrence;
    t.mode = trust_mode::zero_bond;
    t.audit_rate_ppm = t.planted_ppm = 900'000;
    g.rules.newcomer_units = 10;
    g.rules.newcomer_pool_ppm = 200'000;
    return g;
  }
  /// Windows that this one is paid, until it may have no more. The last refusal.
  std::string fill(std::uint8_t who, std::uint64_t windows, std::uint64_t now = t0) {
    for (std::uint64_t n = 0; n < windows; ++n) {
      must(world.reserve(1, {who}, 0, 1), now);
      must(world.accrue(book.view(), 1, {who}), now);
    }
    return refusal(world.reserve(1, {who}, 0, 1), now);
  }
};

TEST_F(zero_bond_ledger_test, newcomers_earn_in_few_windows_at_a_time_until_they_have_stake) {
  must(world.mint(1, 1'000 * c));
  must(world.mint(2, 100 * c));
  EXPECT_NE(fill(2, 10).find("wait for their audit"), std::string::npos);
  EXPECT_EQ(influence(of(2), t0, book.view().origin().rules), 0U);
  EXPECT_EQ(audit_rate_ppm(of(2), 1'000), 1'000'000U);
  must(world.lock(2, 10 * c));
  EXPECT_EQ(influence(of(2), t0, book.view().origin().rules), 10 * c);
  must(world.reserve(1, {2}, 0, 10));
}

// However many they are, they share what one of them may have, and a fifth of all there is.
TEST_F(zero_bond_ledger_test, newcomers_together_have_one_pool) {
  must(world.mint(1, 1'000 * c));
  EXPECT_NE(fill(2, 10).find("wait for their audit"), std::string::npos);
  EXPECT_NE(refusal(world.reserve(1, {3}, 0, 1)).find("have 10 windows pending together"),
            std::string::npos);
  EXPECT_FALSE(book.view().check_admission(ledger_world::node(99))) << "never heard of";
  must(world.mint(4, 10 * c));
  must(world.lock(4, 10 * c));
  for (int n = 0; n < 90; ++n) { // who has stake works without such a bound
    must(world.reserve(1, {4}, 0, 1));
    must(world.accrue(book.view(), 1, {4}));
  }
  EXPECT_NE(fill(3, 10).find("wait for their audit"), std::string::npos) << "a fifth of 100 is 20";
  EXPECT_NE(fill(5, 2).find("have 22 windows pending together"), std::string::npos)
      << "a fifth of 112";
  // What stood is history: it is in no pool any more.
  for (const command& due : book.view().due(t0 + 100, 500)) {
    must(world.keep(due), t0 + 100);
  }
  must(world.reserve(1, {2}, 0, 1), t0 + 100);
  must(world.reserve(1, {5}, 0, 1), t0 + 100);
}

TEST_F(zero_bond_ledger_test, a_hundred_keys_get_no_more_than_the_pool) {
  must(world.mint(1, 1'000 * c));
  std::uint64_t windows = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::uint8_t key = 10; key < 110; ++key) {
      if (book.view().check_admission(ledger_world::node(key))) {
        must(world.reserve(1, {key}, 0, 1));
        must(world.accrue(book.view(), 1, {key}));
        ++windows;
      }
    }
  }
  EXPECT_EQ(windows, 10U) << "where they are all there is, what one of them may have";
}

TEST_F(zero_bond_ledger_test, auditors_have_stake_or_history) {
  must(world.mint(1, 100 * c));
  must(world.mint(9, 20 * c));
  must(world.reserve(1, {2, 3}, 20, 40));
  must(world.accrue(book.view(), 10, {2, 3}));
  const compensate fee{
      world.last_request,    0,    3, ledger_world::statement(1), ledger_world::node(2),
      ledger_world::node(9), 1'000};
  EXPECT_NE(refusal(world.keep(fee)).find("auditing here takes 10000000"), std::string::npos);
  EXPECT_NE(refusal(world.convict(0, 2, 9)).find("auditing here takes"), std::string::npos)
      << "two keys that nothing is known of cannot convict";
  must(world.lock(9, 10 * c));
  must(world.keep(fee));
}

class bonded_ledger_test : public ledger_test {
protected:
  bonded_ledger_test() : ledger_test(with_stake()) {}

  static genesis with_stake() {
    genesis g = ledger_world::rules();
    deterrence_terms& t = g.rules.deterrence;
    t.audit_rate_ppm = 200'000;
    t.planted_ppm = 50'000;
    t.stake = t.auditor_stake = 160 * c;
    return g;
  }
};

TEST_F(bonded_ledger_test, serving_takes_the_stake_that_deters) {
  must(world.mint(1, 200 * c));
  must(world.mint(2, 200 * c));
  EXPECT_NE(refusal(world.reserve(1, {2}, 20, 40)).find("serving here takes 160000000"),
            std::string::npos);
  must(world.lock(2, 160 * c - 1));
  EXPECT_NE(refusal(world.reserve(1, {2}, 20, 40)).find("159999999 micro-credits at stake"),
            std::string::npos);
  must(world.lock(2, 1));
  must(world.reserve(1, {2}, 20, 40));
  EXPECT_NE(refusal(world.reroute(1, {3})).find("serving here takes"), std::string::npos);
  must(world.unlock(2, 1)); // still there, and not firm
  EXPECT_NE(refusal(world.reserve(1, {2}, 20, 40)).find("159999999 micro-credits at stake"),
            std::string::npos);
}

class free_ledger_test : public ledger_test {
protected:
  free_ledger_test() : ledger_test(free_rules(), 0) {}

  static genesis free_rules() {
    genesis rules = ledger_world::rules();
    rules.rules = free_policy();
    return rules;
  }
};

TEST_F(free_ledger_test, work_and_audits_are_entered_and_nothing_moves) {
  EXPECT_TRUE(check(free_policy()));
  must(world.reserve(1, {2, 3}, 20, 100));                 // from an account that has nothing
  for (std::uint64_t window = 1; window <= 70; ++window) { // more than newcomers get elsewhere
    must(world.accrue(book.view(), window, {2, 3}));
    ASSERT_TRUE(effects.empty());
  }
  must(world.keep(compensate{world.last_request, 0, 3, ledger_world::statement(1),
                             ledger_world::node(2), ledger_world::node(9), 0}));
  must(world.settle());
  EXPECT_TRUE(book.view().check_admission(ledger_world::node(2)));
  const std::uint64_t later = t0 + free_policy().audit_window_s;
  for (const command& due : book.view().due(later, 200)) {
    must(world.keep(due), later);
  }
  EXPECT_EQ(of(2).valid_units, 70U * 4);
  EXPECT_EQ(of(2).earned, 0U);
  EXPECT_EQ(book.view().sums().minted, 0U);
  EXPECT_LT(audit_rate_ppm(of(2), free_policy().deterrence.audit_rate_ppm), 150'000U);
}

TEST_F(free_ledger_test, a_price_has_no_place_there_nor_nothing_elsewhere) {
  ledger_world priced{book.id()};
  EXPECT_NE(refusal(priced.reserve(1, {2}, 1, 1)).find("the policy is free"), std::string::npos);
  policy p = free_policy();
  p.deterrence.unit_fee = 1;
  EXPECT_NE(check(p).error().message.find("mode is free"), std::string::npos);
}

TEST_F(ledger_test, a_token_costs_something_where_the_policy_is_not_free) {
  ledger_world unpriced{book.id(), 0};
  EXPECT_NE(refusal(unpriced.reserve(1, {2}, 1, 1)).find("at least 1"), std::string::npos);
}

TEST_F(ledger_test, reopened_it_has_the_same_bytes_and_goes_on) {
  must(world.mint(1, 100 * c));
  must(world.reserve(1, {2, 3}, 20, 40));
  must(world.accrue(book.view(), 10, {2, 3}));
  log_report report;
  ledger again = ledger::open(file, options(), report).value();
  EXPECT_FALSE(report.torn);
  EXPECT_EQ(again.view().snapshot(), book.view().snapshot());
  EXPECT_EQ(again.head(), book.head());
  const authentic_command next = world.settle();
  ASSERT_TRUE(again.commit(std::span{&next, 1}, t0).value().commands[0].done);
}

TEST_F(ledger_test, a_failed_disk_ends_its_answers_until_it_is_opened_anew) {
  must(world.mint(1, 100 * c));
  const std::array batch{world.transfer(1, 2, c)};
  for (const std::uint64_t calls : {0U, 1U}) {
    test::memory_file copy{file.content};
    log_report report;
    ledger one = ledger::open(copy, options(), report).value();
    copy.calls_until_failure = calls;
    EXPECT_EQ(one.commit(batch, t0).error().code, errc::io_failed);
    EXPECT_FALSE(one.sound());
    EXPECT_EQ(one.commit({}, t0).error().code, errc::io_failed);
    ledger two = ledger::open(copy, options(), report).value();
    const auto done = two.commit(batch, t0).value().commands[0].done;
    ASSERT_TRUE(done);
    EXPECT_EQ(two.view().find(ledger_world::node(2))->free, c);
  }
}

TEST_F(ledger_test, what_it_finds_when_it_opens_lasts_before_it_counts) {
  must(world.mint(1, 100 * c));
  const std::array batch{world.transfer(1, 2, c)};
  test::memory_file disk{file.content};
  log_report report;
  ledger one = ledger::open(disk, options(), report).value();
  const std::uint64_t before = one.log().size();
  disk.calls_until_failure = 1; // the write works, its sync does not
  ASSERT_EQ(one.commit(batch, t0).error().code, errc::io_failed);
  const ledger two = ledger::open(disk, options(), report).value();
  ASSERT_EQ(two.log().size(), before + 1) << "the entry is in the file, so the ledger counts it";

  test::memory_file after_power{disk.lasting(file.content)};
  ledger_options knows = options();
  knows.entries_least = two.log().size();
  const auto third = ledger::open(after_power, knows, report);
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_EQ(third->head(), two.head());
}

TEST_F(ledger_test, times_never_go_back_even_when_the_clock_does) {
  must(world.mint(1, 100 * c), t0 + 100);
  must(world.transfer(1, 2, c), t0 - 50);
  EXPECT_EQ(book.view().last_time(), t0 + 100);
}

TEST_F(ledger_test, a_policy_that_lets_cheating_pay_makes_no_ledger) {
  genesis g = ledger_world::rules();
  g.rules.deterrence.audit_rate_ppm = 1;
  test::memory_file other;
  const auto made = ledger::create(other, g, t0, options());
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("raise audit_rate_ppm"), std::string::npos);
  EXPECT_TRUE(other.content.empty());
}

} // namespace
} // namespace ovir::ledger
