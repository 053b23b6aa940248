// Budgets of API keys: who may reserve by a voucher, how much, and what comes back.
#include "ledger/keeper/ledger.hpp"
#include "ledger/rules/invariants.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/memory_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr micro_credits c = credit;

class vouchers : public testing::Test {
protected:
  static constexpr std::uint8_t owner = 1;
  static constexpr std::uint8_t here = 5;  ///< the schedulers that `make` names
  static constexpr std::uint8_t there = 6; ///< likewise
  static constexpr std::uint8_t stranger = 7;

  vouchers() : book_(open(true)), world_(book_.id()) { must(world_.mint(owner, 1'000 * c)); }

  ledger open(bool make) {
    ledger_options how;
    how.log.step_bytes = 64U << 10U;
    how.index = &index_;
    if (make) {
      genesis rules = ledger_world::rules();
      rules.rules.actions_per_minute_max = 1'000'000;
      rules.rules.epoch_entries = 100'000;
      (void)ledger::create(file_, rules, t0, how).value();
    }
    open_report report;
    return ledger::open(file_, how, report).value();
  }
  std::vector<command_outcome> commit(std::vector<authentic_command> batch,
                                      std::uint64_t now = t0) {
    const digest before = hash_plain(book_.view().snapshot());
    batch_outcome out = book_.commit(batch, now).value();
    const auto right = check_invariants(book_.view());
    EXPECT_TRUE(right) << right.error().message;
    if (std::none_of(out.commands.begin(), out.commands.end(),
                     [](const command_outcome& one) { return one.done.has_value(); })) {
      EXPECT_TRUE(out.effects.empty());
      EXPECT_EQ(hash_plain(book_.view().snapshot()), before) << "refused, but something changed";
    }
    return std::move(out.commands);
  }
  void must(const authentic_command& one, std::uint64_t now = t0) {
    const auto out = commit({one}, now);
    EXPECT_TRUE(out[0].done) << out[0].why.message;
  }
  error refusal(const authentic_command& one, std::uint64_t now = t0) {
    const auto out = commit({one}, now);
    EXPECT_FALSE(out[0].done);
    return out[0].why;
  }
  static digest api_key(std::uint8_t number = 3) {
    digest d;
    d.bytes.fill(number);
    return d;
  }
  voucher draft(micro_credits limit, std::uint64_t expires = t0 + 1'000) {
    voucher v{ledger_world::node(owner), api_key(), limit, expires, {}, ++nonce_};
    v.schedulers = {ledger_world::node(here), ledger_world::node(there)};
    std::sort(v.schedulers.begin(), v.schedulers.end());
    return v;
  }
  digest make(micro_credits limit, std::uint64_t expires = t0 + 1'000) {
    const voucher v = draft(limit, expires);
    must(world_.sign(owner, v));
    return voucher_id(v);
  }
  /// Of one credit a token.
  reserve by(const digest& name, std::uint64_t tokens, std::uint8_t scheduler = here) {
    reserve r;
    r.payer = ledger_world::node(owner);
    r.scheduler = ledger_world::node(scheduler);
    r.voucher = name;
    r.about.bytes[0] = 1;
    r.rate = c;
    r.prompt = 1;
    r.completion_max = tokens - 1;
    r.expires = t0 + 500;
    r.stages = {{ledger_world::node(2), 4, 1'000'000}, {ledger_world::node(3), 4, 1'000'000}};
    r.nonce = ++nonce_;
    world_.drive(r, scheduler);
    return r;
  }
  authentic_command redeem(const digest& name, std::uint64_t tokens,
                           std::uint8_t scheduler = here) {
    return world_.sign(scheduler, by(name, tokens, scheduler));
  }
  const voucher_record& of(const digest& name) { return *book_.view().vouchers().find(name); }
  micro_credits free() { return book_.view().find(ledger_world::node(owner))->free; }
  /// Its scheduler ends it, and its stages have had their time to claim.
  void settle_last() {
    must(world_.settle());
    for (const command& due : book_.view().due(t0 + limits::ledger_claims_wait_s, 10)) {
      must(world_.keep(due), t0 + limits::ledger_claims_wait_s);
    }
  }

  test::memory_file file_;
  test::memory_index index_;
  ledger book_;
  ledger_world world_;
  std::uint64_t nonce_{1'000};
};

TEST_F(vouchers, pay_for_who_they_name_and_get_back_what_is_not_used) {
  const digest name = make(100 * c);
  must(redeem(name, 40));
  EXPECT_EQ(of(name).reserved, 40 * c);
  EXPECT_EQ(free(), 960 * c) << "the account pays, and signed nothing but the voucher";
  must(world_.accrue(book_.view(), 9, {2, 3})); // ten tokens with the prompt
  EXPECT_EQ(of(name).reserved, 30 * c);
  EXPECT_EQ(of(name).spent, 10 * c);
  settle_last();
  EXPECT_EQ(of(name).reserved, 0U);
  EXPECT_EQ(of(name).left(), 90 * c);
  EXPECT_EQ(free(), 990 * c);
  must(redeem(name, 90, there)); // another scheduler, the same budget
  EXPECT_EQ(of(name).left(), 0U);
}

TEST_F(vouchers, hold_to_the_micro_credit) {
  const digest name = make(60 * c);
  must(redeem(name, 30));
  const auto first = world_.last_request;
  must(redeem(name, 29, there));
  const error why = refusal(redeem(name, 2, there));
  EXPECT_EQ(why.code, errc::over_limit);
  EXPECT_THAT(why.message, HasSubstr("has 1000000 of its 60000000 left until 1700001000 (59000000 "
                                     "are reserved by other requests)"));
  must(redeem(name, 1));
  EXPECT_EQ(of(name).left(), 0U);
  world_.last_request = first;
  settle_last(); // nothing of it was used
  EXPECT_EQ(of(name).left(), 30 * c);
}

TEST_F(vouchers, are_not_overrun_by_many_reservations_in_one_batch) {
  const digest name = make(100 * c);
  std::vector<authentic_command> batch;
  for (int i = 0; i < 64; ++i) {
    batch.push_back(redeem(name, 7, i % 2 == 0 ? here : there));
  }
  const auto done = commit(batch);
  EXPECT_EQ(std::count_if(done.begin(), done.end(), [](const auto& one) { return one.done; }), 14);
  EXPECT_EQ(of(name).reserved, 98 * c);
}

TEST_F(vouchers, are_refused_to_schedulers_that_they_do_not_name) {
  const digest name = make(100 * c);
  EXPECT_THAT(refusal(redeem(name, 5, stranger)).message, HasSubstr("among its schedulers"));
  EXPECT_THAT(refusal(redeem(name, 5, owner)).message, HasSubstr("among its schedulers"))
      << "not even to the account that made it";
  // Whose word it is, the signature says.
  const reserve r = by(name, 5);
  const signature wrong = sign_action(ledger_world::key(owner), book_.id(), r);
  EXPECT_FALSE(authenticate(book_.id(), r, wrong));
}

TEST_F(vouchers, take_nothing_from_another_account) {
  must(world_.mint(stranger, 100 * c));
  const digest name = make(100 * c);
  reserve r = by(name, 5);
  r.payer = ledger_world::node(stranger);
  EXPECT_THAT(refusal(world_.sign(here, r)).message, HasSubstr("who pays, and not of"));
}

TEST_F(vouchers, that_were_never_made_pay_nothing) {
  const error why = refusal(redeem(api_key(9), 5));
  EXPECT_EQ(why.code, errc::over_limit);
  EXPECT_THAT(why.message, HasSubstr("there is no voucher 09090909"));
}

TEST_F(vouchers, end_when_they_said) {
  const digest name = make(100 * c, t0 + 10);
  const authentic_command late = redeem(name, 5);
  EXPECT_EQ(refusal(late, t0 + 10).code, errc::over_limit);
  EXPECT_THAT(refusal(late, t0 + 10).message, HasSubstr("ended at 1700000010; it is 1700000010"));
  EXPECT_THAT(refusal(world_.sign(owner, draft(5, t0 + 10)), t0 + 10).message,
              HasSubstr("ends at 1700000010, and it is 1700000010"));
}

TEST_F(vouchers, pay_until_the_second_before) {
  const digest name = make(100 * c, t0 + 10);
  must(redeem(name, 5), t0 + 9);
  must(world_.accrue(book_.view(), 4, {2, 3}), t0 + 20); // what was reserved goes on
  EXPECT_EQ(of(name).spent, 5 * c);
}

TEST_F(vouchers, pay_no_more_once_revoked_and_what_was_reserved_goes_on) {
  const digest name = make(100 * c);
  must(redeem(name, 20));
  EXPECT_THAT(
      refusal(world_.sign(stranger, revoke{ledger_world::node(stranger), name, ++nonce_})).message,
      HasSubstr("cannot revoke it"));
  EXPECT_EQ(
      refusal(world_.sign(owner, revoke{ledger_world::node(owner), api_key(9), ++nonce_})).code,
      errc::not_found);
  must(world_.sign(owner, revoke{ledger_world::node(owner), name, ++nonce_}));
  EXPECT_THAT(
      refusal(world_.sign(owner, revoke{ledger_world::node(owner), name, ++nonce_})).message,
      HasSubstr("was revoked before"));
  const auto running = world_.last_request;
  const error why = refusal(redeem(name, 5));
  EXPECT_EQ(why.code, errc::over_limit);
  EXPECT_THAT(why.message, HasSubstr("was revoked"));
  world_.last_request = running;
  must(world_.accrue(book_.view(), 4, {2, 3}));
  settle_last();
  EXPECT_EQ(of(name).spent, 5 * c);
}

TEST_F(vouchers, pay_once_for_one_reservation_however_often_it_is_sent) {
  const digest name = make(100 * c);
  const reserve r = by(name, 30);
  must(world_.sign(here, r));
  const auto again = commit({world_.sign(here, r)});
  ASSERT_TRUE(again[0].done);
  EXPECT_EQ(again[0].done->how, apply_outcome::duplicate);
  EXPECT_EQ(of(name).reserved, 30 * c);
  reserve other = r;
  other.completion_max += 1;
  EXPECT_THAT(refusal(world_.sign(here, other)).message, HasSubstr("under the same id"));
  // The same nonce of another scheduler is another reservation: both are in the budget.
  other = r;
  other.scheduler = ledger_world::node(there);
  EXPECT_NE(escrow_of(other), escrow_of(r));
  must(world_.sign(there, other));
  EXPECT_EQ(of(name).reserved, 60 * c);
}

TEST_F(vouchers, use_no_nonce_of_the_account_that_pays) {
  const digest name = make(100 * c);
  const std::uint64_t before = book_.view().find(ledger_world::node(owner))->nonce;
  must(redeem(name, 5));
  EXPECT_EQ(book_.view().find(ledger_world::node(owner))->nonce, before);
  EXPECT_EQ(book_.view().find(ledger_world::node(here))->nonce, nonce_);
}

TEST_F(vouchers, pay_no_more_than_the_account_has) {
  const digest name = make(5'000 * c);
  const error why = refusal(redeem(name, 1'001));
  EXPECT_EQ(why.code, errc::over_limit);
  EXPECT_THAT(why.message, HasSubstr("has 1000000000 micro-credits free"));
}

TEST_F(vouchers, get_back_what_came_from_a_cache_and_what_a_conviction_returns) {
  const digest name = make(100 * c);
  reserve r = by(name, 40);
  must(world_.sign(here, r));
  must(world_.accrue(book_.view(), 9, {2}, 500'000, {3})); // half of ten credits from a cache
  EXPECT_EQ(of(name).spent, 5'500'000U) << "nine tenths of five credits came back";
  must(world_.accrue(book_.view(), 19, {2, 3}));
  EXPECT_EQ(of(name).spent, 15'500'000U);
  must(world_.convict(1, 3, stranger)); // the account has all of the last window back
  EXPECT_EQ(of(name).spent, 5'500'000U);
  EXPECT_EQ(free(), 1'000 * c - 5'500'000U - 20 * c);
  settle_last();
  EXPECT_EQ(of(name).left(), 100 * c - 5'500'000U);
  EXPECT_EQ(free(), 1'000 * c - 5'500'000U);
}

TEST_F(vouchers, are_cancelled_by_the_account_alone_where_it_schedules_itself) {
  voucher v = draft(100 * c);
  v.schedulers = {ledger_world::node(owner)};
  must(world_.sign(owner, v));
  must(redeem(voucher_id(v), 40, owner));
  must(world_.sign(owner, cancel{world_.last_request, ledger_world::node(owner), ++nonce_}));
  EXPECT_EQ(of(voucher_id(v)).left(), 60 * c) << "until its stages have had their time to claim";
  const std::vector<command> due = book_.view().due(t0 + limits::ledger_claims_wait_s, 10);
  ASSERT_EQ(due.size(), 1U);
  must(world_.keep(due[0]), t0 + limits::ledger_claims_wait_s);
  EXPECT_EQ(of(voucher_id(v)).left(), 100 * c);
  const digest name = make(100 * c);
  must(redeem(name, 40));
  EXPECT_THAT(
      refusal(world_.sign(owner, cancel{world_.last_request, ledger_world::node(owner), ++nonce_}))
          .message,
      HasSubstr("entrusted"));
}

TEST_F(vouchers, get_back_what_a_reservation_held_until_its_end) {
  const digest name = make(100 * c);
  must(redeem(name, 40));
  const std::vector<command> due = book_.view().due(t0 + 500, 10);
  ASSERT_EQ(due.size(), 1U);
  must(world_.keep(due[0]), t0 + 500);
  EXPECT_EQ(of(name).left(), 100 * c);
}

TEST_F(vouchers, are_so_many_for_one_account_and_those_over_are_forgotten) {
  std::vector<authentic_command> batch;
  std::vector<digest> names;
  for (std::size_t i = 0; i < limits::vouchers_max; ++i) {
    const voucher v = draft(10 * c, i < 2 ? t0 + 10 : t0 + 1'000);
    batch.push_back(world_.sign(owner, v));
    names.push_back(voucher_id(v));
  }
  for (const command_outcome& one : commit(batch)) {
    EXPECT_TRUE(one.done) << one.why.message;
  }
  must(redeem(names[1], 5));
  EXPECT_EQ(refusal(world_.sign(owner, draft(c))).code, errc::busy);
  // One ended, and another has as well but pays for a request that is under way.
  must(world_.sign(owner, draft(c)), t0 + 10);
  EXPECT_EQ(book_.view().vouchers().find(names[0]), nullptr);
  EXPECT_NE(book_.view().vouchers().find(names[1]), nullptr);
  EXPECT_EQ(book_.view().vouchers().all().size(), limits::vouchers_max);
  EXPECT_EQ(refusal(world_.sign(owner, draft(c)), t0 + 10).code, errc::busy);
}

TEST_F(vouchers, are_made_by_accounts_that_have_something) {
  voucher v = draft(c);
  v.account = ledger_world::node(stranger);
  EXPECT_THAT(refusal(world_.sign(stranger, v)).message, HasSubstr("give it credit first"));
}

TEST_F(vouchers, have_a_form) {
  const auto wrong = [&](auto change) {
    voucher v = draft(10 * c);
    change(v);
    EXPECT_FALSE(check_form(v));
  };
  EXPECT_TRUE(check_form(draft(10 * c)));
  wrong([](voucher& v) { v.limit = 0; });
  wrong([](voucher& v) { v.limit = limits::ledger_supply_max + 1; });
  wrong([](voucher& v) { v.key = {}; });
  wrong([](voucher& v) { v.expires = limits::ledger_seconds_max + 1; });
  wrong([](voucher& v) { v.schedulers.clear(); });
  wrong([](voucher& v) { std::swap(v.schedulers[0], v.schedulers[1]); });
  wrong([](voucher& v) { v.schedulers[1] = v.schedulers[0]; });
  wrong([](voucher& v) { v.schedulers[0] = {}; });
  wrong([](voucher& v) { v.nonce = 0; });
  wrong([](voucher& v) {
    v.schedulers.clear();
    for (std::uint8_t i = 0; i <= limits::voucher_schedulers_max; ++i) {
      v.schedulers.emplace_back().key.fill(i + 1);
    }
  });
  EXPECT_FALSE(check_form(revoke{ledger_world::node(owner), {}, 1}));
  reserve r = by(api_key(), 5);
  EXPECT_TRUE(check_form(r));
  r.payer = {};
  EXPECT_FALSE(check_form(r));
}

TEST_F(vouchers, of_a_reservation_must_be_named_in_its_bytes) {
  std::vector<std::byte> bytes;
  encode({1, by(api_key(), 5), {}}, bytes);
  ASSERT_TRUE(decode_entry(bytes));
  constexpr std::size_t before = 8 + 1 + 2 * node_id::size; // time, kind, payer and scheduler
  std::fill_n(bytes.begin() + before, digest::size, std::byte{0});
  const auto read = decode_entry(bytes);
  ASSERT_FALSE(read) << "else one reservation had two encodings";
  EXPECT_THAT(read.error().message, HasSubstr("names no voucher"));
}

TEST_F(vouchers, are_the_same_after_a_snapshot_an_index_and_a_replay) {
  const digest name = make(100 * c);
  const digest over = make(10 * c, t0 + 5);
  must(redeem(name, 40));
  must(world_.accrue(book_.view(), 9, {2, 3}));
  book_.absorb();
  must(world_.sign(owner, draft(20 * c)), t0 + 6); // forgets the one that is over
  EXPECT_EQ(book_.view().vouchers().find(over), nullptr);
  must(redeem(name, 3, there), t0 + 6);
  const std::vector<std::byte> image = book_.view().snapshot();
  EXPECT_EQ(state::restore(image, 7).value().snapshot(), image);
  EXPECT_EQ(open(false).view().snapshot(), image) << "from the index, and the entries behind it";
  book_.absorb();
  ledger again = open(false);
  EXPECT_EQ(again.view().snapshot(), image) << "from the index alone";
  EXPECT_EQ(again.view().vouchers().for_key(api_key()).size(), 2U);
  EXPECT_EQ(again.view().vouchers().of_account(ledger_world::node(owner)).size(), 2U);
  index_ = {};
  EXPECT_EQ(open(false).view().snapshot(), image) << "from the log";
}

} // namespace
} // namespace ovir::ledger
