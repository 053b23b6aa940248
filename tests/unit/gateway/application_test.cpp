#include "gateway/api/application.hpp"
#include "gateway/http/bounded_json.hpp"
#include "gateway/http/event_id.hpp"
#include "messages/limits/addenda.hpp"
#include "messages/limits/gateway.hpp"
#include "tests/unit/gateway/made_up_endpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <sstream>

namespace ovir::gateway {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST_F(endpoint, answers_once_the_cluster_has) {
  const auto exchange = complete();
  ASSERT_EQ(cluster_.started.size(), 1U);
  EXPECT_FALSE(cluster_.started[0].may_run);
  EXPECT_EQ(cluster_.started[0].order.max_tokens, 16U);
  app_->calls().on_token(tag(), {0, {}, " upon"});
  EXPECT_FALSE(exchange->ended);
  app_->calls().on_end(tag(), outcome(" upon", 1));
  ASSERT_TRUE(exchange->ended);
  EXPECT_EQ(exchange->head.status, 200);
  EXPECT_EQ(json::parse(exchange->head.body)["choices"][0]["text"], " upon");
  EXPECT_EQ(app_->counts().under_way, 0U);
}

TEST_F(endpoint, never_logs_a_prompt_or_an_answer) {
  complete();
  app_->calls().on_token(tag(), {0, {}, "SECRET"});
  app_->calls().on_end(tag(), outcome("SECRET", 1));
  EXPECT_THAT(log_, HasSubstr("everybody"));
  EXPECT_EQ(log_.find("SECRET"), std::string::npos);
  EXPECT_EQ(log_.find("Once"), std::string::npos);
}

TEST_F(endpoint, an_error_before_the_first_token_has_its_status_and_later_it_is_an_event) {
  const auto early = complete(R"(, "stream": true)");
  app_->calls().on_end(tag(), fail(errc::busy, "the queue is full"));
  EXPECT_EQ(early->head.status, 503);
  EXPECT_EQ(early->head.fields.at(0).first, "Retry-After");
  const auto late = complete(R"(, "stream": true)");
  app_->calls().on_token(tag(), {0, {}, "a"});
  app_->calls().on_end(tag(), fail(errc::peer_lost, "no nodes are left"));
  EXPECT_EQ(late->head.status, 200);
  EXPECT_THAT(late->head.body, HasSubstr("no nodes are left"));
  EXPECT_EQ(late->head.body.find("[DONE]"), std::string::npos);
  EXPECT_TRUE(late->ended);
}

TEST_F(endpoint, tells_what_the_node_finds_of_an_answer) {
  complete(R"(, "deadline_ms": 5000)");
  now_ += 2s;
  app_->calls().on_end(tag(), outcome(" upon", 1));
  found_->verdict = answer_verdict::in_part;
  found_->text = "It holds.";
  found_->stages.resize(1);
  found_->stages[0].layers = {2, 5};
  const std::string path = "/v1/receipts/" + to_text(first_id);
  const auto seen = ask("", path + "/verdict", {}, "GET");
  ASSERT_EQ(seen->head.status, 200) << seen->head.body;
  const json found = json::parse(seen->head.body);
  EXPECT_EQ(found["id"], to_text(first_id));
  EXPECT_EQ(found["verdict"], "audited_in_part");
  EXPECT_EQ(found["stages"][0]["last_layer"], 4);
  EXPECT_EQ(found["timing"]["took_ms"], 2'000);
  EXPECT_EQ(found["timing"]["slack_ms"], 3'000);
  // Asked for by the cluster's name of the request, which another key does not make.
  ASSERT_EQ(checked_.size(), 1U);
  EXPECT_EQ(checked_[0], std::pair(name_in_cluster({}, first_id), false));
  const auto bytes = ask("", path + "/addenda", {}, "GET");
  EXPECT_EQ(bytes->head.content_type, "application/octet-stream");
  EXPECT_EQ(bytes->head.body, "xy");
}

TEST_F(endpoint, says_why_an_answer_is_not_checked) {
  const std::string path = "/v1/receipts/" + to_text(first_id) + "/verdict";
  found_ = fail(errc::not_found, "none");
  EXPECT_EQ(ask("", path, {}, "GET")->head.status, 404);
  found_ = fail(errc::over_limit, "large");
  EXPECT_EQ(ask("", path, {}, "GET")->head.status, 413);
  EXPECT_EQ(ask("", "/v1/receipts/x/verdict", {}, "GET")->head.status, 404);
  EXPECT_EQ(ask("", path, {}, "POST")->head.status, 405);
  found_ = answer_check{};
  held_back_.emplace();
  std::vector<std::shared_ptr<made_up_exchange>> asked;
  for (std::size_t i = 0; i <= limits::answer_checks_max; ++i) {
    asked.push_back(ask("", path, {}, "GET"));
  }
  EXPECT_EQ(asked.back()->head.status, 503) << "as many as may be";
  asked.front()->on_gone(); // nothing is sent to who went
  for (const auto& act : std::exchange(*held_back_, {})) {
    act();
  }
  EXPECT_FALSE(asked.front()->ended);
  EXPECT_EQ(asked[1]->head.status, 200);
  ask("", path, {}, "GET");
  EXPECT_EQ(held_back_->size(), 1U) << "there is room again";
}

TEST_F(endpoint, confirms_a_cancellation_once_the_request_is_over) {
  const auto exchange = complete(R"(, "stream": true)");
  const std::string path = "/v1/requests/" + to_text(first_id);
  const auto cancels = ask("", path, {}, "DELETE");
  EXPECT_EQ(cluster_.cancelled.size(), 1U);
  EXPECT_EQ(cancels->head.body, "");
  app_->calls().on_end(tag(), generation_outcome{finish_reason::cancelled, 1, "a", {}});
  EXPECT_THAT(cancels->head.body, HasSubstr("\"cancelled\":true"));
  EXPECT_TRUE(exchange->ended);
  EXPECT_THAT(ask("", path, {}, "DELETE")->head.body, HasSubstr("\"cancelled\":false"));
}

TEST_F(endpoint, says_so_where_nothing_confirms_a_cancellation) {
  complete(R"(, "stream": true)");
  const std::string path = "/v1/requests/" + to_text(first_id);
  std::vector<std::shared_ptr<made_up_exchange>> cancels;
  for (std::size_t i = 0; i < limits::api_cancels_waiting_max; ++i) {
    cancels.push_back(ask("", path, {}, "DELETE"));
  }
  EXPECT_EQ(ask("", path, {}, "DELETE")->head.status, 429);
  now_ += 1min;
  app_->tick();
  for (const auto& one : cancels) {
    EXPECT_EQ(one->head.status, 503);
  }
}

TEST_F(endpoint, does_not_confirm_what_a_loss_of_power_may_bring_back) {
  const auto exchange = complete(R"(, "stream": true)");
  const auto cancels = ask("", "/v1/requests/" + to_text(first_id), {}, "DELETE");
  generation_outcome outcome{finish_reason::cancelled, 1, "a", {}};
  outcome.may_return = "the disk does not take it";
  app_->calls().on_end(tag(), outcome);
  EXPECT_EQ(cancels->head.status, 503);
  EXPECT_THAT(cancels->head.body, HasSubstr("the disk does not take it"));
  EXPECT_TRUE(exchange->ended) << "it has ended all the same";
}

TEST_F(endpoint, does_not_confirm_what_may_still_run) {
  complete(R"(, "stream": true)");
  const auto cancels = ask("", "/v1/requests/" + to_text(first_id), {}, "DELETE");
  app_->calls().on_end(tag(), error{errc::busy, "no node here drives it"});
  EXPECT_EQ(cancels->head.status, 503) << cancels->head.body;
}

TEST_F(endpoint, waits_for_a_client_that_went_and_then_cancels) {
  const auto exchange = complete(R"(, "stream": true)");
  app_->calls().on_token(tag(), {0, {}, "a"});
  exchange->on_gone();
  now_ += limits::api_resume_wait - 1ms;
  app_->tick();
  EXPECT_TRUE(cluster_.left.empty());
  now_ += 1ms;
  app_->tick();
  ASSERT_EQ(cluster_.left.size(), 1U);
  EXPECT_EQ(cluster_.left[0], cluster_.started[0].order.id);
  EXPECT_TRUE(cluster_.cancelled.empty()) << "nobody asked for that";
  EXPECT_EQ(app_->counts().abandoned, 1U);
  app_->calls().on_end(tag(), generation_outcome{finish_reason::cancelled, 1, "a", {}});
  EXPECT_EQ(app_->counts().under_way, 0U);
}

TEST_F(endpoint, a_client_that_comes_back_in_time_gets_what_it_lacks) {
  const auto first = complete(R"(, "stream": true)");
  const std::uint64_t before = tag();
  app_->calls().on_token(before, {0, {}, "a"});
  first->on_gone();
  const std::string id = to_text(first_id);
  const auto second = ask("", "/v1/requests/" + id, {{"last-event-id", id + ":1"}}, "GET");
  EXPECT_EQ(cluster_.forgotten, std::vector<std::uint64_t>{before});
  ASSERT_EQ(cluster_.started.size(), 2U);
  EXPECT_TRUE(cluster_.started[1].may_run);
  app_->calls().on_token(before, {1, {}, "x"}); // of the watch that is over
  app_->calls().on_token(tag(), {0, {}, "a"});
  app_->calls().on_token(tag(), {1, {}, "b"});
  app_->calls().on_end(tag(), outcome("ab", 2));
  EXPECT_EQ(second->head.body.find("\"text\":\"a\""), std::string::npos);
  EXPECT_THAT(second->head.body, HasSubstr("\"text\":\"b\""));
  EXPECT_THAT(second->head.body, HasSubstr("[DONE]"));
  now_ += 1h;
  app_->tick();
  EXPECT_TRUE(cluster_.cancelled.empty());
}

TEST_F(endpoint, a_restart_of_whoever_drives_requests_is_not_seen_by_clients) {
  const auto exchange = complete(R"(, "stream": true)");
  app_->calls().on_token(tag(), {0, {}, "a"});
  app_->calls().on_restart();
  ASSERT_EQ(cluster_.started.size(), 2U);
  EXPECT_EQ(cluster_.started[1].order.id, cluster_.started[0].order.id);
  app_->calls().on_token(tag(), {0, {}, "a"});
  app_->calls().on_token(tag(), {1, {}, "b"});
  app_->calls().on_end(tag(), outcome("ab", 2));
  const std::string& body = exchange->head.body;
  EXPECT_EQ(body.find("\"text\":\"a\""), body.rfind("\"text\":\"a\"")) << body;
}

TEST_F(endpoint, a_cancellation_is_told_again_after_a_restart_of_whoever_drives_requests) {
  complete(R"(, "stream": true)");
  const auto cancels = ask("", "/v1/requests/" + to_text(first_id), {}, "DELETE");
  app_->calls().on_restart();
  EXPECT_EQ(cluster_.cancelled,
            (std::vector<request_id>{cluster_.started[0].order.id, cluster_.started[0].order.id}));
  app_->calls().on_end(tag(), generation_outcome{finish_reason::cancelled, 1, "a", {}});
  EXPECT_THAT(cancels->head.body, HasSubstr("\"cancelled\":true"));
}

TEST_F(endpoint, the_same_request_under_the_same_id_is_the_same_and_another_is_refused) {
  const std::string body = R"({"model": "m", "prompt": "Once", "n": 2})";
  const std::map<std::string, std::string, std::less<>> named{
      {"x-ovir-request", "00000000000000ff"}};
  ask(body, "/v1/completions", named);
  ask(body, "/v1/completions", named);
  ASSERT_EQ(cluster_.started.size(), 4U);
  for (const std::size_t i : {0U, 1U}) {
    EXPECT_EQ(cluster_.started[i].order.id, cluster_.started[i + 2].order.id);
    EXPECT_EQ(cluster_.started[i].order.sampling, cluster_.started[i + 2].order.sampling);
  }
  EXPECT_NE(cluster_.started[0].order.sampling.seed, cluster_.started[1].order.sampling.seed);
  const auto other = ask(R"({"model": "m", "prompt": "Twice"})", "/v1/completions", named);
  EXPECT_EQ(other->head.status, 409);
}

TEST_F(endpoint, gives_a_deadline_to_who_gives_none) {
  api_options options;
  options.deadline = 1500ms;
  restart(options);
  complete();
  EXPECT_EQ(cluster_.started.back().order.deadline, 1500ms);
  complete(R"(, "deadline_ms": 7)");
  EXPECT_EQ(cluster_.started.back().order.deadline, 7ms);
}

TEST_F(endpoint, a_deadline_ends_a_request_wherever_it_is) {
  const auto exchange = complete(R"(, "deadline_ms": 1500)");
  now_ += 1499ms;
  app_->tick();
  EXPECT_FALSE(exchange->ended);
  now_ += 1ms;
  app_->tick();
  EXPECT_EQ(exchange->head.status, 504);
  EXPECT_EQ(cluster_.left.size(), 1U);
  for (const bool by_token : {true, false}) { // not only when the clock ticks
    const auto late = complete(R"(, "deadline_ms": 5)");
    now_ += 5ms;
    if (by_token) {
      app_->calls().on_token(tag(), {0, {}, "a"});
    } else {
      app_->calls().on_end(tag(), outcome("", 0));
    }
    EXPECT_EQ(late->head.status, 504);
    EXPECT_EQ(app_->counts().under_way, 0U);
  }
}

TEST_F(endpoint, more_requests_than_there_may_be_are_refused_before_their_body_is_read) {
  api_options options;
  options.requests_max = 1;
  restart(options);
  complete();
  http_request next;
  next.method = "POST";
  next.path = "/v1/completions";
  next.fields["content-type"] = "application/json";
  const auto refused = app_->refuse_early(next);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 503);
}

TEST_F(endpoint, a_silent_stream_is_kept_alive) {
  const auto exchange = complete(R"(, "stream": true)");
  now_ += limits::http_beat;
  app_->tick();
  EXPECT_EQ(exchange->head.status, 200);
  EXPECT_THAT(exchange->head.body, HasSubstr(": "));
}

TEST_F(endpoint, is_ready_when_a_model_is_whole_and_it_does_not_drain) {
  EXPECT_EQ(ask("", "/ready", {}, "GET")->head.status, 200);
  cluster_.is_ready = false;
  EXPECT_EQ(ask("", "/ready", {}, "GET")->head.status, 503);
  cluster_.does = "fetches layers 0-3";
  EXPECT_THAT(ask("", "/ready", {}, "GET")->head.body, HasSubstr("; fetches layers 0-3"));
  EXPECT_EQ(ask("", "/health", {}, "GET")->head.status, 200);
  cluster_.is_ready = true;
  app_->drain();
  EXPECT_EQ(ask("", "/ready", {}, "GET")->head.status, 503);
  EXPECT_EQ(complete()->head.status, 503);
}

/// Samples by the whole beginning of their line, less help and type.
std::map<std::string, double> samples_of(const std::string& page) {
  std::map<std::string, double> samples;
  std::istringstream lines{page};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.rfind(' ');
    if (!line.starts_with('#') && space != std::string::npos) {
      samples[line.substr(0, space)] = std::stod(line.substr(space + 1));
    }
  }
  return samples;
}

TEST_F(endpoint, every_metric_is_documented_and_moves) {
  const auto before = samples_of(ask("", "/metrics", {}, "GET")->head.body);
  const auto first = complete(R"(, "stream": true)");
  now_ += 30ms;
  app_->calls().on_token(tag(), {0, {}, "a"});
  first->on_gone();
  const std::string id = to_text(first_id);
  ask("", "/v1/requests/" + id, {}, "GET")->on_gone();
  now_ += limits::api_resume_wait;
  app_->tick();
  app_->calls().on_end(tag(), generation_outcome{finish_reason::cancelled, 1, "a", {}});
  complete(); // is still under way
  const std::string page = ask("", "/metrics", {}, "GET")->head.body;
  const auto after = samples_of(page);
  const std::string documented = test::read_file(test::source_file("docs/metrics.md"));
  std::istringstream lines{page};
  std::size_t families = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("# TYPE ")) {
      continue;
    }
    const std::string name = line.substr(7, line.find(' ', 7) - 7);
    EXPECT_THAT(documented, HasSubstr("`" + name)) << "is not on the page";
    ++families;
    double moved = 0;
    for (const auto& [sample, value] : after) {
      const auto found = before.find(sample);
      moved += sample.starts_with(name) ? value - (found == before.end() ? 0 : found->second) : 0;
    }
    EXPECT_TRUE(moved > 0 || name == "ovir_gateway_connections") << name;
  }
  EXPECT_EQ(families, 9U);
  EXPECT_EQ(after.at("ovir_gateway_connections"), 3);
  EXPECT_EQ(after.at("ovir_gateway_completion_tokens_total"), 1);
  EXPECT_EQ(after.at("ovir_gateway_time_to_first_token_seconds_bucket{le=\"0.025\"}"), 0);
  EXPECT_EQ(after.at("ovir_gateway_time_to_first_token_seconds_bucket{le=\"0.05\"}"), 1);
  EXPECT_EQ(after.at("ovir_gateway_requests_under_way"), 1);
}

