#include "actors/request/jobs_core.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

class jobs_of_a_node : public ::testing::Test {
protected:
  static constexpr request_id id{7};
  const error cancelled{errc::cancelled, "it was cancelled"};

  jobs_of_a_node() {
    model_.vocabulary = 100;
    model_.context = 64;
  }

  result<void> ask(request_id request, std::uint32_t max_tokens = 8) {
    generation_request wanted;
    wanted.id = request;
    wanted.prompt = {1};
    wanted.max_tokens = max_tokens;
    wanted.deadline = 1h;
    out_.clear();
    return core_.start(std::move(wanted), {}, false, &model_, now_, out_);
  }
  void draw(std::uint32_t index, token_id token) {
    text_piece piece;
    piece.request = id;
    piece.index = index;
    piece.token = token;
    out_.clear();
    core_.take_piece(piece, out_);
  }
  void end(result<generation_report> outcome) {
    generation_done done{id, std::move(outcome)};
    out_.clear();
    core_.take_end(done, now_, out_);
  }
  result<void> watch(std::uint32_t from, std::uint32_t bunch = 1) {
    out_.clear();
    return core_.begin_watch({id, from, 1, 2, bunch, {}, {}}, out_);
  }
  template <class Effect>
  [[nodiscard]] std::vector<Effect> all() const {
    std::vector<Effect> found;
    for (const job_effect& effect : out_) {
      if (const auto* one = std::get_if<Effect>(&effect)) {
        found.push_back(*one);
      }
    }
    return found;
  }

  compute::model_config model_;
  jobs_core core_{jobs_settings{}};
  jobs_core::time_point now_{};
  jobs_core::effects out_;
};

TEST_F(jobs_of_a_node, are_started_once_however_often_they_are_asked_for) {
  ASSERT_TRUE(ask(id));
  ASSERT_EQ(all<run_effect>().size(), 1U);
  EXPECT_EQ(all<run_effect>()[0].request.id, id);
  ASSERT_TRUE(ask(id));
  EXPECT_TRUE(all<run_effect>().empty());
  EXPECT_EQ(ask(id, 9).error().code, errc::invalid_argument) << "another one of the same id";
}

TEST_F(jobs_of_a_node, are_refused_while_it_drains_and_for_models_it_has_not) {
  out_.clear();
  generation_request unknown;
  unknown.id = id;
  EXPECT_EQ(core_.start(unknown, {}, false, nullptr, now_, out_).error().code, errc::not_found);
  core_.drain();
  EXPECT_EQ(ask(id).error().code, errc::busy);
}

TEST_F(jobs_of_a_node, tell_a_watcher_what_was_drawn_already_and_what_comes) {
  ASSERT_TRUE(ask(id));
  draw(0, 10);
  draw(1, 11);
  ASSERT_TRUE(watch(1));
  ASSERT_EQ(all<token_effect>().size(), 1U);
  EXPECT_EQ(all<token_effect>()[0].token.index, 1U);
  draw(2, 12);
  ASSERT_EQ(all<token_effect>().size(), 1U);
  EXPECT_EQ(all<token_effect>()[0].token.token, 12U);
  draw(2, 12);
  EXPECT_TRUE(out_.empty()) << "told again by a lead that went on";
  generation_report report;
  report.tokens = {10, 11, 12};
  end(report);
  ASSERT_EQ(all<over_effect>().size(), 1U);
  EXPECT_TRUE(all<over_effect>()[0].outcome->report);
  EXPECT_FALSE(core_.is_watched_by(1));
  ASSERT_TRUE(watch(0)) << "also later";
  EXPECT_EQ(all<token_effect>().size(), 3U);
  EXPECT_EQ(all<over_effect>().size(), 1U);
}

TEST_F(jobs_of_a_node, tell_tokens_in_bunches_and_the_rest_at_the_end) {
  ASSERT_TRUE(ask(id));
  ASSERT_TRUE(watch(0, 3));
  draw(0, 10);
  EXPECT_TRUE(out_.empty());
  draw(1, 11);
  draw(2, 12);
  EXPECT_EQ(all<token_effect>().size(), 3U);
  draw(3, 13);
  generation_report report;
  report.tokens = {10, 11, 12, 13};
  end(report);
  EXPECT_EQ(all<token_effect>().size(), 1U);
}

TEST_F(jobs_of_a_node, correct_what_was_told_wrongly) {
  ASSERT_TRUE(ask(id));
  ASSERT_TRUE(watch(0));
  draw(0, 10);
  draw(0, 20);
  ASSERT_EQ(all<over_effect>().size(), 1U);
  EXPECT_EQ(all<over_effect>()[0].outcome->report.error().code, errc::digest_mismatch);
  ASSERT_TRUE(watch(0));
  ASSERT_EQ(all<token_effect>().size(), 1U);
  EXPECT_EQ(all<token_effect>()[0].token.token, 20U);
}

TEST_F(jobs_of_a_node, begin_again_where_something_was_computed_wrongly) {
  ASSERT_TRUE(ask(id));
  end(error{errc::digest_mismatch, "a liar"});
  ASSERT_EQ(all<pause_effect>().size(), 1U);
  const pause_effect pause = all<pause_effect>()[0];
  out_.clear();
  core_.go_on(id, pause.attempt + 1, now_, out_);
  EXPECT_TRUE(out_.empty()) << "another pause's";
  core_.go_on(id, pause.attempt, now_ + pause.pause, out_);
  ASSERT_EQ(all<run_effect>().size(), 1U);
  EXPECT_EQ(all<run_effect>()[0].request.generation, 1U);
  EXPECT_TRUE(core_.cancel(id, true, cancelled, now_, out_));
  EXPECT_TRUE(core_.phase_of(id).under_way);
  EXPECT_EQ(all<cancel_effect>().size(), 1U);
}

