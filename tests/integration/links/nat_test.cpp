#include "actors/link/link_format.hpp"
#include "actors/link/nat_board.hpp"
#include "actors/nat/nat_message.hpp"
#include "actors/nat/reaching_network.hpp"
#include "actors/quic/either_network.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

namespace ovir::actors {
namespace {

using test::bytes_of;
using test::key_of;
using test::link_node;
using test::link_recorder;
using test::member_options;
using testing::HasSubstr;

/// Where no one listens.
const std::string nowhere = to_string(host_and_port{"127.0.0.1", 1});

constexpr std::chrono::seconds patience{30};

/// A node of the network under test. All of a test are on this machine, and look for ways
/// nevertheless.
struct reaching_node {
  explicit reaching_node(std::uint8_t seed, bool relays = false, bool meets = true,
                         bool hidden = false, link_transport transport = link_transport::tcp)
      : key(key_of(seed)) {
    tls_options how = member_options();
    how.nat.everywhere = true;
    how.nat.meets = meets;
    how.nat.board = board;
    if (relays) {
      how.identity.roles.add(role::relay);
    }
    if (hidden) {
      how.identity.address = nowhere;
    }
    how.transport = transport;
    how.traffic = traffic;
    auto started = start_links(key, how, heard, reaching_network::start);
    if (!started) {
      throw std::runtime_error(started.error().message);
    }
    net = std::move(*started);
  }
  ~reaching_node() {
    net.reset();
    EXPECT_EQ(heard.broken_promise(), "");
  }
  [[nodiscard]] const node_id& id() const { return key.id(); }

  /// A control connection to where that node listens.
  void join(reaching_node& to) {
    const std::size_t before = heard.connections();
    (void)net->connect(to.net->listen_address(), channel::control, {});
    ASSERT_TRUE(heard.wait_connected(before));
  }
  /// Connects to a node that is nowhere to be dialled, again until a helper knows of it.
  std::optional<peer_info> reach(const node_id& node, channel kind = channel::control) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      const std::size_t stood = heard.connections();
      const std::size_t ended = heard.endings();
      const connection_id wanted = net->connect(nowhere, kind, node);
      for (std::size_t seen = stood; heard.connections() > seen || heard.endings() == ended;) {
        if (heard.connections() == seen) {
          std::this_thread::yield();
          continue;
        }
        const auto peer = heard.wait_connected(seen++); // others may connect meanwhile
        if (peer->connection == wanted) {
          return peer;
        }
      }
    }
    return std::nullopt;
  }

  secret_key key;
  link_recorder heard;
  std::shared_ptr<nat_board> board = std::make_shared<nat_board>();
  std::shared_ptr<network_traffic> traffic = std::make_shared<network_traffic>();
  std::unique_ptr<listening_network> net;
};