TEST_F(endpoint, a_quota_gives_back_what_was_not_used) {
  api_options options;
  options.keys_needed = true;
  restart(options);
  known_keys keys;
  api_key key;
  key.name = "ann";
  key.tokens_per_day = 40;
  std::array<std::byte, 32> secret{};
  const std::string text = keys.table.add(key, secret, keys.with).value();
  app_->use_keys(keys);
  const auto completed = [&] {
    return ask(R"({"model": "m", "prompt": [5, 6], "max_tokens": 20})", "/v1/completions",
               {{"authorization", "Bearer " + text}});
  };
  const auto first = completed();
  const auto second = completed(); // 22 of 40 are set aside
  EXPECT_EQ(second->head.status, 429);
  app_->calls().on_end(tag(), outcome("", 0));
  EXPECT_EQ(first->head.status, 200);
  const auto third = completed();
  EXPECT_EQ(third->head.status, 0) << "38 are left: it runs";
  EXPECT_EQ(complete()->head.status, 401);
}

TEST_F(endpoint, a_quota_forgets_no_token_of_a_client_that_comes_back) {
  api_options options;
  options.keys_needed = true;
  restart(options);
  known_keys keys;
  api_key key;
  key.name = "ann";
  key.tokens_per_day = 24;
  std::array<std::byte, 32> secret{};
  const std::string text = keys.table.add(key, secret, keys.with).value();
  app_->use_keys(keys);
  const std::map<std::string, std::string, std::less<>> field{{"authorization", "Bearer " + text}};
  const auto asked = [&](int tokens) {
    return ask(fmt::format(R"({{"model": "m", "prompt": [5, 6], "max_tokens": {},
                               "stream": true, "deadline_ms": 50}})",
                           tokens),
               "/v1/completions", field);
  };
  asked(22)->on_gone(); // all there are
  app_->calls().on_token(tag(), {0, {}, "a"});
  app_->calls().on_token(tag(), {1, {}, "b"});
  ask("", "/v1/requests/" + to_text(first_id), field, "GET");
  app_->calls().on_token(tag(), {0, {}, "a"}); // told again
  EXPECT_EQ(app_->counts().completion_tokens, 2U);
  now_ += 50ms;
  app_->tick();
  EXPECT_EQ(app_->counts().under_way, 0U);
  EXPECT_EQ(asked(19)->head.status, 429) << "2 of the prompt and 2 drawn are spent";
  EXPECT_EQ(asked(18)->head.status, 0) << "it runs";
}

