#include "actors/link/tls_network.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

namespace ovir::actors {
namespace {

using test::bytes_of;
using test::key_of;
using test::link_node;
using test::link_recorder;
using test::member_options;
using testing::HasSubstr;

/// A connection of `from` to `to` that both have heard of.
struct pair_of_ends {
  connection_id near;
  connection_id far;
};

pair_of_ends join(link_node& from, link_node& to, channel kind = channel::control) {
  const std::size_t here = from.heard.connections();
  const std::size_t there = to.heard.connections();
  pair_of_ends ends;
  ends.near = from.net->connect(to.address(), kind, to.id());
  const auto far = to.heard.wait_connected(there);
  if (!from.heard.wait_connected(here) || !far) {
    throw std::runtime_error("no connection");
  }
  ends.far = far->connection;
  return ends;
}

TEST(tls_network, carries_messages_of_each_channel_both_ways_in_order) {
  link_node a{1};
  link_node b{2};
  struct lane {
    channel c;
    message_kind kind;
    std::size_t largest;
  };
  for (const lane l : {lane{channel::control, message_kind::wire, 8U << 20U},
                       lane{channel::data, message_kind::tensor, 9U << 20U},
                       lane{channel::admin, message_kind::request, 2U << 20U}}) {
    const pair_of_ends ends = join(a, b, l.c);
    std::uint32_t target = 0;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{16'368},
                                   std::size_t{16'384}, std::size_t{40'000}, l.largest}) {
      const auto bytes = bytes_of(size, target);
      ASSERT_TRUE(a.net->send(ends.near, l.kind, target, bytes));
      ASSERT_TRUE(b.net->send(ends.far, l.kind, target + 100, bytes));
      const auto there = b.heard.wait_received();
      const auto back = a.heard.wait_received();
      ASSERT_TRUE(there && back);
      EXPECT_EQ(there->target, target);
      EXPECT_EQ(back->target, target + 100);
      EXPECT_EQ(there->kind, l.kind);
      EXPECT_TRUE(*there->bytes == *bytes);
      EXPECT_TRUE(*back->bytes == *bytes);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(there->bytes->data()) % 8, 0U);
      ++target;
      a.heard.drop_messages(); // what is held counts against the sender
      b.heard.drop_messages();
    }
  }
}

TEST(tls_network, each_end_learns_who_the_other_is) {
  tls_options options = member_options();
  options.identity.roles.add(role::scheduler);
  link_node a{1, options};
  link_node b{2, member_options(), [](const peer_hello& hello) -> result<role_set> {
                EXPECT_TRUE(hello.roles.has(role::scheduler));
                EXPECT_EQ(hello.cluster, "test");
                return role_set{}.add(role::worker);
              }};
  const connection_id id = a.net->connect(b.address(), channel::data, b.id());
  const auto at_a = a.heard.wait_connected();
  const auto at_b = b.heard.wait_connected();
  ASSERT_TRUE(at_a && at_b);
  EXPECT_EQ(at_a->connection, id);
  EXPECT_EQ(at_a->node, b.id());
  EXPECT_EQ(at_a->address, b.address());
  EXPECT_EQ(at_a->kind, channel::data);
  EXPECT_FALSE(at_a->incoming);
  EXPECT_EQ(at_b->node, a.id());
  EXPECT_EQ(at_b->address, a.address());
  EXPECT_EQ(at_b->kind, channel::data);
  EXPECT_TRUE(at_b->incoming);
  EXPECT_TRUE(at_b->roles.has(role::worker));
  EXPECT_FALSE(at_b->roles.has(role::scheduler)) << "what it was admitted as, not what it wanted";
}

TEST(tls_network, many_small_messages_arrive_in_order) {
  link_node a{1};
  link_node b{2};
  const pair_of_ends ends = join(a, b);
  constexpr std::uint32_t count = 10'000; // which a receiver may hold at once
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(a.net->send(ends.near, message_kind::wire, i, bytes_of(i % 97)));
  }
  ASSERT_TRUE(b.heard.wait_received(count - 1));
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto message = b.heard.wait_received(i);
    ASSERT_EQ(message->target, i);
    ASSERT_EQ(message->bytes->size(), i % 97);
  }
}

