#include "actors/link/access_list.hpp"
#include "actors/quic/quic_endpoint.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/quic.hpp"
#include "storage/env/memory_env.hpp"
#include "tests/support/cluster/quic_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::quic_world;
using testing::HasSubstr;

constexpr std::uint64_t world_seed = 20'440;

std::shared_ptr<const std::vector<std::byte>> patterned(std::size_t size, unsigned first = 0) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((first + i * 31 + (i >> 8U)) & 0xffU);
  }
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

struct quic_pair {
  connection_id near;
  connection_id far;
};

/// A channel from `a` to `b` that both have heard of.
quic_pair join_over(quic_world& world, quic_world::node& a, quic_world::node& b,
                    channel kind = channel::control) {
  const std::size_t here = a.heard.connections();
  const std::size_t there = b.heard.connections();
  const connection_id id = a.connect(b, kind, b.id());
  if (!world.run([&] { return a.heard.connections() > here && b.heard.connections() > there; })) {
    throw std::runtime_error("no connection");
  }
  return {id, b.heard.wait_connected(there)->connection};
}

TEST(quic_endpoint, tells_both_sides_whose_key_the_other_proved) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b, channel::data);
  const auto at_a = a.heard.wait_connected();
  const auto at_b = b.heard.wait_connected();
  ASSERT_TRUE(at_a && at_b);
  EXPECT_EQ(at_a->connection, ends.near);
  EXPECT_EQ(at_a->node, b.id());
  EXPECT_EQ(at_a->kind, channel::data);
  EXPECT_FALSE(at_a->incoming);
  EXPECT_EQ(at_a->address, to_string(b.address));
  EXPECT_EQ(at_b->node, a.id());
  EXPECT_EQ(at_b->kind, channel::data);
  EXPECT_TRUE(at_b->incoming);
  EXPECT_EQ(at_b->address, to_string(a.address));
  EXPECT_EQ(at_b->from, prefix_of(a.address));
  EXPECT_EQ(a.endpoint->measured().sessions, 1U);
}

TEST(quic_endpoint, does_not_speak_to_another_key_than_the_expected_one) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  auto& other = world.add(3);
  const connection_id id = a.connect(b, channel::control, other.id());
  ASSERT_TRUE(world.run([&] { return a.heard.endings() == 1; }));
  const auto end = a.heard.wait_closed_of(id);
  EXPECT_EQ(end->peer.node, other.id());
  EXPECT_THAT(end->reason.message, HasSubstr(to_hex(b.id())));
  EXPECT_THAT(end->reason.message, HasSubstr(to_hex(other.id())));
  world.run_for(5s);
  EXPECT_EQ(b.heard.hellos(), 0U) << "it was told nothing";
  EXPECT_EQ(a.endpoint->size() + b.endpoint->size(), 0U);
}

