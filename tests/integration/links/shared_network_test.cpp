#include "actors/link/link_format.hpp"
#include "actors/shared/door.hpp"
#include "actors/shared/greeting.hpp"
#include "tests/support/cluster/near_node.hpp"
#include "tests/support/cluster/tcp_proxy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <thread>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::bytes_of;
using test::key_of;
using test::link_node;
using test::near_node;
using test::near_options;
using testing::HasSubstr;

constexpr auto longest_wait = 30s;

/// A data connection that both have heard of.
struct near_ends {
  connection_id near;
  connection_id far;
};

template <class From, class To>
near_ends join_data(From& from, To& to, const std::string& address) {
  const std::size_t here = from.heard.connections();
  const std::size_t there = to.heard.connections();
  near_ends ends;
  ends.near = from.net->connect(address, channel::data, to.id());
  const auto far = to.heard.wait_connected(there);
  if (!from.heard.wait_connected(here) || !far) {
    throw std::runtime_error("no connection");
  }
  ends.far = far->connection;
  return ends;
}

/// Sends small messages both ways until they take the memory. False: they never do.
bool reach_memory(near_node& a, near_node& b, const near_ends& ends) {
  const auto until = std::chrono::steady_clock::now() + longest_wait;
  std::size_t count = 0;
  while (a.traffic->shared_sent.load() == 0 || b.traffic->shared_sent.load() == 0) {
    if (!a.net->send(ends.near, message_kind::tensor, 0, bytes_of(9)) ||
        !b.net->send(ends.far, message_kind::tensor, 0, bytes_of(9)) ||
        !a.heard.wait_received(count) || !b.heard.wait_received(count) ||
        std::chrono::steady_clock::now() > until) {
      return false;
    }
    ++count;
  }
  a.heard.drop_messages();
  b.heard.drop_messages();
  return true;
}

TEST(shared_network, carries_messages_of_any_size_both_ways_in_order) {
  near_node a{1};
  near_node b{2};
  const near_ends ends = join_data(a, b, b.address());
  ASSERT_TRUE(reach_memory(a, b, ends));
  const std::uint64_t encrypted = a.traffic->sent.load();
  std::uint32_t target = 0;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{16'384},
                                 std::size_t{1} << 20U, std::size_t{9} << 20U}) {
    const auto bytes = bytes_of(size, target);
    ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, target, bytes));
    ASSERT_TRUE(b.net->send(ends.far, message_kind::audit, target + 100,
                            size > (8U << 20U) ? bytes_of(1) : bytes));
    const auto there = b.heard.wait_received();
    const auto back = a.heard.wait_received();
    ASSERT_TRUE(there && back);
    EXPECT_EQ(there->target, target);
    EXPECT_EQ(back->target, target + 100);
    EXPECT_EQ(back->kind, message_kind::audit);
    EXPECT_TRUE(*there->bytes == *bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(there->bytes->data()) % 8, 0U);
    ++target;
    a.heard.drop_messages(); // what is held counts against the sender
    b.heard.drop_messages();
  }
  EXPECT_EQ(a.traffic->sent.load(), encrypted) << "nothing of it went over the connection";
}

