#include "actors/path/path_choice.hpp"
#include "messages/limits/paths.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t megabyte = 1'000'000;

/// Members that hold layers of a model of eight; a request wants 1 MB of KV per layer and, per
/// stage, 1 MB of scratch, and 1 MB of boundaries or logits.
class path_choosing : public ::testing::Test {
protected:
  path_choosing() {
    wanted_.name = "eight";
    wanted_.positions = 100;
    wanted_.shape.layer_weights.assign(8, 100 * megabyte);
    wanted_.shape.kv_per_position = 10'000;
    wanted_.shape.boundary = 10'000;
    wanted_.shape.logits = wanted_.shape.stage_buffers = megabyte;
  }

  path_candidate& add(std::uint8_t number, layer_range held, std::uint64_t gigabytes_per_second,
                      std::uint64_t memory = 100 * megabyte) {
    member& m = *members_.emplace_back(std::make_unique<member>());
    m.node = key(number);
    m.advert.decode_bytes_per_second = gigabytes_per_second * 1'000 * megabyte;
    m.rtt = std::chrono::milliseconds{1};
    return candidates_.emplace_back(path_candidate{&m, held, memory});
  }
  static node_id key(std::uint8_t number) {
    node_id id;
    id.key.fill(number);
    return id;
  }
  static layer_places places_of(const chosen_path& path) {
    layer_places places;
    for (const plan_stage& stage : path.planned.stages) {
      places.emplace_back(path.among[stage.node].who->node, stage.layers);
    }
    return places;
  }
  layer_places chosen() {
    const auto path = choose_path(wanted_, candidates_);
    EXPECT_TRUE(path) << path.error().message;
    return path ? places_of(*path) : layer_places{};
  }

  path_terms wanted_;
  std::vector<std::unique_ptr<member>> members_;
  std::vector<path_candidate> candidates_;
};

TEST_F(path_choosing, takes_the_fastest_that_have_no_faults) {
  add(1, {0, 8}, 10).faults = 1;
  add(2, {0, 8}, 5);
  add(3, {0, 8}, 4);
  EXPECT_EQ(chosen(), (layer_places{{key(2), {0, 8}}}));
}

TEST_F(path_choosing, counts_queue_price_and_trust_like_speed) {
  add(1, {0, 8}, 10).price = 2;
  add(2, {0, 8}, 10).trust = 0.5;
  add(3, {0, 8}, 6);
  members_.back()->advert.sessions = 0;
  add(4, {0, 8}, 10);
  members_.back()->advert.sessions = 4;
  EXPECT_EQ(chosen(), (layer_places{{key(3), {0, 8}}}));
}

TEST_F(path_choosing, takes_one_that_asks_less_as_if_it_were_faster) {
  add(1, {0, 8}, 10);
  add(2, {0, 8}, 6).price = 0.5;
  EXPECT_EQ(chosen(), (layer_places{{key(2), {0, 8}}}));
  candidates_.back().price = 0.9;
  EXPECT_EQ(chosen(), (layer_places{{key(1), {0, 8}}}));
}

// Others who hold its layers ask the rate: neither its speed nor their queues are worth more.
TEST_F(path_choosing, takes_who_asks_more_than_usual_only_where_the_others_make_no_path) {
  add(1, {0, 8}, 100).price = 1.01;
  add(2, {0, 8}, 1);
  members_.back()->advert.sessions = 50;
  EXPECT_EQ(chosen(), (layer_places{{key(2), {0, 8}}}));
  candidates_[1].faults = 1;
  EXPECT_EQ(chosen(), (layer_places{{key(1), {0, 8}}})) << "the other one failed lately";
  candidates_[1].faults = 0;
  candidates_[1].memory = megabyte;
  EXPECT_EQ(chosen(), (layer_places{{key(1), {0, 8}}})) << "the other one is full";
}

TEST_F(path_choosing, takes_who_alone_holds_layers_at_its_price_for_these_layers) {
  add(1, {0, 8}, 100).price = 4;
  add(2, {0, 5}, 10);
  EXPECT_EQ(chosen(), (layer_places{{key(2), {0, 5}}, {key(1), {5, 8}}}));
}