TEST(quic_endpoint, lets_in_whom_the_access_list_lets_in) {
  quic_world world{world_seed};
  auto& friendly = world.add(1);
  auto& stranger = world.add(3);
  storage::memory_env env;
  access_list::settings settings;
  settings.keys[friendly.id()] = role_set{}.add(role::worker);
  settings.cluster = "test";
  auto access = access_list::load(env, settings);
  ASSERT_TRUE(access) << access.error().message;
  auto& door =
      world.add(2, [&](const peer_hello& hello) { return (*access)->admit(hello, 1'700'000'000); });
  (void)join_over(world, friendly, door);
  EXPECT_EQ(door.heard.wait_connected()->roles, role_set{}.add(role::worker));
  const connection_id id = stranger.connect(door, channel::control, door.id());
  ASSERT_TRUE(world.run([&] { return stranger.heard.endings() == 1; }));
  EXPECT_THAT(stranger.heard.wait_closed_of(id)->reason.message,
              HasSubstr("refused this connection"));
  EXPECT_EQ(door.heard.connections(), 1U);
  world.run_for(5s);
  EXPECT_EQ(door.endpoint->size(), 1U) << "nothing is kept of a stranger";
}

TEST(quic_endpoint, carries_ten_megabytes_to_the_byte_over_a_bad_line) {
  for (const std::uint64_t seed : {world_seed, world_seed + 1, world_seed + 2}) {
    quic_world world{seed};
    world.how = {0.05, 0.02, 0.01, 5ms, 3ms, 0, 0};
    auto& a = world.add(1);
    auto& b = world.add(2);
    const quic_pair ends = join_over(world, a, b, channel::data);
    const auto there = patterned(10'000'000, 7);
    const auto back = patterned(1'000'000, 9);
    ASSERT_TRUE(a.send(ends.near, message_kind::tensor, 5, there));
    ASSERT_TRUE(b.send(ends.far, message_kind::tensor, 6, back));
    ASSERT_TRUE(world.run([&] { return a.heard.messages() == 1 && b.heard.messages() == 1; }, 300s))
        << "seed " << seed;
    EXPECT_TRUE(*b.heard.wait_received()->bytes == *there) << "seed " << seed;
    EXPECT_TRUE(*a.heard.wait_received()->bytes == *back) << "seed " << seed;
    EXPECT_GT(world.dropped, 100U);
    EXPECT_GT(a.endpoint->measured().lost, 0U);
    EXPECT_EQ(a.heard.broken_promise() + b.heard.broken_promise(), "");
    // What the peer has is let go.
    world.run_for(2s);
    EXPECT_EQ(a.lanes.waiting(ends.near), 0U);
  }
}

TEST(quic_endpoint, keeps_small_messages_in_order) {
  quic_world world{world_seed};
  world.how = {0.05, 0.05, 0.0, 2ms, 4ms, 0, 0};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b);
  constexpr std::uint32_t count = 3'000;
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(a.send(ends.near, message_kind::wire, i, patterned(i % 97, i)));
  }
  ASSERT_TRUE(world.run([&] { return b.heard.messages() == count; }));
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto message = b.heard.wait_received(i);
    ASSERT_EQ(message->target, i);
    ASSERT_TRUE(*message->bytes == *patterned(i % 97, i));
  }
}

TEST(quic_endpoint, stops_the_writer_when_the_reader_stalls_and_goes_on_with_it) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b, channel::data);
  const auto frame = patterned(4U << 20U);
  std::size_t queued = 0;
  const std::uint64_t before = world.sent;
  while (queued < 20) { // 80 MiB, which may wait
    ASSERT_TRUE(a.send(ends.near, message_kind::tensor, 0, frame));
    ++queued;
  }
  world.run_for(5s);
  // The reader lets nothing go: it holds its budget, and its window is full.
  const std::size_t held = b.heard.messages() * frame->size();
  EXPECT_LE(held, receive_bytes_max(channel::data));
  EXPECT_LE(world.sent - before,
            (receive_bytes_max(channel::data) + limits::quic_data_window) * 11 / 10);
  const std::uint64_t stalled = world.sent;
  world.run_for(3s);
  EXPECT_LT(world.sent - stalled, 100'000U) << "the writer goes on though there is no room";
  for (std::size_t got = b.heard.messages(); got < queued; got += b.heard.messages()) {
    b.heard.drop_messages();
    ASSERT_TRUE(world.run([&] { return b.heard.messages() > 0; }, 9s)) << "after " << got;
  }
  EXPECT_EQ(a.heard.endings() + b.heard.endings(), 0U);
}

TEST(quic_endpoint, refuses_more_than_may_wait_for_a_slow_peer) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b, channel::bulk);
  const auto block = patterned(8U << 20U);
  result<void> sent;
  std::size_t count = 0;
  while (sent) {
    sent = a.send(ends.near, message_kind::blocks, 0, block);
    ++count;
    ASSERT_LT(count, 100U);
  }
  EXPECT_EQ(sent.error().code, errc::busy);
  EXPECT_LE(count, 2 + send_bytes_max(channel::bulk) / block->size());
  EXPECT_EQ(a.send(ends.near, message_kind::blocks, 0, block).error().code, errc::peer_lost);
}

