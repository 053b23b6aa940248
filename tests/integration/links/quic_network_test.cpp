// `quic_network` and both networks together, over UDP on this machine's loopback.
#include "actors/quic/either_network.hpp"
#include "actors/quic/quic_network.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace ovir::actors {
namespace {

using test::bytes_of;
using test::key_of;
using test::link_recorder;
using testing::HasSubstr;

quic_options quic_member() {
  quic_options options;
  options.identity.cluster = "test";
  options.identity.roles.add(role::worker);
  options.identity.life = 1;
  options.listen = "127.0.0.1:0";
  return options;
}

struct quic_member_node {
  explicit quic_member_node(std::uint8_t seed, const quic_options& options = quic_member())
      : key(key_of(seed)) {
    auto started = quic_network::start(key, options, heard);
    if (!started) {
      throw std::runtime_error(started.error().message);
    }
    net = std::move(*started);
  }
  secret_key key;
  link_recorder heard;
  std::unique_ptr<quic_network> net;
};

struct either_node {
  either_node(std::uint8_t seed, link_transport transport) : key(key_of(seed)) {
    tls_options options = test::member_options();
    options.transport = transport;
    auto started = start_links(key, options, heard, start_tls);
    if (!started) {
      throw std::runtime_error(started.error().message);
    }
    net = std::move(*started);
  }
  secret_key key;
  link_recorder heard;
  std::unique_ptr<listening_network> net;
};

TEST(quic_network, carries_messages_both_ways_between_sockets) {
  quic_member_node a{1};
  quic_member_node b{2};
  const connection_id near = a.net->connect(b.net->listen_address(), channel::data, b.key.id());
  EXPECT_NE(near.value & quic_network::id_bit, 0U);
  const auto at_b = b.heard.wait_connected();
  ASSERT_TRUE(a.heard.wait_connected() && at_b);
  EXPECT_EQ(at_b->node, a.key.id());
  const auto bytes = bytes_of(9U << 20U);
  ASSERT_TRUE(a.net->send(near, message_kind::tensor, 4, bytes));
  ASSERT_TRUE(b.net->send(at_b->connection, message_kind::tensor, 5, bytes));
  const auto there = b.heard.wait_received();
  const auto back = a.heard.wait_received();
  ASSERT_TRUE(there && back);
  EXPECT_TRUE(*there->bytes == *bytes);
  EXPECT_TRUE(*back->bytes == *bytes);
  EXPECT_EQ(there->target, 4U);
  EXPECT_EQ(back->target, 5U);
  a.net->close(near, error{errc::cancelled, "that was all"});
  const auto end = b.heard.wait_closed();
  ASSERT_TRUE(end);
  EXPECT_THAT(end->reason.message, HasSubstr("that was all"));
  EXPECT_TRUE(a.heard.wait_closed_of(near));
}

TEST(quic_network, ends_with_traffic_under_way_and_tells_every_connection_once) {
  quic_member_node a{1};
  {
    quic_member_node b{2};
    const connection_id id = a.net->connect(b.net->listen_address(), channel::data, b.key.id());
    ASSERT_TRUE(a.heard.wait_connected() && b.heard.wait_connected());
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(a.net->send(id, message_kind::tensor, 0, bytes_of(1U << 20U)));
    }
    b.net.reset();
    EXPECT_EQ(b.heard.endings(), 1U);
  }
  ASSERT_TRUE(a.heard.wait_closed());
  EXPECT_EQ(a.heard.endings(), 1U);
  EXPECT_EQ(a.heard.broken_promise(), "");
}

TEST(quic_network, hears_at_once_that_nothing_listens) {
  quic_member_node a{1};
  std::string address;
  {
    quic_member_node gone{2};
    address = gone.net->listen_address();
  }
  const connection_id id = a.net->connect(address, channel::control, key_of(2).id());
  const auto end = a.heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_THAT(end->reason.message, HasSubstr("nothing listens there"));
}