TEST_F(jobs_of_a_node, begin_anew_for_who_asks_again_after_a_failure_that_may_pass) {
  ASSERT_TRUE(ask(id));
  draw(0, 5);
  end(fail(errc::busy, "no path at the moment"));
  ASSERT_TRUE(watch(0)) << "who only looks is told";
  EXPECT_EQ(all<over_effect>().size(), 1U);
  out_.clear();
  EXPECT_EQ(core_.begin_watch({id, 0, 1, 2, 1, {}, {}, true}, out_).error().code, errc::not_found);
  ASSERT_TRUE(ask(id));
  ASSERT_EQ(all<run_effect>().size(), 1U);
  EXPECT_EQ(all<run_effect>()[0].request.generation, 1U) << "its stages follow no older lead";
  draw(0, 5);
  ASSERT_TRUE(watch(0));
  EXPECT_EQ(all<token_effect>().size(), 1U);

  end(fail(errc::invalid_argument, "it cannot be done"));
  ASSERT_TRUE(ask(id));
  EXPECT_TRUE(all<run_effect>().empty()) << "it would fail again";
}

TEST_F(jobs_of_a_node, begin_anew_once_a_budget_may_have_more_and_burden_it_with_no_second_try) {
  const auto asked = [&](bool by_key) {
    generation_request wanted;
    wanted.id = id;
    wanted.prompt = {1};
    wanted.max_tokens = 8;
    wanted.deadline = 1h;
    if (by_key) {
      wanted.budget = budget_use{};
    }
    out_.clear();
    return core_.start(std::move(wanted), {}, false, &model_, now_, out_);
  };
  ASSERT_TRUE(asked(true));
  end(fail(errc::over_limit, "the voucher has too little left"));
  ASSERT_TRUE(asked(true));
  ASSERT_EQ(all<run_effect>().size(), 1U) << "the same request, under its id";
  EXPECT_TRUE(all<run_effect>()[0].request.budget.has_value());
  end(error{errc::digest_mismatch, "a liar"});
  const pause_effect pause = all<pause_effect>().at(0);
  out_.clear();
  core_.go_on(id, pause.attempt, now_ + pause.pause, out_);
  EXPECT_FALSE(all<run_effect>().at(0).request.budget.has_value()) << "the cluster's fault";
  end(fail(errc::over_limit, "larger than a bound"));
  ASSERT_TRUE(asked(true));
  EXPECT_TRUE(all<run_effect>().empty()) << "no budget had to do with it";
}

TEST_F(jobs_of_a_node, begin_anew_for_who_comes_back_after_it_was_given_up) {
  for (const bool asked : {true, false}) {
    const request_id named{asked ? 77U : 78U};
    ASSERT_TRUE(ask(named));
    ASSERT_TRUE(core_.cancel(named, asked, cancelled, now_, out_));
    generation_report report;
    report.end = finish_reason::cancelled;
    generation_done done{named, report};
    core_.take_end(done, now_, out_);
    out_.clear();
    ASSERT_TRUE(ask(named));
    EXPECT_EQ(all<run_effect>().size(), asked ? 0U : 1U);
  }
}

TEST_F(jobs_of_a_node, do_not_begin_again_when_cancelled_meanwhile) {
  ASSERT_TRUE(ask(id));
  ASSERT_TRUE(watch(0));
  end(error{errc::digest_mismatch, "a liar"});
  const pause_effect pause = all<pause_effect>().at(0);
  out_.clear();
  EXPECT_TRUE(core_.phase_of(id).paused);
  ASSERT_TRUE(core_.cancel(id, true, cancelled, now_, out_));
  ASSERT_EQ(all<over_effect>().size(), 1U);
  EXPECT_EQ(core_.phase_of(id).outcome, all<over_effect>()[0].outcome);
  EXPECT_EQ(all<over_effect>()[0].outcome->report.error().code, errc::cancelled);
  out_.clear();
  core_.go_on(id, pause.attempt, now_, out_);
  EXPECT_TRUE(out_.empty());
}

TEST_F(jobs_of_a_node, keep_a_receipt_only_for_who_asked) {
  ASSERT_TRUE(ask(id));
  generation_report report;
  report.receipt =
      std::make_shared<const result<std::vector<std::byte>>>(std::vector<std::byte>(3));
  end(report);
  ASSERT_EQ(all<receipt_effect>().size(), 1U) << "for audits";
  EXPECT_EQ(core_.receipt_of(id).error().code, errc::not_found);
}

TEST_F(jobs_of_a_node, that_failed_are_gone_on_with_again_where_that_may_succeed) {
  EXPECT_TRUE(core_.may_go_on(id));
  ASSERT_TRUE(ask(id));
  core_.note_adopted(id, {});
  EXPECT_FALSE(core_.may_go_on(id)) << "it runs";
  end(error{errc::timed_out, "the ledger's keeper did not answer"});
  EXPECT_TRUE(core_.may_go_on(id));
  ASSERT_TRUE(ask(id));
  ASSERT_EQ(all<run_effect>().size(), 1U);
  EXPECT_EQ(all<run_effect>()[0].request.generation, 1U);
  EXPECT_FALSE(core_.may_go_on(id));
  end(generation_report{});
  EXPECT_FALSE(core_.may_go_on(id)) << "it is answered";
  ASSERT_TRUE(ask({8}));
  generation_done refused{{8}, error{errc::invalid_argument, "too long"}};
  core_.take_end(refused, now_, out_);
  EXPECT_FALSE(core_.may_go_on({8})) << "another attempt is refused as well";
}

} // namespace
} // namespace ovir::actors
