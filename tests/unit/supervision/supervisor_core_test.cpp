#include "supervision/supervisor_core.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::supervision {
namespace {

using namespace std::chrono_literals;

/// A supervisor core with a shell that starts whatever is asked for and writes down, as words, what
/// else was asked.
class shell {
public:
  shell(strategy how, restart_policy policy) : core_(how, std::move(policy)) {}

  shell& child(std::string id, restart_kind kind = restart_kind::permanent,
               std::optional<std::chrono::milliseconds> wait = 100ms) {
    core_.add({std::move(id), kind, wait});
    return *this;
  }
  shell& run() {
    perform(core_.advance());
    return *this;
  }
  void crash(const std::string& id) { perform(core_.down(key(id), false, now_)); }
  void end(const std::string& id) { perform(core_.down(key(id), true, now_)); }
  void close() { perform(core_.close()); }
  /// Fires the latest timer set for `id`.
  void fire(const std::string& id) {
    const child_key k = key(id);
    const auto found = std::find_if(timers_.rbegin(), timers_.rend(),
                                    [k](const timer_effect& t) { return t.child == k; });
    ASSERT_NE(found, timers_.rend());
    perform(core_.timer(k, found->generation));
  }
  void pass(std::chrono::seconds time) { now_ += time; }
  void fail_next(std::string id) { failing_ = std::move(id); }
  [[nodiscard]] std::string words() { return std::exchange(words_, {}); }
  [[nodiscard]] child_state state(const std::string& id) const { return core_.find(id)->state; }
  [[nodiscard]] bool knows(const std::string& id) const { return core_.find(id) != nullptr; }
  [[nodiscard]] std::uint32_t restarts(const std::string& id) const {
    return core_.find(id)->restarts;
  }

private:
  [[nodiscard]] child_key key(const std::string& id) const { return core_.find(id)->key; }
  [[nodiscard]] std::string name(child_key k) const {
    for (const auto& c : core_.children()) {
      if (c.key == k) {
        return c.rules.id;
      }
    }
    return "?";
  }
  void say(const std::string& word) { words_ += (words_.empty() ? "" : " ") + word; }

  void perform(const std::vector<supervisor_effect>& effects) {
    for (const auto& effect : effects) {
      if (const auto* start = std::get_if<start_effect>(&effect)) {
        const std::string id = name(start->child);
        if (id == failing_) {
          failing_.clear();
          say("fail:" + id);
          perform(core_.start_failed(start->child, now_));
        } else {
          say("start:" + id);
          perform(core_.started(start->child));
        }
      } else if (const auto* stop = std::get_if<stop_effect>(&effect)) {
        say("stop:" + name(stop->child));
      } else if (const auto* kill = std::get_if<kill_effect>(&effect)) {
        say("kill:" + name(kill->child));
      } else if (const auto* timer = std::get_if<timer_effect>(&effect)) {
        timers_.push_back(*timer);
      } else if (const auto* quit = std::get_if<quit_effect>(&effect)) {
        say(quit->exhausted ? "give-up" : "quit");
      }
    }
  }

