#include "actors/runtime/turn_here_actor.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ovir::actors {
namespace {

/// Threads of the scheduler that run only when the test says so.
class turn_here : public testing::Test {
public:
  std::size_t run_the_scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler()).run();
  }
  caf::actor spawn_recorder() {
    return system.spawn(
        [this]() -> caf::behavior { return {[this](int value) { seen.push_back(value); }}; });
  }
  /// Passes a number on, one higher.
  caf::actor spawn_relay(const caf::actor& next) {
    return system.spawn([next](caf::event_based_actor* self) -> caf::behavior {
      return {[self, next](int value) { self->send(next, value + 1); }};
    });
  }

  system_config config{system_config::simulated()};
  caf::actor_system system{config};
  std::vector<int> seen;
};

TEST_F(turn_here, an_actor_and_whom_it_tells_handle_a_message_before_the_call_ends) {
  const caf::actor last = spawn_recorder();
  const caf::actor first = spawn_relay(last);
  run_the_scheduler(); // their first turns
  send_and_run(first, 6);
  EXPECT_EQ(seen, std::vector<int>{7});
}

// Its end would wait for the thread's.
TEST_F(turn_here, the_thread_keeps_nothing_of_the_system) {
  const caf::actor parent = system.spawn([](caf::event_based_actor* self) -> caf::behavior {
    return {[self](int) { self->spawn([](caf::event_based_actor*) {}); }};
  });
  run_the_scheduler();
  std::thread{[&parent] {
    send_and_run(parent, 1);
    EXPECT_EQ(caf::logger::current_logger(), nullptr);
  }}.join();
  run_the_scheduler();
}

TEST_F(turn_here, a_long_chain_is_left_to_the_scheduler) {
  caf::actor next = spawn_recorder();
  for (int i = 0; i < 100; ++i) {
    next = spawn_relay(next);
  }
  run_the_scheduler();
  send_and_run(next, 0);
  EXPECT_TRUE(seen.empty());
  EXPECT_GT(run_the_scheduler(), 0U);
  EXPECT_EQ(seen, std::vector<int>{100});
}

TEST_F(turn_here, messages_keep_their_order_behind_those_that_wait) {
  const caf::actor last = spawn_recorder();
  run_the_scheduler();
  caf::anon_send(last, 1);
  send_and_run(last, 2); // the scheduler has the actor in its queue already
  run_the_scheduler();
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST_F(turn_here, an_actor_that_is_gone_costs_nothing) {
  const caf::actor last = spawn_recorder();
  run_the_scheduler();
  caf::anon_send_exit(last, caf::exit_reason::kill);
  run_the_scheduler();
  send_and_run(last, 1);
  EXPECT_TRUE(seen.empty());
}

} // namespace
} // namespace ovir::actors
