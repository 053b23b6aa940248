// What of a request is paid, to whom and when, against a ledger that checks every share.
#include "actors/payment/payment_core.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/invariants.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace ovir::actors {
namespace {

using ledger::credit;
using test::ledger_world;
using test::receipt_maker;

constexpr std::uint64_t pay_t0 = ledger_world::t0;

/// 70 prompt tokens, 21 drawn: 90 positions, windows of 32, 32 and 26.
class payments_of_a_request : public ::testing::Test {
protected:
  payments_of_a_request() {
    (void)ledger::ledger::create(file_, ledger_world::rules(), pay_t0, {}).value();
    ledger::log_report report;
    book_.emplace(ledger::ledger::open(file_, {}, report).value());
    world_.emplace(book_->id());
    apply(world_->mint(1, 200 * credit));
    reservation_.payer = ledger_world::node(1);
    reservation_.about = ledger::about_of(terms_of(r_.asked));
    reservation_.rate = credit;
    reservation_.prompt = r_.asked.prompt.size();
    reservation_.completion_max = 60;
    reservation_.expires = pay_t0 + 1'000;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      reservation_.stages.push_back({cast_.id(i), 3, 1'000'000});
      path_.emplace_back(cast_.id(i), r_.stages[i].signer.layers);
    }
    reservation_.nonce = 1;
    const ledger::command c = reservation_;
    apply(ledger::authenticate(book_->id(), c,
                               ledger::sign_action(ledger_world::key(1), book_->id(), c))
              .value());
    core_.emplace(terms_of(r_.asked), reservation_, ledger_world::rules().rules);
  }

  void apply(const ledger::authentic_command& c) {
    const auto out = book_->commit(std::span{&c, 1}, pay_t0 + 1).value();
    EXPECT_TRUE(out.commands[0].done) << out.commands[0].why.message;
    EXPECT_TRUE(ledger::check_invariants(book_->view()));
  }
  /// Sends what the core wants sent, until it wants nothing.
  std::uint32_t send_all(const std::set<node_id>& ejected = {}) {
    std::uint32_t sent = 0;
    while (auto c = core_->next(ejected)) {
      if (auto* const x = std::get_if<ledger::reroute>(&*c)) {
        x->scheduler = ledger_world::node(1);
        x->nonce = ++nonce_;
        apply(ledger::authenticate(book_->id(), *c,
                                   ledger::sign_action(ledger_world::key(1), book_->id(), *c))
                  .value());
      } else {
        apply(ledger::by_log_keeper(book_->id(), *c).value());
      }
      core_->applied(*c);
      ++sent;
      if (sent > 20) {
        ADD_FAILURE() << "it never ends";
        break;
      }
    }
    return sent;
  }
  /// Statements of stage `i` about windows below `windows`, as one batch.
  [[nodiscard]] evidence_batch told_by(std::size_t i, std::uint32_t windows) const {
    stage_records records = r_.stages[i];
    records.statements.resize(windows);
    return {r_.asked.request, records, {}};
  }
  void tell(std::uint32_t windows) {
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      core_->take(path_, told_by(i, windows), 0);
    }
  }
  [[nodiscard]] std::uint64_t pending(std::size_t i) const {
    const ledger::account* const a = book_->view().find(cast_.id(i));
    return a == nullptr ? 0 : a->pending;
  }
  [[nodiscard]] std::uint64_t free_credit() const {
    return book_->view().find(ledger_world::node(1))->free;
  }

  receipt_maker cast_;
  receipt r_ = cast_.honest();
  test::memory_file file_;
  std::optional<ledger::ledger> book_;
  std::optional<ledger_world> world_;
  ledger::reserve reservation_;
  computing_path path_;
  std::optional<payment_core> core_;
  std::uint64_t nonce_{1}; ///< the reservation's
};

