#include "actors/nat/address_rules.hpp"
#include "actors/nat/hole_punch.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::key_of;

constexpr hole_punch::time_point start{std::chrono::hours{1}};
constexpr punch_token the_token{1, 2, 3};

TEST(punch_datagram, comes_back_as_it_was_and_is_nothing_else) {
  for (const punch_kind kind : {punch_kind::probe, punch_kind::knock}) {
    const punch_datagram what{kind, the_token};
    auto bytes = encode(what);
    ASSERT_EQ(bytes.size(), limits::punch_datagram_bytes);
    EXPECT_EQ(std::to_integer<unsigned>(bytes.front()) & 0xc0U, 0U) << "QUIC would take it";
    EXPECT_EQ(decode_punch_datagram(bytes), what);
    EXPECT_FALSE(decode_punch_datagram(std::span{bytes}.first(bytes.size() - 1)));
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_punch_datagram(bytes));
    bytes.pop_back();
    for (std::size_t i = 0; i < 4; ++i) {
      auto other = bytes;
      other[i] ^= std::byte{1};
      EXPECT_FALSE(decode_punch_datagram(other)) << i;
    }
    bytes[4] = std::byte{3};
    EXPECT_FALSE(decode_punch_datagram(bytes));
  }
}

TEST(hole_punch, both_ends_and_no_other_pair_have_the_token) {
  const node_id a = key_of(1).id();
  const node_id b = key_of(2).id();
  EXPECT_EQ(token_of_meeting(7, a, b), token_of_meeting(7, a, b));
  EXPECT_NE(token_of_meeting(7, a, b), token_of_meeting(8, a, b));
  EXPECT_NE(token_of_meeting(7, a, b), token_of_meeting(7, b, a));
}

TEST(hole_punch, knocks_where_it_was_told_to_and_so_often_at_most) {
  hole_punch h{the_token, {"203.0.113.1:7300", "203.0.113.1:7300", "10.0.0.2:7300"}};
  EXPECT_EQ(h.tick(start), (std::vector<std::string>{"203.0.113.1:7300", "10.0.0.2:7300"}));
  EXPECT_TRUE(h.tick(start + 99ms).empty());
  EXPECT_EQ(h.tick(start + 100ms).size(), 2U);
  std::size_t sent = 4;
  for (int i = 2; i < 1'000; ++i) {
    sent += h.tick(start + i * 100ms).size();
  }
  EXPECT_EQ(sent, limits::punch_datagrams_max);
}

TEST(hole_punch, what_is_heard_makes_it_knock_at_no_other_host_and_not_more_often) {
  hole_punch h{the_token, {"203.0.113.1:7300"}};
  (void)h.tick(start);
  EXPECT_FALSE(h.heard("198.51.100.9:53", the_token).counts) << "a host that was not named";
  EXPECT_FALSE(h.heard("203.0.113.1:7300", punch_token{9}).counts) << "another meeting";
  std::size_t answers = 0;
  for (int port = 1; port < 5'000; ++port) {
    answers += h.heard(fmt::format("203.0.113.1:{}", port), the_token).answer ? 1 : 0;
  }
  EXPECT_EQ(answers, limits::punch_addresses_max - 1);
  std::set<std::string> where;
  for (int i = 1; i < 1'000; ++i) {
    for (const std::string& one : h.tick(start + i * 100ms)) {
      where.insert(host_of(one));
    }
  }
  EXPECT_EQ(where, (std::set<std::string>{"203.0.113.1"}));
  EXPECT_EQ(h.sent(), limits::punch_datagrams_max);
}

TEST(hole_punch, a_named_address_that_is_heard_is_not_answered_once_more) {
  hole_punch h{the_token, {"203.0.113.1:7300"}};
  const auto heard = h.heard("203.0.113.1:7300", the_token);
  EXPECT_TRUE(heard.counts);
  EXPECT_FALSE(heard.answer);
}

/// A router by RFC 4787: how it maps the one port behind it, and whom it lets in.
enum class nat_kind { full, restricted, port, symmetric };

struct model_router {
  nat_kind kind;
  std::string host;
  int next_port{20'000};
  std::map<std::string, std::string> outside{}; ///< by where it goes, or one for all
  std::set<std::string> spoken{};               ///< hosts and addresses that were sent to

  /// Where a datagram to `to` comes from, seen from outside.
  std::string pass_out(const std::string& to) {
    spoken.insert(to);
    spoken.insert(host_of(to));
    std::string& port = outside[kind == nat_kind::symmetric ? to : ""];
    if (port.empty()) {
      port = fmt::format("{}:{}", host, next_port++);
    }
    return port;
  }
  [[nodiscard]] bool lets_in(const std::string& from, const std::string& at) const {
    for (const auto& [to, port] : outside) {
      if (port == at) {
        switch (kind) {
        case nat_kind::full: return true;
        case nat_kind::restricted: return spoken.contains(host_of(from));
        case nat_kind::port: return spoken.contains(from);
        case nat_kind::symmetric: return to == from;
        }
      }
    }
    return false;
  }
};

struct model_end {
  model_router router;
  hole_punch punch;
  std::optional<std::string> open{}; ///< where the other end was heard from
};

/// Whether the end that asks hears the other, and what it then sends arrives.
bool they_meet(nat_kind asks, nat_kind answers) {
  model_router r1{asks, "203.0.113.11"};
  model_router r2{answers, "203.0.113.12"};
  const std::string helper = "198.51.100.1:7300";
  const std::string seen1 = r1.pass_out(helper);
  const std::string seen2 = r2.pass_out(helper);
  std::array<model_end, 2> ends{model_end{r1, hole_punch{the_token, {seen2}}},
                                model_end{r2, hole_punch{the_token, {seen1}}}};
  struct datagram {
    std::size_t to;
    std::string from;
    std::string at;
  };
  std::vector<datagram> way;
  const auto send = [&](std::size_t by, const std::string& to) {
    way.push_back({1 - by, ends[by].router.pass_out(to), to});
  };
  for (auto now = start; now < start + limits::meet_dial_wait; now += limits::punch_every) {
    for (std::size_t by : {std::size_t{1}, std::size_t{0}}) { // who answers begins first
      for (const std::string& to : ends[by].punch.tick(now)) {
        send(by, to);
      }
    }
    while (!way.empty()) {
      const datagram d = way.front();
      way.erase(way.begin());
      model_end& end = ends[d.to];
      if (!end.router.lets_in(d.from, d.at)) {
        continue;
      }
      const auto heard = end.punch.heard(d.from, the_token);
      if (heard.counts && !end.open) {
        end.open = d.from;
      }
      if (heard.answer) {
        send(d.to, d.from);
      }
    }
    if (ends[0].open) {
      const std::string from = ends[0].router.pass_out(*ends[0].open);
      return ends[1].router.lets_in(from, *ends[0].open);
    }
  }
  return false;
}

TEST(hole_punch, opens_the_way_between_all_routers_where_theory_allows) {
  using enum nat_kind;
  for (const nat_kind a : {full, restricted, port, symmetric}) {
    for (const nat_kind b : {full, restricted, port, symmetric}) {
      const bool never =
          (a == symmetric && (b == symmetric || b == port)) || (b == symmetric && a == port);
      EXPECT_EQ(they_meet(a, b), !never) << static_cast<int>(a) << ", " << static_cast<int>(b);
    }
  }
}

} // namespace
} // namespace ovir::actors
