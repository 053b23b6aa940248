#include "actors/operator/admin_json_actor.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

const digest one_model = hash_plain(std::as_bytes(std::span{"one", 3}));
const digest other_model = hash_plain(std::as_bytes(std::span{"two", 3}));

job_view done(const digest& model, double decode_tps, std::uint64_t age_ms) {
  job_view job;
  job.model = model;
  job.state = job_state::done;
  job.decode_tps = decode_tps;
  job.age_ms = age_ms;
  return job;
}

path_description prediction_of(double tokens_per_second) {
  plan planned;
  planned.speed.tokens_per_second = tokens_per_second;
  path_description what;
  what.planned = planned;
  return what;
}

TEST(plan_report, the_measured_speed_is_the_median_of_the_latest_five_requests) {
  const std::vector<job_view> jobs{done(one_model, 1, 900), done(one_model, 1, 800),
                                   done(one_model, 30, 70), done(one_model, 10, 50),
                                   done(one_model, 50, 40), done(one_model, 20, 30),
                                   done(one_model, 40, 20)};
  EXPECT_EQ(measured_speed(jobs, one_model), 30);
}

TEST(plan_report, requests_of_other_models_and_of_unknown_speed_measure_nothing) {
  const std::vector<job_view> jobs{done(other_model, 10, 1), done(one_model, 0, 2)};
  EXPECT_EQ(measured_speed(jobs, one_model), std::nullopt);
}

TEST(plan_report, the_error_is_the_share_by_which_the_prediction_was_too_high) {
  const json shown = plan_json(prediction_of(12), one_model, 64, 10.0);
  EXPECT_EQ(shown["measured"]["decode_tps"], 10.0);
  EXPECT_DOUBLE_EQ(shown["measured"]["error"].get<double>(), 12.0 / 10.0 - 1);
}

TEST(plan_report, nothing_measured_is_null) {
  EXPECT_TRUE(plan_json(prediction_of(12), one_model, 64, std::nullopt)["measured"].is_null());
}

} // namespace
} // namespace ovir::actors