// Two of nine units of the first window and one of the second: 3 of 27 that the prompt's tokens are
// paid for.
TEST_F(payments_of_a_request, pay_a_tenth_for_units_that_were_reused_to_who_computed_them) {
  tell(3);
  const auto whole = std::get<ledger::accrue>(*core_->next({}));
  EXPECT_EQ(whole.cached_ppm, 0U);
  const std::size_t server = receipt_maker::stranger;
  cast_.cite(r_, 1, 3, 0, server);
  cast_.cite(r_, 1, 4, 0, server);
  cast_.cite(r_, 1, 4, 1, server);
  cast_.sign_stage(r_, 1);
  core_.emplace(terms_of(r_.asked), reservation_, ledger_world::rules().rules);
  tell(3);
  const auto named = std::get<ledger::reroute>(*core_->next({}));
  ASSERT_EQ(named.stages.size(), 1U);
  EXPECT_EQ(named.stages[0].node, cast_.id(server));
  EXPECT_EQ(send_all(), 2U);
  const ledger::account* const served = book_->view().find(cast_.id(server));
  ASSERT_NE(served, nullptr);
  std::uint64_t gross = 0;
  for (const ledger::window_share& s : whole.computed) {
    gross += s.amount;
  }
  EXPECT_NEAR(static_cast<double>(served->pending), static_cast<double>(gross) * 3 / 27 / 10,
              static_cast<double>(gross) / 1'000);
  EXPECT_EQ(served->assigned_units, 0U) << "serving makes no history";
}

TEST_F(payments_of_a_request, pay_nothing_for_units_that_their_author_did_not_sign) {
  cast_.cite(r_, 1, 3, 0, receipt_maker::stranger);
  r_.stages[1].statements[0].cited[0].proof.bytes[0] ^= 1;
  cast_.sign_stage(r_, 1);
  tell(3);
  EXPECT_EQ(core_->stated(), 0U);
}

TEST_F(payments_of_a_request, wait_until_every_stage_stated_a_window) {
  tell(2); // within the prompt: nothing to pay yet
  EXPECT_EQ(core_->stated(), 2U);
  EXPECT_EQ(core_->next({}), std::nullopt);
  core_->take(path_, told_by(0, 3), 0);
  core_->take(path_, told_by(1, 3), 0);
  EXPECT_EQ(core_->next({}), std::nullopt) << "the last stage said nothing of window 2";
  core_->take(path_, told_by(2, 3), 0);
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(pending(0), 30'030'000U) << "91 tokens less a hundredth, in three parts";
  EXPECT_EQ(pending(2), 30'030'000U);
  EXPECT_FALSE(core_->over());
}

TEST_F(payments_of_a_request, add_up_to_what_was_drawn_and_give_back_the_rest) {
  tell(3);
  core_->end();
  EXPECT_EQ(send_all(), 2U);
  EXPECT_TRUE(core_->over());
  EXPECT_EQ(free_credit(), (200 - 91) * credit);
}

TEST_F(payments_of_a_request, that_nobody_signed_are_none) {
  core_->end();
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(free_credit(), 200 * credit);
  EXPECT_EQ(pending(0), 0U);
}

TEST_F(payments_of_a_request, are_not_for_who_claims_the_layers_of_others) {
  // It owns a key and a place in the path, and signs for all layers.
  stage_records greedy = cast_.make({1, 9, 70, 21, 17}).stages[0];
  ASSERT_EQ(greedy.signer.layers, (layer_range{0, 9}));
  core_->take(path_, {r_.asked.request, greedy, {}}, 0);
  core_->end();
  EXPECT_EQ(send_all(), 1U) << "settled without paying";
  EXPECT_EQ(pending(0), 0U);
}

TEST_F(payments_of_a_request, are_not_kept_from_others_by_who_claims_their_layers) {
  core_->take(path_, told_by(0, 3), 0);
  core_->take(path_, {r_.asked.request, cast_.make({1, 9, 70, 21, 17}).stages[0], {}}, 0);
  core_->take(path_, told_by(1, 3), 0);
  core_->take(path_, told_by(2, 3), 0);
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(pending(0), 30'030'000U);
}

TEST_F(payments_of_a_request, are_not_for_statements_that_are_not_signed) {
  r_.stages[1].statements[2].compute_us += 1;
  tell(3);
  EXPECT_EQ(core_->stated(), 2U);
  core_->end();
  send_all();
  EXPECT_EQ(free_credit(), 200 * credit);
}

TEST_F(payments_of_a_request, go_to_who_took_over_and_stated_all_of_it) {
  tell(2);
  receipt other = r_;
  other.stages[1].signer.node = cast_.id(receipt_maker::stranger);
  cast_.sign_stage(other, 1, receipt_maker::stranger);
  path_[1].first = cast_.id(receipt_maker::stranger);
  core_->take(path_, {r_.asked.request, other.stages[1], {}}, 0);
  core_->take(path_, told_by(0, 3), 0);
  core_->take(path_, told_by(2, 3), 0);
  EXPECT_EQ(send_all(), 2U) << "it is named before it is paid";
  EXPECT_EQ(pending(1), 0U);
  EXPECT_EQ(pending(receipt_maker::stranger), 30'030'000U);
}

TEST_F(payments_of_a_request, leave_out_who_took_over_and_is_not_let_in) {
  receipt other = r_;
  other.stages[1].signer.node = cast_.id(receipt_maker::stranger);
  cast_.sign_stage(other, 1, receipt_maker::stranger);
  path_[1].first = cast_.id(receipt_maker::stranger);
  core_->take(path_, {r_.asked.request, other.stages[1], {}}, 0);
  core_->take(path_, told_by(0, 3), 0);
  core_->take(path_, told_by(2, 3), 0);
  const auto named = core_->next({});
  ASSERT_TRUE(named);
  core_->leave_out(std::get<ledger::reroute>(*named).stages);
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(pending(receipt_maker::stranger), 0U);
  EXPECT_EQ(pending(0), 45'045'000U) << "the others divide it";
}

TEST_F(payments_of_a_request, name_the_last_statement_that_each_share_is_for) {
  tell(3);
  const auto c = core_->next({});
  ASSERT_TRUE(c);
  const auto& shares = std::get<ledger::accrue>(*c).computed;
  ASSERT_EQ(shares.size(), receipt_maker::stages);
  for (const ledger::window_share& share : shares) {
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      if (share.node == cast_.id(i)) {
        EXPECT_EQ(share.statement, bind_statements(terms_of(r_.asked), r_.stages[i])[2].value);
      }
    }
  }
}

