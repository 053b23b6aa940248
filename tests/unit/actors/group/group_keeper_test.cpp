// When a node leads groups: with whom, and what becomes of them.
#include "actors/group/group_keeper.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/unit/actors/group/group_nodes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::desk_node;
using testing::HasSubstr;

/// Three nodes that hold the same layers, joined by memory; the first has a keeper.
class kept_groups : public testing::Test {
protected:
  struct node {
    std::unique_ptr<test::one_thread> executor = std::make_unique<test::one_thread>();
    std::unique_ptr<group_desk> desk;
    bool allows{true};
  };

  kept_groups()
      : model_(test::synthetic_model({.layers = 4,
                                      .dim = 256,
                                      .ffn_dim = 768,
                                      .heads = 8,
                                      .kv_heads = 4,
                                      .head_dim = 64,
                                      .quantization = compute::synth_quantization::q8_0})),
        nodes_(3) {
    auto known = std::make_shared<catalog_model>();
    known->name = "m";
    known->held = {0, 4};
    known->weights = model_.get();
    known->kernels = compute::select_kernels({}).value();
    known->held_bytes = 1U << 20U;
    known->context = 64;
    models_.put(known);
    for (std::uint8_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i].desk = std::make_unique<group_desk>(group_desk::surroundings{
          desk_node(i), [this, i](const node_id& to, group_links::bytes b) { carry(i, to, b); },
          nodes_[i].executor.get(),
          [this](const digest& id, layer_range layers) {
            const auto held = models_.find(id, layers);
            return group_desk::held_weights{held, &held->weights, held->kernels};
          },
          [](const std::string&) {}, [this, i](const node_id&) { return nodes_[i].allows; },
          std::size_t{1} << 28U, 20s, [](std::uint64_t pass) { return pass == 1; }});
      member m;
      m.node = desk_node(i);
      m.advert.name = "n" + std::to_string(i);
      m.advert.memory_bytes = 1U << 30U;
      m.advert.decode_bytes_per_second = 200'000'000;
      m.advert.prefill_bytes_per_second = 2'000'000'000;
      m.advert.held = {{digest{}, {0, 4}, 4}};
      m.rtt = 100us;
      members_.push_back(m);
    }
  }
  ~kept_groups() override {
    for (node& n : nodes_) {
      n.executor.reset(); // first: its jobs use the desk and the keeper
    }
  }

  void carry(std::uint8_t from, const node_id& to, const group_links::bytes& message) {
    const auto view = decode_group(*message).value();
    if (from != liar_ || view.header.kind != group_kind::rows) {
      return nodes_[to.key[0]].desk->deliver(desk_node(from), message);
    }
    std::vector<std::byte> payload(view.payload.begin(), view.payload.end());
    payload[2] ^= std::byte{16};
    nodes_[to.key[0]].desk->deliver(desk_node(from), std::make_shared<const std::vector<std::byte>>(
                                                         encode_group(view.header, payload)));
  }
  void lead(group_wish wish) {
    keeper_ = std::make_unique<group_keeper>(group_keeper::surroundings{
        desk_node(0), nodes_[0].desk.get(), nodes_[0].executor.get(), &models_,
        [this](const node_id& node) { return linked_[node.key[0]]; },
        [this](const node_id&) { return chosen_; }, [this] { return ++numbers_; },
        [this](const std::string& line) {
          const std::lock_guard lock{guard_};
          said_ += line + "\n";
        },
        std::move(wish)});
  }
  /// At that time, and until nothing is under way.
  void look(std::chrono::milliseconds after_start) {
    keeper_->look(members_, group_keeper::time_point{} + 1h + after_start);
    for (const std::size_t i : {1U, 2U, 0U, 1U, 2U}) {
      nodes_[i].executor->run([](compute::parallel_runner&) {});
    }
  }
  std::optional<group_keeper::grouped_segment> take() { return keeper_->take(digest{}, {0, 4}); }
  std::string said() {
    const std::lock_guard lock{guard_};
    return said_;
  }
  /// That the segment computes the bits of one that has all weights.
  void expect_bits_of_one(compute::segment& grouped) {
    compute::serial_runner runner;
    const auto alone =
        compute::segment::make(model_.get(), {0, 4}, *compute::select_kernels({}).value(), runner)
            .value();
    auto one = grouped.open(64, 1U << 26U).value();
    auto other = alone->open(64, 1U << 26U).value();
    position at = 0;
    for (const std::uint32_t n : {6U, 1U}) {
      std::vector<token_id> tokens;
      for (std::uint32_t i = 0; i < n; ++i) {
        tokens.push_back((at + i) * 31 % 320);
      }
      compute::step_input in{.first = at, .count = n};
      in.tokens = tokens;
      in.logit_rows = 1;
      compute::step_output got;
      compute::step_output wanted;
      const auto done = grouped.forward(one, in, runner, got);
      ASSERT_TRUE(done) << done.error().message;
      ASSERT_TRUE(alone->forward(other, in, runner, wanted));
      test::expect_same(got.logits, wanted.logits, "from position " + std::to_string(at));
      at += n;
    }
  }

  test::loaded_model model_;
  model_catalog models_;
  std::vector<node> nodes_;
  std::vector<member> members_;
  std::vector<bool> linked_{false, true, true};
  bool chosen_{true};
  std::uint8_t liar_{255}; ///< no node: none
  std::uint64_t numbers_{0};
  std::mutex guard_;
  std::string said_;
  std::unique_ptr<group_keeper> keeper_;
};