TEST(quic_endpoint, lets_activations_pass_a_transfer_of_weights) {
  quic_world world{world_seed};
  world.how.bytes_per_second = 10'000'000;
  world.how.queue_bytes = 128U << 10U;
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair data = join_over(world, a, b, channel::data);
  const quic_pair bulk = join_over(world, b, a, channel::bulk); // the other one dials
  EXPECT_EQ(a.endpoint->size(), 1U) << "both channels share a connection";
  // The weights flow from a, which was dialled, beside activations of a.
  ASSERT_TRUE(a.send(bulk.far, message_kind::weights, 0, patterned(15U << 20U)));
  world.run_for(200ms);
  const quic_time before = world.now();
  ASSERT_TRUE(a.send(data.near, message_kind::tensor, 1, patterned(20'000)));
  ASSERT_TRUE(world.run([&] { return b.heard.messages() > 0; }));
  EXPECT_EQ(b.heard.wait_received()->kind, message_kind::tensor);
  // The line's queue is full of weights that left before; behind all of them it would be 1.5 s.
  EXPECT_LT(world.now() - before, 200ms);
  ASSERT_TRUE(world.run([&] { return b.heard.messages() == 2; }));
}

TEST(quic_endpoint, says_goodbye_behind_what_is_queued) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b);
  for (std::uint32_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(a.send(ends.near, message_kind::wire, i, patterned(5'000)));
  }
  a.endpoint->close(ends.near, error{errc::cancelled, "enough of it"}, world.now());
  EXPECT_EQ(a.heard.endings(), 1U);
  EXPECT_EQ(a.send(ends.near, message_kind::wire, 0, patterned(1)).error().code, errc::peer_lost);
  ASSERT_TRUE(world.run([&] { return b.heard.endings() == 1; }));
  EXPECT_EQ(b.heard.messages(), 50U);
  EXPECT_THAT(b.heard.wait_closed()->reason.message, HasSubstr("enough of it"));
  world.run_for(5s);
  EXPECT_EQ(a.endpoint->size() + b.endpoint->size(), 0U) << "no channel, no connection";
}

TEST(quic_endpoint, notices_a_peer_that_was_started_again_and_reaches_it) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b);
  auto& again = world.start_again(b);
  const quic_time before = world.now();
  ASSERT_TRUE(a.send(ends.near, message_kind::wire, 0, patterned(100)));
  ASSERT_TRUE(world.run([&] { return a.heard.endings() == 1; }));
  EXPECT_LT(world.now() - before, 1s) << "it says that it knows nothing of the connection";
  EXPECT_EQ(a.heard.wait_closed()->reason.code, errc::peer_lost);
  const quic_pair anew = join_over(world, a, again);
  ASSERT_TRUE(a.send(anew.near, message_kind::wire, 7, patterned(100)));
  ASSERT_TRUE(world.run([&] { return again.heard.messages() == 1; }));
}

TEST(quic_endpoint, gives_up_a_peer_that_is_gone) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const quic_pair ends = join_over(world, a, b);
  world.kill(b);
  ASSERT_TRUE(a.send(ends.near, message_kind::wire, 0, patterned(100)));
  ASSERT_TRUE(world.run([&] { return a.heard.endings() == 1; }, 15s)) << "10 s take no byte";
  EXPECT_EQ(a.heard.wait_closed()->reason.code, errc::timed_out);
  // Who dials what is not there hears so.
  (void)a.connect(b, channel::control, b.id());
  ASSERT_TRUE(world.run([&] { return a.heard.endings() == 2; }, 5s));
  EXPECT_EQ(a.unanswered.size(), 1U);
  world.run_for(65s);
  EXPECT_EQ(a.endpoint->size(), 0U);
}

TEST(quic_endpoint, keeps_a_quiet_connection_and_loses_a_cut_one) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  (void)join_over(world, a, b);
  world.run_for(600s);
  EXPECT_EQ(a.heard.endings() + b.heard.endings(), 0U);
  world.how.loss = 1.0;
  ASSERT_TRUE(world.run([&] { return a.heard.endings() == 1 && b.heard.endings() == 1; }, 90s));
  EXPECT_EQ(a.heard.wait_closed()->reason.code, errc::timed_out);
}

TEST(quic_endpoint, takes_no_shells) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  const connection_id id = a.connect(b, channel::admin, b.id());
  ASSERT_TRUE(world.run([&] { return a.heard.endings() == 1; }));
  EXPECT_THAT(a.heard.wait_closed_of(id)->reason.message, HasSubstr("over TCP"));
}