TEST_F(payments_of_a_request, leave_out_who_was_convicted) {
  tell(3);
  core_->end();
  send_all({cast_.id(1)});
  EXPECT_EQ(pending(1), 0U);
  EXPECT_EQ(pending(0), 45'045'000U);
  EXPECT_TRUE(core_->over());
}

TEST_F(payments_of_a_request, go_on_from_what_the_keeper_has) {
  tell(3);
  send_all();
  // A scheduler that was killed knows its reservation and nothing else.
  payment_core again{terms_of(r_.asked), reservation_, ledger_world::rules().rules};
  const ledger::request_record& q = *book_->view().find_request(again.escrow());
  ledger::request_report report;
  report.request = again.escrow();
  report.known = report.open = true;
  report.prompt_accounted = q.prompt_accounted;
  report.windows = static_cast<std::uint32_t>(q.windows.size());
  report.accounted = q.accounted;
  again.follow(report);
  core_.emplace(std::move(again));
  tell(3);
  EXPECT_EQ(core_->next({}), std::nullopt) << "nothing twice";
  core_->end();
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(free_credit(), (200 - 91) * credit);
  report.known = false; // it was over already
  core_->follow(report);
  EXPECT_TRUE(core_->over());
}

TEST_F(payments_of_a_request, count_what_came_too_late_as_late) {
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    core_->take(path_, told_by(i, 3), i == 0 ? ~std::uint64_t{0} : 0);
  }
  const auto c = core_->next({});
  ASSERT_TRUE(c);
  for (const ledger::window_share& s : std::get<ledger::accrue>(*c).computed) {
    EXPECT_EQ(s.units, 3U);
    EXPECT_EQ(s.on_time, s.node == cast_.id(0) ? 0U : 3U);
  }
}

