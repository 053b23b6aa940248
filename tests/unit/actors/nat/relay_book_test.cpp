#include "actors/nat/relay_book.hpp"
#include "actors/nat/stream_flow.hpp"
#include "messages/limits/carriage.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::key_of;
using ::testing::ElementsAre;

/// A helper with guests, whose connections are numbered as their keys' seeds.
class helper_with_guests : public ::testing::Test {
protected:
  void enter(std::uint8_t seed, bool joins = true) {
    take(book_.connected(at(seed), key_of(seed).id(), seen(seed), now_));
    if (joins) {
      say(seed, helper_join{});
    }
  }
  void say(std::uint8_t from, const nat_message& m) { take(book_.received(at(from), m, now_)); }
  void take(const relay_book::effects& effects) {
    for (const helper_effect& e : effects) {
      if (e.say) {
        told_[e.to].push_back(*e.say);
      } else {
        out_.push_back(e.to);
        take(book_.closed(e.to, now_));
      }
    }
  }
  /// What was told to a guest last, if it is one of these.
  template <class M>
  std::optional<M> last(std::uint8_t to) {
    auto& all = told_[at(to)];
    if (all.empty() || !std::holds_alternative<M>(all.back())) {
      return std::nullopt;
    }
    return std::get<M>(all.back());
  }
  template <class M>
  std::size_t count(std::uint8_t to) {
    return static_cast<std::size_t>(
        std::count_if(told_[at(to)].begin(), told_[at(to)].end(),
                      [](const nat_message& m) { return std::holds_alternative<M>(m); }));
  }
  bool is_out(std::uint8_t seed) const {
    return std::find(out_.begin(), out_.end(), at(seed)) != out_.end();
  }
  static connection_id at(std::uint8_t seed) { return connection_id{seed}; }
  static std::string seen(std::uint8_t seed) {
    return "203.0.113." + std::to_string(seed) + ":40000";
  }
  /// From 1 to 2, taken; its number at 2.
  std::uint32_t open_stream(std::uint32_t number = 0, std::uint8_t from = 1, std::uint8_t to = 2) {
    say(from, stream_open{number, key_of(to).id(), session_});
    const auto offer = last<stream_open>(to);
    EXPECT_TRUE(offer && offer->node == key_of(from).id() && offer->session == session_);
    say(to, stream_taken{offer ? offer->stream : 1});
    EXPECT_TRUE(last<stream_taken>(from));
    return offer ? offer->stream : 1;
  }
  stream_count signed_count(std::uint8_t by, std::uint8_t sender, std::uint32_t stream,
                            std::uint64_t bytes) {
    const secret_key key = key_of(by);
    const counted_stream what{self_.id(), key_of(sender).id(), key.id(), session_, bytes};
    return {stream, bytes, key.sign(count_domain, count_statement(what))};
  }
  void send(std::uint8_t from, std::uint32_t stream, std::uint64_t bytes) {
    while (bytes > 0) {
      const auto piece = std::min<std::uint64_t>(bytes, limits::nat_stream_piece_bytes_max);
      say(from, stream_bytes{stream, std::vector<std::byte>(static_cast<std::size_t>(piece))});
      bytes -= piece;
    }
  }

  const secret_key self_ = key_of(100);
  relay_book book_{self_, true};
  relay_book::time_point now_{std::chrono::hours{1}};
  std::map<connection_id, std::vector<nat_message>> told_;
  std::vector<connection_id> out_;
  const std::array<std::uint8_t, 16> session_{5};
};

using relay_book_core = helper_with_guests;

TEST_F(relay_book_core, tells_each_guest_where_it_sees_it_and_signs_that) {
  enter(1, false);
  const auto word = last<address_seen>(1);
  ASSERT_TRUE(word);
  EXPECT_EQ(word->address, seen(1));
  EXPECT_TRUE(
      verify(self_.id(), seen_domain, seen_statement(key_of(1).id(), seen(1)), word->proof));
}

