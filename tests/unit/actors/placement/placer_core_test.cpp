#include "actors/placement/placement_state.hpp"
#include "actors/placement/placer_core.hpp"
#include "messages/limits/loads.hpp"
#include "messages/limits/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using time_point = placer_core::time_point;

constexpr std::uint64_t weights_per_layer = 1'000;
constexpr std::chrono::milliseconds tick{1'000};

/// A swarm whose nodes carry orders out some ticks after they were given, each with a placer.
class placer_swarm : public ::testing::Test {
protected:
  static node_id id(std::uint8_t n) {
    node_id node;
    node.key[0] = n;
    return node;
  }
  static digest model_id(std::uint8_t n) {
    digest model;
    model.bytes[0] = n;
    return model;
  }

  void add_model(std::uint8_t n, std::size_t layers) {
    known_model model{model_id(n), {}, 1};
    model.shape.layer_weights.assign(layers, weights_per_layer);
    models_.push_back(std::move(model));
  }

  void add(std::uint8_t n, std::uint64_t layers, std::chrono::milliseconds fetch = 2 * tick) {
    member m;
    m.node = id(n);
    m.advert.roles = role_set{}.add(role::worker).add(role::scheduler);
    m.advert.placed = true;
    m.advert.memory_bytes = layers * weights_per_layer;
    m.advert.decode_bytes_per_second = 1'000'000;
    members_.push_back(std::move(m));
    std::sort(members_.begin(), members_.end(),
              [](const member& a, const member& b) { return a.node < b.node; });
    placers_.try_emplace(id(n), placer_core{id(n)});
    fetch_time_[id(n)] = fetch;
  }
  void kill(std::uint8_t n) {
    std::erase_if(members_, [n](const member& m) { return m.node == id(n); });
    std::erase_if(busy_, [n](const auto& work) { return work.order.node == id(n); });
    placers_.erase(id(n));
  }

  /// One tick of everybody: what is due is held, then placers give orders.
  void step() {
    now_ += tick;
    std::erase_if(busy_, [&](const work& w) {
      if (w.due > now_) {
        return false;
      }
      carry_out(w.order);
      return true;
    });
    const std::vector<member> members = members_;
    const placer_core::surroundings around{&members, &models_, [](const node_id&) { return true; },
                                           [](const node_id&) { return 1.0; }};
    std::map<digest, node_id> givers;
    for (auto& [node, placer] : placers_) {
      for (const placement_order& order : placer.tick(around, now_)) {
        ++orders_;
        ASSERT_EQ(givers.try_emplace(order.model, node).first->second, node)
            << "two nodes place one model";
        const bool known = std::any_of(busy_.begin(), busy_.end(),
                                       [&](const work& w) { return w.order == order; });
        if (!known) {
          ++new_orders_;
          busy_.push_back(
              {order,
               now_ + (order.act == placement_act::drop ? tick : fetch_time_.at(order.node))});
        }
      }
    }
  }
  void run(std::chrono::milliseconds time) {
    for (const time_point until = now_ + time; now_ < until && !HasFatalFailure();) {
      step();
    }
  }

  [[nodiscard]] std::vector<std::uint32_t> copies(std::uint8_t model = 1) const {
    const auto known = std::find_if(models_.begin(), models_.end(),
                                    [&](const known_model& k) { return k.id == model_id(model); });
    std::vector<std::uint32_t> count(known->shape.layer_weights.size());
    for (const member& m : members_) {
      for (const held_segment& part : m.advert.held) {
        for (std::uint32_t i = part.layers.first; part.model == known->id && i < part.layers.last;
             ++i) {
          ++count[i];
        }
      }
    }
    return count;
  }
  [[nodiscard]] std::uint32_t least(std::uint8_t model = 1) const {
    const std::vector<std::uint32_t> all = copies(model);
    return *std::min_element(all.begin(), all.end());
  }

  struct work {
    placement_order order;
    time_point due;
  };

  void carry_out(const placement_order& order) {
    const auto whose = std::find_if(members_.begin(), members_.end(),
                                    [&](const member& m) { return m.node == order.node; });
    ASSERT_NE(whose, members_.end());
    const auto known = std::find_if(models_.begin(), models_.end(),
                                    [&](const known_model& k) { return k.id == order.model; });
    layer_marks marks(known->shape.layer_weights.size());
    std::uint64_t bytes = 0;
    for (const held_segment& part : whose->advert.held) {
      if (part.model == order.model) {
        std::fill(marks.begin() + part.layers.first, marks.begin() + part.layers.last, true);
      }
    }
    std::fill(marks.begin() + order.layers.first, marks.begin() + order.layers.last,
              order.act == placement_act::fetch);
    std::erase_if(whose->advert.held,
                  [&](const held_segment& part) { return part.model == order.model; });
    for (const layer_range& range : ranges_of(marks)) {
      whose->advert.held.push_back({order.model, range, static_cast<std::uint32_t>(marks.size())});
    }
    for (const held_segment& part : whose->advert.held) {
      bytes += part.layers.size() * weights_per_layer;
    }
    ASSERT_LE(bytes, whose->advert.memory_bytes);
  }

  std::vector<known_model> models_;
  std::vector<member> members_;
  std::map<node_id, placer_core> placers_;
  std::map<node_id, std::chrono::milliseconds> fetch_time_;
  std::vector<work> busy_;
  time_point now_{1'000s};
  std::size_t orders_{0};
  std::size_t new_orders_{0};
};

TEST_F(placer_swarm, holds_a_model_once_and_then_twice) {
  add_model(1, 8);
  for (std::uint8_t n = 1; n <= 4; ++n) {
    add(n, 4);
  }
  run(10s);
  EXPECT_EQ(least(), 1U);
  run(limits::placement_calm + 10s);
  EXPECT_EQ(least(), 2U);
  const std::size_t given = orders_;
  run(120s);
  EXPECT_EQ(orders_, given) << "what is done needs no orders";
}

TEST_F(placer_swarm, any_death_is_made_good) {
  add_model(1, 10);
  for (std::uint8_t n = 1; n <= 4; ++n) {
    add(n, 4);
  }
  run(90s);
  ASSERT_EQ(least(), 1U);
  kill(3);
  run(limits::placement_patience + 10s);
  EXPECT_EQ(least(), 1U);
  add(5, 4);
  run(90s);
  const std::vector<std::uint32_t> all = copies();
  EXPECT_EQ(std::count(all.begin(), all.end(), 2U), 6) << "of 16 places for 10 layers";
}

TEST_F(placer_swarm, a_restart_moves_nothing) {
  add_model(1, 8);
  for (std::uint8_t n = 1; n <= 3; ++n) {
    add(n, 6);
  }
  run(120s);
  ASSERT_EQ(least(), 2U);
  const std::size_t given = new_orders_;
  const member back = members_[1];
  kill(2);
  run(limits::placement_patience - 2 * tick);
  members_.insert(members_.begin() + 1, back);
  placers_.try_emplace(id(2), placer_core{id(2)});
  run(120s);
  EXPECT_EQ(new_orders_, given);
  EXPECT_EQ(least(), 2U);
}

TEST_F(placer_swarm, the_death_of_the_placer_hands_its_work_to_another) {
  add_model(1, 8);
  for (std::uint8_t n = 1; n <= 4; ++n) {
    add(n, 8);
  }
  const node_id placer = placer_of(model_id(1), members_);
  kill(placer.key[0]);
  run(limits::placement_takeover + 10s);
  EXPECT_EQ(least(), 1U);
}

TEST_F(placer_swarm, who_places_a_model_no_longer_forgets_what_it_ordered) {
  add_model(1, 4);
  add(1, 4, 1min);
  run(limits::placement_takeover + tick);
  ASSERT_EQ(placers_.at(id(1)).under_way().size(), 1U);
  std::uint8_t other = 2;
  while (placer_of(model_id(1), members_) == id(1)) { // until one comes before it
    add(other++, 4, 1min);
  }
  step();
  EXPECT_TRUE(placers_.at(id(1)).under_way().empty());
}

TEST_F(placer_swarm, a_lost_order_is_not_repeated_once_it_would_take_the_last_copy) {
  add_model(1, 4);
  for (const std::uint8_t n : {1, 2}) { // both hold more than they have room for
    add(n, 3);
    member& m = members_.back();
    m.advert.held.push_back({model_id(1), {0, 4}, 4});
  }
  run(limits::placement_takeover + tick);
  ASSERT_FALSE(busy_.empty());
  ASSERT_EQ(busy_.front().order.act, placement_act::drop);
  const node_id told = busy_.front().order.node;
  busy_.clear();
  kill(told == id(1) ? 2 : 1);
  run(3 * limits::placement_repeat + limits::placement_patience + limits::placement_takeover);
  EXPECT_EQ(least(), 1U);
}

TEST_F(placer_swarm, models_have_placers_of_their_own) {
  for (std::uint8_t n = 1; n <= 6; ++n) {
    add(n, 8);
  }
  std::set<node_id> placers;
  for (std::uint8_t m = 1; m <= 20; ++m) {
    placers.insert(placer_of(model_id(m), members_));
  }
  EXPECT_GE(placers.size(), 4U);
}

TEST_F(placer_swarm, a_node_that_refuses_is_left_alone_for_a_while) {
  add_model(1, 4);
  add(1, 4);
  add(2, 4);
  run(limits::placement_takeover + tick);
  ASSERT_EQ(busy_.size(), 1U);
  const placement_order refused = busy_.front().order;
  busy_.clear();
  for (auto& [node, placer] : placers_) {
    placer.failed(refused.node, refused.model, now_);
  }
  step();
  ASSERT_EQ(busy_.size(), 1U);
  EXPECT_NE(busy_.front().order.node, refused.node);
  run(limits::placement_calm + limits::load_retry_wait + 10s);
  EXPECT_EQ(least(), 2U) << "it is asked again later";
}

TEST_F(placer_swarm, a_model_that_nobody_asks_for_is_unloaded_and_comes_back_when_somebody_does) {
  add_model(1, 4);
  add(1, 4);
  add(2, 4);
  run(90s);
  ASSERT_EQ(least(), 2U);
  now_ += limits::placement_idle;
  run(30s);
  EXPECT_TRUE(members_[0].advert.held.empty() && members_[1].advert.held.empty());
  for (auto& [node, placer] : placers_) {
    placer.asked(model_id(1), now_);
  }
  run(30s);
  EXPECT_EQ(least(), 2U);
}

/// Nodes come and go for hours: nothing that can be held is missing for long, no layer is dropped
/// that no other node holds, and at rest no orders go round in circles.
TEST_F(placer_swarm, settles_whatever_comes_and_goes) {
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    std::mt19937 chance{seed};
    const auto pick = [&](std::uint32_t low, std::uint32_t high) {
      return std::uniform_int_distribution<std::uint32_t>{low, high}(chance);
    };
    models_.clear();
    members_.clear();
    placers_.clear();
    busy_.clear();
    add_model(1, 12);
    add_model(2, 6);
    std::uint8_t next = 1;
    for (int n = 0; n < 6; ++n) {
      add(next++, pick(6, 12), pick(1, 10) * tick);
    }
    for (int event = 0; event < 12; ++event) {
      if (pick(0, 1) == 0 && members_.size() > 5) {
        kill(members_[pick(0, static_cast<std::uint32_t>(members_.size()) - 1)].node.key[0]);
      } else if (members_.size() < 10) {
        add(next++, pick(6, 12), pick(1, 10) * tick);
      }
      run(pick(1, 60) * tick);
    }
    run(240s);
    EXPECT_GE(least(1), 1U) << "seed " << seed;
    EXPECT_GE(least(2), 1U) << "seed " << seed;
    const std::size_t given = orders_;
    run(300s);
    EXPECT_EQ(orders_, given) << "seed " << seed;
    ASSERT_FALSE(HasFatalFailure());
  }
}

} // namespace
} // namespace ovir::actors