// Steps of eight positions pass the stages one after another; the one in the middle holds one too
// long, and its neighbours' clocks show it.
TEST_F(payments_of_a_request, are_withheld_for_the_windows_that_the_stages_around_show_as_late) {
  constexpr std::uint32_t step = 8;
  constexpr std::uint32_t too_long_us = 50'000;
  for (stage_records& stage : r_.stages) {
    for (commitment& c : stage.commitments) {
      c.step_us = 10'000;
    }
    for (statement& s : stage.statements) {
      s.handovers.clear();
    }
  }
  std::uint32_t now = 0;
  for (std::uint32_t w = 0; w < 3; ++w) {
    for (std::uint32_t p = step; p - step < r_.stages[0].statements[w].positions; p += step) {
      for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
        statement& s = r_.stages[i].statements[w];
        const std::uint32_t came = now += 10;
        now += i == 1 && w == 1 && p == 2 * step ? too_long_us : 100;
        s.handovers.push_back({std::min(p, s.positions), came, now});
      }
      now += 10;
    }
  }
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    cast_.sign_stage(r_, i);
  }
  tell(3);
  const auto whole = std::get<ledger::accrue>(*core_->next({}));
  for (const ledger::window_share& s : whole.computed) {
    EXPECT_EQ(s.late_ppm, s.node == cast_.id(1) ? 333'333U : 0U) << "one of three windows";
    EXPECT_EQ(s.on_time, s.node == cast_.id(1) ? 2U : 3U);
  }
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(pending(1), 30'030'000U - 10'009'989U);
  EXPECT_EQ(pending(0), 30'030'000U) << "its neighbours gain nothing";
  EXPECT_EQ(pending(2), 30'030'000U);
  EXPECT_EQ(book_->view().sums().assurance, 910'000U + 10'009'989U);
}

TEST_F(payments_of_a_request, are_divided_by_the_plan_where_nobody_saw_the_times) {
  reward_terms rewards{.rule = ledger::reward_rule::factors};
  rewards.nodes[cast_.id(0)].stage = {100, 100, 1'000'000}; // 1.5 * 1.3 * 1.2 = 2.34 times
  rewards.nodes[cast_.id(1)].stage = {0, 100, 0};           // 0.5 * 1 * 0.8 = 0.4 times
  rewards.nodes[cast_.id(2)].stage = {0, 0, 500'000};       // once
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    for (statement& s : r_.stages[i].statements) {
      s.handovers.clear();
    }
    cast_.sign_stage(r_, i);
  }
  core_.emplace(terms_of(r_.asked), reservation_, ledger_world::rules().rules, rewards);
  tell(3);
  EXPECT_EQ(send_all(), 1U);
  constexpr std::uint64_t sum = 90'090'000; // the same as without
  EXPECT_EQ(pending(0) + pending(1) + pending(2), sum);
  EXPECT_NEAR(static_cast<double>(pending(0)), sum * 2.34 / (2.34 + 0.4 + 1), 1);
  EXPECT_NEAR(static_cast<double>(pending(1)), sum * 0.4 / (2.34 + 0.4 + 1), 1);
}

// Another scheduler drove it before, and paid for its first 64 positions and the token behind them.
TEST_F(payments_of_a_request, pay_a_tenth_for_what_another_reservation_paid_before) {
  tell(3);
  const auto whole = std::get<ledger::accrue>(*core_->next({}));
  core_.emplace(terms_of(r_.asked), reservation_, ledger_world::rules().rules);
  core_->paid_before(65);
  tell(3);
  const auto rest = std::get<ledger::accrue>(*core_->next({}));
  EXPECT_EQ(rest.frontier, whole.frontier);
  EXPECT_EQ(rest.cached_ppm, 65 * limits::ppm_one / (70 + rest.frontier));
  EXPECT_EQ(rest.served.size(), receipt_maker::stages);
  EXPECT_EQ(send_all(), 1U);
  EXPECT_NEAR(static_cast<double>(pending(0)),
              0.33 * (static_cast<double>(70 + rest.frontier - 65) + 6.5) * credit,
              static_cast<double>(credit) / 1'000);
  EXPECT_EQ(core_->paid_positions(), 70 + rest.frontier);
}

TEST_F(payments_of_a_request, compute_nothing_where_all_of_it_was_paid_before) {
  core_->paid_before(1'000);
  tell(3);
  const auto all = std::get<ledger::accrue>(*core_->next({}));
  EXPECT_EQ(all.cached_ppm, limits::ppm_one);
  EXPECT_TRUE(all.computed.empty()) << "no statement is named twice";
  const std::uint64_t before = free_credit();
  EXPECT_EQ(send_all(), 1U);
  EXPECT_EQ(free_credit() - before, (70 + all.frontier) * credit * 9 / 10);
}

} // namespace
} // namespace ovir::actors
