#include "actors/nat/way_search.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::key_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr way_search::time_point begun{};
const error lost{errc::peer_lost, "refused"};

/// "dial", "ask 2", "open 3", "dial 1.2.3.4:5": what a search wants, helpers by their seeds.
std::vector<std::string> words(const way_search::steps& steps) {
  std::vector<std::string> all;
  for (const way_step& s : steps) {
    std::string helper;
    for (std::uint8_t seed = 1; seed < 20; ++seed) {
      helper = s.helper == key_of(seed).id() ? " " + std::to_string(seed) : helper;
    }
    using action = way_step::action;
    switch (s.what) {
    case action::dial: all.push_back(s.address.empty() ? "dial" : "dial " + s.address); break;
    case action::drop_dial: all.emplace_back("drop"); break;
    case action::ask: all.push_back("ask" + helper); break;
    case action::meet: all.push_back("meet" + helper); break;
    case action::open: all.push_back("open" + helper); break;
    case action::fail: all.push_back("fail: " + s.reason.message); break;
    }
  }
  return all;
}

way_search::settings with_helpers(std::vector<std::uint8_t> seeds) {
  way_search::settings how;
  for (const std::uint8_t seed : seeds) {
    how.helpers.push_back(key_of(seed).id());
  }
  return how;
}

helper_answer holds(bool relays, std::vector<std::string> addresses = {}, bool reachable = false) {
  return {0, true, reachable, relays, std::move(addresses)};
}

TEST(way_search, asks_nobody_when_the_direct_way_fails_and_there_is_nobody) {
  way_search search{with_helpers({})};
  EXPECT_THAT(words(search.begin(begun)), ElementsAre("dial"));
  EXPECT_THAT(words(search.tick(begun + 10s)), IsEmpty()) << "the dial has its own deadline";
  EXPECT_THAT(words(search.dial_failed(lost, begun + 10s)), ElementsAre("fail: refused"));
  EXPECT_TRUE(search.is_over());
}

TEST(way_search, asks_helpers_when_the_direct_way_takes_long) {
  way_search search{with_helpers({2, 3})};
  (void)search.begin(begun);
  EXPECT_THAT(words(search.tick(begun + limits::direct_head_start - 1ms)), IsEmpty());
  EXPECT_THAT(words(search.tick(begun + limits::direct_head_start)), ElementsAre("ask 2", "ask 3"));
  EXPECT_THAT(words(search.answered(key_of(2).id(), holds(true), begun + 400ms)),
              ElementsAre("drop", "meet 2"));
  EXPECT_THAT(words(search.way_failed(lost, begun + 500ms)), ElementsAre("open 2"));
  EXPECT_EQ(search.way(), (known_way{way_kind::relayed, key_of(2).id()}));
  EXPECT_THAT(words(search.way_failed(lost, begun + 600ms)), ElementsAre("fail: refused"));
}

TEST(way_search, lets_a_dial_go_on_to_a_node_that_is_reachable_or_known_to_none) {
  way_search search{with_helpers({2, 3})};
  (void)search.begin(begun);
  (void)search.tick(begun + 300ms);
  EXPECT_THAT(words(search.answered(key_of(2).id(), holds(true, {}, true), begun + 350ms)),
              IsEmpty());
  EXPECT_THAT(words(search.dial_failed(lost, begun + 3s)), ElementsAre("meet 2"));

  way_search other{with_helpers({2})};
  (void)other.begin(begun);
  (void)other.tick(begun + 300ms);
  EXPECT_THAT(words(other.answered(key_of(2).id(), {}, begun + 350ms)), IsEmpty());
  EXPECT_THAT(words(other.tick(begun + 1h)), IsEmpty());
  EXPECT_THAT(words(other.dial_failed(lost, begun + 3s)), ElementsAre("fail: refused"));
}

TEST(way_search, tries_mapped_addresses_then_a_meeting_then_each_relay) {
  way_search search{with_helpers({2, 3})};
  (void)search.begin(begun);
  EXPECT_THAT(words(search.dial_failed(lost, begun)), ElementsAre("ask 2", "ask 3"));
  EXPECT_THAT(words(search.answered(key_of(2).id(),
                                    holds(false, {"203.0.113.7:1", "203.0.113.7:2"}), begun)),
              IsEmpty())
      << "another may relay";
  EXPECT_THAT(words(search.answered(key_of(3).id(), holds(true, {"203.0.113.7:1"}), begun)),
              ElementsAre("dial 203.0.113.7:1"));
  EXPECT_THAT(words(search.dial_failed(lost, begun)), ElementsAre("dial 203.0.113.7:2"));
  EXPECT_THAT(words(search.tick(begun + limits::told_address_wait)), ElementsAre("drop", "meet 2"));
  EXPECT_EQ(search.way(), (known_way{way_kind::met, key_of(2).id()}));
  EXPECT_THAT(words(search.way_failed(lost, begun)), ElementsAre("open 3"));
  EXPECT_THAT(words(search.way_failed(lost, begun)), ElementsAre("fail: refused"));
}

