// When a group is worth its exchanges, and when one node or stages are faster.
#include "actors/group/group_plan.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double gigabyte = 1e9;
constexpr std::uint64_t memory = 1U << 30U;

/// Of the matrices of a small model, as if they were those of a large one: only ratios count.
test::loaded_model planned_model() {
  return test::loaded_model{test::synthetic_model(
      {.layers = 8, .dim = 512, .ffn_dim = 1536, .heads = 8, .kv_heads = 4, .head_dim = 128})};
}

class group_plan : public testing::Test {
protected:
  group_question question(std::vector<double> speeds, double delay, double bandwidth) {
    group_question q;
    q.model = &model_.get();
    q.layers = {0, 8};
    for (const double speed : speeds) {
      q.nodes.push_back({std::string(1, static_cast<char>('a' + q.nodes.size())), memory, speed,
                         20 * speed, delay / 2, bandwidth});
    }
    q.message_seconds = 0;
    return q;
  }
  test::loaded_model model_ = planned_model();
};

TEST_F(group_plan, takes_a_group_where_links_are_short) {
  const auto c = choose_group(question({gigabyte, gigabyte}, 1e-6, 10 * gigabyte)).value();
  EXPECT_EQ(c.what, group_verdict::group);
  EXPECT_THAT(c.members, ElementsAre(0, 1));
  EXPECT_EQ(c.cut.members.size(), 2U);
  EXPECT_LT(c.token.total(), 0.6 * c.alone_seconds);
  EXPECT_GT(c.token.total(), 0.5 * c.alone_seconds);
  EXPECT_THAT(c.why, HasSubstr("a and b would take"));
}

TEST_F(group_plan, keeps_to_one_node_where_delays_cost_more_and_says_so) {
  const auto c = choose_group(question({gigabyte, gigabyte}, 1e-3, 10 * gigabyte)).value();
  EXPECT_EQ(c.what, group_verdict::one_node);
  EXPECT_EQ(c.node, 0U);
  EXPECT_GT(c.token.total(), c.alone_seconds);
  EXPECT_THAT(c.why, HasSubstr("a group would be slower: a and b would take"));
  EXPECT_THAT(c.why, HasSubstr("ms of delays"));
}

TEST_F(group_plan, keeps_to_one_node_where_bytes_cost_more) {
  const auto c = choose_group(question({gigabyte, gigabyte}, 0, 1e6)).value();
  EXPECT_EQ(c.what, group_verdict::one_node);
  EXPECT_GT(c.token.transfer, c.token.delay);
}

TEST_F(group_plan, takes_stages_where_they_are_faster_than_both) {
  group_question q = question({gigabyte, gigabyte}, 1e-3, 10 * gigabyte);
  const double alone = choose_group(q).value().alone_seconds;
  q.stages_seconds = alone / 2;
  const auto c = choose_group(q).value();
  EXPECT_EQ(c.what, group_verdict::stages);
  EXPECT_THAT(c.why, HasSubstr("stages would take"));
  q.stages_seconds = alone * 2;
  EXPECT_EQ(choose_group(q).value().what, group_verdict::one_node);
}

TEST_F(group_plan, leaves_out_a_node_that_adds_less_than_its_messages_cost) {
  group_question q = question({gigabyte, 1e6, gigabyte}, 1e-6, 10 * gigabyte);
  q.message_seconds = 2e-6;
  const auto c = choose_group(q).value();
  EXPECT_EQ(c.what, group_verdict::group);
  EXPECT_THAT(c.members, ElementsAre(0, 2));
}

TEST_F(group_plan, gives_shares_by_speed) {
  const auto c = choose_group(question({gigabyte, 3 * gigabyte}, 0, 100 * gigabyte)).value();
  ASSERT_THAT(c.members, ElementsAre(1, 0)) << "the fastest leads";
  EXPECT_EQ(c.cut.members[0].kv_heads.size(), 3U);
  EXPECT_EQ(c.cut.members[1].kv_heads.size(), 1U);
}

TEST_F(group_plan, sends_integers_only_in_passes_whose_bytes_cost_more_than_an_exchange) {
  const auto at = [&](double delay, double bandwidth) {
    const auto c = choose_group(question({gigabyte, gigabyte}, delay, bandwidth)).value();
    return c.cut.of(0).attention.output == compute::output_cut::rows
               ? c.cut.of(0).attention.floats_up_to
               : c.cut.of(0).feed_forward.floats_up_to;
  };
  EXPECT_LT(at(1e-6, gigabyte), at(1e-5, gigabyte));
  EXPECT_LT(at(1e-5, gigabyte / 10), at(1e-5, gigabyte));
}

TEST_F(group_plan, refuses_numbers_out_of_range_and_says_why_there_is_no_group) {
  for (const auto& change : std::vector<void (*)(group_question&)>{
           [](group_question& q) { q.nodes.clear(); },
           [](group_question& q) { q.nodes[1].decode_bytes_per_second = 0; },
           [](group_question& q) { q.nodes[0].prefill_bytes_per_second = -1; },
           [](group_question& q) { q.nodes[0].bandwidth_bytes_per_second = 0; },
           [](group_question& q) { q.nodes[0].delay_seconds = -1; },
           [](group_question& q) { q.message_seconds = -1; },
           [](group_question& q) {
             q.links = {{0, 0, 0, 1}};
           },
           [](group_question& q) {
             q.links = {{0, 2, 0, 1}};
           },
           [](group_question& q) { q.prefill_rows = 0; },
           [](group_question& q) { q.context = 0; },
           [](group_question& q) {
             q.layers = {3, 9};
           },
       }) {
    group_question q = question({gigabyte, gigabyte}, 0, gigabyte);
    change(q);
    EXPECT_EQ(choose_group(q).error().code, errc::invalid_argument);
  }
  const auto alone = choose_group(question({gigabyte}, 0, gigabyte)).value();
  EXPECT_EQ(alone.what, group_verdict::one_node);
  EXPECT_TRUE(alone.members.empty());
}

TEST_F(group_plan, takes_a_group_of_any_speed_where_no_node_has_the_memory_alone) {
  group_question q = question({gigabyte, gigabyte}, 1e-3, 10 * gigabyte);
  std::uint64_t all = 0;
  for (const auto& layer : model_.get().layers) {
    all += compute::file_bytes(layer);
  }
  q.nodes[0].memory = q.nodes[1].memory = all * 3 / 4;
  const auto c = choose_group(q).value();
  EXPECT_FALSE(c.node);
  EXPECT_EQ(c.what, group_verdict::group);
  EXPECT_THAT(c.why, HasSubstr("nothing else holds the segment"));
  q.nodes[1].memory = all / 4;
  const auto none = choose_group(q).value();
  EXPECT_EQ(none.what, group_verdict::none);
  EXPECT_THAT(none.why, HasSubstr("no node and no group has the memory"));
}

TEST_F(group_plan, joins_neighbours_rather_than_faster_nodes_far_away) {
  group_question q = question({gigabyte, 1.2 * gigabyte, gigabyte}, 2e-2, 10 * gigabyte);
  q.links = {{0, 2, 1e-6, 10 * gigabyte}};
  const auto c = choose_group(q).value();
  EXPECT_EQ(c.what, group_verdict::group);
  EXPECT_THAT(c.members, testing::UnorderedElementsAre(0, 2));
}

} // namespace
} // namespace ovir::actors
