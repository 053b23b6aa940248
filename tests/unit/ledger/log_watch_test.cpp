#include "ledger/audit/log_watch.hpp"
#include "tests/support/ledger/epoch_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::ledger {
namespace {

using test::epoch_world;
using test::ledger_world;

/// What the whole log says to a node.
audit_news read_as(epoch_world& world, const node_id& self) {
  log_watch watch{self};
  ledger_options options;
  options.watch = [&](std::uint64_t index, const entry& e, const digest& chain,
                      const state& after) { watch.take(index, e, chain, after); };
  log_report report;
  const auto book = ledger::open(world.file, options, report);
  EXPECT_TRUE(book) << book.error().message;
  auto news = watch.take_news();
  EXPECT_TRUE(news.has_value());
  EXPECT_FALSE(watch.take_news().has_value()) << "told once";
  return news.value_or(audit_news{});
}

class log_watch_test : public testing::Test {
protected:
  log_watch_test() {
    for (const std::uint8_t verifier : {std::uint8_t{7}, std::uint8_t{8}}) {
      EXPECT_EQ(world.commit(verifier, 16, verifier), "");
    }
    for (int i = 0; i < 4; ++i) {
      world.epoch_without();
    }
  }
  epoch_world world;
};

TEST_F(log_watch_test, a_verifier_hears_of_its_own_units_and_the_driver_of_all) {
  std::size_t all = 0;
  std::size_t own = 0;
  for (const epoch_draw& d : world.draws) {
    all += epoch_world::units_of(d).size();
    own += duties_of(d, ledger_world::node(7)).size();
  }
  ASSERT_GT(own, 0U);
  const audit_news of_verifier = read_as(world, ledger_world::node(7));
  EXPECT_EQ(of_verifier.duties.size(), own);
  EXPECT_TRUE(of_verifier.accrued.empty());
  const audit_news of_driver = read_as(world, ledger_world::node(epoch_world::client));
  EXPECT_EQ(of_driver.duties.size(), all);
  EXPECT_EQ(of_driver.accrued.size(), of_driver.drawn.size() + of_driver.undrawn.size());
  EXPECT_FALSE(of_driver.drawn.empty());
  EXPECT_FALSE(of_driver.undrawn.empty()) << "before chains counted";
  EXPECT_EQ(read_as(world, ledger_world::node(2)).duties.size(), 0U);
}

TEST_F(log_watch_test, a_verifier_hears_which_link_it_owes) {
  const audit_news before = read_as(world, ledger_world::node(7));
  EXPECT_EQ(before.chains, world.of(7).chains);
  EXPECT_FALSE(before.owed);
  world.work({2, 3});
  ASSERT_EQ(world.close(), "");
  EXPECT_EQ(read_as(world, ledger_world::node(7)).owed, world.epoch() - 1);
  ASSERT_EQ(world.link(7), "");
  EXPECT_FALSE(read_as(world, ledger_world::node(7)).owed);
  EXPECT_EQ(read_as(world, ledger_world::node(8)).owed, world.epoch() - 1);
}

TEST_F(log_watch_test, who_drives_hears_what_was_audited) {
  const audit_news news = read_as(world, ledger_world::node(epoch_world::client));
  ASSERT_FALSE(news.duties.empty());
  const audit_duty& d = news.duties.back();
  ASSERT_FALSE(d.verifiers.empty());
  compensate done{d.unit.request, d.unit.window,       0, ledger_world::statement(1),
                  d.unit.signer,  d.verifiers.front(), 1};
  ASSERT_EQ(world.run(world.world.keep(done)), "");
  const audit_news after = read_as(world, ledger_world::node(epoch_world::client));
  ASSERT_EQ(after.audits.size(), 1U);
  EXPECT_EQ(after.audits.front().about, d.about);
  EXPECT_EQ(after.audits.front().window, d.unit.window);
  EXPECT_EQ(after.audits.front().signer, d.unit.signer);
  EXPECT_EQ(after.audits.front().verifier, d.verifiers.front());
}

} // namespace
} // namespace ovir::ledger
