// Who may sign, as a ledger's head says it: for who has a copy of its log from anybody.
#include "ledger/keeper/participants.hpp"
#include "ledger/keeper/verify.hpp"
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

/// 1 and 2 have stake, 3 computed for 4 without any, and 5 has only money.
class participants : public testing::Test {
protected:
  participants() : book_(begin(file_)), world_(book_.id()) {
    for (const int who : {1, 2, 4, 5, 6}) {
      run(book_, world_.mint(static_cast<std::uint8_t>(who), 1'000 * credit));
    }
    run(book_, world_.lock(1, 200 * credit));
    run(book_, world_.lock(2, 200 * credit));
    run(book_, world_.reserve(4, {1, 3}, 40, 60));
    run(book_, world_.accrue(book_.view(), 10, {1, 3}));
  }

  static ledger begin(memory_file& file) {
    ledger_options o;
    o.log.step_bytes = 4'096;
    return ledger::create(file, ledger_world::rules(), t0, o).value();
  }
  static void run(ledger& book, const authentic_command& one) {
    const auto done = book.commit(std::span{&one, 1}, t0).value();
    ASSERT_TRUE(done.commands[0].done) << done.commands[0].why.message;
  }
  [[nodiscard]] static signed_head head_of(const ledger& book) {
    return sign(ledger_world::key(ledger_world::keeper), book.head());
  }
  static std::set<node_id> nodes(std::initializer_list<std::uint8_t> numbers) {
    std::set<node_id> all;
    for (const std::uint8_t n : numbers) {
      all.insert(ledger_world::node(n));
    }
    return all;
  }

  memory_file file_;
  ledger book_;
  ledger_world world_;
};

TEST_F(participants, are_those_with_stake_and_those_who_drove_what_was_paid) {
  const auto all = participants_at(head_of(book_), file_);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(*all, nodes({1, 2, 4}));
}

TEST_F(participants, who_was_convicted_or_gave_its_stake_back_counts_no_more) {
  run(book_, world_.convict(0, 1, 6));
  const auto all = participants_at(head_of(book_), file_);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(*all, nodes({2, 4}));
}

TEST_F(participants, what_lies_behind_the_head_does_not_count) {
  const signed_head before = head_of(book_);
  run(book_, world_.lock(5, 200 * credit));
  run(book_, world_.convict(0, 1, 6));
  EXPECT_EQ(participants_at(before, file_).value(), nodes({1, 2, 4}));
  EXPECT_EQ(participants_at(head_of(book_), file_).value(), nodes({2, 4, 5}));
}

TEST_F(participants, a_log_that_a_forger_wrote_anew_is_refused_by_the_head) {
  // It owns the keeper's rules, valid keys of its own, and recomputes everything; the keeper's
  // signature under another head it has not.
  memory_file forged_file;
  ledger forged = begin(forged_file);
  ledger_world same{forged.id()};
  for (const int who : {1, 2, 4, 5, 6}) {
    run(forged, same.mint(static_cast<std::uint8_t>(who), 1'000 * credit));
  }
  run(forged, same.lock(6, 200 * credit)); // instead of 1
  run(forged, same.lock(2, 200 * credit));
  run(forged, same.reserve(4, {1, 3}, 40, 60));
  run(forged, same.accrue(forged.view(), 10, {1, 3}));
  ASSERT_FALSE(verify_log(forged_file, {}).value().fault) << "sound by itself";
  const auto seen = participants_at(head_of(book_), forged_file);
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, errc::digest_mismatch);
  EXPECT_THAT(seen.error().message, HasSubstr("rewritten"));
}

TEST_F(participants, a_head_needs_the_keepers_own_signatures) {
  const signed_head strangers = sign(ledger_world::key(6), book_.head());
  EXPECT_EQ(participants_at(strangers, file_).error().code, errc::invalid_argument);
  signed_head changed = head_of(book_);
  changed.head.size -= 1;
  EXPECT_EQ(participants_at(changed, file_).error().code, errc::invalid_argument);
}

TEST_F(participants, a_log_that_ends_before_the_head_is_refused) {
  const memory_file before = file_;
  run(book_, world_.lock(5, 200 * credit));
  memory_file cut{std::vector<std::byte>(before.content.begin(), before.content.end())};
  const auto seen = participants_at(head_of(book_), cut);
  ASSERT_FALSE(seen);
  EXPECT_THAT(seen.error().message, HasSubstr("but a signed head says"));
}

TEST_F(participants, an_entry_that_its_signer_never_signed_makes_the_log_worthless) {
  run(book_, authentic_command::unchecked_for_test(lock{ledger_world::node(5), 200 * credit, 77}));
  const auto seen = participants_at(head_of(book_), file_);
  ASSERT_FALSE(seen) << "though the keeper put its name under it";
  EXPECT_THAT(seen.error().message, HasSubstr("not signed by"));
}

} // namespace
} // namespace ovir::ledger
