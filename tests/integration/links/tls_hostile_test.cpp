#include "actors/link/tls_network.hpp"
#include "messages/limits/links.hpp"
#include "messages/sanitized.hpp"
#include "tests/support/cluster/hostile_peer.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

// Peers that do not keep to docs/formats/link.md. Each loses its own connection; a good peer that
// was there before goes on talking.

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::bytes_of;
using test::hostile_hello;
using test::hostile_listener;
using test::hostile_peer;
using test::hostile_tls;
using test::link_node;
using test::link_recorder;
using test::member_options;
using testing::HasSubstr;

/// A node with a good peer at its side, and how they fare.
class tls_hostile : public testing::Test {
protected:
  /// Strangers are given up soon, but not so soon that an honest one is late on a busy machine.
  static tls_options hurried_with_strangers() {
    tls_options options = member_options();
    options.deadlines.admission = 1s;
    options.deadlines.connect = 1s;
    return options;
  }
  static tls_options hurried_with_messages() {
    tls_options options = member_options();
    options.deadlines.half_message = 400ms;
    return options;
  }

  void SetUp() override { begin(member_options()); }

  void begin(const tls_options& options) {
    friend_.reset();
    node_ = std::make_unique<link_node>(1, options);
    friend_ = std::make_unique<link_node>(2);
    link_ = friend_->net->connect(node_->address(), channel::control, node_->id());
    const auto there = node_->heard.wait_connected();
    ASSERT_TRUE(there && friend_->heard.wait_connected());
    far_ = there->connection;
    sent_ = 0;
    answered_ = 0;
  }

  void TearDown() override {
    talk();
    EXPECT_EQ(friend_->heard.endings(), 0U);
    EXPECT_EQ(node_->heard.broken_promise(), "");
  }

  /// The good peer and the node exchange a message.
  void talk() {
    const auto bytes = bytes_of(100, sent_);
    ASSERT_TRUE(node_->net->send(far_, message_kind::gossip, sent_, bytes));
    const auto got = friend_->heard.wait_received(sent_);
    ASSERT_TRUE(got) << "the good peer hears nothing any more";
    EXPECT_TRUE(*got->bytes == *bytes);
    ++sent_;
  }

  hostile_peer stranger() { return hostile_peer{node_->address()}; }

  /// A peer that was admitted. Its connection is the node's `n`-th, counted from 0.
  hostile_peer admitted(const hostile_hello& hello = {}, std::uint8_t key = 5) {
    const std::size_t n = node_->heard.connections();
    hostile_peer peer = stranger();
    hostile_tls tls;
    tls.key = key;
    EXPECT_TRUE(peer.handshake(tls));
    EXPECT_EQ(peer.introduce(hello), std::string{});
    const auto there = node_->heard.wait_connected(n);
    EXPECT_TRUE(there);
    last_ = there ? there->connection : connection_id{};
    return peer;
  }

  /// Why the node closed the connection that `admitted` made last.
  error end_of_last() {
    const auto end = node_->heard.wait_closed_of(last_);
    EXPECT_TRUE(end);
    return end ? end->reason : error{};
  }

  std::unique_ptr<link_node> node_;
  std::unique_ptr<link_node> friend_;
  connection_id link_;
  connection_id far_;
  connection_id last_;
  std::uint32_t sent_{0};
  std::uint32_t answered_{0};
};

// Before the hello

TEST_F(tls_hostile, an_honest_stranger_made_of_other_code_is_admitted) {
  hostile_peer peer = admitted();
  EXPECT_EQ(peer.other(), node_->id());
  ASSERT_TRUE(peer.message(3, 5, *bytes_of(5), 77));
  const auto got = node_->heard.wait_received();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->target, 77U);
  EXPECT_EQ(got->kind, message_kind::gossip);
  EXPECT_EQ(got->peer.node, test::key_of(5).id());
  ASSERT_TRUE(node_->net->send(last_, message_kind::wire, 9, bytes_of(3)));
  const std::vector<std::byte> expected{
      std::byte{3}, {}, {}, {}, std::byte{2}, {}, {}, {},           std::byte{9},
      {},           {}, {}, {}, {},           {}, {}, std::byte{0}, std::byte{31},
      std::byte{62}};
  EXPECT_EQ(peer.receive(19), expected);
}

