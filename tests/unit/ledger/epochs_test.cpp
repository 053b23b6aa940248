// Epochs as rules: who closes them, whose hash chain counts when, which links are taken.
#include "ledger/rules/standing.hpp"
#include "tests/support/ledger/epoch_world.hpp"
#include "tests/support/memory_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::epoch_world;
using test::ledger_world;
using ::testing::HasSubstr;

TEST(ledger_epochs, an_epoch_is_closed_when_it_is_due_and_not_before) {
  epoch_world w;
  EXPECT_THAT(w.run(w.world.keep(epoch_end{0})), HasSubstr("epoch 0 is not due"));
  EXPECT_TRUE(w.book.view().due(w.now + 1'000, 10).empty()) << "nothing was done yet";
  w.work({2, 3}, 1);
  EXPECT_THAT(w.run(w.world.keep(epoch_end{0})), HasSubstr("not due"));
  EXPECT_TRUE(w.book.view().due(w.now + 19, 10).empty());
  const std::vector<command> due = w.book.view().due(w.now + 20, 10);
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(std::get<epoch_end>(due[0]).number, 0U);
  EXPECT_THAT(w.run(w.world.keep(epoch_end{1})), HasSubstr("epoch 0 is the current one"));
  EXPECT_EQ(w.close(), "");
  EXPECT_EQ(w.epoch(), 1U);
  // Until what settled requests hold goes back.
  EXPECT_TRUE(w.book.view().due(w.now + 39, 10).empty()) << "a quiet ledger stays quiet";
}

TEST(ledger_epochs, enough_entries_make_one_due_without_any_time) {
  genesis rules = epoch_world::usual_rules();
  rules.rules.epoch_entries = 16;
  epoch_world w{rules};
  for (std::uint64_t n = w.book.view().entries(); n < 16; ++n) {
    EXPECT_FALSE(is_due(w.book.view().epochs(), rules.rules, w.now));
    EXPECT_EQ(w.run(w.world.transfer(1, 4, 1)), "");
  }
  EXPECT_EQ(w.run(w.world.keep(epoch_end{0})), "");
  EXPECT_EQ(w.book.view().epochs().entries, 0U);
}

TEST(ledger_epochs, many_units_make_one_due_and_no_more_are_taken_than_somebody_can_draw_from) {
  epoch_world w;
  EXPECT_EQ(w.run(w.world.mint(1, 100'000'000 * credit)), "");
  constexpr std::uint64_t prompt = 9'000'000; // 281,250 windows
  const auto paid = [&](const std::vector<std::uint8_t>& stages) {
    EXPECT_EQ(w.run(w.world.reserve(1, stages, prompt, 1, w.now + 500)), "");
    return w.run(w.world.accrue(w.book.view(), 1, stages));
  };
  EXPECT_THAT(paid({2, 3}), HasSubstr("an accrual of 562500 units"));
  const auto is_due_now = [&] {
    return is_due(w.book.view().epochs(), w.book.view().origin().rules, w.now);
  };
  EXPECT_EQ(paid({2}), "");
  EXPECT_FALSE(is_due_now());
  EXPECT_EQ(paid({2}), "");
  EXPECT_TRUE(is_due_now());
  EXPECT_EQ(paid({2}), "");
  EXPECT_THAT(paid({2}), HasSubstr("it is closed first"));
  EXPECT_EQ(w.run(w.world.keep(epoch_end{0})), "");
  EXPECT_EQ(w.run(w.world.accrue(w.book.view(), 1, {2})), "");
}

TEST(ledger_epochs, a_chain_counts_from_the_epoch_after_the_next_on) {
  epoch_world w;
  EXPECT_EQ(w.commit(9, 10, 1), "");
  for (const std::size_t verifiers : {0U, 0U, 1U, 1U}) {
    EXPECT_EQ(w.book.view().epochs().verifiers.size(), verifiers) << w.epoch();
    w.epoch_without();
  }
  EXPECT_EQ(w.of(9).chains.front().known, 2U);
  EXPECT_EQ(w.of(9).missed_links, 0U);
}

TEST(ledger_epochs, a_second_commit_replaces_what_has_not_begun_and_the_old_one_owes_until_then) {
  epoch_world w;
  EXPECT_EQ(w.commit(9, 100, 1), "");
  w.epoch_without();
  w.epoch_without();
  ASSERT_EQ(w.epoch(), 2U);
  EXPECT_EQ(w.commit(9, 100, 2), ""); // from 4 on
  w.epoch_without();
  EXPECT_EQ(w.commit(9, 100, 3), ""); // instead, from 5 on
  EXPECT_EQ(w.of(9).chains.size(), 2U);
  w.epoch_without(); // the epoch 3
  w.work({2, 3});
  EXPECT_EQ(w.close(), ""); // the epoch 4: the first chain owes it
  EXPECT_THAT(w.link(9, 4, w.link_of(9, 1)), HasSubstr("this is not link 3"));
  EXPECT_EQ(w.link(9, 4, w.link_of(9, 3, 1)), "");
  w.epoch_without(); // the epoch 5: the last one does
  EXPECT_EQ(w.of(9).chains.back().known, 1U);
  w.epoch_without();
  EXPECT_EQ(w.of(9).chains.size(), 1U);
  EXPECT_EQ(w.of(9).missed_links, 0U);
}

TEST(ledger_epochs, a_link_that_is_guessed_repeated_early_late_or_anothers_is_refused) {
  epoch_world w;
  EXPECT_EQ(w.commit(8, 10, 1), "");
  EXPECT_EQ(w.commit(9, 10, 2), "");
  w.epoch_without();
  w.epoch_without();
  EXPECT_THAT(w.link(9, 2, w.link_of(9, 1)), HasSubstr("current one is 2")) << "it is not closed";
  w.work({2, 3});
  EXPECT_EQ(w.close(), "");
  const digest guess = ledger_world::statement(1);
  EXPECT_THAT(w.link(9, 2, guess), HasSubstr("this is not link 1"));
  EXPECT_THAT(w.link(9, 2, w.link_of(8, 1)), HasSubstr("this is not link 1"));
  EXPECT_THAT(w.link(9, 2, w.link_of(9, 2)), HasSubstr("this is not link 1")) << "the next one";
  EXPECT_THAT(w.link(7, 2, guess), HasSubstr("is no verifier of epoch 2"));
  EXPECT_THAT(w.link(9, 1, w.link_of(9, 1)), HasSubstr("is not the one that was closed last"));
  EXPECT_EQ(w.link(9, 2, w.link_of(9, 1)), "");
  const std::uint64_t entries = w.book.view().entries();
  EXPECT_EQ(w.link(9, 2, w.link_of(9, 1)), "") << "a retry";
  EXPECT_EQ(w.book.view().entries(), entries);
  EXPECT_THAT(w.link(9, 2, guess), HasSubstr("under the same id"));
  w.work({2, 3});
  EXPECT_EQ(w.close(), "");
  EXPECT_THAT(w.link(9, 3, w.link_of(9, 1)), HasSubstr("this is not link 2")) << "again";
  EXPECT_THAT(w.link(8, 2, w.link_of(8, 1)), HasSubstr("closed last")) << "too late";
  EXPECT_EQ(w.link(8, 3, w.link_of(8, 2)), "") << "the one it owed is skipped";
}

TEST(ledger_epochs, an_overdue_link_costs_standing_and_a_quiet_ledger_still_finishes) {
  epoch_world w;
  EXPECT_EQ(w.commit(9, 200, 1), "");
  EXPECT_EQ(w.run(w.world.reserve(1, {9}, 0, 64, w.now + 500)), ""); // it computes as well
  EXPECT_EQ(w.run(w.world.accrue(w.book.view(), 32, {9})), "");
  const escrow_id its = w.world.last_request;
  EXPECT_EQ(w.close(), "");
  w.now += 100;
  EXPECT_EQ(w.run(w.world.keep(release{its, 0})), "");
  EXPECT_EQ(w.of(9).consecutive, 4U);
  w.epoch_without();
  w.work({2, 3});
  EXPECT_EQ(w.close(), ""); // the epoch 2, and 9 stays silent
  const policy& rules = w.book.view().origin().rules;
  const std::uint64_t before = reputation_ppm(w.of(9), w.now, rules);
  const auto closes = [](const std::vector<command>& due) {
    return !due.empty() && std::holds_alternative<epoch_end>(due.front());
  };
  EXPECT_FALSE(closes(w.book.view().due(w.now + 19, 10)));
  EXPECT_TRUE(closes(w.book.view().due(w.now + 20, 10))) << "its work waits for a link";
  EXPECT_EQ(w.close(), "");
  EXPECT_EQ(w.of(9).missed_links, 1U);
  EXPECT_EQ(w.of(9).consecutive, 0U);
  EXPECT_EQ(audit_rate_ppm(w.of(9), 0), 1'000'000U);
  EXPECT_LT(reputation_ppm(w.of(9), w.now, rules), before);
  EXPECT_FALSE(closes(w.book.view().due(w.now + 20, 10))) << "nothing waits";
}

TEST(ledger_epochs, a_chain_that_is_used_up_silent_for_long_or_of_a_convicted_counts_no_more) {
  genesis rules = epoch_world::usual_rules();
  rules.rules.epoch_entries = 16;
  epoch_world w{rules};
  const auto pass = [&] {
    while (!is_due(w.book.view().epochs(), w.book.view().origin().rules, w.now)) {
      ASSERT_EQ(w.run(w.world.transfer(1, 4, 1)), "");
    }
    ASSERT_EQ(w.run(w.world.keep(epoch_end{w.epoch()})), "");
    w.now += 60; // actions are counted by the minute
  };
  EXPECT_EQ(w.commit(7, 100, 3), "");
  EXPECT_EQ(w.commit(8, 2, 1), "");
  EXPECT_EQ(w.commit(9, 1'000, 2), "");
  pass();
  pass();
  EXPECT_EQ(w.book.view().epochs().verifiers.size(), 3U);
  EXPECT_EQ(w.run(w.world.reserve(1, {7}, 0, 64, w.now + 500)), "");
  EXPECT_EQ(w.run(w.world.accrue(w.book.view(), 32, {7})), "");
  EXPECT_EQ(w.run(w.world.convict(0, 7, 5)), "");
  EXPECT_THAT(w.commit(7, 10, 4), HasSubstr("convicted"));
  pass();
  pass();
  ASSERT_EQ(w.epoch(), 4U);
  ASSERT_EQ(w.book.view().epochs().verifiers.size(), 1U);
  EXPECT_EQ(w.book.view().epochs().verifiers[0].node, ledger_world::node(9));
  for (int i = 0; i < 80; ++i) {
    pass();
  }
  EXPECT_TRUE(w.book.view().epochs().verifiers.empty());
  EXPECT_TRUE(w.book.view().committed().empty());
  EXPECT_EQ(w.of(9).missed_links, 64U);
}

TEST(ledger_epochs, an_index_keeps_them) {
  epoch_world w;
  EXPECT_EQ(w.commit(8, 100, 1), "");
  EXPECT_EQ(w.commit(9, 100, 2), "");
  test::memory_index store;
  ledger_options options;
  options.index = &store;
  for (int epoch = 0; epoch < 4; ++epoch) {
    w.epoch_without({9});
    w.work({2, 3}, 1);
    open_report report;
    ledger book = ledger::open(w.file, options, report).value();
    book.absorb();
    log_index index{store};
    const auto loaded = index.load(7).value();
    EXPECT_EQ(loaded->at.snapshot(), w.book.view().snapshot());
    EXPECT_EQ(loaded->at.committed(), w.book.view().committed());
  }
  store.records.erase("E" + std::string(8, '\0'));
  EXPECT_FALSE(log_index{store}.load(7)) << "it is made again from the log";
}

TEST(ledger_epochs, the_weight_of_a_verifier_is_its_influence_in_whole_credits_and_one) {
  epoch_world w;
  EXPECT_EQ(w.run(w.world.transfer(1, 9, 12'700'000)), "");
  EXPECT_EQ(w.run(w.world.lock(9, 12'700'000)), "");
  EXPECT_EQ(w.commit(9, 10, 1), "");
  EXPECT_EQ(w.commit(8, 10, 2), "");
  w.epoch_without();
  w.epoch_without();
  const auto& all = w.book.view().epochs().verifiers;
  EXPECT_EQ(find_verifier(all, ledger_world::node(9))->weight, 13U);
  EXPECT_EQ(find_verifier(all, ledger_world::node(8))->weight, 1U);
}

} // namespace
} // namespace ovir::ledger
