// A member that copies the keeper's log: what it takes, and what convicts the keeper.
#include "actors/payment/log_follower.hpp"
#include "ledger/keeper/keeper.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace ovir::actors {
namespace {

using ledger::credit;
using test::ledger_world;
using test::memory_file;

constexpr std::uint64_t t0 = ledger_world::t0;

/// A keeper with two logs, which differ from entry 2 on.
class followers : public ::testing::Test {
protected:
  followers() : honest_(begin(honest_file_)), forged_(begin(forged_file_)) {
    ledger_world world{honest_.id()};
    const auto mint = world.mint(1, 100 * credit);
    ledger_world same{honest_.id()};
    (void)same.mint(1, 1);
    commit(honest_, mint);
    commit(forged_, mint);
    commit(honest_, world.transfer(1, 2, credit));
    commit(forged_, same.transfer(1, 3, credit));
    follower_.emplace(log_follower::open(copy_file_, honest_.log().entry_at(0).value(), 1).value());
  }
  static ledger::ledger begin(memory_file& file) {
    return ledger::ledger::create(file, ledger_world::rules(), t0, {}).value();
  }
  static void commit(ledger::ledger& book, const ledger::authentic_command& one) {
    ASSERT_TRUE(book.commit(std::span{&one, 1}, t0).value().commands[0].done);
  }
  static ledger::signed_head head_of(const ledger::ledger& book) {
    return ledger::sign(ledger_world::key(ledger_world::keeper), book.head());
  }
  /// What a keeper of `book` sends from `first` on, `count` at a time.
  static ledger::entry_run run(const ledger::ledger& book, std::uint64_t first,
                               std::uint64_t count = 100) {
    ledger::entry_run r;
    r.first = first;
    r.head = head_of(book);
    for (std::uint64_t i = first; i < std::min(book.log().size(), first + count); ++i) {
      r.entries.push_back(book.log().entry_at(i).value());
    }
    return r;
  }

  memory_file honest_file_;
  memory_file forged_file_;
  memory_file copy_file_;
  ledger::ledger honest_;
  ledger::ledger forged_;
  std::optional<log_follower> follower_;
};

TEST_F(followers, have_the_keepers_state_and_go_on_after_a_restart) {
  ASSERT_EQ(follower_->wants(), 1U);
  ASSERT_TRUE(follower_->take(run(honest_, 1, 1))); // in pieces: nothing is kept before the head
  EXPECT_EQ(follower_->wants(), 2U);
  EXPECT_EQ(follower_->size(), 1U);
  ASSERT_TRUE(follower_->take(run(honest_, 1))); // with what was told before
  EXPECT_EQ(follower_->size(), 3U);
  EXPECT_TRUE(follower_->check(head_of(honest_)));
  follower_.reset();
  auto again = log_follower::open(copy_file_, honest_.log().entry_at(0).value(), 2);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->size(), 3U);
  EXPECT_EQ(again->ledger(), honest_.id());
}

TEST_F(followers, see_a_head_of_another_log) {
  ASSERT_TRUE(follower_->take(run(honest_, 1)));
  const auto other = follower_->check(head_of(forged_));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, errc::digest_mismatch);
}

TEST_F(followers, keep_nothing_of_a_log_that_was_rewritten_behind_them) {
  ASSERT_TRUE(follower_->take(run(honest_, 1)));
  ledger_world world{honest_.id()};
  (void)world.mint(1, 1);
  (void)world.mint(1, 1);
  (void)world.mint(1, 1);
  commit(forged_, world.transfer(1, 4, credit));
  const auto taken = follower_->take(run(forged_, 3));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, errc::digest_mismatch);
  EXPECT_EQ(follower_->size(), 3U);
}

TEST_F(followers, convict_a_keeper_by_a_promise_it_broke) {
  const auto promised = forged_.acknowledge(2, head_of(forged_)).value();
  EXPECT_EQ(follower_->broken(promised).value(), std::nullopt) << "nothing is known of entry 2";
  ASSERT_TRUE(follower_->take(run(honest_, 1)));
  const auto fork = follower_->broken(promised);
  ASSERT_TRUE(fork) << fork.error().message;
  ASSERT_TRUE(*fork);
  EXPECT_EQ(ledger::check_fork(**fork, honest_.id(), ledger_world::rules().keepers).value(),
            ledger_world::rules().keepers);
  const auto kept = honest_.acknowledge(2, head_of(honest_)).value();
  EXPECT_EQ(follower_->broken(kept).value(), std::nullopt);
}

TEST_F(followers, refuse_a_copy_of_another_ledger) {
  memory_file file;
  ledger::genesis other = ledger_world::rules();
  other.salt.bytes[3] ^= 1;
  const auto book = ledger::ledger::create(file, other, t0, {}).value();
  EXPECT_FALSE(log_follower::open(copy_file_, book.log().entry_at(0).value(), 1));
}

} // namespace
} // namespace ovir::actors
