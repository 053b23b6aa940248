// What of a node's connections is for its groups.
#include "actors/group/group_door.hpp"
#include "messages/wire/group_frame.hpp"
#include "tests/unit/actors/group/group_nodes.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::desk_node;

/// What passed the door.
class passed_on final : public network_handler {
public:
  result<role_set> admit(const peer_hello&) override { return role_set{}; }
  std::uint64_t last_loss(const node_id&) const override { return 7; }
  bool may_stay(const node_id&) const override { return false; }
  void connected(const peer_info&) override { heard += "connected "; }
  void received(const peer_info&, message_kind, std::uint32_t target, received_bytes) override {
    heard += "received " + std::to_string(target) + " ";
  }
  void closed(const peer_info&, const error&) override { heard += "closed "; }

  std::string heard;
};

class group_doors : public testing::Test {
protected:
  group_doors()
      : desk_({desk_node(0), [this](const node_id&, const group_links::bytes&) { ++sent_; },
               nullptr, [](const digest&, layer_range) { return group_desk::held_weights{}; },
               [this](const std::string& line) { said_ += line; },
               [](const node_id&) { return true; }, 1U << 20U, 1s}),
        door_(behind_, desk_, [this](const node_id&) { return linked_; }) {
    peer_.node = desk_node(1);
    peer_.kind = channel::data;
  }
  static received_bytes bytes_of_a_group() {
    const group_header h{.kind = group_kind::maxima, .rows = 1, .block = 1, .group = 9};
    return std::make_shared<const std::vector<std::byte>>(
        encode_group(h, std::vector<std::byte>(5)));
  }

  passed_on behind_;
  std::size_t sent_{0};
  std::string said_;
  bool linked_{true};
  peer_info peer_;
  group_desk desk_;
  group_door door_;
};

TEST_F(group_doors, take_what_is_for_groups_and_pass_on_the_rest) {
  door_.received(peer_, message_kind::tensor, group_target, bytes_of_a_group());
  EXPECT_EQ(behind_.heard, "");
  EXPECT_EQ(desk_.count().dropped, 1U) << "it reached the desk, which has no such group";
  door_.received(peer_, message_kind::tensor, 3, bytes_of_a_group());
  door_.received(peer_, message_kind::audit, group_target, bytes_of_a_group());
  EXPECT_EQ(behind_.heard, "received 3 received 4294967294 ");
  EXPECT_EQ(desk_.count().dropped, 1U);
  door_.received(peer_, message_kind::tensor, group_target,
                 std::make_shared<const std::vector<std::byte>>(100));
  EXPECT_NE(said_.find("do not begin like a message"), std::string::npos) << said_;
}

TEST_F(group_doors, keep_none_of_the_bytes_that_a_connection_counts) {
  const received_bytes bytes = bytes_of_a_group();
  door_.received(peer_, message_kind::tensor, group_target, bytes);
  EXPECT_EQ(bytes.use_count(), 1);
}

TEST_F(group_doors, pass_on_who_comes_and_goes) {
  EXPECT_TRUE(door_.admit({}));
  EXPECT_EQ(door_.last_loss({}), 7U);
  EXPECT_FALSE(door_.may_stay({}));
  door_.connected(peer_);
  door_.closed(peer_, {});
  EXPECT_EQ(behind_.heard, "connected closed ");
}

TEST_F(group_doors, tell_the_desk_of_nodes_without_a_link) {
  group_order order{hash_plain({}), {desk_node(0), desk_node(1)}, {}};
  order.cut.layers = {0, 1};
  order.cut.members.resize(2);
  order.cut.blocks.resize(1);
  std::string outcome;
  ASSERT_TRUE(desk_.form(5, order, [&](const result<void>& r) { outcome = r.error().message; }));
  door_.closed(peer_, {}); // one of two that were opened at once
  peer_.kind = channel::bulk;
  linked_ = false;
  door_.closed(peer_, {});
  EXPECT_EQ(outcome, "") << "its link is there";
  peer_.kind = channel::data;
  door_.closed(peer_, {});
  EXPECT_NE(outcome.find("was gone before group 5 was formed"), std::string::npos) << outcome;
  EXPECT_EQ(desk_.count().led, 0U);
}

} // namespace
} // namespace ovir::actors