// The first ones go over the connection, the later ones through memory.
TEST(shared_network, keeps_the_order_while_messages_change_their_way) {
  near_node a{1};
  near_node b{2};
  const near_ends ends = join_data(a, b, b.address());
  std::atomic<std::uint32_t> next{0};
  std::atomic<bool> wrong{false};
  b.heard.on_message([&](const test::link_recorder::message& m) {
    const std::uint32_t expected = next.load();
    wrong = wrong || m.target != expected || *m.bytes != *bytes_of(expected % 4'000, expected);
    next.store(expected + 1);
  });
  std::uint32_t sent = 0;
  const auto until = std::chrono::steady_clock::now() + longest_wait;
  for (std::uint32_t after = 0; after < 2'000 && std::chrono::steady_clock::now() < until;) {
    ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, sent, bytes_of(sent % 4'000, sent)));
    ++sent;
    after += a.traffic->shared_sent.load() > 0 ? 1 : 0;
    while (sent - next.load() > 64 && std::chrono::steady_clock::now() < until) {
      std::this_thread::yield(); // what may wait is bounded
    }
  }
  while (next.load() < sent && std::chrono::steady_clock::now() < until) {
    std::this_thread::yield();
  }
  EXPECT_EQ(next.load(), sent);
  EXPECT_FALSE(wrong.load());
  EXPECT_GT(b.traffic->shared_received.load(), 0U);
  EXPECT_EQ(b.heard.broken_promise(), "");
}

TEST(shared_network, other_channels_stay_with_tls) {
  near_node a{1};
  near_node b{2};
  (void)a.net->connect(b.address(), channel::control, b.id());
  const auto met = a.heard.wait_connected();
  ASSERT_TRUE(met && b.heard.wait_connected());
  const near_ends ends = join_data(a, b, b.address());
  ASSERT_TRUE(reach_memory(a, b, ends));
  const std::uint64_t shared = a.traffic->shared_sent.load();
  ASSERT_TRUE(a.net->send(met->connection, message_kind::gossip, 0, bytes_of(100)));
  ASSERT_TRUE(b.heard.wait_received());
  EXPECT_EQ(a.traffic->shared_sent.load(), shared);
}

TEST(shared_network, closing_sends_what_is_queued_and_says_why) {
  near_node a{1};
  near_node b{2};
  const near_ends ends = join_data(a, b, b.address());
  ASSERT_TRUE(reach_memory(a, b, ends));
  for (std::uint32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, i, bytes_of(1U << 20U)));
  }
  a.net->close(ends.near, {errc::cancelled, "the node is being updated"});
  const auto here = a.heard.wait_closed_of(ends.near);
  const auto there = b.heard.wait_closed_of(ends.far);
  ASSERT_TRUE(here && there);
  EXPECT_EQ(here->reason, (error{errc::cancelled, "the node is being updated"}));
  EXPECT_THAT(there->reason.message, HasSubstr("the node is being updated"));
  EXPECT_EQ(b.heard.messages(), 8U);
  EXPECT_FALSE(a.net->send(ends.near, message_kind::tensor, 0, bytes_of(1)));
  EXPECT_EQ(b.heard.broken_promise(), "");
}

TEST(shared_network, is_made_anew_with_each_connection) {
  near_node a{1};
  near_node b{2};
  for (int i = 0; i < 5; ++i) {
    a.traffic->shared_sent.store(0);
    b.traffic->shared_sent.store(0);
    const near_ends ends = join_data(a, b, b.address());
    ASSERT_TRUE(reach_memory(a, b, ends));
    a.net->close(ends.near, {errc::cancelled, "once more"});
    ASSERT_TRUE(a.heard.wait_closed_of(ends.near) && b.heard.wait_closed_of(ends.far));
  }
}

/// Messages that arrive although the memory is refused: so many that it would have been agreed on.
template <class A, class B>
void expect_carried_by_tls(A& a, B& b, const near_ends& ends) {
  for (std::uint32_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, i, bytes_of(i)));
    const auto came = b.heard.wait_received(i);
    ASSERT_TRUE(came);
    ASSERT_EQ(came->target, i);
    ASSERT_TRUE(*came->bytes == *bytes_of(i));
  }
}

TEST(shared_network, where_the_other_side_shares_nothing_the_connection_carries_all) {
  near_node a{1};
  link_node b{2};
  expect_carried_by_tls(a, b, join_data(a, b, b.address()));
  EXPECT_EQ(a.traffic->shared_sent.load(), 0U);
  link_node c{3};
  near_node d{4};
  expect_carried_by_tls(c, d, join_data(c, d, d.address()));
  EXPECT_EQ(d.traffic->shared_received.load(), 0U);
}

