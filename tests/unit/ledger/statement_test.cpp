// Statements page by page, and a keeper whose index is lost and made anew.
#include "ledger/keeper/keeper.hpp"
#include "messages/limits/credit.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/memory_index.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;

constexpr std::uint64_t t0 = ledger_world::t0;

class statements : public ::testing::Test {
protected:
  statements() {
    genesis rules = ledger_world::rules();
    rules.rules.actions_per_minute_max = 1'000'000;
    const ledger made = ledger::create(file_, rules, t0, {}).value();
    world_.emplace(made.id());
    book_.emplace(open());
  }
  ledger open() {
    ledger_options options;
    options.index = &index_;
    open_report report;
    return ledger::open(file_, options, report).value();
  }
  void commit(std::vector<authentic_command> batch) {
    const auto done = book_->commit(batch, ++now_).value();
    for (const command_outcome& one : done.commands) {
      ASSERT_TRUE(one.done) << one.why.message;
    }
  }
  /// Some 300 movements of account 1, in batches, with the index written now and then.
  void fill() {
    commit({world_->mint(1, 1'000'000 * credit), world_->mint(2, 5 * credit)});
    for (int i = 0; i < 60; ++i) {
      std::vector<authentic_command> batch;
      batch.reserve(6);
      for (int k = 0; k < 5; ++k) {
        batch.push_back(world_->transfer(1, static_cast<std::uint8_t>(2 + k), 10));
      }
      if (i % 10 == 3) {
        batch.push_back(world_->reserve(1, {3, 4}, 10, 20, now_ + 400));
      }
      commit(std::move(batch));
      if (i % 7 == 0) {
        book_->absorb();
      }
    }
  }
  static const node_id& who() {
    static const node_id node = ledger_world::node(1);
    return node;
  }

  test::memory_file file_;
  test::memory_index index_;
  std::optional<ledger_world> world_;
  std::optional<ledger> book_;
  std::uint64_t now_{t0};
};

TEST_F(statements, come_page_by_page_from_any_entry_on) {
  fill();
  const std::vector<statement_line> all = book_->statement(who()).value();
  ASSERT_GT(all.size(), 300U);
  for (const std::size_t page_lines : {1U, 2U, 7U, 100U, 400U, 10'000U}) {
    for (const std::uint64_t first : {0U, 1U, 2U, 77U, 200U, 5'000U}) {
      std::vector<statement_line> expected;
      for (const statement_line& l : all) {
        if (l.index >= first) {
          expected.push_back(l);
        }
      }
      std::vector<statement_line> got;
      statement_place place{first, 0, false};
      for (bool more = true; more;) {
        const statement_page page = book_->statement(who(), place, page_lines).value();
        ASSERT_LE(page.lines.size(), page_lines);
        ASSERT_TRUE(!page.more || page.lines.size() == page_lines);
        for (const statement_line& l : page.lines) {
          got.push_back(l);
          place = l.index == place.entry ? statement_place{l.index, place.skip + 1, false}
                                         : statement_place{l.index, 1, false};
        }
        more = page.more;
      }
      ASSERT_EQ(got, expected) << page_lines << " a page, from " << first;
    }
    const statement_page newest = book_->statement(who(), {0, 0, true}, page_lines).value();
    const std::size_t shown = std::min(page_lines, all.size());
    EXPECT_EQ(newest.lines,
              (std::vector<statement_line>{all.end() - static_cast<long>(shown), all.end()}));
    EXPECT_EQ(newest.more, page_lines < all.size());
  }
  EXPECT_TRUE(book_->statement(ledger_world::node(99), {}, 5).value().lines.empty());
}

TEST_F(statements, read_no_more_records_than_they_show) {
  fill();
  book_->absorb();
  index_.reads = 0;
  (void)book_->statement(who(), {0, 0, true}, 5).value();
  EXPECT_LE(index_.reads, 3U);
  index_.reads = 0;
  (void)book_->statement(who(), {200, 0, false}, 5).value();
  EXPECT_LE(index_.reads, 8U) << "a binary search and the page";
}

TEST_F(statements, of_a_lost_index_are_refused_until_it_is_made_anew) {
  fill();
  book_->absorb();
  const std::vector<statement_line> all = book_->statement(who()).value();
  const secret_key key = ledger_world::key(ledger_world::keeper);
  keeper_surroundings around;
  around.key = &key;
  keeper kept = keeper::make(std::move(*book_), around).value();
  std::vector<keeper_answer> answers;
  const auto ask = [&]() -> message {
    answers.clear();
    kept.take(ledger_world::node(9), {}, {4, ask_statement{who(), {0, 0, true}}}, answers);
    return answers.at(0).what;
  };
  const auto report = std::get<statement_report>(ask().body);
  EXPECT_EQ(report.lines,
            (std::vector<statement_line>{
                all.end() - static_cast<long>(std::min(all.size(), limits::statement_lines_max)),
                all.end()}));
  ASSERT_FALSE(report.payers.empty());
  EXPECT_EQ(report.payers.front().node, who());

  for (auto& [name, record] : index_.records) { // what lmdb_index notices by itself, too
    record = "x";
  }
  EXPECT_EQ(std::get<refusal>(ask().body).reason.code, errc::malformed);
  EXPECT_FALSE(kept.book().indexed());
  EXPECT_EQ(std::get<refusal>(ask().body).reason.code, errc::busy);
  ASSERT_TRUE(kept.replace(open()));
  EXPECT_EQ(std::get<statement_report>(ask().body), report);
}

TEST_F(statements, of_another_ledger_replace_nothing) {
  fill();
  test::memory_file other;
  genesis rules = ledger_world::rules();
  rules.salt.bytes[0] ^= 1;
  const secret_key key = ledger_world::key(ledger_world::keeper);
  keeper_surroundings around;
  around.key = &key;
  keeper kept = keeper::make(std::move(*book_), around).value();
  EXPECT_EQ(kept.replace(ledger::create(other, rules, t0, {}).value()).error().code,
            errc::digest_mismatch);
}

} // namespace
} // namespace ovir::ledger
