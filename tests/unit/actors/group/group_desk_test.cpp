// Desks of several nodes, joined by memory: groups are formed, compute, and end when a node goes.
#include "actors/group/group_desk.hpp"
#include "compute/forward/segment.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/unit/actors/group/group_nodes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

using test::desk_node;
using test::one_thread;

/// Nodes with desks; what one sends the other has at once.
class desks : public testing::Test {
protected:
  struct node {
    std::unique_ptr<one_thread> executor = std::make_unique<one_thread>();
    std::unique_ptr<group_desk> desk;
    bool holds{true};
    bool allows{true};
  };

  desks()
      : model_(test::synthetic_model({.layers = 8,
                                      .dim = 256,
                                      .ffn_dim = 768,
                                      .heads = 8,
                                      .kv_heads = 4,
                                      .head_dim = 64,
                                      .quantization = compute::synth_quantization::q8_0})),
        nodes_(4) {
    for (std::uint8_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i].desk = std::make_unique<group_desk>(group_desk::surroundings{
          desk_node(i),
          [this, i](const node_id& to, group_links::bytes b) { carry(i, to, b); },
          nodes_[i].executor.get(),
          [this, i](const digest&, layer_range) {
            return nodes_[i].holds ? group_desk::held_weights{nullptr, &model_.get(),
                                                              compute::select_kernels({}).value()}
                                   : group_desk::held_weights{};
          },
          [](const std::string&) {},
          [this, i](const node_id&) { return nodes_[i].allows; },
          std::size_t{1} << 28U,
          20s,
          {},
          i == 3 ? 50us : 0us}); // it looks before it sleeps
    }
  }
  ~desks() override {
    for (node& n : nodes_) {
      n.executor.reset(); // first: its jobs use the desk
    }
  }

  void carry(std::uint8_t from, const node_id& to, const group_links::bytes& message) {
    if (!nodes_[to.key[0]].desk) {
      return;
    }
    nodes_[to.key[0]].desk->deliver(desk_node(from), message);
  }
  group_order order_for(std::vector<std::uint8_t> nodes) {
    group_order order{hash_plain({}), {}, {}};
    for (const std::uint8_t n : nodes) {
      order.nodes.push_back(desk_node(n));
    }
    const std::vector<std::uint32_t> shares(nodes.size(), 1);
    order.cut = compute::cut_segment(model_.get(), {0, 8}, shares).value();
    return order;
  }
  result<void> form(std::uint64_t group, const group_order& order) {
    std::promise<result<void>> formed;
    const auto begun = nodes_[order.nodes.front().key[0]].desk->form(
        group, order, [&](result<void> r) { formed.set_value(std::move(r)); });
    return begun ? formed.get_future().get() : begun;
  }

  test::loaded_model model_;
  std::vector<node> nodes_;
};

TEST_F(desks, form_a_group_that_computes_the_bits_of_one) {
  ASSERT_TRUE(form(5, order_for({0, 2, 3})));
  compute::serial_runner runner;
  auto engine = nodes_[0].desk->engine(5, runner);
  ASSERT_TRUE(engine) << engine.error().message;
  const compute::kernel_set& kernels = *compute::select_kernels({}).value();
  const auto grouped =
      compute::segment::make_with(model_.get(), {0, 8}, kernels, std::move(*engine)).value();
  const auto alone = compute::segment::make(model_.get(), {0, 8}, kernels, runner).value();
  auto one = grouped->open(64, 1U << 26U).value();
  auto other = alone->open(64, 1U << 26U).value();
  position at = 0;
  for (const std::uint32_t n : {34U, 1U, 1U, 1U}) {
    if (at == 35) { // a node goes; the step does not show it
      nodes_[0].desk->link_lost(desk_node(2));
    }
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < n; ++i) {
      tokens.push_back((at + i) * 31 % 320);
    }
    compute::step_input in{.first = at, .count = n};
    in.tokens = tokens;
    in.logit_rows = 1;
    compute::step_output got;
    compute::step_output wanted;
    const auto done = grouped->forward(one, in, runner, got);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(alone->forward(other, in, runner, wanted));
    test::expect_same(got.logits, wanted.logits, "from position " + std::to_string(at));
    EXPECT_EQ(got.leaves, wanted.leaves);
    at += n;
  }
  EXPECT_EQ(nodes_[0].desk->count().led, 1U);
  nodes_[0].desk->end(5);
  EXPECT_EQ(nodes_[0].desk->count().led, 0U);
}

TEST_F(desks, tell_the_leader_why_a_node_takes_no_part) {
  nodes_[1].holds = false;
  const auto without = form(5, order_for({0, 1}));
  ASSERT_FALSE(without);
  EXPECT_THAT(without.error().message, HasSubstr("the layers are not held here"));
  nodes_[2].allows = false;
  const auto refused = form(6, order_for({0, 2}));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("joins no group of"));
  EXPECT_EQ(nodes_[0].desk->count().led, 0U);
}

