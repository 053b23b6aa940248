#include "messages/caf/errors.hpp"
#include "messages/caf/events.hpp"
#include "messages/caf/system_config.hpp"
#include "supervision/start_once.hpp"
#include "supervision/supervisor.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

namespace ovir::supervision {
namespace {

using namespace std::chrono_literals;

/// Actors on the deterministic scheduler: `run` handles all messages, `pass` moves the clock.
class supervisor_actor : public ::testing::Test {
protected:
  supervisor_actor()
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
    scheduler_.run();
  }
  ~supervisor_actor() override {
    caf::anon_send_exit(root_, caf::exit_reason::kill);
    run();
  }

  void run() {
    while (scheduler_.try_run_once()) {
    }
  }
  void pass(caf::timespan time) {
    scheduler_.advance_time(time);
    run();
  }

  /// A child that writes its starts and its ends into `log_`.
  child_spec worker(const std::string& id, restart_kind kind = restart_kind::permanent,
                    std::optional<std::chrono::milliseconds> wait = 100ms, bool stubborn = false) {
    child_spec spec;
    spec.rules = {id, kind, wait};
    spec.start = [this, id, stubborn](caf::actor_system& system) -> result<caf::actor> {
      log_ += "+" + id + " ";
      auto handle = system.spawn([this, id, stubborn](caf::event_based_actor* self) {
        make_quiet(self);
        if (stubborn) {
          self->set_exit_handler([](caf::exit_msg&) {});
        }
        self->attach_functor([this, id] { log_ += "-" + id + " "; });
        return caf::behavior{[](int) { throw std::runtime_error("boom"); },
                             [self](bool) { self->quit(); }};
      });
      handles_[id] = caf::actor_cast<caf::actor_addr>(handle);
      return handle;
    };
    return spec;
  }
  supervisor_spec spec(std::vector<child_spec> children, strategy how = strategy::one_for_one,
                       restart_policy policy = {3, 10s, 1s, 4s}) {
    return {"top", how, std::move(policy), std::move(children), {}};
  }
  void start(const supervisor_spec& s) {
    root_ = system_.spawn(supervisor_behavior, s);
    observer_ = system_.spawn([this](caf::event_based_actor* self) {
      self->monitor(root_);
      self->set_down_handler([this](caf::down_msg& m) {
        ended_ = m.reason ? m.reason : caf::error{caf::exit_reason::user_shutdown};
      });
      return caf::behavior{[](bool) {}};
    });
    run();
  }
  caf::actor handle(const std::string& id) { return caf::actor_cast<caf::actor>(handles_[id]); }
  void crash(const std::string& id) {
    caf::anon_send(handle(id), 1);
    run();
  }
  std::string log() { return std::exchange(log_, {}); }
  tree_node tree() {
    tree_node out;
    system_.spawn([this, &out](caf::event_based_actor* self) {
      self->request(root_, 1s, describe_tree{}).then([&out](tree_node& n) { out = n; });
    });
    run();
    return out;
  }

  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::string log_;
  std::map<std::string, caf::actor_addr> handles_;
  caf::actor root_;
  caf::actor observer_;
  caf::error ended_;
};

TEST_F(supervisor_actor, starts_in_order_and_shuts_down_in_reverse) {
  start(spec({worker("a"), worker("b"), worker("c")}));
  EXPECT_EQ(log(), "+a +b +c ");
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
  run();
  EXPECT_EQ(log(), "-c -b -a ");
  EXPECT_EQ(ended_, caf::exit_reason::user_shutdown);
}

TEST_F(supervisor_actor, restarts_a_crashed_child_after_its_back_off) {
  start(spec({worker("a"), worker("b")}));
  (void)log();
  crash("a");
  EXPECT_EQ(log(), "-a ");
  pass(999ms);
  EXPECT_EQ(log(), "");
  pass(1ms);
  EXPECT_EQ(log(), "+a ");
  crash("a");
  pass(1s);
  EXPECT_EQ(log(), "-a ");
  pass(1s);
  EXPECT_EQ(log(), "+a ");
}

TEST_F(supervisor_actor, restarts_a_child_that_was_killed) {
  start(spec({worker("a")}));
  (void)log();
  caf::anon_send_exit(handle("a"), caf::exit_reason::kill);
  run();
  pass(1s);
  EXPECT_EQ(log(), "-a +a ");
}

TEST_F(supervisor_actor, one_for_all_takes_everyone_along) {
  start(spec({worker("a"), worker("b"), worker("c")}, strategy::one_for_all));
  (void)log();
  crash("b");
  pass(1s);
  EXPECT_EQ(log(), "-b -c -a +a +b +c ");
}

TEST_F(supervisor_actor, rest_for_one_takes_the_later_along) {
  start(spec({worker("a"), worker("b"), worker("c")}, strategy::rest_for_one));
  (void)log();
  crash("b");
  pass(1s);
  EXPECT_EQ(log(), "-b -c +b +c ");
}

TEST_F(supervisor_actor, a_transient_child_that_ends_stays_ended) {
  start(spec({worker("a", restart_kind::transient)}));
  (void)log();
  caf::anon_send(handle("a"), true);
  run();
  pass(10s);
  EXPECT_EQ(log(), "-a ");
  EXPECT_EQ(tree().children.at(0).state, "exited");
}

TEST_F(supervisor_actor, kills_a_child_that_ignores_its_shutdown) {
  start(spec({worker("a"), worker("b", restart_kind::permanent, 100ms, true)}));
  (void)log();
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
  run();
  pass(99ms);
  EXPECT_EQ(log(), "");
  pass(1ms);
  EXPECT_EQ(log(), "-b -a ");
}

TEST_F(supervisor_actor, escalates_with_a_sentence_when_crashes_come_too_often) {
  start(spec({worker("a"), worker("b")}, strategy::one_for_one, {2, 10s}));
  for (int i = 0; i < 3; ++i) {
    crash("a");
    pass(0s);
  }
  EXPECT_EQ(log(), "+a +b -a +a -a +a -a -b ");
  const error reason = from_caf(ended_);
  EXPECT_EQ(reason.code, errc::restarts_exhausted);
  EXPECT_NE(reason.message.find("boom"), std::string::npos) << reason.message;
}

TEST_F(supervisor_actor, a_parent_restarts_a_supervisor_that_gave_up) {
  const auto below = [this] {
    return supervisor_spec{"below", strategy::one_for_one, {0, 10s}, {worker("a")}, {}};
  };
  start(spec({supervisor_child({"below", restart_kind::permanent, 1s}, below), worker("b")}));
  (void)log();
  crash("a");
  EXPECT_EQ(log(), "-a ");
  pass(1s);
  EXPECT_EQ(log(), "+a ");
  const tree_node whole = tree();
  EXPECT_EQ(whole.children.at(0).restarts, 1U);
  EXPECT_EQ(whole.children.at(0).children.at(0).state, "running");
  EXPECT_EQ(print_tree(whole), "top  one_for_one  restarts 0\n"
                               "  below  running, one_for_one  restarts 1\n"
                               "    a  running  restarts 0\n"
                               "  b  running  restarts 0\n");
}

TEST_F(supervisor_actor, a_killed_supervisor_leaves_no_orphans) {
  start(spec({worker("a"), worker("b")}));
  (void)log();
  caf::anon_send_exit(root_, caf::exit_reason::kill);
  run();
  EXPECT_EQ(log(), "-a -b ");
}

TEST_F(supervisor_actor, tells_its_watcher_of_every_start_and_end) {
  std::string heard;
  supervisor_spec s = spec({worker("a")}, strategy::one_for_one, {1, 10s});
  s.watcher = system_.spawn([&heard](caf::event_based_actor*) {
    return caf::behavior{[&heard](const child_event& e) {
      const char* words[] = {"started ", "lost ", "abandoned "};
      heard += words[static_cast<int>(e.what)];
      EXPECT_EQ(e.supervisor + "/" + e.child, "top/a");
      EXPECT_EQ(static_cast<bool>(e.handle), e.what == child_event::kind::started);
    }};
  });
  start(s);
  crash("a");
  pass(0s);
  crash("a");
  EXPECT_EQ(heard, "started lost started lost abandoned ");
}

TEST_F(supervisor_actor, starts_temporary_children_later_and_forgets_them_when_they_end) {
  start(spec({}));
  caf::actor got;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(root_, 1s, start_child{worker("lead", restart_kind::temporary)})
        .then([&](caf::actor& a) { got = a; });
  });
  run();
  ASSERT_TRUE(got);
  EXPECT_EQ(tree().children.size(), 1U);
  crash("lead");
  pass(10s);
  EXPECT_EQ(log(), "+lead -lead ");
  EXPECT_TRUE(tree().children.empty());
}

