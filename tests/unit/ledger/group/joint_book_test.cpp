// What one of several keepers agrees to, and whose signatures count for it.
#include "ledger/group/joint_book.hpp"
#include "ledger/rules/attest.hpp"
#include "messages/limits/keepers.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::memory_file;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;

class joint_books : public ::testing::Test {
protected:
  joint_books() {
    genesis rules = ledger_world::rules();
    rules.keepers = {ledger_world::node(210), ledger_world::node(211), ledger_world::node(212)};
    std::ranges::sort(rules.keepers);
    keeper_surroundings around;
    around.key = &key_;
    own_.emplace(keeper::make(ledger::create(file_, rules, t0, {}).value(), around).value());
    book_.emplace(*own_);
    id_ = own_->book().id();
  }

  [[nodiscard]] std::vector<std::byte> entry(const command& c, std::uint8_t by,
                                             std::uint64_t time = 0) const {
    std::vector<std::byte> bytes;
    encode({time, c, sign_action(ledger_world::key(by), id_, c)}, bytes);
    return bytes;
  }
  [[nodiscard]] command some_mint(std::uint64_t nonce = 1) const {
    return mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                ledger_world::node(1), 5, nonce};
  }
  [[nodiscard]] batch_order order(std::vector<std::byte> of) const {
    return {id_, own_->book().log().size(), t0 + 5, {std::move(of)}};
  }
  [[nodiscard]] std::string refused(const batch_order& o) {
    const auto may = book_->check(o, t0 + 5);
    return may ? "" : may.error().message;
  }
  [[nodiscard]] signed_head by(std::uint8_t number) const {
    return sign(ledger_world::key(number), own_->book().head());
  }

  secret_key key_ = ledger_world::key(210);
  memory_file file_;
  std::optional<keeper> own_;
  std::optional<joint_book> book_;
  digest id_;
};

TEST_F(joint_books, agree_to_no_order_of_a_leader_that_lies) {
  EXPECT_EQ(refused(order(entry(some_mint(), ledger_world::minter))), "");
  EXPECT_THAT(refused(order(entry(some_mint(), 1))), HasSubstr("not signed by"));
  EXPECT_THAT(refused(order(entry(some_mint(), ledger_world::minter, t0))), HasSubstr("the time"));
  EXPECT_NE(refused(order({std::byte{1}, std::byte{2}})), "");
  batch_order o = order(entry(some_mint(), ledger_world::minter));
  o.ledger.bytes[0] ^= 1;
  EXPECT_THAT(refused(o), HasSubstr("another ledger"));
  o = order(entry(some_mint(), ledger_world::minter));
  for (const std::uint64_t time : {t0 + 6 + limits::keepers_clock_off_s_max, t0 - 26}) {
    o.time = time;
    EXPECT_THAT(refused(o), HasSubstr("s off")) << time;
  }
  // A fee for an audit, for one that is no verifier here.
  compensate fee;
  fee.to = ledger_world::node(5);
  fee.amount = 5;
  std::vector<std::byte> bytes;
  encode({0, fee, {}}, bytes);
  EXPECT_NE(refused(order(bytes)), "");
}

TEST_F(joint_books, what_was_agreed_on_and_is_no_command_is_left_out) {
  std::vector<keeper_answer> answers;
  batch_order o = order({std::byte{1}});
  o.entries.push_back(entry(some_mint(), 1)); // forged
  o.entries.push_back(entry(some_mint(), ledger_world::minter));
  ASSERT_TRUE(book_->apply(o, answers));
  EXPECT_EQ(own_->book().log().size(), 2U);
  ASSERT_TRUE(book_->apply(o, answers)) << "behind another size now";
  o.behind = 2;
  ASSERT_TRUE(book_->apply(o, answers));
  EXPECT_EQ(own_->book().log().size(), 2U) << "a command is entered once";
  o.ledger.bytes[0] ^= 1;
  ASSERT_TRUE(book_->apply(o, answers));
  EXPECT_EQ(own_->book().log().size(), 2U);
}