TEST(way_search, waits_for_no_helper_longer_than_it_may) {
  way_search search{with_helpers({2, 3})};
  (void)search.begin(begun);
  (void)search.dial_failed(lost, begun);
  (void)search.answered(key_of(2).id(), holds(false), begun);
  EXPECT_THAT(words(search.tick(begun + limits::helper_ask_wait - 1ms)), IsEmpty());
  EXPECT_THAT(words(search.tick(begun + limits::helper_ask_wait)), ElementsAre("meet 2"));
  EXPECT_THAT(words(search.answered(key_of(3).id(), holds(true), begun + 2s)), IsEmpty()) << "late";
  EXPECT_THAT(
      words(search.tick(begun + limits::helper_ask_wait + limits::meeting_wait +
                        limits::meet_dial_wait)),
      ElementsAre("fail: the way by helper " + short_name(key_of(2).id()) + " took too long"));
}

TEST(way_search, believes_no_answer_that_was_not_asked_for) {
  way_search search{with_helpers({2})};
  (void)search.begin(begun);
  EXPECT_THAT(words(search.answered(key_of(2).id(), holds(true), begun)), IsEmpty()) << "too soon";
  (void)search.tick(begun + 300ms);
  EXPECT_THAT(words(search.answered(key_of(9).id(), holds(true), begun + 301ms)), IsEmpty());
  EXPECT_THAT(words(search.answered(key_of(2).id(), {}, begun + 302ms)), IsEmpty());
  EXPECT_THAT(words(search.answered(key_of(2).id(), holds(true), begun + 303ms)), IsEmpty())
      << "a second time";
}

TEST(way_search, goes_on_without_a_helper_that_is_lost) {
  way_search search{with_helpers({2, 3})};
  (void)search.begin(begun);
  (void)search.dial_failed(lost, begun);
  EXPECT_THAT(words(search.helper_lost(key_of(2).id(), begun)), IsEmpty());
  EXPECT_THAT(words(search.answered(key_of(3).id(), holds(true), begun)), ElementsAre("meet 3"));
  EXPECT_THAT(words(search.helper_lost(key_of(2).id(), begun)), IsEmpty()) << "not of this meeting";
  EXPECT_THAT(words(search.helper_lost(key_of(3).id(), begun)), ElementsAre("open 3"));
}

TEST(way_search, takes_the_way_that_worked_before_and_begins_anew_when_it_does_not) {
  way_search::settings how = with_helpers({2});
  how.known = known_way{way_kind::relayed, key_of(3).id()};
  way_search search{how};
  EXPECT_THAT(words(search.begin(begun)), ElementsAre("open 3"));
  EXPECT_THAT(words(search.way_failed(lost, begun + 1s)), ElementsAre("dial"));
  EXPECT_THAT(words(search.tick(begun + 1s + limits::direct_head_start)), ElementsAre("ask 2"));

  how.known = known_way{way_kind::met, key_of(3).id()};
  way_search met{how};
  EXPECT_THAT(words(met.begin(begun)), ElementsAre("meet 3"));
}

TEST(way_search, gives_an_admission_the_time_it_may_take) {
  way_search search{with_helpers({2})};
  (void)search.begin(begun);
  (void)search.dial_failed(lost, begun);
  (void)search.answered(key_of(2).id(), holds(true), begun);
  (void)search.way_failed(lost, begun); // the meeting
  search.carried(begun + 1s);
  EXPECT_THAT(words(search.tick(begun + 1s + limits::relay_admission_wait - 1ms)), IsEmpty());
  EXPECT_FALSE(words(search.tick(begun + 1s + limits::relay_admission_wait)).empty());
}

/// Whatever happens, a search ends within a stated time, and wants one thing at a time.
TEST(way_search, ends_under_random_events) {
  for (std::uint32_t seed = 1; seed <= 2'000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 draws{seed};
    way_search::settings how = with_helpers({2, 3, 4});
    how.helpers.resize(draws() % 4);
    how.meets = draws() % 2 == 0;
    if (draws() % 4 == 0) {
      how.known = known_way{draws() % 2 == 0 ? way_kind::met : way_kind::relayed, key_of(2).id()};
    }
    way_search search{how};
    auto now = begun;
    bool dialling = false;
    std::size_t ways = 0;
    const auto look = [&](const way_search::steps& steps) {
      for (const way_step& s : steps) {
        using action = way_step::action;
        if (s.what == action::dial) {
          ASSERT_FALSE(dialling);
          dialling = true;
        } else if (s.what == action::drop_dial) {
          ASSERT_TRUE(dialling);
          dialling = false;
        } else if (s.what == action::meet || s.what == action::open) {
          ASSERT_FALSE(dialling);
          ++ways;
        }
      }
    };
    look(search.begin(now));
    auto dial_ends = now + limits::connect_deadline;
    while (!search.is_over()) {
      ASSERT_LT(now, begun + 60s);
      now += std::chrono::milliseconds{draws() % 200};
      const node_id helper = key_of(static_cast<std::uint8_t>(2 + draws() % 4)).id();
      switch (draws() % 6) {
      case 0: {
        helper_answer a{0, draws() % 2 == 0, draws() % 3 == 0, draws() % 2 == 0, {}};
        if (draws() % 2 == 0) {
          a.addresses.emplace_back("203.0.113.7:1");
        }
        look(search.answered(helper, a, now));
        break;
      }
      case 1: look(search.helper_lost(helper, now)); break;
      case 2: look(search.way_failed(lost, now)); break;
      default: look(search.tick(now)); break;
      }
      if (dialling && now >= dial_ends) {
        dialling = false;
        look(search.dial_failed(lost, now));
        dial_ends = now + limits::connect_deadline;
      }
    }
    EXPECT_LE(ways, 6U);
  }
}

} // namespace
} // namespace ovir::actors