TEST_F(supervisor_actor, finds_a_child_by_its_path) {
  const auto below = [this] {
    return supervisor_spec{"below", strategy::one_for_one, {0, 10s}, {worker("a")}, {}};
  };
  start(spec({supervisor_child({"below", restart_kind::permanent, 1s}, below)}));
  caf::actor got;
  error missing;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(root_, 1s, find_child{"below/a"}).then([&](caf::actor& a) { got = a; });
    self->request(root_, 1s, find_child{"below/x"})
        .then([](caf::actor&) {}, [&](caf::error& e) { missing = from_caf(e); });
  });
  run();
  EXPECT_EQ(got, handle("a"));
  EXPECT_EQ(missing.code, errc::not_found);
}

// A process that stood still: the time is over before the supervisor has read the order.
TEST_F(supervisor_actor, starts_nothing_that_is_waited_for_no_more_and_hands_over_what_it_started) {
  start(spec({}));
  std::string said;
  const auto ask = [&](const std::string& id) {
    return system_.spawn([&, id](caf::event_based_actor* self) {
      start_once(self, root_, worker(id, restart_kind::temporary), 100ms,
                 [&said, id](const result<caf::actor>& made) {
                   said += id + (made ? " is there; " : " is not; ");
                 });
    });
  };
  for (const bool asker_first : {true, false}) {
    const caf::actor asker = ask(asker_first ? "late" : "early");
    scheduler_.run_once();
    scheduler_.advance_time(200ms);
    EXPECT_EQ(scheduler_.prioritize(asker), true);
    if (!asker_first) {
      EXPECT_EQ(scheduler_.prioritize(root_), true);
    }
    run();
  }
  EXPECT_EQ(said, "late is not; early is there; ");
  EXPECT_EQ(log_.find("+late"), std::string::npos) << log_;
  EXPECT_NE(log_.find("+early"), std::string::npos) << log_;
}

} // namespace
} // namespace ovir::supervision