TEST(shared_network, what_stands_between_two_processes_keeps_carrying_their_bytes) {
  near_node a{1};
  near_node b{2};
  test::tcp_proxy proxy;
  const std::size_t route = proxy.add_route(b.address());
  expect_carried_by_tls(a, b, join_data(a, b, proxy.address(route)));
  EXPECT_EQ(a.traffic->shared_sent.load(), 0U);
  EXPECT_EQ(b.traffic->shared_received.load(), 0U);
}

TEST(shared_network, a_name_that_another_process_took_costs_nothing_but_the_memory) {
  tls_options options = near_options();
  const auto taken = open_door(door_name(key_of(2).id(), options.identity.life));
  ASSERT_TRUE(taken);
  near_node a{1};
  near_node b{2, options};
  expect_carried_by_tls(a, b, join_data(a, b, b.address()));
  EXPECT_EQ(a.traffic->shared_sent.load(), 0U);
}

// Who comes to the door

/// Who listens may be slow.
file_handle knock_until_open(const std::string& door) {
  const auto until = std::chrono::steady_clock::now() + longest_wait;
  auto visitor = knock(door);
  while (!visitor && std::chrono::steady_clock::now() < until) {
    std::this_thread::yield();
    visitor = knock(door);
  }
  return visitor ? std::move(*visitor) : file_handle{};
}