TEST_F(desks, let_no_two_nodes_wait_for_each_other) {
  ASSERT_TRUE(form(5, order_for({0, 1})));
  EXPECT_EQ(form(6, order_for({1, 2})).error().code, errc::busy) << "it is in another's group";
  ASSERT_TRUE(form(7, order_for({2, 3})));
  const auto crossed = form(8, order_for({0, 2}));
  ASSERT_FALSE(crossed);
  EXPECT_THAT(crossed.error().message, HasSubstr("leads 1 groups"));
}

TEST_F(desks, end_a_group_whose_member_goes_before_it_is_formed) {
  nodes_[1].executor->post([](compute::parallel_runner&) {});
  auto order = order_for({0, 1});
  nodes_[1].desk.reset(); // never answers
  std::promise<result<void>> formed;
  ASSERT_TRUE(nodes_[0].desk->form(5, order, [&](result<void> r) { formed.set_value(r); }));
  EXPECT_FALSE(nodes_[0].desk->engine(5, *std::make_unique<compute::serial_runner>()));
  nodes_[0].desk->link_lost(desk_node(1));
  const auto over = formed.get_future().get();
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, errc::peer_lost);
}

TEST_F(desks, let_those_go_who_agreed_when_another_one_refuses) {
  nodes_[2].allows = false;
  const auto refused = form(6, order_for({0, 1, 2}));
  ASSERT_FALSE(refused);
  for (const std::size_t i : {1U, 1U}) { // joined, and left what it joined
    nodes_[i].executor->run([](compute::parallel_runner&) {});
  }
  EXPECT_EQ(nodes_[1].desk->count().joined, 0U);
  EXPECT_EQ(nodes_[1].desk->kv_bytes_promised(), 0U);
  ASSERT_TRUE(form(7, order_for({1, 0}))) << "it is free to lead";
}

TEST_F(desks, end_a_group_with_its_engine) {
  ASSERT_TRUE(form(5, order_for({0, 1})));
  compute::serial_runner runner;
  auto engine = nodes_[0].desk->engine(5, runner);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE(nodes_[0].desk->leads(5));
  EXPECT_EQ(nodes_[1].desk->count().joined, 1U);
  EXPECT_GT(nodes_[1].desk->kv_bytes_promised(), 0U);
  engine->reset();
  EXPECT_FALSE(nodes_[0].desk->leads(5));
  for (int i = 0; i < 2; ++i) {
    nodes_[1].executor->run([](compute::parallel_runner&) {});
  }
  EXPECT_EQ(nodes_[1].desk->count().joined, 0U);
}

TEST_F(desks, wait_for_nothing_without_a_network) {
  ASSERT_TRUE(form(5, order_for({0, 1})));
  nodes_[1].desk->close();
  nodes_[1].executor->run([](compute::parallel_runner&) {});
  EXPECT_EQ(nodes_[1].desk->count().joined, 0U);
  compute::serial_runner runner;
  std::string why;
  auto engine = nodes_[0].desk->engine(5, runner, [&](const error& e) { why = e.message; });
  ASSERT_TRUE(engine) << engine.error().message;
  const auto grouped = compute::segment::make_with(
      model_.get(), {0, 8}, *compute::select_kernels({}).value(), std::move(*engine));
  auto state = (*grouped)->open(8, 1U << 26U).value();
  const std::vector<token_id> tokens{1, 2};
  compute::step_input in{.first = 0, .count = 2};
  in.tokens = tokens;
  compute::step_output out;
  ASSERT_TRUE((*grouped)->forward(state, in, runner, out)) << "alone";
  EXPECT_THAT(why, HasSubstr("member 1 of group 5 left it")) << "it need not wait to find out";
}

TEST_F(desks, drop_what_is_of_no_group) {
  const group_header h{.kind = group_kind::maxima, .rows = 1, .block = 1, .group = 9};
  nodes_[0].desk->deliver(desk_node(1), std::make_shared<const std::vector<std::byte>>(
                                            encode_group(h, std::vector<std::byte>(5))));
  nodes_[0].desk->deliver(desk_node(1), std::make_shared<const std::vector<std::byte>>(100));
  EXPECT_EQ(nodes_[0].desk->count().dropped, 1U);
  auto wrong = order_for({0, 1});
  EXPECT_EQ(nodes_[1].desk->form(5, wrong, {}).error().code, errc::invalid_argument);
}

TEST(group_order, comes_back_as_it_was_and_names_each_node_once) {
  group_order order{hash_plain({}), {desk_node(1), desk_node(2)}, {}};
  order.cut.layers = {2, 3};
  order.cut.members.resize(2);
  order.cut.blocks.resize(1);
  const auto bytes = encode_order(order);
  EXPECT_EQ(decode_order(bytes).value(), order);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_order(std::span{bytes}.first(n))) << n;
  }
  auto twice = order;
  twice.nodes[1] = twice.nodes[0];
  EXPECT_EQ(decode_order(encode_order(twice)).error().code, errc::malformed);
  auto few = order;
  few.nodes.pop_back();
  EXPECT_EQ(decode_order(encode_order(few)).error().code, errc::malformed);
}

} // namespace
} // namespace ovir::actors