TEST_F(relay_book_core, tells_and_passes_on_the_udp_address_that_a_probe_showed) {
  const punch_token probe{3, 1};
  take(book_.connected(at(1), key_of(1).id(), seen(1), now_, probe));
  EXPECT_EQ(last<address_seen>(1)->probe, probe);
  enter(2);
  const std::string udp = "203.0.113.1:7300";
  take(book_.probed(probe, udp, now_));
  const auto word = last<address_seen>(1);
  ASSERT_TRUE(word && word->udp);
  EXPECT_EQ(word->address, udp);
  EXPECT_TRUE(
      verify(self_.id(), seen_udp_domain, seen_statement(key_of(1).id(), udp), word->proof));
  const std::size_t told = count<address_seen>(1);
  take(book_.probed(probe, udp, now_));
  EXPECT_EQ(count<address_seen>(1), told) << "the same is said once";

  say(1, meeting{7, key_of(2).id(), false, {}, {}, {"10.0.0.1:7300", udp}});
  EXPECT_EQ(last<meeting>(2)->udp, (std::vector<std::string>{udp, "10.0.0.1:7300"}));
}

// The sender of a datagram may name any host; that of a connection has shown where it is.
TEST_F(relay_book_core, believes_no_probe_from_a_host_other_than_the_connections) {
  const punch_token probe{3, 1};
  take(book_.connected(at(1), key_of(1).id(), seen(1), now_, probe));
  enter(2);
  const std::size_t told = count<address_seen>(1);
  take(book_.probed(probe, "198.51.100.66:53", now_));
  take(book_.probed(punch_token{9}, "203.0.113.1:7300", now_));
  take(book_.probed(punch_token{}, "203.0.113.2:7300", now_));
  EXPECT_EQ(count<address_seen>(1), told);
  EXPECT_EQ(count<address_seen>(2), 1U);
  say(1, meeting{7, key_of(2).id(), false, {}, {}, {"198.51.100.66:53"}});
  EXPECT_TRUE(last<meeting>(2)->udp.empty()) << "what is only claimed is not passed on";
  for (int port = 1; port < 1'000; ++port) {
    take(book_.probed(probe, "203.0.113.1:" + std::to_string(port), now_));
  }
  EXPECT_LE(count<address_seen>(1), told + limits::helper_asks_burst);
}

TEST_F(relay_book_core, knows_who_has_joined_and_what_they_said) {
  enter(1, false);
  enter(2);
  say(2, helper_join{true, {"198.51.100.2:7300"}});
  say(1, helper_ask{7, key_of(2).id()});
  EXPECT_EQ(last<helper_answer>(1), (helper_answer{7, true, true, true, {"198.51.100.2:7300"}}));
  say(2, helper_ask{8, key_of(1).id()});
  EXPECT_EQ(last<helper_answer>(2), (helper_answer{8, false, false, true, {}})) << "1 did not join";
  take(book_.closed(at(2), now_));
  say(1, helper_ask{9, key_of(2).id()});
  EXPECT_EQ(last<helper_answer>(1), (helper_answer{9, false, false, true, {}}));
}

TEST_F(relay_book_core, passes_a_meeting_on_with_the_address_it_sees_in_front) {
  enter(1, false);
  enter(2);
  say(1, meeting{7, key_of(2).id(), false, nat_mapping::independent, {"10.0.0.1:5", seen(1)}});
  EXPECT_EQ(last<meeting>(2),
            (meeting{7, key_of(1).id(), false, nat_mapping::independent, {seen(1), "10.0.0.1:5"}}));
  say(2, meeting{7, key_of(1).id(), true, nat_mapping::dependent, {}});
  EXPECT_EQ(last<meeting>(1),
            (meeting{7, key_of(2).id(), true, nat_mapping::dependent, {seen(2)}}));
}