TEST(tls_network, another_key_than_the_expected_one_is_not_spoken_to) {
  link_node a{1};
  link_node b{2};
  const secret_key stranger = key_of(9);
  const connection_id id = a.net->connect(b.address(), channel::control, stranger.id());
  const auto end = a.heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->peer.node, stranger.id());
  EXPECT_THAT(end->reason.message, HasSubstr(to_hex(b.id())));
  EXPECT_THAT(end->reason.message, HasSubstr(to_hex(stranger.id())));
  join(a, b);
  EXPECT_EQ(b.heard.hellos(), 1U) << "the first one said none";
}

TEST(tls_network, whoever_is_not_admitted_reads_why) {
  link_node a{1};
  link_node b{2, member_options(), [](const peer_hello&) -> result<role_set> {
                return fail(errc::not_found, "you are not on the list\nof \"test\"");
              }};
  const connection_id id = a.net->connect(b.address(), channel::control, {});
  const auto end = a.heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->reason.code, errc::not_found);
  EXPECT_THAT(end->reason.message,
              HasSubstr("refused this connection: you are not on the list?of"));
  EXPECT_EQ(a.heard.connections() + b.heard.connections(), 0U);
}

TEST(tls_network, the_one_that_connects_may_refuse_as_well) {
  link_node a{1, member_options(), [](const peer_hello&) -> result<role_set> {
                return fail(errc::invalid_argument, "another cluster");
              }};
  link_node b{2};
  const connection_id id = a.net->connect(b.address(), channel::control, b.id());
  const auto end = a.heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_THAT(end->reason.message, HasSubstr("another cluster"));
  const pair_of_ends other = [&] {
    link_node c{3};
    return join(c, b);
  }();
  EXPECT_EQ(b.heard.connections(), 1U) << "only the third node's";
  EXPECT_NE(other.near.value, 0U);
}

TEST(tls_network, a_node_does_not_connect_to_itself) {
  link_node a{1};
  const connection_id id = a.net->connect(a.address(), channel::control, {});
  const auto end = a.heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_THAT(end->reason.message, HasSubstr("connected to itself"));
  EXPECT_EQ(a.heard.connections(), 0U);
}

TEST(tls_network, an_address_where_nobody_listens_is_reported_with_the_expected_node) {
  link_node a{1};
  const std::string address = link_node{2}.address();
  const secret_key b = key_of(2);
  for (const std::string& wrong : {address, std::string{"nonsense"}, std::string{"[::1"}}) {
    const connection_id id = a.net->connect(wrong, channel::data, b.id());
    const auto end = a.heard.wait_closed_of(id);
    ASSERT_TRUE(end) << wrong;
    EXPECT_EQ(end->peer.node, b.id());
    EXPECT_EQ(end->peer.kind, channel::data);
    EXPECT_FALSE(end->peer.incoming);
    EXPECT_THAT(end->reason.message, HasSubstr(wrong));
  }
}

TEST(tls_network, names_are_resolved) {
  link_node a{1};
  link_node b{2};
  const std::string port = b.address().substr(b.address().rfind(':'));
  (void)a.net->connect("localhost" + port, channel::control, b.id());
  EXPECT_TRUE(a.heard.wait_connected());
}

TEST(tls_network, an_address_of_this_machine_that_a_peer_told_is_not_dialled) {
  tls_options reached_by_others = member_options();
  reached_by_others.identity.address = "192.0.2.7:7400";
  link_node a{1, reached_by_others};
  link_node b{2};
  for (const std::string& told :
       {b.address(), "localhost" + b.address().substr(b.address().rfind(':'))}) {
    const auto end = a.heard.wait_closed_of(a.net->connect(told, channel::control, b.id()));
    ASSERT_TRUE(end) << told;
    EXPECT_EQ(end->reason.code, errc::invalid_argument) << told;
    EXPECT_THAT(end->reason.message, HasSubstr("an address of this very machine")) << told;
  }
  EXPECT_EQ(b.heard.hellos(), 0U);
  // The operator's own list may name this machine.
  (void)a.net->connect(b.address(), channel::control, {});
  EXPECT_TRUE(a.heard.wait_connected());
}

TEST(tls_network, an_address_in_use_cannot_be_listened_on) {
  link_node a{1};
  tls_options options = member_options();
  options.listen = a.address();
  link_recorder heard;
  const secret_key key = key_of(2);
  const auto started = tls_network::start(key, options, heard);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, errc::io_failed);
  EXPECT_THAT(started.error().message, HasSubstr(a.address()));
}

