// Requests that are told only what two runs computed.
#include "actors/path/twin_runs.hpp"
#include "actors/request/jobs_core.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class jobs_revealed_after : public ::testing::Test {
protected:
  static constexpr request_id id{7};
  static constexpr request_id second = twin_of(id);

  jobs_revealed_after() {
    model_.vocabulary = 100;
    model_.context = 64;
  }

  [[nodiscard]] static generation_request request(reveal_when reveal) {
    generation_request wanted;
    wanted.id = id;
    wanted.prompt = {1};
    wanted.max_tokens = 8;
    wanted.deadline = 1h;
    wanted.cache.prefixes = wanted.cache.answers = true;
    wanted.reveal = reveal;
    return wanted;
  }
  result<void> ask(generation_request wanted, bool from_log = false) {
    out_.clear();
    return core_.start(std::move(wanted), {}, from_log, &model_, now_, out_);
  }
  result<void> watch(reveal_when reveal = reveal_when::at_once) {
    out_.clear();
    return core_.begin_watch({id, 0, 1, 2, 1, {}, {}, false, reveal}, out_);
  }
  void draw(request_id run, std::uint32_t index, token_id token) {
    out_.clear();
    core_.take_piece(text_piece{{index, token, "t", {}}, run}, out_);
  }
  void end(request_id run, result<generation_report> outcome) {
    generation_done done{run, std::move(outcome)};
    out_.clear();
    core_.take_end(done, now_, out_);
  }
  [[nodiscard]] static generation_report report_of(std::vector<token_id> tokens) {
    generation_report report;
    report.text = std::string(tokens.size(), 't');
    report.tokens = std::move(tokens);
    report.receipt =
        std::make_shared<const result<std::vector<std::byte>>>(std::vector<std::byte>(3));
    return report;
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
  [[nodiscard]] std::vector<generation_request> runs() const {
    std::vector<generation_request> found;
    for (const run_effect& run : all<run_effect>()) {
      found.push_back(run.request);
    }
    return found;
  }
  [[nodiscard]] std::size_t told() const { return all<token_effect>().size(); }
  [[nodiscard]] result<generation_report> outcome() const {
    const auto over = all<over_effect>();
    return over.empty() ? fail(errc::busy, "it is not over") : over.front().outcome->report;
  }

  compute::model_config model_;
  jobs_core core_{jobs_settings{}};
  jobs_core::time_point now_{};
  jobs_core::effects out_;
};

TEST_F(jobs_revealed_after, run_twice_apart_and_take_nothing_that_was_kept) {
  ASSERT_TRUE(ask(request(reveal_when::after)));
  ASSERT_EQ(runs().size(), 2U);
  for (const generation_request& run : runs()) {
    EXPECT_EQ(run.twin, twin_rule::refused) << "where there are no two paths";
    EXPECT_EQ(run.reveal, reveal_when::after) << "for whoever goes on with it";
    EXPECT_EQ(run.cache, cache_use{});
    EXPECT_TRUE(run.receipt) << "who lied can be found";
  }
  EXPECT_FALSE(runs()[0].second);
  EXPECT_TRUE(runs()[1].second);
  EXPECT_EQ(runs()[1].id, second);
}

TEST_F(jobs_revealed_after, are_the_same_request_whatever_was_asked_for) {
  EXPECT_EQ(digest_of(request(reveal_when::after)), digest_of(request(reveal_when::at_once)));
}

TEST_F(jobs_revealed_after, tell_a_token_once_both_have_it) {
  ASSERT_TRUE(ask(request(reveal_when::after)));
  ASSERT_TRUE(watch(reveal_when::after));
  draw(id, 0, 10);
  EXPECT_EQ(told(), 0U);
  draw(second, 0, 10);
  EXPECT_EQ(told(), 1U);
  draw(second, 1, 11);
  EXPECT_EQ(told(), 0U);
  draw(id, 1, 12);
  EXPECT_EQ(told(), 0U) << "one of them lies";
  EXPECT_EQ(all<cancel_effect>().size(), 2U);
}

TEST_F(jobs_revealed_after, are_not_told_by_a_request_that_is_told_at_once) {
  ASSERT_TRUE(ask(request(reveal_when::at_once)));
  draw(id, 0, 10);
  EXPECT_EQ(ask(request(reveal_when::after)).error().code, errc::invalid_argument);
  EXPECT_EQ(watch(reveal_when::after).error().code, errc::invalid_argument);
  EXPECT_EQ(told(), 0U);
  end(id, report_of({10}));
  EXPECT_EQ(watch(reveal_when::after).error().code, errc::invalid_argument)
      << "nor once it is over";
  ASSERT_TRUE(watch(reveal_when::at_once));
  EXPECT_EQ(told(), 1U);
}