TEST_F(relay_book_core, lets_no_third_node_answer_a_meeting_and_nobody_twice) {
  for (const std::uint8_t seed : {1, 2, 3}) {
    enter(seed);
  }
  say(1, meeting{7, key_of(2).id(), false, {}, {}});
  say(3, meeting{7, key_of(1).id(), true, {}, {}});
  say(2, meeting{8, key_of(1).id(), true, {}, {}});
  say(2, meeting{7, key_of(3).id(), true, {}, {}});
  EXPECT_EQ(count<meeting>(1), 0U);
  say(2, meeting{7, key_of(1).id(), true, {}, {}});
  say(2, meeting{7, key_of(1).id(), true, {}, {}});
  EXPECT_EQ(count<meeting>(1), 1U);
}

TEST_F(relay_book_core, passes_bytes_both_ways_and_counts_what_receivers_sign) {
  enter(1);
  enter(2);
  const std::uint32_t there = open_stream();
  EXPECT_EQ(there % 2, 1U);
  say(1, stream_bytes{0, {std::byte{1}, std::byte{2}}});
  EXPECT_EQ(last<stream_bytes>(2), (stream_bytes{there, {std::byte{1}, std::byte{2}}}));
  say(2, stream_bytes{there, {std::byte{3}}});
  EXPECT_EQ(last<stream_bytes>(1), (stream_bytes{0, {std::byte{3}}}));
  const stream_count counted = signed_count(2, 1, there, 2);
  say(2, counted);
  EXPECT_EQ(last<stream_count>(1), (stream_count{0, 2, counted.proof}));
  say(1, stream_end{0, stream_ending::closed});
  EXPECT_TRUE(last<stream_end>(2));
  const auto bills = book_.take_bills();
  ASSERT_EQ(bills.size(), 1U) << "what 1 received it did not count";
  EXPECT_EQ(bills[0].part, 0U);
  EXPECT_EQ(bills[0].what,
            (counted_stream{self_.id(), key_of(1).id(), key_of(2).id(), session_, 2}));
  EXPECT_TRUE(verify(key_of(2).id(), count_domain, count_statement(bills[0].what), bills[0].proof));
  EXPECT_TRUE(book_.take_bills().empty());
}

TEST_F(relay_book_core, bills_each_part_of_a_stream_once_and_at_the_end_the_rest) {
  enter(1);
  enter(2);
  const std::uint32_t there = open_stream();
  std::uint64_t total = 0;
  const auto pass = [&](std::uint64_t bytes) {
    told_.clear();
    now_ += 1s; // its rate allows for it
    send(1, 0, bytes);
    total += bytes;
    say(2, signed_count(2, 1, there, total));
    take(book_.tick(now_));
  };
  while (total < limits::relay_part_bytes - 1) {
    pass(std::min<std::uint64_t>(limits::relay_window_bytes, limits::relay_part_bytes - 1 - total));
  }
  EXPECT_TRUE(book_.take_bills().empty()) << "the part is not whole";
  pass(11);
  const auto whole = book_.take_bills();
  ASSERT_EQ(whole.size(), 1U);
  EXPECT_EQ(whole[0].part, 0U);
  EXPECT_EQ(whole[0].what.bytes, limits::relay_part_bytes + 10);
  pass(5);
  EXPECT_TRUE(book_.take_bills().empty());
  say(1, stream_end{0, stream_ending::closed});
  const auto rest = book_.take_bills();
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].part, 1U);
  EXPECT_EQ(rest[0].what.bytes, limits::relay_part_bytes + 15);
  EXPECT_TRUE(verify(key_of(2).id(), count_domain, count_statement(rest[0].what), rest[0].proof));
}