TEST_F(joint_books, apply_no_order_behind_another_size) {
  std::vector<keeper_answer> answers;
  const transfer unpaid{ledger_world::node(1), ledger_world::node(2), 5, 1};
  const batch_order first = order(entry(unpaid, 1));
  ASSERT_TRUE(book_->apply(first, answers));
  ASSERT_TRUE(book_->apply(order(entry(some_mint(), ledger_world::minter)), answers));
  ASSERT_TRUE(book_->apply(first, answers)) << "again, after a restart";
  EXPECT_EQ(own_->book().log().size(), 2U) << "what every keeper refused then, it refuses now";
}

TEST_F(joint_books, keep_a_signature_that_comes_early_from_being_displaced) {
  const auto command = some_mint();
  memory_file file;
  const genesis rules = own_->book().view().origin();
  ledger ahead = ledger::create(file, rules, t0, {}).value();
  const auto one = authenticate(id_, command,
                                sign_action(ledger_world::key(ledger_world::minter), id_, command));
  ASSERT_TRUE(ahead.commit(std::span{&*one, 1}, t0 + 5));
  std::vector<keeper_answer> answers;
  const signed_head early = sign(ledger_world::key(212), ahead.head());
  book_->take(early, answers);
  signed_head forged = early;
  forged.head.size = 100;
  book_->take(forged, answers);
  EXPECT_FALSE(own_->has_head());
  ASSERT_TRUE(book_->apply(order(entry(command, ledger_world::minter)), answers));
  EXPECT_TRUE(own_->has_head());
}

TEST_F(joint_books, promise_when_most_keepers_signed_and_not_before) {
  std::vector<keeper_answer> answers;
  book_->take(by(211), answers);
  ASSERT_TRUE(own_->has_head());
  own_->take(ledger_world::node(1), {}, {9, submit{entry(some_mint(), ledger_world::minter), {}}},
             answers);
  std::size_t due = 0;
  const auto made = book_->put_together(t0 + 5, {}, due).value();
  ASSERT_TRUE(made);
  EXPECT_FALSE(book_->put_together(t0 + 5, {}, due).value()) << "one is out";
  ASSERT_TRUE(book_->apply(*made, answers));
  ASSERT_TRUE(answers.empty());
  book_->take(by(77), answers); // a stranger's
  book_->take(by(210), answers);
  signed_head bad = by(212);
  bad.signatures[0].proof.bytes[3] ^= 1;
  book_->take(bad, answers);
  signed_head moved = by(212);
  moved.head.time += 1;
  book_->take(moved, answers);
  EXPECT_TRUE(answers.empty());
  book_->take(by(212), answers);
  ASSERT_EQ(answers.size(), 1U);
  const auto& p = std::get<promise>(answers[0].what.body);
  EXPECT_TRUE(check_promise(p, entry(some_mint(), ledger_world::minter), id_,
                            own_->book().view().origin().keepers));
}

TEST_F(joint_books, tell_who_asked_to_ask_again_when_an_order_does_not_come) {
  std::vector<keeper_answer> answers;
  book_->take(by(212), answers);
  own_->take(ledger_world::node(1), {}, {9, submit{entry(some_mint(), ledger_world::minter), {}}},
             answers);
  std::size_t due = 0;
  const auto made = book_->put_together(t0 + 5, {}, due).value();
  ASSERT_TRUE(made);
  book_->take_back(t0 + 5, answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].what, (message{9, leader_news{}}));
  EXPECT_FALSE(book_->is_out());
  // It comes all the same, and the question again: the entry is there once.
  answers.clear();
  ASSERT_TRUE(book_->apply(*made, answers));
  own_->take(ledger_world::node(1), {}, {10, submit{entry(some_mint(), ledger_world::minter), {}}},
             answers);
  const auto again = book_->put_together(t0 + 6, {}, due).value();
  ASSERT_TRUE(again);
  ASSERT_TRUE(book_->apply(*again, answers));
  EXPECT_EQ(own_->book().log().size(), 2U);
  book_->take(by(211), answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<promise>(answers[0].what.body).entry.entry.index, 1U);
}

TEST_F(joint_books, agree_to_an_old_order_that_is_void) {
  batch_order old = order(entry(some_mint(), ledger_world::minter));
  old.time = t0 + 5 - 31;
  EXPECT_THAT(refused(old), HasSubstr("set both clocks right"));
  std::vector<keeper_answer> answers;
  ASSERT_TRUE(book_->apply(order(entry(some_mint(), ledger_world::minter)), answers));
  EXPECT_EQ(refused(old), "") << "the log is beyond it";
}