TEST(quic_endpoint, keeps_nothing_for_an_address_that_is_not_proven) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  world.watching = true;
  (void)a.connect(b, channel::control, b.id());
  ASSERT_TRUE(world.run([&] { return !world.seen.empty(); }));
  const quic_world::datagram first = world.seen.front();
  auto& target = world.add(9);
  world.kill(a);
  world.run_for(100ms);
  world.seen.clear();
  std::size_t asked = 0;
  for (unsigned i = 0; i < 50; ++i) {
    quic_world::datagram forged = first;
    forged.to = target.address;
    forged.from.bytes = {10, 9, static_cast<unsigned char>(i), 1};
    asked += forged.bytes.size();
    world.inject(std::move(forged));
  }
  world.run_for(1s);
  std::size_t answered = 0;
  for (const auto& one : world.seen) {
    answered += one.from == target.address ? one.bytes.size() : 0;
  }
  EXPECT_GT(answered, 0U);
  EXPECT_LT(answered, asked / 4) << "a forger gets less than it spends";
  EXPECT_EQ(target.endpoint->size(), 0U);
  EXPECT_EQ(target.endpoint->pending(), 0U);
}

TEST(quic_endpoint, takes_a_token_only_from_where_it_was_sent) {
  quic_world world{world_seed};
  auto& a = world.add(1);
  auto& b = world.add(2);
  world.watching = true;
  (void)join_over(world, a, b);
  // The second datagram of the client is the first with a token.
  std::vector<quic_world::datagram> of_a;
  std::copy_if(world.seen.begin(), world.seen.end(), std::back_inserter(of_a),
               [&](const auto& one) { return one.from == a.address; });
  ASSERT_GE(of_a.size(), 2U);
  quic_world::datagram stolen = of_a[1];
  auto& again = world.start_again(b); // the same key makes the same secret
  world.kill(a);
  stolen.from.bytes = {10, 9, 9, 9};
  world.inject(stolen);
  world.run_for(100ms);
  EXPECT_EQ(again.endpoint->size(), 0U);
  stolen.from = a.address;
  world.inject(stolen);
  world.run_for(1ms);
  EXPECT_EQ(again.endpoint->size(), 1U) << "from there it is good: " << of_a.size();
}

TEST(quic_endpoint, is_not_moved_by_hostile_datagrams) {
  quic_world world{world_seed};
  world.how.loss = 0.01;
  auto& a = world.add(1);
  auto& b = world.add(2);
  world.watching = true;
  const quic_pair ends = join_over(world, a, b, channel::data);
  ASSERT_TRUE(a.send(ends.near, message_kind::tensor, 1, patterned(200'000)));
  ASSERT_TRUE(world.run([&] { return b.heard.messages() == 1; }));
  world.watching = false;
  auto& chance = world.chance();
  for (int round = 0; round < 3'000; ++round) {
    quic_world::datagram one = world.seen[chance() % world.seen.size()];
    switch (chance() % 4) {
    case 0: one.bytes.resize(1 + chance() % one.bytes.size()); break;
    case 1:
      for (std::byte& byte : one.bytes) {
        byte = static_cast<std::byte>(chance() & 0xffU);
      }
      break;
    case 2: one.bytes[chance() % one.bytes.size()] ^= std::byte{1}; break;
    default: break; // as it was, once more
    }
    if (chance() % 2 == 0) {
      one.from.bytes = {10, 7, 7, static_cast<unsigned char>(chance() % 8)};
    }
    world.inject(std::move(one));
    if (round % 100 == 0) {
      world.run_for(5ms);
    }
  }
  ASSERT_TRUE(a.send(ends.near, message_kind::tensor, 2, patterned(200'000)));
  ASSERT_TRUE(world.run([&] { return b.heard.messages() == 2; }));
  EXPECT_TRUE(*b.heard.wait_received(1)->bytes == *patterned(200'000));
  EXPECT_EQ(a.heard.endings() + b.heard.endings(), 0U);
  world.run_for(20s);
  EXPECT_EQ(a.endpoint->size(), 1U);
  EXPECT_EQ(b.endpoint->size(), 1U);
}

TEST(quic_endpoint, connects_over_a_line_that_loses_a_twentieth) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    quic_world world{world_seed + seed};
    world.how.loss = 0.05;
    auto& a = world.add(1);
    auto& b = world.add(2);
    (void)a.connect(b, channel::control, b.id());
    ASSERT_TRUE(world.run([&] { return a.heard.connections() + a.heard.endings() > 0; }));
    EXPECT_EQ(a.heard.connections(), 1U)
        << "seed " << seed << ": "
        << (a.heard.endings() > 0 ? a.heard.wait_closed()->reason.message : "");
  }
}

} // namespace
} // namespace ovir::actors