TEST_F(endpoint, a_key_may_say_that_tokens_are_told_after_and_a_body_cannot_weaken_it) {
  api_options options;
  options.keys_needed = true;
  restart(options);
  known_keys keys;
  const std::array<std::byte, 32> secret{};
  api_key key;
  key.name = "ann";
  key.reveal = reveal_when::after;
  const std::string text = keys.table.add(key, secret, keys.with).value();
  app_->use_keys(keys);
  const std::vector<std::pair<std::string, std::string>> bodies{
      {R"({"model": "m", "prompt": "Once"})", "/v1/completions"},
      {R"({"model": "m", "prompt": "Once", "audit": {"reveal": "at_once"}})", "/v1/completions"},
      {R"({"model": "m", "input": "Once"})", "/v1/embeddings"}};
  for (const auto& [body, path] : bodies) {
    const std::size_t before = cluster_.started.size();
    ask(body, path, {{"authorization", "Bearer " + text}});
    ASSERT_EQ(cluster_.started.size(), before + 1) << body;
    EXPECT_EQ(cluster_.started.back().order.reveal, reveal_when::after) << body;
  }
}

TEST_F(endpoint, a_key_may_keep_requests_from_other_nodes_and_a_body_cannot_weaken_it) {
  api_options options;
  options.keys_needed = true;
  restart(options);
  known_keys keys;
  const std::array<std::byte, 32> secret{};
  api_key key;
  key.name = "ann";
  key.privacy = privacy_mode::ends;
  const std::string text = keys.table.add(key, secret, keys.with).value();
  app_->use_keys(keys);
  for (const std::string body : {R"({"model": "m", "prompt": "Once"})",
                                 R"({"model": "m", "prompt": "Once", "privacy": "none"})"}) {
    const std::size_t before = cluster_.started.size();
    ask(body, "/v1/completions", {{"authorization", "Bearer " + text}});
    ASSERT_EQ(cluster_.started.size(), before + 1) << body;
    EXPECT_EQ(cluster_.started.back().order.privacy, privacy_mode::ends) << body;
  }
}