TEST_F(relay_book_core, puts_out_who_opens_a_stream_under_the_session_of_one_that_was_counted) {
  // The relay would not be paid for it: of one session each part is paid once.
  enter(1);
  enter(2);
  const std::uint32_t there = open_stream();
  send(1, 0, 100);
  say(2, signed_count(2, 1, there, 100));
  send(1, 0, 100);
  say(2, signed_count(2, 1, there, 200));
  EXPECT_FALSE(is_out(1));
  say(1, stream_end{0, stream_ending::closed});
  const std::uint32_t again = open_stream(2);
  send(1, 2, 50);
  EXPECT_FALSE(is_out(1));
  say(2, signed_count(2, 1, again, 50));
  EXPECT_TRUE(is_out(1));
  EXPECT_FALSE(is_out(2));
  EXPECT_EQ(book_.take_bills().size(), 1U);
}

TEST_F(relay_book_core, puts_out_who_sends_more_than_the_receiver_has_signed_for) {
  enter(1);
  enter(2);
  const std::uint32_t there = open_stream();
  send(1, 0, limits::relay_window_bytes);
  EXPECT_FALSE(is_out(1));
  say(2, signed_count(2, 1, there, 10));
  send(1, 0, 10);
  EXPECT_FALSE(is_out(1));
  send(1, 0, 1);
  EXPECT_TRUE(is_out(1));
  EXPECT_TRUE(last<stream_end>(2)) << "the other end hears of it";
  EXPECT_FALSE(is_out(2));
}

TEST_F(relay_book_core, puts_out_who_signs_for_bytes_that_did_not_come_or_for_others) {
  const std::vector<std::function<stream_count(std::uint32_t)>> wrong{
      [&](std::uint32_t s) { return signed_count(2, 1, s, 101); },
      [&](std::uint32_t s) { return signed_count(2, 1, s, 0); },
      [&](std::uint32_t s) { return signed_count(2, 3, s, 100); },
      [&](std::uint32_t s) {
        stream_count c = signed_count(3, 1, s, 100); // another key's
        return c;
      },
      [&](std::uint32_t s) {
        stream_count c = signed_count(2, 1, s, 99);
        c.bytes = 100;
        return c;
      }};
  std::uint32_t number = 0;
  for (const auto& count_of : wrong) {
    out_.clear();
    enter(1);
    enter(2);
    const std::uint32_t there = open_stream(number);
    number += 2;
    send(1, number - 2, 100);
    say(2, count_of(there));
    EXPECT_TRUE(is_out(2)) << number;
    EXPECT_EQ(count<stream_count>(1), 0U);
  }
  EXPECT_TRUE(book_.take_bills().empty());
}

TEST_F(relay_book_core, a_key_that_sends_faster_than_its_rate_waits_for_its_counts) {
  enter(1);
  enter(2);
  const std::uint32_t there = open_stream();
  std::uint64_t total = 0;
  std::size_t passed_at_once = 0;
  for (; passed_at_once < 100; ++passed_at_once) {
    send(1, 0, limits::relay_window_bytes);
    total += limits::relay_window_bytes;
    const std::size_t before = count<stream_count>(1);
    say(2, signed_count(2, 1, there, total));
    if (count<stream_count>(1) == before) {
      break; // the count is kept
    }
  }
  EXPECT_EQ(passed_at_once, limits::relay_key_bytes_burst / limits::relay_window_bytes);
  const auto one_window = std::chrono::nanoseconds{limits::relay_window_bytes * 1'000'000'000 /
                                                   limits::relay_key_bytes_per_second};
  const std::size_t told = count<stream_count>(1);
  now_ += one_window - 1ms;
  take(book_.tick(now_));
  EXPECT_EQ(count<stream_count>(1), told);
  now_ += 1ms;
  take(book_.tick(now_));
  EXPECT_EQ(count<stream_count>(1), told + 1);
}

