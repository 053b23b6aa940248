// Whom requests are given to over hours, by what is seen of nodes: an hour of a scheduler's life.
#include "actors/path/observed_reputation.hpp"
#include "actors/path/path_choice.hpp"
#include "actors/path/seen_speeds.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using time_point = seen_speeds::time_point;

/// Nodes that hold the whole of a model each, and clients that ask again as soon as they are
/// answered.
class shares_of_requests : public ::testing::Test {
protected:
  static constexpr std::uint64_t layer_bytes = 100'000'000;
  static constexpr double speed = 8e9;  ///< of every node, in weight bytes per second
  static constexpr int timed_steps = 4; ///< of a request

  struct machine {
    std::unique_ptr<member> who;
    double word{speed};
    double slower{1}; ///< it takes so many times as long now
    int given{0};
  };

  shares_of_requests() {
    wanted_.name = "eight";
    wanted_.positions = 100;
    wanted_.shape.layer_weights.assign(8, layer_bytes);
    wanted_.shape.kv_per_position = 10;
    wanted_.shape.boundary = 10;
    wanted_.shape.logits = wanted_.shape.stage_buffers = 1'000;
  }

  machine& add(double word = speed) {
    machine made;
    made.who = std::make_unique<member>();
    made.who->node.key.fill(static_cast<std::uint8_t>(nodes_.size() + 1));
    made.who->advert.decode_bytes_per_second = static_cast<std::uint64_t>(word);
    made.who->rtt = 1ms;
    made.word = word;
    return nodes_.emplace_back(std::move(made));
  }

  [[nodiscard]] std::uint32_t running_on(std::size_t node) const {
    return static_cast<std::uint32_t>(std::count_if(
        running_.begin(), running_.end(), [node](const auto& one) { return one.second == node; }));
  }
  void ask() {
    std::vector<path_candidate> candidates;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const member& m = *nodes_[i].who;
      const auto seen = seen_.believed(m.node, nodes_[i].word, now_);
      path_candidate c{&m, {0, 8}, std::uint64_t{1} << 40U};
      c.trust = reputation_.weight(m.node, hurried_, now_);
      c.seen = seen;
      c.own_requests = seen ? running_on(i) : 0;
      candidates.push_back(c);
    }
    const auto path = choose_path(wanted_, candidates);
    ASSERT_TRUE(path) << path.error().message;
    ASSERT_EQ(path->planned.stages.size(), 1U);
    const node_id& chosen = path->among[path->planned.stages.front().node].who->node;
    const auto node = static_cast<std::size_t>(chosen.key[0] - 1);
    ++nodes_[node].given;
    const double token = seconds_of(node, running_on(node) + 1);
    running_.emplace(now_ + std::chrono::nanoseconds(static_cast<std::int64_t>(64e9 * token)),
                     node);
  }
  double seconds_of(std::size_t node, std::uint32_t sharing) {
    std::uniform_real_distribution<double> noise{0.9, 1.1};
    return 8.0 * layer_bytes / speed * nodes_[node].slower * slowed_by(sharing - 1) *
           noise(random_);
  }
  void answer() {
    const auto [at, node] = *running_.begin();
    now_ = at;
    const std::uint32_t sharing = running_on(node);
    const double longer = slowed_by(sharing - 1);
    for (int i = 0; i < timed_steps; ++i) {
      const double took = seconds_of(node, sharing);
      const double bytes = 8.0 * layer_bytes;
      const node_id& id = nodes_[node].who->node;
      const double planned =
          seen_.believed(id, nodes_[node].word, now_).value_or(nodes_[node].word);
      reputation_.note_step(id, took, bytes / planned * longer, now_);
      seen_.add(id, bytes / took * longer, nodes_[node].word, now_);
    }
    running_.erase(running_.begin());
  }
  void run(std::chrono::seconds time, std::size_t clients) {
    for (machine& m : nodes_) {
      m.given = 0;
    }
    const time_point until = now_ + time;
    while (now_ < until && !HasFatalFailure()) {
      while (running_.size() < clients) {
        ask();
      }
      answer();
    }
  }
  [[nodiscard]] double share(std::size_t node) const {
    int all = 0;
    for (const machine& m : nodes_) {
      all += m.given;
    }
    return static_cast<double>(nodes_[node].given) / all;
  }

  path_terms wanted_;
  std::vector<machine> nodes_;
  seen_speeds seen_;
  observed_reputation reputation_;
  bool hurried_{false};
  std::multimap<time_point, std::size_t> running_; ///< by when they end
  time_point now_{1h};
  std::mt19937_64 random_{7};
};

TEST_F(shares_of_requests, of_one_that_claims_ten_times_its_speed_are_those_of_others) {
  add(10 * speed);
  add();
  add();
  run(10min, 6); // it is seen
  run(1h, 6);
  EXPECT_NEAR(share(0), share(1), 0.05 * share(1));
  EXPECT_NEAR(share(0), share(2), 0.05 * share(2));
}

// With one request at a time the best gets all, and chance says who that is.
TEST_F(shares_of_requests, one_at_a_time_are_no_more_for_one_that_claims_ten_times_its_speed) {
  constexpr int trials = 30;
  add(10 * speed);
  add();
  add();
  double all = 0;
  for (int i = 0; i < trials; ++i) {
    seen_ = {};
    reputation_ = {};
    run(10min, 1);
    run(1h, 1);
    all += share(0);
  }
  EXPECT_LT(all / trials, 1.05 / 3);
}

TEST_F(shares_of_requests, of_one_that_is_late_fall_and_are_earned_back) {
  add();
  add();
  add();
  run(10min, 6);
  const double before = share(0);
  EXPECT_NEAR(before, 1.0 / 3, 0.03);
  nodes_[0].slower = 20;
  run(10min, 6);
  EXPECT_LT(share(0), 0.05);
  const double fallen = reputation_.share(nodes_[0].who->node);
  EXPECT_LT(fallen, reputation_.share(nodes_[1].who->node) - 0.05);
  nodes_[0].slower = 1;
  run(20min, 6);
  run(20min, 6);
  EXPECT_NEAR(share(0), before, 0.03);
  EXPECT_GT(reputation_.share(nodes_[0].who->node), fallen);
}

TEST_F(shares_of_requests, that_have_time_reach_a_newcomer) {
  add();
  add();
  run(10min, 1);
  add();
  run(10min, 1);
  EXPECT_GE(nodes_[2].given, 3);
  run(50min, 1);
  run(1h, 1);
  EXPECT_GT(share(2), 0.2);
}

TEST_F(shares_of_requests, in_a_hurry_are_those_of_who_was_in_time) {
  add();
  add();
  run(10min, 2);
  nodes_[0].slower = 20;
  run(1min, 2);
  nodes_[0].slower = 1;
  hurried_ = true;
  run(10s, 1);
  EXPECT_EQ(nodes_[0].given, 0);
}

} // namespace
} // namespace ovir::actors