TEST_F(kept_groups, are_of_those_that_are_named_and_give_their_segment_once) {
  lead({{desk_node(1), desk_node(2)}});
  look(0ms);
  EXPECT_FALSE(keeper_->take(digest{}, {0, 3})) << "other layers";
  auto taken = take();
  ASSERT_TRUE(taken) << said();
  EXPECT_EQ(taken->members, 3U);
  EXPECT_FALSE(take());
  expect_bits_of_one(*taken->segment);
  EXPECT_THAT(said(), HasSubstr("leads group 1 of 3 nodes"));
  EXPECT_THAT(said(), testing::Not(HasSubstr("goes on alone")));
  look(10min);
  EXPECT_FALSE(take()) << "one is there";
  EXPECT_EQ(numbers_, 1U);
}

TEST_F(kept_groups, that_lose_a_member_are_formed_again_with_those_that_are_left) {
  lead({{desk_node(1), desk_node(2)}});
  look(0ms);
  auto taken = take();
  ASSERT_TRUE(taken) << said();
  nodes_[0].desk->link_lost(desk_node(2));
  linked_[2] = false;
  expect_bits_of_one(*taken->segment);
  EXPECT_THAT(said(), HasSubstr("goes on alone"));
  look(10s); // it notices
  EXPECT_FALSE(take()) << "not at once";
  look(20s);
  auto next = take();
  ASSERT_TRUE(next) << said();
  EXPECT_EQ(next->members, 2U);
  expect_bits_of_one(*next->segment);
  linked_[2] = true; // it is back
  look(30s);
  auto whole = take();
  ASSERT_TRUE(whole) << said();
  EXPECT_EQ(whole->members, 3U);
  expect_bits_of_one(*whole->segment);
  expect_bits_of_one(*next->segment); // requests that run there
}

TEST_F(kept_groups, wait_a_little_for_named_nodes_that_are_not_there) {
  lead({{desk_node(1), desk_node(2)}});
  members_[2].health = member_health::dead;
  look(0ms);
  look(3s);
  EXPECT_FALSE(take());
  look(6s);
  EXPECT_EQ(take()->members, 2U);
}

TEST_F(kept_groups, are_of_no_node_that_may_not_be_led) {
  lead({{desk_node(2)}});
  members_[2].advert.held[0].layers = {0, 3};
  look(0ms);
  look(6s);
  EXPECT_THAT(said(), HasSubstr("no node that it may lead"));
  members_[2].advert.held[0].layers = {0, 4};
  members_[2].advert.draining = true;
  look(8s);
  members_[2].advert.draining = false;
  linked_[2] = false;
  look(10s);
  EXPECT_EQ(numbers_, 0U);
  linked_[2] = true;
  look(12s);
  EXPECT_EQ(take()->members, 2U);
}

TEST_F(kept_groups, say_why_a_node_takes_no_part_and_are_tried_again) {
  lead({{desk_node(1), desk_node(2)}});
  nodes_[1].allows = false;
  look(0ms);
  EXPECT_THAT(said(), HasSubstr("joins no group of"));
  look(10s);
  EXPECT_EQ(nodes_[2].desk->count().joined, 0U) << "it agreed, and is free again";
  nodes_[1].allows = true;
  look(20s);
  EXPECT_EQ(take()->members, 3U);
}

TEST_F(kept_groups, are_chosen_where_they_pay_and_not_where_links_are_long) {
  lead({{}, true});
  for (member& m : members_) {
    m.rtt = 100ms;
  }
  look(0ms);
  EXPECT_EQ(numbers_, 0U);
  EXPECT_THAT(said(), HasSubstr("a group would be slower"));
  for (member& m : members_) {
    m.rtt = 1us;
  }
  look(10s);
  auto taken = take();
  ASSERT_TRUE(taken) << said();
  EXPECT_GT(taken->members, 1U);
  expect_bits_of_one(*taken->segment);
}

TEST_F(kept_groups, are_chosen_of_no_stranger) {
  lead({{}, true});
  chosen_ = false;
  look(0ms);
  look(10s);
  EXPECT_EQ(numbers_, 0U);
}

TEST_F(kept_groups, with_a_member_that_computes_wrongly_are_not_formed_again) {
  lead({{desk_node(1), desk_node(2)}});
  look(0ms);
  auto taken = take();
  ASSERT_TRUE(taken) << said();
  liar_ = 2;
  expect_bits_of_one(*taken->segment);
  EXPECT_THAT(said(), HasSubstr("one of the members computes wrongly"));
  look(10s);
  look(10min);
  EXPECT_EQ(numbers_, 1U);
  EXPECT_EQ(nodes_[2].desk->count().joined, 0U);
}

TEST_F(kept_groups, end_with_the_layers) {
  lead({{desk_node(1)}});
  look(0ms);
  auto taken = take();
  ASSERT_TRUE(taken) << said();
  models_.remove(digest{});
  look(10s);
  EXPECT_EQ(nodes_[0].desk->count().led, 0U);
  EXPECT_EQ(nodes_[1].desk->count().joined, 0U);
  expect_bits_of_one(*taken->segment); // requests that run there
}

} // namespace
} // namespace ovir::actors
