// What a keeper says of vouchers: what is left, and what their requests cost.
#include "ledger/keeper/reports.hpp"
#include "messages/limits/credit.hpp"
#include "tests/support/ledger/keepers.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/memory_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace ovir::ledger {
namespace {

using test::ledger_world;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr micro_credits c = credit;

class voucher_reports : public testing::Test {
protected:
  voucher_reports() {
    genesis rules = ledger_world::rules();
    rules.rules.actions_per_minute_max = 1'000'000;
    rules.rules.epoch_entries = 100'000;
    const ledger made = ledger::create(file_, rules, t0, {}).value();
    world_.emplace(made.id());
    ledger_options how;
    how.index = &index_;
    open_report unused;
    book_.emplace(ledger::open(file_, how, unused).value());
    must(world_->mint(1, 10'000 * c));
  }
  void must(const authentic_command& one, std::uint64_t now = t0) {
    const batch_outcome out = book_->commit(std::span{&one, 1}, now).value();
    ASSERT_TRUE(out.commands[0].done) << out.commands[0].why.message;
  }
  digest make(micro_credits limit, std::uint8_t key, std::uint8_t scheduler,
              std::uint64_t expires = t0 + 1'000) {
    voucher v{ledger_world::node(1), {}, limit, expires, {ledger_world::node(scheduler)}, ++nonce_};
    v.key.bytes.fill(key);
    must(world_->sign(1, v));
    return voucher_id(v);
  }
  escrow_id redeem(const digest& name, std::uint64_t tokens, std::uint8_t scheduler,
                   std::uint64_t now = t0) {
    reserve r;
    r.payer = ledger_world::node(1);
    r.scheduler = ledger_world::node(scheduler);
    r.voucher = name;
    r.about.bytes[0] = 1;
    r.rate = c;
    r.prompt = 2;
    r.completion_max = tokens - 2;
    r.expires = now + 500;
    r.stages = {{ledger_world::node(2), 4, 1'000'000}, {ledger_world::node(3), 4, 1'000'000}};
    r.nonce = ++nonce_;
    must(world_->sign(scheduler, r), now);
    world_->drive(r, scheduler);
    return world_->last_request;
  }
  budget_report ask(std::uint8_t key, std::uint8_t asker, std::uint64_t now = t0) {
    digest name;
    name.bytes.fill(key);
    return report_on_voucher(book_->view(), {name, true}, ledger_world::node(asker), now);
  }

  test::memory_file file_;
  test::memory_index index_;
  std::optional<ledger_world> world_;
  std::optional<ledger> book_;
  std::uint64_t nonce_{1'000};
};

TEST_F(voucher_reports, are_of_the_voucher_with_the_most_left_that_the_asker_may_use) {
  EXPECT_FALSE(ask(9, 5).known);
  const digest small = make(10 * c, 9, 5);
  const digest other = make(500 * c, 9, 6);
  (void)make(900 * c, 8, 5);
  EXPECT_EQ(ask(9, 5).voucher, small) << "the larger one does not name the asker";
  EXPECT_TRUE(ask(9, 5).may_reserve);
  EXPECT_EQ(ask(9, 6).voucher, other);
  const digest large = make(20 * c, 9, 5);
  EXPECT_EQ(ask(9, 5).voucher, large);
  (void)redeem(large, 12, 5);
  EXPECT_EQ(ask(9, 5).voucher, small) << "eight are left of the other";
  must(world_->sign(1, revoke{ledger_world::node(1), small, ++nonce_}));
  const budget_report told = ask(9, 5);
  EXPECT_EQ(told.voucher, large);
  EXPECT_EQ(told.account, ledger_world::node(1));
  EXPECT_EQ(told.limit, 20 * c);
  EXPECT_EQ(told.reserved, 12 * c);
  EXPECT_EQ(told.left(), 8 * c);
  EXPECT_EQ(told.free, 9'988 * c);
  EXPECT_EQ(told.time, t0);
  EXPECT_EQ(ask(9, 5, t0 + 2'000).voucher, other) << "where none is good, any";
  const budget_report by_name =
      report_on_voucher(book_->view(), {small, false}, ledger_world::node(7), t0);
  EXPECT_TRUE(by_name.known);
  EXPECT_TRUE(by_name.revoked);
  EXPECT_FALSE(by_name.may_reserve);
}

TEST_F(voucher_reports, list_tokens_and_amounts_of_each_request_also_when_it_is_forgotten) {
  const digest name = make(500 * c, 9, 5);
  const digest other = make(500 * c, 8, 5);
  const escrow_id first = redeem(name, 40, 5);
  must(world_->accrue(book_->view(), 8, {2}, 500'000, {3}));
  must(world_->accrue(book_->view(), 18, {2, 3}));
  must(world_->keep(settle{first}));
  (void)redeem(other, 3, 5);
  const escrow_id unused = redeem(name, 5, 5);
  must(world_->keep(settle{unused}));
  const auto outcome = [&] { return statement_of_voucher(*book_, {name, 0}).value().requests; };
  const std::vector<budget_request> before = outcome();
  for (const command& due : book_->view().due(t0 + 100, 10)) {
    must(world_->keep(due), t0 + 100);
  }
  ASSERT_EQ(book_->view().find_request(first), nullptr) << "its windows are released";
  EXPECT_EQ(outcome(), before);
  const escrow_id open = redeem(name, 30, 5, t0 + 101);
  must(world_->accrue(book_->view(), 1, {2, 3}), t0 + 101);
  const std::vector<budget_request> all = outcome();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].request, first);
  EXPECT_EQ(all[0].prompt, 2U);
  EXPECT_EQ(all[0].completion, 18U);
  EXPECT_EQ(all[0].reserved, 40 * c);
  EXPECT_EQ(all[0].spent, 15'500'000U) << "twenty tokens, less what a cache gave back";
  EXPECT_FALSE(all[0].open);
  EXPECT_EQ(all[1].request, unused);
  EXPECT_EQ(all[1].prompt + all[1].completion + all[1].spent, 0U);
  EXPECT_EQ(all[2].request, open);
  EXPECT_TRUE(all[2].open);
  EXPECT_EQ(all[2].spent, 3 * c);
  EXPECT_EQ(all[2].scheduler, ledger_world::node(5));
  std::uint64_t spent = 0;
  for (const budget_request& r : all) {
    spent += r.spent;
  }
  EXPECT_EQ(spent, ask(9, 5).spent) << "the list adds up to the budget";
}

TEST_F(voucher_reports, come_page_by_page) {
  const digest name = make(9'000 * c, 9, 5);
  std::vector<escrow_id> expected;
  for (int i = 0; i < 150; ++i) {
    expected.push_back(redeem(name, 3, 5));
    for (int k = 0; k < 8; ++k) {
      must(world_->sign(1, transfer{ledger_world::node(1), ledger_world::node(9), 1, ++nonce_}));
    }
    if (i % 40 == 0) {
      book_->absorb();
    }
  }
  std::vector<escrow_id> got;
  std::size_t pages = 0;
  for (std::uint64_t next = 0;;) {
    const budget_statement page = statement_of_voucher(*book_, {name, next}).value();
    EXPECT_LE(page.requests.size(), limits::voucher_page_max);
    for (const budget_request& r : page.requests) {
      got.push_back(r.request);
    }
    ++pages;
    if (!page.more) {
      break;
    }
    ASSERT_GT(page.next, next);
    next = page.next;
  }
  EXPECT_EQ(got, expected);
  EXPECT_GT(pages, 2U);
  EXPECT_EQ(statement_of_voucher(*book_, {digest{}, 0}).error().code, errc::not_found);
}

TEST_F(keepers, tell_what_is_left_of_a_voucher_and_let_its_scheduler_alone_accrue) {
  mint(1, 200 * credit);
  voucher v{ledger_world::node(1), {}, 150 * credit, t0 + 400, {ledger_world::node(5)}, 50};
  v.key.bytes.fill(9);
  EXPECT_EQ(refused(ask(9, signed_by(1, v))), "") << "the signature counts, not who carries it";
  reserve r = reservation(1);
  r.scheduler = ledger_world::node(5);
  r.voucher = voucher_id(v);
  EXPECT_THAT(refused(ask(5, signed_by(1, r))), testing::HasSubstr("not signed by"));
  EXPECT_EQ(refused(ask(5, signed_by(5, r))), "");
  EXPECT_NE(refused(ask(1, bytes_of(everything(r, 5)))), "") << "who pays does not drive it";
  r.nonce += 1;
  EXPECT_THAT(refused(ask(5, signed_by(5, r))),
              testing::HasSubstr("has 50000000 of its 150000000"));
  std::vector<keeper_answer> answers;
  keeper_->take(ledger_world::node(5), {}, {77, ask_voucher{v.key, true}}, answers);
  ASSERT_EQ(answers.size(), 1U);
  const auto* const told = std::get_if<budget_report>(&answers[0].what.body);
  ASSERT_NE(told, nullptr);
  EXPECT_EQ(told->voucher, voucher_id(v));
  EXPECT_EQ(told->reserved, 100 * credit);
  EXPECT_TRUE(told->may_reserve);
  answers.clear();
  keeper_->take(ledger_world::node(5), {}, {78, ask_voucher_statement{voucher_id(v), 0}}, answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_NE(refused(answers[0].what), "") << "this ledger has no index";
}

} // namespace
} // namespace ovir::ledger