TEST_F(joint_books, order_what_each_must_examine_once_most_would_admit_it) {
  std::vector<keeper_answer> answers;
  book_->take(by(211), answers);
  const role_set verifies = role_set{}.add(role::verifier);
  compensate fee;
  fee.to = ledger_world::node(4);
  fee.request = leaf_hash({});
  fee.receipt = leaf_hash({});
  fee.signer = ledger_world::node(5);
  fee.amount = 5;
  std::vector<std::byte> bytes;
  encode({0, fee, {}}, bytes);
  own_->take(fee.to, verifies, {9, submit{bytes, {}}}, answers);
  own_->take(ledger_world::node(1), {}, {10, submit{entry(some_mint(), ledger_world::minter), {}}},
             answers);
  ASSERT_TRUE(answers.empty());
  std::size_t due = 0;
  const auto first = book_->put_together(t0 + 5, {}, due).value();
  ASSERT_TRUE(first) << "others are not held up";
  EXPECT_EQ(first->entries.size(), 1U);
  ASSERT_EQ(book_->unheard().size(), 1U);
  const digest name = book_->unheard().front().first;
  EXPECT_FALSE(book_->would_admit(bytes)) << "this keeper knows of no verifier with its key";
  ASSERT_TRUE(book_->apply(*first, answers));
  book_->hear(ledger_world::node(77), name);
  book_->hear(ledger_world::node(211), leaf_hash({}));
  EXPECT_FALSE(book_->put_together(t0 + 6, {}, due).value()) << "a stranger's word, and another's";
  book_->hear(ledger_world::node(211), name);
  const auto second = book_->put_together(t0 + 7, {}, due).value();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->entries, (std::vector<std::vector<std::byte>>{bytes}));
  EXPECT_TRUE(book_->unheard().empty());
}

TEST_F(joint_books, refuse_what_most_keepers_never_examine) {
  std::vector<keeper_answer> answers;
  book_->take(by(211), answers);
  compensate fee;
  fee.to = ledger_world::node(4);
  fee.request = leaf_hash({});
  fee.receipt = leaf_hash({});
  fee.signer = ledger_world::node(5);
  fee.amount = 5;
  std::vector<std::byte> bytes;
  encode({0, fee, {}}, bytes);
  own_->take(fee.to, role_set{}.add(role::verifier), {9, submit{bytes, {}}}, answers);
  std::size_t due = 0;
  EXPECT_FALSE(book_->put_together(t0 + 5, {}, due).value());
  EXPECT_FALSE(book_->put_together(t0 + 70, {}, due).value());
  book_->take_refused(answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<refusal>(answers[0].what.body).reason.code, errc::busy);
  EXPECT_TRUE(book_->unheard().empty());
}

TEST_F(joint_books, follow_only_entries_that_most_keepers_signed_for) {
  memory_file file;
  keeper_surroundings around;
  const secret_key other = ledger_world::key(211);
  around.key = &other;
  const genesis rules = own_->book().view().origin();
  keeper ahead = keeper::make(ledger::create(file, rules, t0, {}).value(), around).value();
  std::vector<keeper_answer> answers;
  const auto one = authenticate(
      id_, some_mint(), sign_action(ledger_world::key(ledger_world::minter), id_, some_mint()));
  ASSERT_TRUE(ahead.enter(std::span{&*one, 1}, t0 + 9, answers));
  log_part part{{}, {1, {ahead.book().log().entry_at(1).value()}, ahead.own_head()}};
  entry_run& run = part.run;
  EXPECT_FALSE(book_->follow(part, answers)) << "one of three";
  ASSERT_TRUE(join(run.head, sign(ledger_world::key(212), ahead.book().head()).signatures[0]));
  log_part cut = part;
  cut.run.entries[0].pop_back();
  EXPECT_FALSE(book_->follow(cut, answers));
  log_part late = part;
  late.run.first = 2;
  EXPECT_FALSE(book_->follow(late, answers));
  book_->take(run.head, answers);
  EXPECT_EQ(book_->signed_size(), 2U) << "it knows what it lacks";
  ASSERT_TRUE(book_->follow(part, answers));
  EXPECT_EQ(own_->book().head(), ahead.book().head());
}

} // namespace
} // namespace ovir::ledger