TEST_F(jobs_revealed_after, serve_who_asks_for_less) {
  ASSERT_TRUE(ask(request(reveal_when::after)));
  ASSERT_TRUE(ask(request(reveal_when::at_once)));
  EXPECT_TRUE(runs().empty());
  ASSERT_TRUE(watch(reveal_when::at_once));
  draw(id, 0, 10);
  EXPECT_EQ(told(), 0U);
}

TEST_F(jobs_revealed_after, begin_without_what_one_run_drew_where_a_log_is_gone_on_with) {
  generation_request log = request(reveal_when::after);
  log.generation = 1;
  log.drawn = {{10, {}}, {11, {}}};
  ASSERT_TRUE(ask(std::move(log), true));
  ASSERT_EQ(runs().size(), 2U);
  for (const generation_request& run : runs()) {
    EXPECT_TRUE(run.drawn.empty());
    EXPECT_EQ(run.generation, 1U);
    EXPECT_EQ(run.twin, twin_rule::waits) << "somebody heard its beginning";
  }
  ASSERT_TRUE(watch(reveal_when::after));
  draw(id, 0, 10);
  EXPECT_EQ(told(), 0U);
}

TEST_F(jobs_revealed_after, wait_for_two_paths_when_they_begin_again) {
  ASSERT_TRUE(ask(request(reveal_when::after)));
  end(id, report_of({10}));
  end(second, report_of({11}));
  ASSERT_EQ(all<pause_effect>().size(), 1U);
  EXPECT_EQ(all<receipt_effect>().size(), 2U) << "the audits find out who lied";
  const pause_effect pause = all<pause_effect>()[0];
  out_.clear();
  core_.go_on(id, pause.attempt, now_ + pause.pause, out_);
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[0].twin, twin_rule::waits);
}

TEST_F(jobs_revealed_after, fail_with_the_reason_of_the_run_that_failed) {
  for (const request_id lost : {id, second}) {
    core_ = jobs_core{jobs_settings{}};
    ASSERT_TRUE(ask(request(reveal_when::after)));
    ASSERT_TRUE(watch());
    draw(id, 0, 10);
    end(lost, fail(errc::segment_missing, "there are no two paths"));
    EXPECT_EQ(all<cancel_effect>().size(), 2U);
    end(twin_of(lost), fail(errc::cancelled, "withdrawn"));
    ASSERT_FALSE(outcome());
    EXPECT_EQ(outcome().error().code, errc::segment_missing);
    EXPECT_EQ(told(), 0U);
  }
}

TEST_F(jobs_revealed_after, keep_what_one_run_has_from_who_cancels) {
  ASSERT_TRUE(ask(request(reveal_when::after)));
  ASSERT_TRUE(watch());
  draw(id, 0, 10);
  draw(second, 0, 10);
  draw(id, 1, 11);
  out_.clear();
  ASSERT_TRUE(core_.cancel(id, true, {}, now_, out_));
  EXPECT_EQ(all<cancel_effect>().size(), 2U);
  generation_report longer = report_of({10, 11});
  longer.end = finish_reason::length;
  end(id, longer);
  generation_report shorter = report_of({10});
  shorter.end = finish_reason::cancelled;
  end(second, shorter);
  const auto what = outcome();
  ASSERT_TRUE(what) << what.error().message;
  EXPECT_EQ(what->tokens, (std::vector<token_id>{10}));
  EXPECT_EQ(what->text, "t");
  EXPECT_EQ(what->end, finish_reason::cancelled);
  EXPECT_EQ(what->receipt, nullptr) << "it states the token, too";
}

TEST_F(jobs_revealed_after, keep_a_vector_that_one_run_made_from_who_cancels) {
  ASSERT_TRUE(ask(request(reveal_when::after)));
  ASSERT_TRUE(watch());
  ASSERT_TRUE(core_.cancel(id, true, {}, now_, out_));
  generation_report made;
  made.embedding = {1.0F};
  end(id, made);
  generation_report none;
  none.end = finish_reason::cancelled;
  end(second, none);
  ASSERT_FALSE(outcome());
  EXPECT_EQ(outcome().error().code, errc::cancelled);
}

TEST_F(jobs_revealed_after, are_all_where_the_node_says_so) {
  jobs_settings settings;
  settings.reveal = reveal_when::after;
  core_ = jobs_core{settings};
  ASSERT_TRUE(ask(request(reveal_when::at_once)));
  EXPECT_EQ(runs().size(), 2U);
  EXPECT_TRUE(watch(reveal_when::after));
}

TEST_F(jobs_revealed_after, are_not_taken_over_by_the_second_run) {
  request_log log = request(reveal_when::after);
  log.second = true;
  const auto may = core_.check_adoption({}, log, 100);
  ASSERT_FALSE(may);
  EXPECT_THAT(may.error().message, HasSubstr("second"));
}

} // namespace
} // namespace ovir::actors
