#include "actors/path/load_orders.hpp"
#include "messages/limits/loads.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

using time_point = load_orders::time_point;

constexpr std::uint64_t layer_bytes = 100;
constexpr digest model{{7}};

node_id id(std::uint8_t n) { return node_id{{n}}; }

model_shape shape() {
  model_shape s;
  s.layer_weights.assign(8, layer_bytes);
  s.kv_per_position = 1;
  s.embedding = 50;
  s.head = 60;
  s.boundary = 2;
  s.logits = 5;
  s.stage_buffers = 3;
  return s;
}

load_node node(std::uint8_t n, std::vector<layer_range> held, std::uint64_t room,
               double speed = 1) {
  return {id(n), std::string(1, static_cast<char>('a' + n)), true, std::move(held), room, speed};
}

class load_orders_unit : public ::testing::Test {
protected:
  std::string plan(const std::vector<load_node>& nodes, std::uint32_t positions = 10) {
    const auto orders = orders_.plan(model, "m", shape(), positions, nodes, now_);
    if (!orders) {
      return std::string{to_string(orders.error().code)} + ": " + orders.error().message;
    }
    std::string text;
    for (const load_order& order : *orders) {
      text += fmt::format("{}{}:{}-{}", text.empty() ? "" : " ",
                          static_cast<char>('a' + order.node.key[0]), order.layers.first,
                          order.layers.last);
    }
    return text;
  }

  load_orders orders_;
  time_point now_{};
};

// Layers [4, 8): 4 * 100 weights, 60 head, 4 * 10 keys and values, 5 logits, 3 buffers.
constexpr std::uint64_t second_half = 4 * layer_bytes + 60 + 40 + 5 + 3;

TEST_F(load_orders_unit, orders_what_lacks_and_nothing_else_once) {
  const std::vector<load_node> nodes{node(0, {{0, 4}}, 0), node(1, {}, second_half)};
  EXPECT_EQ(plan(nodes), "b:4-8");
  EXPECT_EQ(plan(nodes), "") << "it is ordered already";
  EXPECT_EQ(orders_.standing(), 1U);
  EXPECT_EQ(plan({node(0, {{0, 4}}, 0), node(1, {{4, 8}}, 0)}), "");
  EXPECT_EQ(orders_.standing(), 0U) << "they are held";
}

TEST_F(load_orders_unit, a_byte_less_than_the_stage_takes_is_no_room) {
  EXPECT_EQ(plan({node(0, {{0, 4}}, 0), node(1, {}, second_half - 1), node(2, {}, 300)}),
            "b:4-7 c:7-8");
  EXPECT_EQ(plan({node(0, {{0, 4}}, 0), node(1, {}, second_half)}, 11).substr(0, 10), "over_limit");
}

TEST_F(load_orders_unit, the_fastest_of_those_with_room_for_all_and_of_equals_the_first_by_name) {
  EXPECT_EQ(plan({node(3, {}, 2'000, 1), node(2, {}, 2'000, 4), node(1, {}, 400, 9)}), "c:0-8");
  load_orders other;
  orders_ = other;
  EXPECT_EQ(plan({node(3, {}, 2'000), node(1, {}, 2'000), node(2, {}, 2'000)}), "b:0-8");
}

TEST_F(load_orders_unit, stretches_go_to_several_and_room_is_counted_once) {
  EXPECT_EQ(plan({node(0, {{2, 4}, {6, 7}}, 0), node(1, {}, 700), node(2, {}, 330)}),
            "b:0-2 b:4-6 c:7-8");
}

// The planner divides what is free among the stages of a node: a second one must leave room for the
// first.
TEST_F(load_orders_unit, who_holds_some_needs_room_for_both_stages) {
  // [0, 4) takes 40 of keys and values, 20 of boundaries and 3 beside its weights.
  EXPECT_EQ(plan({node(1, {{0, 4}}, 460 + 2 * 63 - 1)}).substr(0, 10), "over_limit");
  EXPECT_EQ(plan({node(1, {{0, 4}}, 460 + 2 * 63)}), "b:4-8");
}

TEST_F(load_orders_unit, nothing_is_ordered_where_not_all_can_be_placed) {
  const std::string why = plan({node(0, {{0, 4}}, 0), node(1, {}, 330)});
  EXPECT_EQ(why.substr(0, 10), "over_limit") << why;
  EXPECT_NE(why.find("layers 4-7 of m"), std::string::npos) << why;
  EXPECT_EQ(orders_.standing(), 0U);
}

TEST_F(load_orders_unit, who_is_not_able_is_not_asked_and_what_it_was_ordered_goes_to_another) {
  std::vector<load_node> nodes{node(0, {{0, 4}}, 0), node(1, {}, 900, 2), node(2, {}, 900)};
  EXPECT_EQ(plan(nodes), "b:4-8");
  nodes[1].able = false;
  EXPECT_EQ(plan(nodes), "c:4-8");
  nodes.erase(nodes.begin() + 1);
  EXPECT_EQ(plan(nodes), "");
}

TEST_F(load_orders_unit, who_refused_is_asked_again_after_a_while_and_its_reason_is_told) {
  const std::vector<load_node> nodes{node(0, {{0, 4}}, 0), node(1, {}, 900)};
  EXPECT_EQ(plan(nodes), "b:4-8");
  orders_.failed(id(1), model, "takes no orders", now_);
  EXPECT_FALSE(orders_.ordered(id(1), model));
  const std::string why = plan(nodes);
  EXPECT_NE(why.find("; b: takes no orders"), std::string::npos) << why;
  now_ += limits::load_retry_wait;
  EXPECT_EQ(plan(nodes), "b:4-8");
}

TEST_F(load_orders_unit, an_order_is_void_after_a_time_whoever_it_was) {
  const std::vector<load_node> nodes{node(0, {{0, 4}}, 0), node(1, {}, 900, 2), node(2, {}, 900)};
  EXPECT_EQ(plan(nodes), "b:4-8");
  now_ += limits::load_wait_max;
  EXPECT_EQ(plan(nodes), "c:4-8");
}

TEST_F(load_orders_unit, orders_for_another_model_take_room_too) {
  const std::vector<load_node> nodes{node(0, {{0, 4}}, 0), node(1, {}, 2 * second_half - 1)};
  const auto other = orders_.plan(digest{{8}}, "n", shape(), 10, nodes, now_);
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->size(), 1U);
  EXPECT_EQ(plan(nodes).substr(0, 10), "over_limit");
}

TEST_F(load_orders_unit, orders_have_a_bound) {
  std::vector<load_node> nodes{node(0, {{0, 4}}, 0), node(1, {}, 1U << 20U)};
  for (std::size_t i = 0; i < limits::load_orders_max; ++i) {
    digest name;
    name.bytes[1] = static_cast<std::uint8_t>(i);
    ASSERT_TRUE(orders_.plan(name, "n", shape(), 10, nodes, now_).has_value()) << i;
  }
  EXPECT_EQ(plan(nodes).substr(0, 4), "busy");
}

} // namespace
} // namespace ovir::actors