TEST(shared_network, visitors_that_talk_nonsense_delay_no_one) {
  near_node b{2};
  const std::string door = door_name(b.id(), b.life);
  std::vector<file_handle> visitors;
  const auto visit = [&](std::span<const std::byte> words, int attached) {
    file_handle visitor = knock_until_open(door);
    ASSERT_TRUE(visitor);
    (void)send_packet(visitor, words, attached);
    visitors.push_back(std::move(visitor));
  };
  const auto region = shared_region::make();
  ASSERT_TRUE(region);
  const auto words = encode_greeting({shared_region::size_bytes, digest{}});
  for (int i = 0; i < 30; ++i) {
    visit(words, region->file());                     // of no connection
    visit(words, -1);                                 // without memory
    visit(words, visitors.front().get());             // with what is no memory
    visit(*bytes_of(48), region->file());             // of no version
    visit(*bytes_of(1'000), region->file());          // too long
    visit(std::span{words}.first(1), region->file()); // too short
    visitors.push_back(knock_until_open(door));
  }
  near_node a{1};
  EXPECT_TRUE(reach_memory(a, b, join_data(a, b, b.address())));
}

// Who has the memory

/// A member that knows the connection's secret, and says in the memory what it likes.
struct hostile_sharer {
  explicit hostile_sharer(near_node& victim) : node(9) {
    ends = join_data(node, victim, victim.address());
    std::optional<digest> pass;
    const auto until = std::chrono::steady_clock::now() + longest_wait;
    while (!pass && std::chrono::steady_clock::now() < until) {
      pass = node.net->pass(ends.near);
    }
    auto knocked = knock(door_name(victim.id(), victim.life));
    auto made = shared_region::make();
    if (!pass || !knocked || !made ||
        !send_packet(*knocked, encode_greeting({shared_region::size_bytes, *pass}), made->file())) {
      throw std::runtime_error("the door is closed");
    }
    socket = std::move(*knocked);
    region.emplace(std::move(*made));
    bool answered = false;
    while (!answered && std::chrono::steady_clock::now() < until) {
      const auto packet = receive_packet(socket, shared_answer::size);
      answered = packet && *packet && check_answer((*packet)->bytes, *pass).has_value();
    }
    if (!answered) {
      throw std::runtime_error("the memory is refused");
    }
  }
  void set(std::size_t ring, std::size_t at, std::uint64_t value) {
    std::memcpy(region->ring(ring).data() + at, &value, sizeof(value));
    ring_bell(socket);
  }
  /// In front of the first message stands that none came before.
  void say(std::span<const std::byte> bytes) {
    ring_writer writer{region->ring(0)};
    const std::uint64_t none = 0;
    (void)*writer.write(std::as_bytes(std::span{&none, 1}));
    (void)*writer.write(bytes);
    ring_bell(socket);
  }

  link_node node;
  near_ends ends;
  file_handle socket;
  std::optional<shared_region> region;
};

/// The connection ends for this reason, and the victim serves others.
void expect_ended(near_node& victim, const hostile_sharer& liar, errc code) {
  const auto end = victim.heard.wait_closed_of(liar.ends.far);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->reason.code, code) << end->reason.message;
  EXPECT_EQ(victim.heard.messages(), 0U);
  victim.traffic->shared_sent.store(0);
  near_node other{1};
  EXPECT_TRUE(reach_memory(other, victim, join_data(other, victim, victim.address())));
}

TEST(shared_network, ends_the_connection_of_a_writer_that_claims_more_than_the_ring) {
  near_node victim{2};
  hostile_sharer liar{victim};
  liar.set(0, ring_layout::written_at, ~std::uint64_t{0});
  expect_ended(victim, liar, errc::malformed);
}

TEST(shared_network, ends_the_connection_of_a_reader_that_read_what_was_never_written) {
  near_node victim{2};
  hostile_sharer liar{victim};
  liar.set(1, ring_layout::read_at, 1'000'000);
  const auto until = std::chrono::steady_clock::now() + longest_wait;
  while (victim.net->send(liar.ends.far, message_kind::tensor, 0, bytes_of(10)) &&
         std::chrono::steady_clock::now() < until) {
  }
  expect_ended(victim, liar, errc::malformed);
}

TEST(shared_network, ends_the_connection_of_a_message_over_its_limit_before_memory_is_reserved) {
  near_node victim{2};
  hostile_sharer liar{victim};
  liar.say(encode_header({0xffff'ffff, static_cast<std::uint16_t>(message_kind::tensor), 0}));
  expect_ended(victim, liar, errc::over_limit);
}

TEST(shared_network, ends_the_connection_of_a_message_that_belongs_elsewhere) {
  near_node victim{2};
  hostile_sharer liar{victim};
  liar.say(encode_header({1, static_cast<std::uint16_t>(message_kind::gossip), 0}));
  expect_ended(victim, liar, errc::malformed);
}

TEST(shared_network, ends_the_connection_of_one_that_sends_in_two_ways) {
  near_node victim{2};
  hostile_sharer liar{victim};
  liar.say(encode_header({0, static_cast<std::uint16_t>(message_kind::tensor), 0}));
  ASSERT_TRUE(victim.heard.wait_received());
  victim.heard.drop_messages();
  ASSERT_TRUE(liar.node.net->send(liar.ends.near, message_kind::tensor, 0, bytes_of(1)));
  expect_ended(victim, liar, errc::malformed);
}

TEST(shared_network, ends_the_connection_of_one_that_leaves_a_message_half_sent) {
  tls_options options = near_options();
  options.deadlines.half_message = 200ms;
  near_node victim{2, options};
  hostile_sharer liar{victim};
  liar.say(encode_header({10, static_cast<std::uint16_t>(message_kind::tensor), 0}));
  expect_ended(victim, liar, errc::timed_out);
}

TEST(shared_network, ends_the_connection_of_one_that_reads_nothing) {
  tls_options options = near_options();
  options.deadlines.half_message = 200ms;
  near_node victim{2, options};
  hostile_sharer liar{victim};
  const auto until = std::chrono::steady_clock::now() + longest_wait;
  while (victim.net->send(liar.ends.far, message_kind::tensor, 0, bytes_of(2U << 20U)) &&
         victim.heard.endings() == 0 && std::chrono::steady_clock::now() < until) {
    // More than the ring holds; a message of the connection itself does not count.
    if (victim.traffic->shared_sent.load() > (1U << 19U)) {
      break;
    }
  }
  expect_ended(victim, liar, errc::timed_out);
}

// Processes that die

/// A process that sends to who connects, or takes what comes, until it is killed.
class near_process {
public:
  explicit near_process(bool sends) {
    int ends[2]{};
    if (::pipe(ends) != 0) {
      throw std::runtime_error("no pipe");
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      live(sends, ends[1]);
    }
    const file_handle from{ends[0]};
    ::close(ends[1]);
    char text[64]{};
    if (pid_ < 0 || ::read(from.get(), text, sizeof(text) - 1) <= 0) {
      throw std::runtime_error("no process");
    }
    address_ = text;
  }
  ~near_process() { kill(); }

  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }
  [[nodiscard]] const std::string& address() const { return address_; }

private:
  [[noreturn]] static void live(bool sends, int out) {
    near_node node{2};
    const std::string address = node.address();
    (void)!::write(out, address.data(), address.size());
    node.heard.on_message([](const test::link_recorder::message&) {});
    const auto peer = node.heard.wait_connected();
    std::uint32_t count = 0;
    while (peer && ::getppid() != 1) {
      if (!sends || !node.net->send(peer->connection, message_kind::tensor, count,
                                    bytes_of(300'000 + count, count))) {
        ::pause();
      }
      ++count;
    }
    ::_exit(0);
  }

  pid_t pid_{-1};
  std::string address_;
};

TEST(shared_network, a_sender_killed_in_the_middle_leaves_whole_messages_and_an_end) {
  for (int round = 0; round < 3; ++round) {
    near_process other{true};
    near_node a{1};
    std::atomic<std::uint32_t> next{0};
    std::atomic<bool> wrong{false};
    a.heard.on_message([&](const test::link_recorder::message& m) {
      const std::uint32_t expected = next.load();
      wrong = wrong || m.target != expected || *m.bytes != *bytes_of(300'000 + expected, expected);
      next.store(expected + 1);
    });
    const connection_id id = a.net->connect(other.address(), channel::data, key_of(2).id());
    ASSERT_TRUE(a.heard.wait_connected());
    const auto until = std::chrono::steady_clock::now() + longest_wait;
    while (a.traffic->shared_received.load() < (3U << 20U) &&
           std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
    other.kill();
    ASSERT_TRUE(a.heard.wait_closed_of(id));
    EXPECT_GE(a.traffic->shared_received.load(), 3U << 20U);
    EXPECT_FALSE(wrong.load());
    EXPECT_EQ(a.heard.broken_promise(), "");
  }
}

TEST(shared_network, a_receiver_killed_in_the_middle_ends_what_is_sent_to_it) {
  for (int round = 0; round < 3; ++round) {
    near_process other{false};
    near_node a{1};
    const connection_id id = a.net->connect(other.address(), channel::data, key_of(2).id());
    ASSERT_TRUE(a.heard.wait_connected());
    const auto until = std::chrono::steady_clock::now() + longest_wait;
    std::uint32_t count = 0;
    while (a.traffic->shared_sent.load() < (8U << 20U) &&
           a.net->send(id, message_kind::tensor, count++, bytes_of(300'000)) &&
           std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
    other.kill();
    ASSERT_TRUE(a.heard.wait_closed_of(id));
    EXPECT_FALSE(a.net->send(id, message_kind::tensor, 0, bytes_of(1)));
    near_node c{3}; // others are served as before
    a.traffic->shared_sent.store(0);
    EXPECT_TRUE(reach_memory(a, c, join_data(a, c, c.address())));
  }
}

TEST(shared_network, a_thread_that_reads_busily_gets_the_same_messages) {
  tls_options busy = near_options();
  busy.busy_read = 200us;
  near_node a{1, busy};
  busy = near_options();
  busy.busy_read = 200us;
  near_node b{2, busy};
  const near_ends ends = join_data(a, b, b.address());
  ASSERT_TRUE(reach_memory(a, b, ends));
  for (std::uint32_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(a.net->send(ends.near, message_kind::tensor, i, bytes_of(i * 100)));
    const auto came = b.heard.wait_received(i);
    ASSERT_TRUE(came);
    ASSERT_TRUE(*came->bytes == *bytes_of(i * 100));
  }
}

} // namespace
} // namespace ovir::actors
