#include "actors/request/request_trace.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

node_id named(std::uint8_t letter) {
  node_id node;
  node.key.fill(letter);
  return node;
}

// The stage was done with the replay when it began its step, but the lead heard of that later.
TEST(request_trace, ends_a_replay_before_the_first_step_of_its_stage) {
  constexpr epoch driver{2};
  request_trace trace;
  trace.take_path(1ms, driver, {{named(1), {0, 4}}, {named(2), {4, 8}}});
  trace.take_feed(20ms, driver, 40, 1, 0);
  trace.take_pass(22ms, driver, 0, 41, 1ms);
  trace.take_pass(30ms, driver, 1, 40, 5ms);
  trace.take_pass(33ms, driver, 1, 41, 2ms);
  trace.take_answer(33ms, driver, 40);
  trace.take_draw(34ms, 41);
  trace.generated = 34ms;
  trace.ended = 35ms;
  const auto whole = nlohmann::json::parse(chrome_trace(trace, request_id{7}, "lead", {}));
  double replayed = -1;
  double stepped = -1;
  for (const auto& e : whole.at("traceEvents")) {
    if (e.at("ph") == "X" && e.at("cat") == "compute" && e.at("args").at("stage") == 1) {
      if (e.at("name") == "replay") {
        replayed = e.at("ts").get<double>() + e.at("dur").get<double>();
      } else {
        stepped = e.at("ts").get<double>();
      }
    }
  }
  EXPECT_GT(replayed, 0);
  EXPECT_GT(stepped, 20'000);
  EXPECT_LE(replayed, stepped);
}

} // namespace
} // namespace ovir::actors
