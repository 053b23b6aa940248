#include "apps/ovir-verify/ledger_draw.hpp"
#include "tests/support/ledger/epoch_world.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace ovir::apps {
namespace {

using test::epoch_world;
using test::ledger_world;
using ::testing::HasSubstr;

/// Verifiers 8 and 9; the latter is silent in epoch 2, and audits one unit of epoch 3.
struct drawn_world : epoch_world {
  drawn_world() {
    EXPECT_EQ(commit(8, 100, 1), "");
    EXPECT_EQ(commit(9, 100, 2), "");
    epoch_without();
    epoch_without();
    epoch_without({9});
    epoch_without();
    const auto its = duties_of(draw_of(3), ledger_world::node(9));
    OVIR_CHECK(its.size() > 1, its.size());
    audited = its.front();
    EXPECT_EQ(run(world.keep(ledger::compensate{audited.request, audited.window, 0,
                                                ledger_world::statement(1), audited.signer,
                                                ledger_world::node(9), 1'000})),
              "");
  }
  ledger::audit_unit audited;
};

TEST(ledger_draw, tells_who_had_to_audit_what_who_did_and_whose_link_is_overdue) {
  drawn_world w;
  const draw_report r = read_draws(w.file).value();
  ASSERT_FALSE(r.log.fault);
  ASSERT_EQ(r.epochs.size(), 4U);
  const auto its = duties_of(w.draw_of(3), ledger_world::node(9));
  for (const ledger::audit_unit& u : its) {
    EXPECT_EQ(r.audited(r.epochs[3], u, ledger_world::node(9)), u == w.audited);
    EXPECT_FALSE(r.audited(r.epochs[3], u, ledger_world::node(8)));
  }
  const auto sums = r.sums();
  const verifier_sums& nine = sums.at(ledger_world::node(9));
  EXPECT_EQ(nine.audited, 1U);
  EXPECT_EQ(nine.links_overdue, 1U);
  EXPECT_EQ(nine.drawn, its.size() + duties_of(w.draw_of(2), ledger_world::node(9)).size());
  EXPECT_EQ(sums.at(ledger_world::node(8)).links_overdue, 0U);
  EXPECT_GE(sums.at(ledger_world::node(8)).drawn, 10U) << "all of the epoch 2";

  const std::string text = text_of(r);
  const std::string name = short_name(ledger_world::node(9));
  EXPECT_THAT(text, HasSubstr(fmt::format("overdue: the link of {}\n", name)));
  EXPECT_THAT(text, HasSubstr(fmt::format("window {} of {}: {} audited\n", w.audited.window,
                                          short_name(w.audited.signer), name)));
  EXPECT_THAT(text, HasSubstr(fmt::format("{} not yet\n", name)));
  EXPECT_THAT(text, HasSubstr(fmt::format("verifier {}: {} drawn, 1 audited, {} missing, 1 links "
                                          "overdue\n",
                                          name, nine.drawn, nine.drawn - 1)));
  const apps::json document = document_of(r);
  EXPECT_EQ(document["ok"], true);
  EXPECT_EQ(document["epochs"][2]["verifiers"].size(), 2U);
  EXPECT_EQ(document["epochs"][3]["units"].size(), epoch_world::units_of(w.draw_of(3)).size());
  EXPECT_EQ(document["verifiers"].size(), 2U);
}

TEST(ledger_draw, is_the_same_where_nothing_is_charged) {
  ledger::genesis rules = epoch_world::usual_rules();
  rules.rules = ledger::free_policy();
  epoch_world w{rules};
  EXPECT_EQ(w.commit(9, 100, 2), "");
  w.epoch_without();
  w.epoch_without();
  w.epoch_without();
  const auto its = duties_of(w.draw_of(2), ledger_world::node(9));
  ASSERT_EQ(its.size(), 10U);
  for (const ledger::audit_unit& u : its) { // the layer is the first of the signer's
    const std::uint32_t layer = u.signer == ledger_world::node(2) ? 0 : 4;
    EXPECT_EQ(w.run(w.world.keep(ledger::compensate{u.request, u.window, layer,
                                                    ledger_world::statement(1), u.signer,
                                                    ledger_world::node(9), 0})),
              "");
  }
  const draw_report r = read_draws(w.file).value();
  EXPECT_EQ(r.sums().at(ledger_world::node(9)).audited, 10U);
}

TEST(ledger_draw, reads_a_log_or_its_folder_and_says_where_it_is_wrong) {
  drawn_world w;
  const test::temporary_folder folder;
  const std::string path = (folder.path() / "log").string();
  const auto write = [&](const std::vector<std::byte>& bytes) {
    std::ofstream{path, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                static_cast<std::streamsize>(bytes.size()));
  };
  write(w.file.content);
  EXPECT_EQ(verify_draws(path, false).value(), exit_code::done);
  EXPECT_EQ(verify_draws(folder.path().string(), true).value(), exit_code::done);
  std::vector<std::byte> wrong = w.file.content;
  wrong[2'000] ^= std::byte{1};
  write(wrong);
  EXPECT_EQ(verify_draws(path, false).value(), exit_code::wrong);
  EXPECT_EQ(verify_draws(path, true).value(), exit_code::wrong);
  EXPECT_EQ(verify_draws(path + "x", false).error().code, errc::not_found);
}

} // namespace
} // namespace ovir::apps