TEST_F(path_choosing, takes_for_usual_what_most_holders_ask) {
  for (std::uint8_t i = 1; i <= 3; ++i) {
    add(i, {0, 8}, std::uint64_t{10} * i).price = 1.5;
  }
  add(4, {0, 8}, 1);
  EXPECT_EQ(chosen(), (layer_places{{key(3), {0, 8}}})) << "half as much again is usual";
  candidates_[2].price = 1.6;
  EXPECT_EQ(chosen(), (layer_places{{key(2), {0, 8}}}));
}

TEST_F(path_choosing, takes_what_is_known_of_a_link) {
  add(1, {0, 4}, 10);
  add(2, {4, 8}, 10);
  member& near = *members_[0];
  member& far = *members_[1];
  near.rtt = std::chrono::milliseconds{2};
  far.rtt = std::chrono::milliseconds{20};
  EXPECT_DOUBLE_EQ(rtt_between(near, far), 0.020);
  near.rtt.reset(); // this node
  EXPECT_DOUBLE_EQ(rtt_between(near, far), 0.020);
  near.advert.rtts = {{far.node, 5'000}};
  EXPECT_DOUBLE_EQ(rtt_between(near, far), 0.020) << "one end alone makes no link shorter";
  far.advert.rtts = {{near.node, 6'000}};
  EXPECT_DOUBLE_EQ(rtt_between(near, far), 0.006);
}

// Three nodes, each 20 ms there and back from all others: a token passes four ways of 10 ms.
TEST_F(path_choosing, counts_a_token_over_nodes_that_are_equally_far_away) {
  const layer_index cut[] = {0, 3, 6, 8};
  wanted_.shape.logits = wanted_.shape.boundary = 10'000;
  for (std::uint8_t i = 0; i < 3; ++i) {
    add(static_cast<std::uint8_t>(i + 1), {cut[i], cut[i + 1]}, 100'000);
    members_.back()->rtt = std::chrono::milliseconds{20};
  }
  const auto from_outside = choose_path(wanted_, candidates_);
  ASSERT_TRUE(from_outside);
  EXPECT_NEAR(from_outside->planned.speed.token_seconds, 0.040, 0.002);
  wanted_.self = key(2);
  members_[1]->rtt.reset();
  const auto from_within = choose_path(wanted_, candidates_);
  ASSERT_TRUE(from_within);
  EXPECT_NEAR(from_within->planned.speed.token_seconds, 0.040, 0.002);
}

TEST_F(path_choosing, finds_those_with_memory_among_many_that_have_none) {
  for (std::uint8_t i = 0; i < 200; ++i) {
    add(i, {0, 8}, 100, 2 * megabyte);
  }
  add(201, {0, 8}, 1, 7 * megabyte); // five layers
  add(202, {0, 8}, 1, 6 * megabyte); // four
  const layer_places path = chosen();
  ASSERT_EQ(path.size(), 2U);
  EXPECT_THAT(path[0].first, ::testing::AnyOf(key(201), key(202)));
  candidates_.resize(200);
  const auto refused = choose_path(wanted_, candidates_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::over_limit);
  EXPECT_THAT(refused.error().message, HasSubstr("more memory on each node would do"));
}

TEST_F(path_choosing, names_what_nobody_holds) {
  EXPECT_THAT(choose_path(wanted_, candidates_).error().message, HasSubstr("model 00000000"));
  for (std::uint8_t i = 0; i < 200; ++i) {
    add(i, {0, 5}, 100);
  }
  EXPECT_THAT(choose_path(wanted_, candidates_).error().message,
              HasSubstr("layers 5 to 7 are held by no node that is there"));
}

// Each hop costs 1 ms; a known link between 1 and 2 is worth a way around it.
TEST_F(path_choosing, goes_around_a_link_that_one_end_says_is_long) {
  add(1, {0, 4}, 10);
  add(2, {4, 8}, 10);
  add(3, {4, 8}, 10);
  EXPECT_EQ(chosen(), (layer_places{{key(1), {0, 4}}, {key(2), {4, 8}}}));
  members_[1]->advert.rtts = {{key(1), 100'000}};
  EXPECT_EQ(chosen(), (layer_places{{key(1), {0, 4}}, {key(3), {4, 8}}}));
}

TEST_F(path_choosing, does_not_believe_one_end_that_a_link_is_short) {
  add(1, {0, 4}, 10);
  add(2, {4, 8}, 10);
  add(3, {4, 8}, 11);
  for (const auto& m : members_) {
    m->rtt = std::chrono::milliseconds{50};
  }
  members_[1]->advert.rtts = {{key(1), 1}};
  EXPECT_EQ(chosen()[1].first, key(3));
  members_[0]->advert.rtts = {{key(2), 1}};
  EXPECT_EQ(chosen()[1].first, key(2)) << "both say so";
}

TEST_F(path_choosing, takes_the_fewest_stages_where_a_plan_has_no_place_for_all) {
  wanted_.shape.layer_weights.assign(200, megabyte);
  for (std::uint8_t i = 0; i < 200; ++i) {
    add(i, {i, i + 1U}, 1);
  }
  EXPECT_THAT(choose_path(wanted_, candidates_).error().message, HasSubstr("spread over so many"));
  const auto path = fewest_stages(wanted_, candidates_);
  ASSERT_TRUE(path);
  EXPECT_EQ(path->size(), 200U);
}

TEST_F(path_choosing, mends_with_whoever_holds_what_was_lost_and_has_memory) {
  for (std::uint8_t i = 0; i < 100; ++i) {
    add(i, {3, 6}, 100, megabyte);
  }
  add(101, {0, 4}, 1);
  add(102, {4, 8}, 1);
  add(103, {3, 8}, 1);
  const layer_places before{{key(101), {0, 4}}, {key(200), {4, 6}}, {key(201), {6, 8}}};
  EXPECT_EQ(lost_layers(candidates_, before), (std::vector<layer_range>{{4, 8}}));
  EXPECT_EQ(mend_path(wanted_, candidates_, before),
            (layer_places{{key(101), {0, 4}}, {key(102), {4, 8}}}));
  const layer_places whole{{key(101), {0, 4}}, {key(103), {4, 8}}};
  EXPECT_EQ(mend_path(wanted_, candidates_, whole), whole);
}

// The planner's choice for one request takes nodes 1 and 2, and leaves nobody for layers 2 and 3.
TEST_F(path_choosing, makes_two_covers_wherever_each_layer_is_held_twice) {
  add(1, {0, 4}, 10);
  add(2, {2, 8}, 10);
  add(3, {0, 2}, 1);
  EXPECT_TRUE(two_covers(candidates_, 8).empty()) << "layers 4 to 7 have one holder";
  add(4, {4, 8}, 1);
  const auto covers = two_covers(candidates_, 8);
  ASSERT_EQ(covers.size(), 2U);
  EXPECT_EQ(covers[0], (std::set<node_id>{key(1), key(4)}));
  EXPECT_EQ(covers[1], (std::set<node_id>{key(2), key(3)}));
}

TEST_F(path_choosing, uses_a_node_of_two_ranges_in_one_cover) {
  add(1, {0, 4}, 10);
  candidates_.push_back(candidates_.back());
  candidates_.back().held = {4, 8};
  EXPECT_TRUE(two_covers(candidates_, 8).empty());
  add(2, {0, 8}, 10);
  add(3, {4, 8}, 10);
  EXPECT_EQ(two_covers(candidates_, 8).size(), 2U);
}

// Four nodes in a ring: the last one has the end and the beginning.
TEST_F(path_choosing, uses_both_ranges_of_a_node_in_its_cover) {
  add(1, {0, 4}, 10);
  add(2, {2, 6}, 10);
  add(3, {4, 8}, 10);
  add(4, {0, 2}, 10);
  candidates_.push_back(candidates_.back());
  candidates_.back().held = {6, 8};
  const auto covers = two_covers(candidates_, 8);
  ASSERT_EQ(covers.size(), 2U);
  EXPECT_EQ(covers[0], (std::set<node_id>{key(1), key(3)}));
  EXPECT_EQ(covers[1], (std::set<node_id>{key(4), key(2)}));
}

} // namespace
} // namespace ovir::actors