TEST_F(tls_hostile, old_tls_and_certificates_of_another_kind_never_get_to_say_hello) {
  using shows = hostile_tls::shows;
  for (const shows certificate :
       {shows::nothing, shows::rsa, shows::foreign_signed, shows::chain}) {
    hostile_peer peer = stranger();
    hostile_tls tls;
    tls.key = 5;
    tls.certificate = certificate;
    if (peer.handshake(tls)) {
      (void)peer.send(peer.hello_bytes({}));
    }
    EXPECT_TRUE(peer.waits_for_close()) << static_cast<int>(certificate);
    EXPECT_EQ(node_->heard.hellos(), 1U)
        << static_cast<int>(certificate) << ", not the good peer's";
  }
  hostile_peer old = stranger();
  hostile_tls tls;
  tls.old_version = true;
  EXPECT_FALSE(old.handshake(tls));
  EXPECT_TRUE(old.waits_for_close());
  EXPECT_EQ(node_->heard.hellos(), 1U);
}

TEST_F(tls_hostile, a_stolen_certificate_is_worth_nothing_without_its_secret) {
  hostile_peer honest = stranger();
  ASSERT_TRUE(honest.handshake({}));
  hostile_tls thief;
  thief.key = 5;
  thief.certificate = hostile_tls::shows::stolen;
  thief.stolen = honest.certificate_of_other();
  link_node victim{3};
  // To somebody who expects the node.
  hostile_listener trap;
  const connection_id id = victim.net->connect(trap.address(), channel::control, node_->id());
  hostile_peer disguised = trap.accept();
  (void)disguised.handshake(thief);
  const auto end = victim.heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_THAT(end->reason.message, HasSubstr("TLS"));
  // To somebody else's port, as if the node connected.
  hostile_peer caller{victim.address()};
  if (caller.handshake(thief)) {
    (void)caller.send(caller.hello_bytes({}));
  }
  EXPECT_TRUE(caller.waits_for_close());
  EXPECT_EQ(victim.heard.hellos(), 0U);
}