TEST_F(endpoint, a_request_that_any_node_may_compute_is_none_that_demands_a_tier) {
  const std::string key(64, 'a');
  const std::string id = "00000000000000b8";
  const auto again = [&](const std::string& more) {
    return ask(R"({"model": "m", "prompt": "Once")" + more + "}", "/v1/completions",
               {{"x-ovir-request", id}});
  };
  const auto tier = [&](const std::string& region) {
    return ", \"tier\": {\"attestor\": \"" + key + "\", \"region\": \"" + region + "\"}";
  };
  again("");
  EXPECT_EQ(again(tier("eu"))->head.status, 409);
  app_->calls().on_end(tag(), outcome("x", 1));
  again(tier("eu"));
  ASSERT_TRUE(cluster_.started.back().order.tier);
  EXPECT_EQ(cluster_.started.back().order.tier->properties.region, "eu");
  EXPECT_EQ(again(tier("us"))->head.status, 409);
  EXPECT_NE(again("")->head.status, 409) << "what is of a tier serves who demands none";
}

TEST_F(endpoint, a_request_that_is_told_at_once_is_none_that_is_told_after) {
  const std::string after = R"(, "audit": {"reveal": "after"})";
  const std::string id = "00000000000000b7";
  const auto again = [&](const std::string& more) {
    return ask(R"({"model": "m", "prompt": "Once")" + more + "}", "/v1/completions",
               {{"x-ovir-request", id}});
  };
  again("");
  EXPECT_EQ(again(after)->head.status, 409);
  app_->calls().on_end(tag(), outcome("x", 1));
  again(after);
  EXPECT_EQ(cluster_.started.back().order.reveal, reveal_when::after);
  EXPECT_NE(again("")->head.status, 409) << "what is told after serves who asks for less";
}

} // namespace
} // namespace ovir::gateway