TEST(quic_network, resolves_names_and_dials_no_own_address_that_a_peer_told) {
  quic_options reached_by_others = quic_member();
  reached_by_others.identity.address = "10.1.2.3:7400";
  quic_member_node a{1, reached_by_others};
  quic_member_node b{2};
  const std::string address = b.net->listen_address();
  const std::string by_name = "localhost" + address.substr(address.rfind(':'));
  const auto refused =
      a.heard.wait_closed_of(a.net->connect(by_name, channel::control, b.key.id()));
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->reason.message, HasSubstr("an address of this very machine"));
  (void)a.net->connect(by_name, channel::control, {}); // the operator named it
  ASSERT_TRUE(a.heard.wait_connected());
  EXPECT_EQ(a.heard.wait_connected()->node, b.key.id());
}

TEST(either_network, takes_shells_over_tcp_where_members_speak_quic_alone) {
  either_node member{1, link_transport::quic};
  either_node other{2, link_transport::quic};
  const connection_id id =
      other.net->connect(member.net->listen_address(), channel::control, member.key.id());
  EXPECT_NE(id.value & quic_network::id_bit, 0U);
  ASSERT_TRUE(member.heard.wait_connected());
  const secret_key shell_key = key_of(7);
  link_recorder shell_heard;
  tls_options of_shell;
  of_shell.identity.cluster = "test";
  auto shell = tls_network::start(shell_key, of_shell, shell_heard);
  ASSERT_TRUE(shell);
  (void)(*shell)->connect(member.net->admin_address(), channel::admin, member.key.id());
  ASSERT_TRUE(shell_heard.wait_connected());
  const auto refused = shell_heard.wait_closed_of(
      (*shell)->connect(member.net->admin_address(), channel::control, member.key.id()));
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->reason.message, HasSubstr("admin shells only"));
}

TEST(either_network, goes_over_to_tcp_where_no_quic_answers) {
  tls_options only_tcp = test::member_options();
  test::link_node b{2, only_tcp};
  either_node a{1, link_transport::automatic};
  // By another name of loopback than those it knows, so that it tries.
  const std::string address = b.address();
  const std::string elsewhere = "127.1" + address.substr(address.rfind(':'));
  const connection_id id = a.net->connect(elsewhere, channel::control, {});
  EXPECT_NE(id.value & quic_network::id_bit, 0U) << "it was tried over QUIC";
  const auto stands = a.heard.wait_connected();
  ASSERT_TRUE(stands);
  EXPECT_EQ(stands->connection, id) << "and is told under that number";
  EXPECT_EQ(stands->node, b.id());
  ASSERT_TRUE(a.net->send(id, message_kind::wire, 3, bytes_of(1'000)));
  const auto there = b.heard.wait_received();
  ASSERT_TRUE(there);
  ASSERT_TRUE(b.net->send(there->peer.connection, message_kind::wire, 4, bytes_of(10)));
  const auto back = a.heard.wait_received();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->peer.connection, id);
  // The address is remembered.
  const connection_id next = a.net->connect(elsewhere, channel::data, {});
  EXPECT_EQ(next.value & quic_network::id_bit, 0U);
  a.net->close(id, error{errc::cancelled, "over"});
  EXPECT_TRUE(a.heard.wait_closed_of(id));
}

TEST(either_network, reaches_this_machine_over_tcp_and_listens_on_one_port) {
  either_node a{1, link_transport::automatic};
  either_node b{2, link_transport::automatic};
  const connection_id id = a.net->connect(b.net->listen_address(), channel::control, b.key.id());
  EXPECT_EQ(id.value & quic_network::id_bit, 0U);
  ASSERT_TRUE(a.heard.wait_connected());
  quic_member_node c{3};
  (void)c.net->connect(b.net->listen_address(), channel::control, b.key.id());
  ASSERT_TRUE(c.heard.wait_connected());
}

} // namespace
} // namespace ovir::actors