TEST_F(relay_book_core, opens_so_many_streams_of_a_pair_and_a_key_and_no_more) {
  enter(1);
  for (std::uint8_t to = 2; to < 12; ++to) {
    enter(to);
  }
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < limits::relay_streams_of_pair_max; ++i, number += 2) {
    open_stream(number);
  }
  say(1, stream_open{number, key_of(2).id(), session_});
  EXPECT_EQ(last<stream_end>(1), (stream_end{number, stream_ending::full}));
  std::size_t opened = limits::relay_streams_of_pair_max;
  for (std::uint8_t to = 3; to < 12; ++to) {
    for (std::size_t i = 0; i < limits::relay_streams_of_pair_max; ++i) {
      number += 2;
      const std::size_t refused = count<stream_end>(1);
      say(1, stream_open{number, key_of(to).id(), session_});
      opened += count<stream_end>(1) == refused ? 1 : 0;
    }
  }
  EXPECT_EQ(opened, limits::relay_streams_by_key_max);
  EXPECT_EQ(book_.count().streams, limits::relay_streams_by_key_max);
  take(book_.closed(at(1), now_));
  EXPECT_EQ(book_.count().streams, 0U);
}

TEST_F(relay_book_core, passes_no_stream_without_the_role_except_its_own) {
  relay_book plain{self_, false};
  const connection_id own{900};
  (void)plain.connected(own, self_.id(), {}, now_);
  (void)plain.connected(at(1), key_of(1).id(), seen(1), now_);
  (void)plain.connected(at(2), key_of(2).id(), seen(2), now_);
  (void)plain.received(at(2), helper_join{}, now_);
  const auto refused = plain.received(at(1), stream_open{0, key_of(2).id(), session_}, now_);
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_TRUE(*refused[0].say == nat_message{(stream_end{0, stream_ending::refused})});
  const auto passed = plain.received(own, stream_open{0, key_of(2).id(), session_}, now_);
  ASSERT_EQ(passed.size(), 1U);
  EXPECT_EQ(passed[0].to, at(2));
}

TEST_F(relay_book_core, puts_out_who_speaks_out_of_turn) {
  enter(1);
  enter(2);
  say(1, stream_open{1, key_of(2).id(), session_});
  EXPECT_TRUE(is_out(1)) << "an odd number is the helper's";
  enter(1);
  out_.clear();
  say(1, stream_open{0, key_of(2).id(), session_});
  say(1, stream_bytes{0, {std::byte{1}}});
  EXPECT_TRUE(is_out(1)) << "the stream is not taken yet";
  enter(1);
  out_.clear();
  say(1, address_seen{seen(1), {}});
  EXPECT_TRUE(is_out(1));
  enter(1);
  out_.clear();
  say(1, helper_answer{});
  EXPECT_TRUE(is_out(1));
  enter(1);
  out_.clear();
  open_stream();
  say(1, stream_taken{0});
  EXPECT_TRUE(is_out(1)) << "it opened the stream itself";
  out_.clear();
  say(2, stream_bytes{77, {std::byte{1}}});
  say(2, stream_end{79, stream_ending::closed});
  say(2, signed_count(2, 1, 81, 5));
  EXPECT_FALSE(is_out(2)) << "of a stream that ended meanwhile";
}

TEST_F(relay_book_core, forgets_streams_that_are_not_taken_and_guests_that_are_idle) {
  enter(1, false);
  enter(2);
  say(1, stream_open{0, key_of(2).id(), session_});
  now_ += limits::relay_taken_wait;
  take(book_.tick(now_));
  EXPECT_EQ(last<stream_end>(1), (stream_end{0, stream_ending::absent}));
  now_ += limits::helper_idle_max;
  take(book_.tick(now_));
  EXPECT_TRUE(is_out(1));
  EXPECT_FALSE(is_out(2)) << "it can be met here";
}

