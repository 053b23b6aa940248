#include "actors/nat/connection_names.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using test::key_of;

/// Numbers what is begun, from 1 on.
class numbering_network final : public tls_network {
public:
  connection_id connect(const std::string& address, channel, const node_id&) override {
    dialled.push_back(address);
    return connection_id{++last};
  }
  connection_id connect_over(ready_stream over, channel, const node_id&) override {
    dialled.push_back(over.where);
    return connection_id{++last};
  }
  void accept_over(ready_stream) override {}
  result<void> send(connection_id, message_kind, std::uint32_t,
                    std::shared_ptr<const std::vector<std::byte>>) override {
    return {};
  }
  void close(connection_id, error) override {}
  [[nodiscard]] std::string listen_address() const override { return {}; }
  [[nodiscard]] std::string admin_address() const override { return {}; }

  std::uint64_t last{0};
  std::vector<std::string> dialled;
};

peer_info peer_at(std::uint64_t inner, bool incoming = false) {
  peer_info peer;
  peer.connection = connection_id{inner};
  peer.node = key_of(2).id();
  peer.incoming = incoming;
  return peer;
}

class names_of_connections : public ::testing::Test {
protected:
  connection_id want() { return names_.want("a.example:1", channel::control, key_of(2).id()); }

  numbering_network net_;
  connection_names names_;
};

TEST_F(names_of_connections, keep_one_name_over_all_ways_that_are_tried) {
  const connection_id wanted = want();
  names_.dial(wanted, {}, net_);
  const auto first = names_.closed(peer_at(1));
  EXPECT_EQ(first.what, connection_names::fate::dialled);
  EXPECT_EQ(first.peer.connection, wanted);
  EXPECT_EQ(names_.inner_of(wanted), std::nullopt) << "nothing is sent yet";
  ASSERT_TRUE(names_.carry(wanted, {7, "by relay", {}}, net_));
  EXPECT_EQ(net_.dialled, (std::vector<std::string>{"a.example:1", "by relay"}));
  EXPECT_EQ(names_.closed(peer_at(2)).what, connection_names::fate::carried);
  ASSERT_TRUE(names_.carry(wanted, {7, "by another", {}}, net_));
  const auto told = names_.connected(peer_at(3));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->connection, wanted);
  EXPECT_EQ(names_.inner_of(wanted), connection_id{3});
  EXPECT_TRUE(names_.is_linked(key_of(2).id()));
  const auto end = names_.closed(peer_at(3));
  EXPECT_EQ(end.what, connection_names::fate::told);
  EXPECT_EQ(end.peer.connection, wanted);
  EXPECT_FALSE(names_.is_linked(key_of(2).id()));
  EXPECT_EQ(names_.inner_of(wanted), std::nullopt);
}

TEST_F(names_of_connections, tell_nothing_of_a_try_that_was_dropped) {
  const connection_id wanted = want();
  names_.dial(wanted, {}, net_);
  EXPECT_EQ(names_.drop(wanted), connection_id{1});
  EXPECT_FALSE(names_.connected(peer_at(1))) << "it came too late";
  EXPECT_FALSE(names_.translated(peer_at(1)));
  EXPECT_EQ(names_.closed(peer_at(1)).what, connection_names::fate::unknown);
  EXPECT_FALSE(names_.is_linked(key_of(2).id()));
  EXPECT_TRUE(names_.wanted(wanted)) << "another way may be found";
}

TEST_F(names_of_connections, drop_and_forget_nothing_that_stands) {
  const connection_id wanted = want();
  names_.dial(wanted, {}, net_);
  ASSERT_TRUE(names_.connected(peer_at(1)));
  EXPECT_EQ(names_.drop(wanted), std::nullopt);
  EXPECT_FALSE(names_.forget(wanted));
  EXPECT_FALSE(names_.carry(wanted, {7, "late", {}}, net_));
  EXPECT_TRUE(names_.take_all().empty());
}

TEST_F(names_of_connections, pass_incoming_connections_unchanged) {
  const auto told = names_.connected(peer_at(9, true));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->connection, connection_id{9});
  EXPECT_EQ(names_.inner_of(connection_id{9}), connection_id{9});
  EXPECT_EQ(names_.closed(peer_at(9, true)).what, connection_names::fate::told);
}

TEST_F(names_of_connections, tell_the_end_of_one_without_an_expected_node_at_once) {
  const connection_id wanted = names_.want("seed.example:1", channel::control, {});
  names_.dial(wanted, {}, net_);
  const auto end = names_.closed(peer_at(1));
  EXPECT_EQ(end.what, connection_names::fate::told);
  EXPECT_FALSE(names_.forget(wanted));
}

TEST_F(names_of_connections, give_those_that_never_stood_back_at_the_end) {
  const connection_id wanted = want();
  const auto left = names_.take_all();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].connection, wanted);
  EXPECT_EQ(left[0].node, key_of(2).id());
}

} // namespace
} // namespace ovir::actors