/// What boards say is a moment old.
bool becomes(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

/// Messages of every size pass both ways in order, as over any connection.
void expect_carries(reaching_node& a, connection_id at_a, reaching_node& b, connection_id at_b,
                    message_kind kind = message_kind::wire) {
  std::uint32_t target = 0;
  a.heard.drop_messages();
  b.heard.drop_messages();
  for (const std::size_t size : {std::size_t{1}, std::size_t{70'000}, std::size_t{8U << 20U}}) {
    const auto bytes = bytes_of(size, target);
    ASSERT_TRUE(a.net->send(at_a, kind, target, bytes));
    ASSERT_TRUE(b.net->send(at_b, kind, target + 100, bytes));
    const auto there = b.heard.wait_received();
    const auto back = a.heard.wait_received();
    ASSERT_TRUE(there && back) << size;
    EXPECT_EQ(there->target, target);
    EXPECT_EQ(back->target, target + 100);
    EXPECT_TRUE(*there->bytes == *bytes) << size;
    EXPECT_TRUE(*back->bytes == *bytes) << size;
    a.heard.drop_messages();
    b.heard.drop_messages();
    ++target;
  }
}

TEST(reaching_network, a_node_that_no_one_can_dial_is_reached_through_a_relay) {
  reaching_node relay{1, true};
  reaching_node b{2, false, true, true};
  reaching_node a{3, false, false};
  b.join(relay);
  a.join(relay);
  const std::size_t at_b = b.heard.connections();
  const auto near = a.reach(b.id());
  const auto far = b.heard.wait_connected(at_b);
  ASSERT_TRUE(near && far);
  EXPECT_EQ(near->node, b.id());
  EXPECT_EQ(far->node, a.id());
  EXPECT_TRUE(far->incoming);
  expect_carries(a, near->connection, b, far->connection);
  EXPECT_TRUE(becomes([&] {
    return relay.board->report().passed_bytes > std::uint64_t{16} << 20U &&
           a.board->is_relayed(b.id());
  }));

  // Its data connection takes the same way, and the end of the relay ends both.
  const auto data = a.reach(b.id(), channel::data);
  ASSERT_TRUE(data);
  relay.net.reset();
  EXPECT_TRUE(a.heard.wait_closed_of(near->connection));
  EXPECT_TRUE(a.heard.wait_closed_of(data->connection));
  EXPECT_TRUE(b.heard.wait_closed_of(far->connection));
}

TEST(reaching_network, two_nodes_that_dial_each_other_need_no_relay) {
  reaching_node helper{1};
  reaching_node b{2, false, true, true};
  reaching_node a{3};
  b.join(helper);
  a.join(helper);
  const std::size_t at_b = b.heard.connections();
  const auto near = a.reach(b.id());
  const auto far = b.heard.wait_connected(at_b);
  ASSERT_TRUE(near && far);
  expect_carries(a, near->connection, b, far->connection);
  EXPECT_EQ(helper.board->report().streams, 0U);
  EXPECT_FALSE(a.board->is_relayed(b.id()));
}

/// A node with links over both, on one port.
struct node_over_both : reaching_node {
  explicit node_over_both(std::uint8_t seed, bool hidden = false)
      : reaching_node(seed, false, true, hidden, link_transport::automatic) {}
  [[nodiscard]] std::uint64_t quic_links() const { return traffic->quic_sessions.load(); }
};

TEST(reaching_network, two_nodes_that_knock_at_each_other_are_linked_over_quic) {
  node_over_both helper{1};
  node_over_both b{2, true};
  node_over_both a{3};
  b.join(helper);
  a.join(helper);
  ASSERT_EQ(a.quic_links(), 0U) << "on this machine members are dialled over TCP";
  const std::size_t at_b = b.heard.connections();
  const auto near = a.reach(b.id());
  const auto far = b.heard.wait_connected(at_b);
  ASSERT_TRUE(near && far);
  EXPECT_EQ(near->node, b.id());
  EXPECT_EQ(far->node, a.id());
  EXPECT_TRUE(far->incoming);
  EXPECT_TRUE(becomes([&] { return a.quic_links() == 1 && b.quic_links() == 1; }));
  EXPECT_EQ(helper.quic_links(), 0U);
  expect_carries(a, near->connection, b, far->connection);

  // Its other channels go over the same link at once, both ways, and an end ends what is on it.
  const std::size_t next = b.heard.connections();
  const auto data = a.reach(b.id(), channel::data);
  const auto far_data = b.heard.wait_connected(next);
  ASSERT_TRUE(data && far_data);
  expect_carries(a, data->connection, b, far_data->connection, message_kind::tensor);
  EXPECT_EQ(a.quic_links(), 1U);
  EXPECT_FALSE(a.board->is_relayed(b.id()));
  a.net->close(data->connection, {errc::cancelled, "not needed"});
  EXPECT_TRUE(a.heard.wait_closed_of(data->connection));
  EXPECT_TRUE(b.heard.wait_closed_of(far_data->connection));
  b.net.reset();
  EXPECT_TRUE(a.heard.wait_closed_of(near->connection));
}

TEST(reaching_network, a_helper_without_udp_brings_two_nodes_together_over_tcp) {
  reaching_node helper{1};
  node_over_both b{2, true};
  node_over_both a{3};
  b.join(helper);
  a.join(helper);
  const std::size_t at_b = b.heard.connections();
  const auto near = a.reach(b.id());
  const auto far = b.heard.wait_connected(at_b);
  ASSERT_TRUE(near && far);
  expect_carries(a, near->connection, b, far->connection);
  EXPECT_EQ(a.quic_links(), 0U);
}

TEST(reaching_network, a_node_without_udp_is_met_over_tcp) {
  node_over_both helper{1};
  reaching_node b{2, false, true, true};
  node_over_both a{3};
  b.join(helper);
  a.join(helper);
  const std::size_t at_b = b.heard.connections();
  const auto near = a.reach(b.id());
  const auto far = b.heard.wait_connected(at_b);
  ASSERT_TRUE(near && far);
  expect_carries(a, near->connection, b, far->connection);
  EXPECT_EQ(a.quic_links(), 0U);
}

TEST(reaching_network, a_connection_that_is_closed_while_nodes_knock_is_told_closed_once) {
  node_over_both helper{1};
  node_over_both b{2, true};
  node_over_both a{3};
  b.join(helper);
  a.join(helper);
  ASSERT_TRUE(becomes([&] { return helper.board->report().guests >= 2; }));
  for (int i = 0; i < 30; ++i) {
    const connection_id wanted = a.net->connect(nowhere, channel::data, b.id());
    // At another point of its way each time.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{5 * i};
    while (std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
    a.net->close(wanted, {errc::cancelled, "not needed"});
    ASSERT_TRUE(a.heard.wait_closed_of(wanted));
  }
}

// For control there is the link by which the guest joined.
TEST(reaching_network, a_helper_reaches_its_guests_itself) {
  reaching_node helper{1, false, false};
  reaching_node b{2, false, true, true};
  b.join(helper);
  const std::size_t at_b = b.heard.connections();
  const auto near = helper.reach(b.id(), channel::data);
  const auto far = b.heard.wait_connected(at_b);
  ASSERT_TRUE(near && far);
  expect_carries(helper, near->connection, b, far->connection, message_kind::tensor);
}

TEST(reaching_network, another_node_behind_the_relay_is_not_taken_for_the_one_that_is_meant) {
  reaching_node relay{1, true};
  reaching_node b{2, false, true, true};
  reaching_node a{3, false, false};
  b.join(relay);
  a.join(relay);
  ASSERT_TRUE(a.reach(b.id())); // so that it has joined
  const std::size_t ended = a.heard.endings();
  const connection_id wanted = a.net->connect(nowhere, channel::control, key_of(99).id());
  const auto end = a.heard.wait_closed_of(wanted);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->peer.node, key_of(99).id());
  EXPECT_EQ(a.heard.endings(), ended + 1);
}

TEST(reaching_network, a_connection_that_is_closed_while_it_is_looked_for_is_told_closed_once) {
  reaching_node relay{1, true};
  reaching_node a{3, false, false};
  a.join(relay);
  for (int i = 0; i < 20; ++i) {
    const connection_id wanted = a.net->connect(nowhere, channel::control, key_of(99).id());
    a.net->close(wanted, {errc::cancelled, "not needed"});
    ASSERT_TRUE(a.heard.wait_closed_of(wanted));
  }
}

TEST(reaching_network, a_guest_that_sends_nonsense_loses_its_connection_and_no_one_else_does) {
  reaching_node relay{1, true};
  reaching_node b{2, false, true, true};
  reaching_node a{3, false, false};
  link_node liar{4};
  b.join(relay);
  a.join(relay);
  const auto near = a.reach(b.id());
  ASSERT_TRUE(near);
  for (const auto& bytes : {std::vector<std::byte>(10), encode(stream_open{1, b.id(), {}}),
                            encode(helper_answer{}), encode(address_seen{"1.2.3.4:5", {}})}) {
    const std::size_t before = liar.heard.connections();
    const connection_id c =
        liar.net->connect(relay.net->listen_address(), channel::relay, relay.id());
    ASSERT_TRUE(liar.heard.wait_connected(before));
    ASSERT_TRUE(liar.net->send(c, message_kind::nat, 0,
                               std::make_shared<const std::vector<std::byte>>(bytes)));
    EXPECT_TRUE(liar.heard.wait_closed_of(c));
  }
  EXPECT_TRUE(a.net->send(near->connection, message_kind::wire, 7, bytes_of(100)));
  EXPECT_TRUE(b.heard.wait_received());
}

TEST(reaching_network, a_node_that_helps_no_one_refuses_guests) {
  link_node plain{1};
  link_node guest{2};
  const connection_id c = guest.net->connect(plain.address(), channel::relay, plain.id());
  const auto end = guest.heard.wait_closed_of(c);
  ASSERT_TRUE(end);
  EXPECT_THAT(end->reason.message, HasSubstr("helps no others"));
}

} // namespace
} // namespace ovir::actors