TEST_F(relay_book_core, has_so_many_guests_and_answers_so_many_questions) {
  for (std::size_t i = 0; i < limits::helper_guests_per_key_max; ++i) {
    take(book_.connected(connection_id{1'000 + i}, key_of(1).id(), seen(1), now_));
  }
  EXPECT_TRUE(out_.empty());
  take(book_.connected(connection_id{2'000}, key_of(1).id(), seen(1), now_));
  EXPECT_THAT(out_, ElementsAre(connection_id{2'000}));
  enter(2);
  for (int i = 0; i < 1'000; ++i) {
    say(2, helper_ask{1, key_of(1).id()});
  }
  EXPECT_EQ(count<helper_answer>(2), limits::helper_asks_burst);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    take(book_.connected(connection_id{3'000 + i}, key_of(static_cast<std::uint8_t>(i % 200)).id(),
                         seen(3), now_));
  }
  EXPECT_EQ(book_.count().guests, limits::helper_guests_max);
}

TEST_F(relay_book_core, puts_out_who_is_a_member_no_longer_with_its_streams) {
  enter(1);
  enter(2);
  enter(3);
  open_stream();
  take(book_.keep([](const node_id& node) { return node != key_of(1).id(); }, now_));
  EXPECT_TRUE(is_out(1));
  EXPECT_TRUE(last<stream_end>(2));
  EXPECT_EQ(book_.count().guests, 2U);
  EXPECT_EQ(book_.count().streams, 0U);
}

TEST_F(relay_book_core, a_newer_connection_of_a_node_takes_the_place_of_the_older) {
  enter(1);
  enter(2);
  take(book_.connected(connection_id{500}, key_of(2).id(), seen(2), now_));
  take(book_.received(connection_id{500}, helper_join{}, now_));
  take(book_.closed(at(2), now_)); // late
  say(1, stream_open{0, key_of(2).id(), session_});
  EXPECT_TRUE(std::holds_alternative<stream_open>(told_[connection_id{500}].back()));
}

/// Whatever guests say, in whatever order: what one end gets is what the other sent, in order, and
/// nothing is left when all are gone.
TEST_F(relay_book_core, holds_its_promises_under_random_words) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 draws{seed};
    relay_book book{self_, true};
    std::set<connection_id> there;
    const auto take_all = [&](const relay_book::effects& effects) {
      for (const helper_effect& e : effects) {
        ASSERT_TRUE(there.contains(e.to) || !e.say) << "told to one that is gone";
        if (!e.say) {
          there.erase(e.to);
        } else {
          ASSERT_FALSE(encode(*e.say).empty());
        }
      }
    };
    auto now = relay_book::time_point{};
    for (int step = 0; step < 1'500; ++step) {
      const auto who = static_cast<std::uint8_t>(1 + draws() % 5);
      const connection_id c = at(who);
      const node_id other = key_of(static_cast<std::uint8_t>(1 + draws() % 5)).id();
      const std::uint32_t number = draws() % 6;
      now += std::chrono::milliseconds{draws() % 50};
      if (!there.contains(c)) {
        there.insert(c);
        take_all(book.connected(c, key_of(who).id(), seen(who), now));
        continue;
      }
      nat_message m;
      switch (draws() % 10) {
      case 0: m = helper_join{}; break;
      case 1: m = helper_ask{draws() % 4, other}; break;
      case 2: m = meeting{draws() % 4, other, draws() % 2 == 0, {}, {}}; break;
      case 3: m = stream_open{number, other, session_}; break;
      case 4: m = stream_taken{number}; break;
      case 5:
      case 6: m = stream_bytes{number, std::vector<std::byte>(1 + draws() % 1'000)}; break;
      case 7: m = stream_count{number, draws() % 2'000, {}}; break;
      case 8: m = stream_end{number, stream_ending::closed}; break;
      default:
        there.erase(c);
        take_all(book.closed(c, now));
        continue;
      }
      take_all(book.received(c, m, now));
      take_all(book.tick(now));
    }
    for (const connection_id c : std::set<connection_id>{there}) {
      there.erase(c);
      take_all(book.closed(c, now));
    }
    EXPECT_EQ(book.count().guests, 0U);
    EXPECT_EQ(book.count().held, 0U);
    EXPECT_EQ(book.count().streams, 0U);
  }
}

} // namespace
} // namespace ovir::actors