  supervisor_core core_;
  restart_policy::time_point now_{};
  std::vector<timer_effect> timers_;
  std::string words_;
  std::string failing_;
};

shell three(strategy how, const restart_policy& policy = {3, 5s}) {
  shell s{how, policy};
  s.child("a").child("b").child("c").run();
  return s;
}

TEST(supervisor_core, starts_children_in_order) {
  shell s = three(strategy::one_for_one);
  EXPECT_EQ(s.words(), "start:a start:b start:c");
}

TEST(supervisor_core, one_for_one_restarts_the_crashed_child_alone_after_its_back_off) {
  shell s = three(strategy::one_for_one);
  (void)s.words();
  s.crash("b");
  EXPECT_EQ(s.words(), "");
  EXPECT_EQ(s.state("b"), child_state::waiting);
  s.fire("b");
  EXPECT_EQ(s.words(), "start:b");
  EXPECT_EQ(s.restarts("b"), 1U);
  EXPECT_EQ(s.restarts("a"), 0U);
}

TEST(supervisor_core, one_for_all_stops_the_others_in_reverse_and_starts_all_in_order) {
  shell s = three(strategy::one_for_all);
  (void)s.words();
  s.crash("b");
  EXPECT_EQ(s.words(), "stop:c");
  s.end("c");
  EXPECT_EQ(s.words(), "stop:a");
  s.fire("b");
  EXPECT_EQ(s.words(), "");
  s.end("a");
  EXPECT_EQ(s.words(), "start:a start:b start:c");
}

TEST(supervisor_core, rest_for_one_leaves_the_children_before_alone) {
  shell s = three(strategy::rest_for_one);
  (void)s.words();
  s.crash("b");
  EXPECT_EQ(s.words(), "stop:c");
  s.end("c");
  s.fire("b");
  EXPECT_EQ(s.words(), "start:b start:c");
  EXPECT_EQ(s.restarts("a"), 0U);
}

TEST(supervisor_core, a_group_that_waits_grows_when_an_earlier_child_crashes_too) {
  shell s = three(strategy::rest_for_one);
  (void)s.words();
  s.crash("c");
  s.crash("a");
  EXPECT_EQ(s.words(), "stop:b");
  s.end("b");
  s.fire("c");
  EXPECT_EQ(s.words(), "");
  s.fire("a");
  EXPECT_EQ(s.words(), "start:a start:b start:c");
}

TEST(supervisor_core, restart_kinds_decide_who_comes_back) {
  shell s{strategy::one_for_one, {9, 5s}};
  s.child("permanent").child("transient", restart_kind::transient);
  s.child("temporary", restart_kind::temporary).run();
  (void)s.words();
  s.end("permanent");
  s.fire("permanent");
  EXPECT_EQ(s.words(), "start:permanent");
  s.crash("transient");
  s.fire("transient");
  EXPECT_EQ(s.words(), "start:transient");
  s.end("transient");
  EXPECT_EQ(s.state("transient"), child_state::exited);
  s.crash("temporary");
  EXPECT_FALSE(s.knows("temporary"));
  EXPECT_EQ(s.words(), "");
}

TEST(supervisor_core, gives_up_beyond_its_intensity_and_stops_the_rest_in_reverse) {
  shell s = three(strategy::one_for_one, {1, 5s});
  (void)s.words();
  s.crash("b");
  s.fire("b");
  s.crash("b");
  EXPECT_EQ(s.words(), "start:b stop:c");
  s.end("c");
  s.end("a");
  EXPECT_EQ(s.words(), "stop:a give-up");
}

TEST(supervisor_core, forgives_crashes_outside_the_period) {
  shell s = three(strategy::one_for_one, {1, 5s});
  (void)s.words();
  for (int i = 0; i < 10; ++i) {
    s.crash("b");
    s.fire("b");
    EXPECT_EQ(s.words(), "start:b");
    s.pass(5s);
  }
}

TEST(supervisor_core, shuts_down_in_reverse_and_kills_whoever_takes_too_long) {
  shell s{strategy::one_for_one, {3, 5s}};
  s.child("a").child("b").child("c", restart_kind::permanent, std::nullopt).run();
  (void)s.words();
  s.close();
  EXPECT_EQ(s.words(), "kill:c");
  s.crash("c");
  EXPECT_EQ(s.words(), "stop:b");
  s.fire("b");
  EXPECT_EQ(s.words(), "kill:b");
  s.crash("b");
  EXPECT_EQ(s.words(), "stop:a");
  s.end("a");
  EXPECT_EQ(s.words(), "quit");
}

TEST(supervisor_core, a_late_timer_of_an_earlier_life_does_nothing) {
  shell s = three(strategy::one_for_one);
  s.crash("b");
  s.fire("b");
  (void)s.words();
  s.fire("b");
  EXPECT_EQ(s.words(), "");
}

TEST(supervisor_core, closes_when_a_child_cannot_be_started_at_first) {
  shell s{strategy::one_for_one, {3, 5s}};
  s.child("a").child("b").fail_next("b");
  s.run();
  EXPECT_EQ(s.words(), "start:a fail:b stop:a");
  s.end("a");
  EXPECT_EQ(s.words(), "give-up");
}

TEST(supervisor_core, a_restart_that_fails_counts_as_a_crash) {
  shell s = three(strategy::one_for_one, {2, 5s});
  (void)s.words();
  s.crash("b");
  s.fail_next("b");
  s.fire("b");
  s.fire("b");
  EXPECT_EQ(s.words(), "fail:b start:b");
  EXPECT_EQ(s.restarts("b"), 2U);
}

TEST(supervisor_core, a_crash_of_a_child_about_to_be_stopped_is_not_counted_twice) {
  shell s = three(strategy::one_for_all, {1, 5s});
  (void)s.words();
  s.crash("c");
  s.crash("a");
  EXPECT_EQ(s.words(), "stop:b");
  s.end("b");
  s.fire("c");
  EXPECT_EQ(s.words(), "start:a start:b start:c");
}

} // namespace
} // namespace ovir::supervision