TEST(tls_network, a_port_for_admin_shells_takes_nothing_else_and_is_then_the_only_one) {
  tls_options options = member_options();
  options.admin_listen = "127.0.0.1:0";
  link_node server{1, options};
  tls_options of_shell;
  of_shell.identity.cluster = "test";
  of_shell.identity.roles.add(role::operate);
  link_node shell{2, of_shell};
  EXPECT_NE(server.net->admin_address(), server.address());
  EXPECT_EQ(shell.address(), "");

  (void)shell.net->connect(server.net->admin_address(), channel::admin, server.id());
  const auto met = server.heard.wait_connected();
  ASSERT_TRUE(met && shell.heard.wait_connected());
  EXPECT_EQ(met->address, "");
  EXPECT_EQ(met->kind, channel::admin);

  const auto wrong_port = shell.net->connect(server.address(), channel::admin, server.id());
  const auto wrong_channel =
      shell.net->connect(server.net->admin_address(), channel::control, server.id());
  EXPECT_THAT(shell.heard.wait_closed_of(wrong_port)->reason.message, HasSubstr("admin_listen"));
  EXPECT_THAT(shell.heard.wait_closed_of(wrong_channel)->reason.message,
              HasSubstr("admin shells only"));
  EXPECT_EQ(server.heard.connections(), 1U);
}

TEST(tls_network, a_token_counts_as_bound_on_the_connection_it_was_signed_for) {
  tls_options options = member_options();
  options.identity.token = *bytes_of(180);
  link_node a{1, options};
  link_node b{2};
  join(a, b);
  const auto hello = b.heard.wait_hello();
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->token, options.identity.token);
  EXPECT_TRUE(hello->token_bound);
  EXPECT_TRUE(hello->incoming);
  const auto back = a.heard.wait_hello();
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->token.empty());
  EXPECT_FALSE(back->token_bound);
  EXPECT_FALSE(back->incoming);
}

TEST(tls_network, closing_sends_what_is_queued_and_says_why) {
  link_node a{1};
  link_node b{2};
  const pair_of_ends ends = join(a, b, channel::data);
  for (std::uint32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, i, bytes_of(1U << 20U)));
  }
  a.net->close(ends.near, {errc::cancelled, "the node is being updated"});
  const auto here = a.heard.wait_closed_of(ends.near);
  const auto there = b.heard.wait_closed_of(ends.far);
  ASSERT_TRUE(here && there);
  EXPECT_EQ(here->reason, (error{errc::cancelled, "the node is being updated"}));
  EXPECT_EQ(there->reason.code, errc::peer_lost);
  EXPECT_THAT(there->reason.message, HasSubstr("the node is being updated"));
  EXPECT_EQ(b.heard.messages(), 8U);
  const auto late = a.net->send(ends.near, message_kind::tensor, 0, bytes_of(1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, errc::peer_lost);
}

TEST(tls_network, connects_again_after_a_close_and_after_the_others_restart) {
  link_node a{1};
  auto b = std::make_unique<link_node>(2);
  const pair_of_ends first = join(a, *b);
  a.net->close(first.near, {errc::cancelled, "once more"});
  ASSERT_TRUE(a.heard.wait_closed_of(first.near));
  const pair_of_ends second = join(a, *b);
  EXPECT_NE(first.near, second.near);
  tls_options options = member_options();
  options.listen = b->address();
  b.reset();
  ASSERT_TRUE(a.heard.wait_closed_of(second.near));
  b = std::make_unique<link_node>(2, options);
  const pair_of_ends third = join(a, *b);
  ASSERT_TRUE(b->net->send(third.far, message_kind::gossip, 0, bytes_of(10)));
  EXPECT_TRUE(a.heard.wait_received());
}

TEST(tls_network, closing_before_it_is_connected_is_heard_once) {
  link_node a{1};
  link_node b{2};
  for (int i = 0; i < 50; ++i) {
    const connection_id id = a.net->connect(b.address(), channel::data, b.id());
    a.net->close(id, {errc::cancelled, "never mind"});
    const auto end = a.heard.wait_closed_of(id);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->reason.message, "never mind");
  }
  EXPECT_EQ(a.heard.broken_promise(), "");
}