TEST_F(tls_hostile, random_bytes_and_other_protocols_are_closed) {
  std::mt19937_64 random{20'240'607};
  for (int round = 0; round < 40; ++round) {
    std::vector<std::byte> bytes(1 + random() % 4'000);
    std::generate(bytes.begin(), bytes.end(),
                  [&random] { return static_cast<std::byte>(random() & 0xffU); });
    if (round % 4 == 0) { // looks like a TLS record
      bytes.resize(std::max<std::size_t>(bytes.size(), 600));
      const std::array<unsigned char, 9> front{0x16, 0x03, 0x01, 0x02, 0x00,
                                               0x01, 0x00, 0x01, 0xfc};
      std::transform(front.begin(), front.end(), bytes.begin(),
                     [](unsigned char c) { return static_cast<std::byte>(c); });
    }
    hostile_peer peer = stranger();
    (void)peer.send_raw(bytes);
    if (round % 4 != 0 && bytes.size() < 5) {
      peer.reset(); // too short for TLS to object
      continue;
    }
    EXPECT_TRUE(peer.waits_for_close()) << round;
  }
  hostile_peer browser = stranger();
  const std::string request = "GET / HTTP/1.1\r\nHost: node\r\n\r\n";
  (void)browser.send_raw(std::as_bytes(std::span{request}));
  EXPECT_TRUE(browser.waits_for_close());
}

TEST_F(tls_hostile, recorded_bytes_of_a_connection_open_no_other) {
  hostile_peer honest = admitted();
  ASSERT_TRUE(honest.message(2, 4, *bytes_of(4)));
  ASSERT_TRUE(node_->heard.wait_received());
  const std::vector<std::byte> recorded = honest.sent();
  for (int i = 0; i < 3; ++i) {
    hostile_peer replayer = stranger();
    (void)replayer.send_raw(recorded);
    EXPECT_TRUE(replayer.waits_for_close());
  }
  EXPECT_EQ(node_->heard.connections(), 2U);
  EXPECT_EQ(node_->heard.messages(), 1U);
  // Nor does a record sent twice on the same connection.
  const std::size_t before = honest.sent().size();
  ASSERT_TRUE(honest.message(2, 4, *bytes_of(4)));
  const std::vector<std::byte> record{honest.sent().begin() + static_cast<std::ptrdiff_t>(before),
                                      honest.sent().end()};
  ASSERT_TRUE(node_->heard.wait_received(1));
  (void)honest.send_raw(record);
  EXPECT_EQ(end_of_last().code, errc::malformed);
  EXPECT_EQ(node_->heard.messages(), 2U);
}

// The hello

TEST_F(tls_hostile, hellos_that_do_not_follow_their_format_are_refused_with_the_reason) {
  const auto say = [this](std::vector<std::byte> bytes) {
    hostile_peer peer = stranger();
    hostile_tls tls;
    tls.key = 5;
    EXPECT_TRUE(peer.handshake(tls));
    (void)peer.send(bytes);
    const std::vector<std::byte> verdict = peer.receive(12);
    EXPECT_FALSE(verdict.empty());
    if (verdict.empty()) {
      return std::string{};
    }
    const auto size =
        std::to_integer<std::size_t>(verdict[8]) + (std::to_integer<std::size_t>(verdict[9]) << 8U);
    const std::vector<std::byte> text = peer.receive(size);
    EXPECT_TRUE(peer.waits_for_close());
    return std::string{reinterpret_cast<const char*>(text.data()), text.size()};
  };
  const std::vector<std::byte> good = stranger().hello_bytes({});
  std::vector<std::byte> bytes = *bytes_of(64);
  EXPECT_THAT(say(bytes), HasSubstr("does not begin with a hello"));
  bytes = good;
  bytes[6] = std::byte{0xff};
  bytes[7] = std::byte{0xff};
  EXPECT_THAT(say(bytes), HasSubstr("claims 65535 bytes"));
  bytes = good;
  bytes[8] = std::byte{9};
  EXPECT_THAT(say(bytes), HasSubstr("channel 9"));
  bytes = good;
  bytes[28] = std::byte{200}; // length of the cluster's name
  EXPECT_THAT(say(bytes), HasSubstr("length of its parts"));
  EXPECT_EQ(node_->heard.connections(), 1U);
}

TEST_F(tls_hostile, another_version_learns_which_side_is_older) {
  const std::string node = short_name(node_->id());
  const std::string peer_name = short_name(test::key_of(5).id());
  for (const std::uint16_t version : {std::uint16_t{0}, std::uint16_t{2}, std::uint16_t{65'535}}) {
    hostile_peer peer = stranger();
    hostile_tls tls;
    tls.key = 5;
    ASSERT_TRUE(peer.handshake(tls));
    hostile_hello hello;
    hello.version = version;
    const auto answer = peer.introduce(hello);
    ASSERT_TRUE(answer);
    EXPECT_THAT(*answer, HasSubstr("node " + (version < 1 ? peer_name : node) + " is older"));
  }
}

TEST_F(tls_hostile, a_token_moved_to_another_connection_or_node_is_not_bound) {
  const std::vector<std::byte> token = *bytes_of(100);
  hostile_hello hello;
  hello.token = token;
  hostile_peer first = admitted(hello, 5);
  EXPECT_TRUE(node_->heard.wait_hello(1)->token_bound);
  // The same node, token and signature on another connection.
  hello.binding = first.bind(token);
  hostile_peer second = admitted(hello, 5);
  EXPECT_FALSE(node_->heard.wait_hello(2)->token_bound);
  // Another node that overheard them.
  hostile_peer third = admitted(hello, 6);
  EXPECT_FALSE(node_->heard.wait_hello(3)->token_bound);
  EXPECT_EQ(node_->heard.wait_hello(3)->token, token);
}

// Time

TEST_F(tls_hostile, half_open_and_slow_strangers_are_closed_in_time) {
  begin(hurried_with_strangers());
  hostile_peer silent = stranger();
  hostile_peer after_tls = stranger();
  ASSERT_TRUE(after_tls.handshake({}));
  hostile_peer half_hello = stranger();
  hostile_tls tls;
  tls.key = 6;
  ASSERT_TRUE(half_hello.handshake(tls));
  const std::vector<std::byte> hello = half_hello.hello_bytes({});
  ASSERT_TRUE(half_hello.send(std::span{hello}.first(9)));
  hostile_peer trickle = stranger();
  const std::array<std::byte, 5> record{std::byte{0x16}, std::byte{3}, std::byte{1}, std::byte{1},
                                        std::byte{0}};
  ASSERT_TRUE(trickle.send_raw(record));
  bool open = true;
  for (int i = 0; i < 1'000 && open; ++i) { // a byte at a time, for longer than the deadline
    open = trickle.send_raw(std::span{record}.last(1)) && !trickle.waits_for_close(20ms);
  }
  EXPECT_FALSE(open);
  EXPECT_TRUE(silent.waits_for_close());
  EXPECT_TRUE(after_tls.waits_for_close());
  EXPECT_TRUE(half_hello.waits_for_close());
  EXPECT_EQ(node_->heard.connections(), 1U);
}

TEST_F(tls_hostile, a_listener_that_says_nothing_is_given_up_in_time) {
  begin(hurried_with_strangers());
  hostile_listener deaf; // the system accepts for it
  const connection_id id = node_->net->connect(deaf.address(), channel::data, friend_->id());
  const auto end = node_->heard.wait_closed_of(id);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->reason.code, errc::timed_out);
  EXPECT_EQ(end->peer.node, friend_->id());
  const connection_id tls_only = node_->net->connect(deaf.address(), channel::data, {});
  hostile_peer first = deaf.accept();
  hostile_peer second = deaf.accept();
  ASSERT_TRUE(second.handshake({.key = 7}));
  const auto later = node_->heard.wait_closed_of(tls_only);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->reason.code, errc::timed_out);
}

TEST_F(tls_hostile, a_message_that_begins_and_does_not_end_costs_its_link) {
  begin(hurried_with_messages());
  hostile_peer half_header = admitted({}, 5);
  const connection_id first = last_;
  ASSERT_TRUE(half_header.send(*bytes_of(3)));
  hostile_peer half_payload = admitted({}, 6);
  ASSERT_TRUE(half_payload.message(2, 1'000, *bytes_of(10)));
  EXPECT_EQ(end_of_last().code, errc::timed_out);
  last_ = first;
  const error end = end_of_last();
  EXPECT_EQ(end.code, errc::timed_out);
  EXPECT_THAT(end.message, HasSubstr("half sent"));
  EXPECT_TRUE(half_header.waits_for_close());
  EXPECT_TRUE(half_payload.waits_for_close());
}

TEST_F(tls_hostile, an_idle_link_is_left_alone) {
  begin(hurried_with_messages());
  hostile_peer idle = admitted();
  hostile_peer slow = admitted({}, 6);
  ASSERT_TRUE(slow.send(*bytes_of(3)));
  EXPECT_EQ(end_of_last().code, errc::timed_out); // so the deadline has passed
  ASSERT_TRUE(idle.message(2, 1, *bytes_of(1)));
  EXPECT_TRUE(node_->heard.wait_received());
}

TEST_F(tls_hostile, who_reads_nothing_while_much_is_sent_loses_its_own_link_only) {
  hostile_hello hello;
  hello.channel = 2;
  hostile_peer deaf = admitted(hello);
  const auto frame = bytes_of(32U << 20U);
  result<void> sent;
  for (int i = 0; i < 100 && sent; ++i) {
    sent = node_->net->send(last_, message_kind::tensor, 0, frame);
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, errc::busy);
  EXPECT_THAT(sent.error().message, HasSubstr("too slowly"));
  EXPECT_EQ(end_of_last().code, errc::busy);
  EXPECT_EQ(node_->net->send(last_, message_kind::tensor, 0, frame).error().code, errc::peer_lost);
}

TEST_F(tls_hostile, who_takes_no_byte_of_a_message_for_long_loses_its_own_link_only) {
  begin(hurried_with_messages());
  hostile_hello hello;
  hello.channel = 2;
  hostile_peer deaf = admitted(hello);
  ASSERT_TRUE(node_->net->send(last_, message_kind::tensor, 0, bytes_of(32U << 20U)));
  const error late = end_of_last();
  EXPECT_EQ(late.code, errc::timed_out);
  EXPECT_THAT(late.message, HasSubstr("took no byte"));
}

// Messages

TEST_F(tls_hostile, headers_that_are_none_close_the_link_before_anything_is_reserved) {
  struct attempt {
    std::uint16_t channel;
    std::uint16_t kind;
    std::uint32_t length;
    errc expected;
  };
  for (const attempt t :
       {attempt{1, 2, 0xffff'ffffU, errc::over_limit},
        attempt{1, 2, (8U << 20U) + 1, errc::over_limit}, attempt{1, 1, 10, errc::malformed},
        attempt{1, 0, 10, errc::malformed}, attempt{1, 4, 10, errc::malformed},
        attempt{1, 999, 10, errc::malformed}, attempt{1, 0xffff, 4'000, errc::over_limit},
        attempt{2, 2, 10, errc::malformed},
        attempt{2, 1, limits::frame_bytes_max + 1, errc::over_limit},
        attempt{3, 2, 10, errc::malformed}, attempt{3, 4, (2U << 20U) + 1, errc::over_limit}}) {
    hostile_hello hello;
    hello.channel = t.channel;
    hostile_peer peer = admitted(hello);
    ASSERT_TRUE(peer.message(t.kind, t.length, *bytes_of(10)));
    EXPECT_EQ(end_of_last().code, t.expected) << t.channel << ' ' << t.kind << ' ' << t.length;
    EXPECT_TRUE(peer.waits_for_close());
  }
  hostile_peer reserved = admitted();
  std::vector<std::byte> header(16);
  header[4] = std::byte{2};
  header[15] = std::byte{1};
  ASSERT_TRUE(reserved.send(header));
  EXPECT_EQ(end_of_last().code, errc::malformed);
  const std::vector<std::byte> goodbye = reserved.receive(16);
  ASSERT_EQ(goodbye.size(), 16U);
  EXPECT_EQ(goodbye[4], std::byte{0xff});
  EXPECT_EQ(goodbye[5], std::byte{0xff});
  const std::vector<std::byte> why = reserved.receive(std::to_integer<std::size_t>(goodbye[0]));
  EXPECT_THAT((std::string{reinterpret_cast<const char*>(why.data()), why.size()}),
              HasSubstr("reserved bytes"));
  hostile_peer noise = admitted();
  ASSERT_TRUE(noise.send(*bytes_of(5'000, 77)));
  EXPECT_EQ(reaction_to(end_of_last().code), reaction::refuse);
  hostile_peer broken = admitted();
  (void)broken.send_raw(*bytes_of(5'000, 77)); // not TLS any more
  EXPECT_EQ(end_of_last().code, errc::malformed);
  EXPECT_EQ(node_->heard.messages(), 0U);
}

/// Messages of one peer that nobody lets go.
class hoard {
public:
  void keep(received_bytes bytes) {
    {
      const std::lock_guard lock{mutex_};
      held_.push_back(std::move(bytes));
      charge_ += held_.back()->size() + limits::message_overhead_bytes;
    }
    changed_.notify_all();
  }
  /// Waits until another message of `bytes` bytes would pass the bound of a connection.
  [[nodiscard]] bool wait_full(std::size_t bytes) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 60s, [this, bytes] {
      return charge_ + bytes + limits::message_overhead_bytes > limits::data_receive_bytes_max;
    });
  }
  [[nodiscard]] std::size_t charge() const {
    const std::lock_guard lock{mutex_};
    return charge_;
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<received_bytes> held_;
  std::size_t charge_{0};
};

/// About 2 MiB of messages of `size` bytes for the data channel.
std::vector<std::byte> tensors_of(std::uint32_t size) {
  std::vector<std::byte> flood;
  while (flood.size() < 2U << 20U) {
    const std::array<std::uint32_t, 4> header{size, 1, 0, 0};
    const auto front = std::as_bytes(std::span{header});
    flood.insert(flood.end(), front.begin(), front.end());
    flood.resize(flood.size() + size);
  }
  return flood;
}

TEST_F(tls_hostile, a_flood_is_held_back_while_its_messages_are_held) {
  for (const std::uint32_t size : {1'000'000U, 1U}) {
    hoard held;
    node_->heard.on_message([&held](link_recorder::message m) { held.keep(std::move(m.bytes)); });
    hostile_hello hello;
    hello.channel = 2;
    hostile_peer peer = admitted(hello);
    const std::vector<std::byte> flood = tensors_of(size);
    constexpr int pieces = 40; // far more than the bound and what the system keeps
    std::atomic<int> taken{0};
    std::thread pump{[&peer, &flood, &taken] {
      while (taken < pieces && peer.send(flood)) {
        ++taken;
      }
    }};
    EXPECT_TRUE(held.wait_full(size));
    for (int i = 0; i < 100; ++i) {
      talk(); // which also gives the flood time to pass its bound
    }
    EXPECT_LE(held.charge(), limits::data_receive_bytes_max);
    EXPECT_LT(taken, pieces) << "the node takes what nobody has room for";
    node_->net->close(last_, {errc::cancelled, "enough"});
    (void)end_of_last();
    pump.join();
    EXPECT_LE(held.charge(), limits::data_receive_bytes_max);
    node_->heard.on_message({});
  }
}

// Numbers

TEST_F(tls_hostile, a_thousand_connections_do_not_disturb_those_that_are_there) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const rlimit before = files;
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4'096);
  setrlimit(RLIMIT_NOFILE, &files);
  std::vector<hostile_peer> crowd;
  for (int i = 0; i < 1'000; ++i) {
    crowd.push_back(stranger());
    if (i % 50 == 0) {
      talk();
    }
  }
  // The oldest had to leave for the others.
  const std::size_t too_many = crowd.size() - limits::pending_silent_max;
  std::size_t closed = 0;
  for (std::size_t i = 0; i < too_many; ++i) {
    closed += crowd[i].waits_for_close() ? 1 : 0;
  }
  EXPECT_EQ(closed, too_many);
  crowd.clear();
  // When they have gone, there is room again; a try that comes too early may be repeated.
  bool admitted_again = false;
  const auto until = std::chrono::steady_clock::now() + hostile_peer::default_deadline;
  while (!admitted_again && std::chrono::steady_clock::now() < until) {
    hostile_peer peer = stranger();
    admitted_again = peer.handshake({.key = 5}) && peer.introduce({}) == std::string{};
  }
  EXPECT_TRUE(admitted_again);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(tls_hostile, one_node_may_have_so_many_connections_and_no_more) {
  std::vector<hostile_peer> many;
  for (std::size_t i = 0; i < limits::connections_per_node_max; ++i) {
    many.push_back(admitted());
  }
  hostile_peer one_more = stranger();
  ASSERT_TRUE(one_more.handshake({.key = 5}));
  EXPECT_THAT(one_more.introduce({}).value_or(""), HasSubstr("as many as one node may have"));
  many.pop_back();
  (void)end_of_last();
  hostile_peer instead = admitted();
}

TEST_F(tls_hostile, without_descriptors_a_node_goes_on_and_accepts_again_later) {
  if (address_sanitized) {
    GTEST_SKIP() << "UBSan opens a pipe to look at an object's type";
  }
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  std::array<hostile_peer, 3> knocking;
  const rlimit none{3, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  for (hostile_peer& peer : knocking) {
    peer.connect(node_->address()); // the system lets it wait
  }
  for (int i = 0; i < 100; ++i) {
    talk();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  for (hostile_peer& peer : knocking) {
    ASSERT_TRUE(peer.handshake({.key = 6}));
    EXPECT_EQ(peer.introduce({}), std::string{});
  }
}

} // namespace
} // namespace ovir::actors