TEST(tls_network, what_does_not_belong_on_a_channel_is_not_sent) {
  link_node a{1};
  link_node b{2};
  const pair_of_ends ends = join(a, b);
  EXPECT_EQ(a.net->send(ends.near, message_kind::tensor, 0, bytes_of(1)).error().code,
            errc::invalid_argument);
  EXPECT_EQ(
      a.net->send(ends.near, message_kind::gossip, 0, bytes_of((256U << 10U) + 1)).error().code,
      errc::over_limit);
  EXPECT_EQ(a.net->send(connection_id{12'345}, message_kind::wire, 0, bytes_of(1)).error().code,
            errc::peer_lost);
  ASSERT_TRUE(a.net->send(ends.near, message_kind::gossip, 0, bytes_of(256U << 10U)));
  EXPECT_TRUE(b.heard.wait_received());
}

TEST(tls_network, a_receiver_holds_a_bounded_number_of_bytes_and_goes_on_when_they_are_let_go) {
  link_node a{1};
  link_node b{2};
  const pair_of_ends data = join(a, b, channel::data);
  const pair_of_ends control = join(a, b);
  std::atomic<std::size_t> arrived{0};
  std::mutex mutex;
  std::vector<received_bytes> held;
  b.heard.on_message([&](link_recorder::message m) {
    if (m.kind == message_kind::wire) {
      (void)b.net->send(control.far, message_kind::wire, m.target, m.bytes);
      return;
    }
    const std::lock_guard lock{mutex};
    held.push_back(std::move(m.bytes));
    ++arrived;
  });
  constexpr std::size_t frames = 64;
  for (std::uint32_t i = 0; i < frames; ++i) {
    ASSERT_TRUE(a.net->send(data.near, message_kind::tensor, i, bytes_of(1U << 20U, i)));
  }
  constexpr std::size_t most =
      limits::data_receive_bytes_max / ((1U << 20U) + limits::message_overhead_bytes);
  while (arrived.load() < most) {
    std::this_thread::yield();
  }
  // The control link works meanwhile, which also gives the data link time to overrun its bound.
  for (std::uint32_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(a.net->send(control.near, message_kind::wire, i, bytes_of(64)));
    ASSERT_TRUE(a.heard.wait_received(i));
  }
  EXPECT_LE(arrived.load(), most);
  std::size_t rounds = 0;
  while (arrived.load() < frames) {
    const std::lock_guard lock{mutex};
    EXPECT_LE(held.size(), most);
    held.clear();
    ++rounds;
  }
  EXPECT_GE(rounds, frames / most - 1);
}

TEST(tls_network, bytes_outlive_their_connection_and_their_network) {
  received_bytes held;
  {
    link_node a{1};
    link_node b{2};
    const pair_of_ends ends = join(a, b, channel::data);
    for (std::uint32_t i = 0; i < 40; ++i) {
      ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, i, bytes_of(1U << 20U, 5)));
    }
    held = b.heard.wait_received(10)->bytes;
  }
  EXPECT_TRUE(*held == *bytes_of(1U << 20U, 5));
  held.reset();
}

TEST(tls_network, ends_with_traffic_under_way_and_tells_every_connection_once) {
  for (int round = 0; round < 12; ++round) {
    auto a = std::make_unique<link_node>(1);
    auto b = std::make_unique<link_node>(2);
    const pair_of_ends data = join(*a, *b, channel::data);
    const pair_of_ends control = join(*b, *a);
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> arrived{0};
    a->heard.on_message([&arrived](const link_recorder::message&) { ++arrived; });
    std::thread talker{[&] {
      const auto bytes = bytes_of(300'000);
      for (std::size_t sent = 0; !stop;) {
        if (sent < arrived + 64) {
          (void)b->net->send(data.far, message_kind::tensor, 1, bytes);
          (void)b->net->send(control.near, message_kind::wire, 1, bytes);
          sent += 2;
        }
      }
    }};
    while (arrived < 20) {
      std::this_thread::yield();
    }
    (void)a->net->connect(b->address(), channel::data, b->id());
    a->net.reset();
    const std::size_t ended = a->heard.endings();
    EXPECT_GE(ended, 2U);
    ASSERT_TRUE(b->heard.wait_closed_of(data.far));
    stop = true;
    talker.join();
    b->net.reset();
    EXPECT_EQ(a->heard.endings(), ended) << "a handler was called after its network ended";
    EXPECT_EQ(a->heard.broken_promise(), "");
    EXPECT_EQ(b->heard.broken_promise(), "");
    EXPECT_LE(b->heard.connections(), b->heard.endings());
  }
}

} // namespace
} // namespace ovir::actors
