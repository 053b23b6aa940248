#include "bench/netdelay/link_shaper.hpp"

#include <gtest/gtest.h>

#include <random>

namespace ovir::netdelay {
namespace {

using namespace std::chrono_literals;

constexpr chance middle{0.5, 0.5}; // no loss below a half, the mean delay
constexpr instant begin{1h};

/// 1,000 bytes take a millisecond.
link_settings with_rate(std::uint64_t buffer_bytes) {
  link_settings settings;
  settings.rate = 8'000'000;
  settings.buffer_bytes = buffer_bytes;
  return settings;
}

TEST(link_shaper, delivers_at_once_where_nothing_is_set) {
  link_shaper shaper{{}};
  const passage p = shaper.send(1'500, begin, middle);
  EXPECT_EQ(p.what, fate::arrives);
  EXPECT_EQ(p.at, begin);
}

TEST(link_shaper, delivers_after_exactly_the_delay) {
  link_settings settings;
  settings.delay = 10ms;
  link_shaper shaper{settings};
  EXPECT_EQ(shaper.send(100, begin, middle).at, begin + 10ms);
  EXPECT_EQ(shaper.send(100, begin + 1us, middle).at, begin + 10ms + 1us);
}

TEST(link_shaper, spreads_jitter_evenly_around_the_delay) {
  link_settings settings;
  settings.delay = 10ms;
  settings.jitter = 4ms;
  EXPECT_EQ(link_shaper{settings}.send(100, begin, {0.5, 0}).at, begin + 6ms);
  EXPECT_EQ(link_shaper{settings}.send(100, begin, {0.5, 0.25}).at, begin + 8ms);
  EXPECT_EQ(link_shaper{settings}.send(100, begin, {0.5, 0.5}).at, begin + 10ms);
  EXPECT_EQ(link_shaper{settings}.send(100, begin, {0.5, 0.75}).at, begin + 12ms);
}

TEST(link_shaper, lets_no_packet_overtake_another) {
  link_settings settings;
  settings.delay = 10ms;
  settings.jitter = 10ms;
  link_shaper shaper{settings};
  EXPECT_EQ(shaper.send(100, begin, {0.5, 0.75}).at, begin + 15ms);
  EXPECT_EQ(shaper.send(100, begin + 1ms, {0.5, 0}).at, begin + 15ms);
  EXPECT_EQ(shaper.send(100, begin + 16ms, {0.5, 0}).at, begin + 16ms);
}

TEST(link_shaper, keeps_order_and_bounds_for_any_chance) {
  link_settings settings;
  settings.delay = 5ms;
  settings.jitter = 3ms;
  link_shaper shaper{settings};
  std::mt19937_64 random{7};
  std::uniform_real_distribution<double> uniform{0, 1};
  instant last{};
  for (int i = 0; i < 10'000; ++i) {
    const instant now = begin + i * 100us;
    const passage p = shaper.send(100, now, {uniform(random), uniform(random)});
    ASSERT_EQ(p.what, fate::arrives);
    ASSERT_GE(p.at, last);
    ASSERT_GE(p.at, now + 2ms);
    ASSERT_LE(p.at, now + 8ms);
    last = p.at;
  }
}

TEST(link_shaper, loses_the_share_that_chance_says) {
  link_settings settings;
  settings.loss = 0.25;
  link_shaper shaper{settings};
  EXPECT_EQ(shaper.send(100, begin, {0.2499, 0.5}).what, fate::lost);
  EXPECT_EQ(shaper.send(100, begin, {0.25, 0.5}).what, fate::arrives);
}

TEST(link_shaper, loses_everything_or_nothing_at_the_ends) {
  link_settings all;
  all.loss = 1;
  EXPECT_EQ(link_shaper{all}.send(100, begin, {0.999999, 0.5}).what, fate::lost);
  EXPECT_EQ(link_shaper{{}}.send(100, begin, {0, 0.5}).what, fate::arrives);
}

TEST(link_shaper, sends_packets_one_after_another_at_its_rate) {
  link_settings settings = with_rate(10'000);
  settings.delay = 20ms;
  link_shaper shaper{settings};
  EXPECT_EQ(shaper.send(1'000, begin, middle).at, begin + 21ms);
  EXPECT_EQ(shaper.send(500, begin, middle).at, begin + 21ms + 500us);
  EXPECT_EQ(shaper.send(1'000, begin + 200us, middle).at, begin + 22ms + 500us);
}

TEST(link_shaper, saves_no_time_for_later_while_it_is_idle) {
  link_shaper shaper{with_rate(10'000)};
  EXPECT_EQ(shaper.send(1'000, begin, middle).at, begin + 1ms);
  EXPECT_EQ(shaper.send(1'000, begin + 1s, middle).at, begin + 1s + 1ms);
  EXPECT_EQ(shaper.send(1'000, begin + 1s, middle).at, begin + 1s + 2ms);
}

TEST(link_shaper, drops_what_finds_the_buffer_full) {
  link_shaper shaper{with_rate(3'000)};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(shaper.send(1'000, begin, middle).what, fate::arrives);
  }
  EXPECT_EQ(shaper.send(1'000, begin, middle).what, fate::no_room);
  // A packet that was dropped takes no time, and its place is free when one has left.
  EXPECT_EQ(shaper.send(1'000, begin + 1ms - 1us, middle).what, fate::no_room);
  EXPECT_EQ(shaper.send(1'000, begin + 1ms, middle).at, begin + 4ms);
  EXPECT_EQ(shaper.send(1, begin + 1ms, middle).what, fate::no_room);
}

TEST(link_shaper, spends_time_of_the_rate_on_lost_packets) {
  link_settings settings = with_rate(10'000);
  settings.loss = 0.5;
  link_shaper shaper{settings};
  EXPECT_EQ(shaper.send(1'000, begin, {0, 0.5}).what, fate::lost);
  EXPECT_EQ(shaper.send(1'000, begin, {0.9, 0.5}).at, begin + 2ms);
}

TEST(link_shaper, is_never_faster_than_its_rate) {
  link_settings settings;
  settings.rate = 3'000'000'000; // a byte takes 2.67 ns
  link_shaper shaper{settings};
  instant last{};
  for (int i = 0; i < 1'000; ++i) {
    last = shaper.send(100, begin, middle).at;
  }
  EXPECT_GE(last - begin, 266'666ns);
  EXPECT_LE(last - begin, 266'667ns + 1'000ns);
}

TEST(link_shaper, counts_the_largest_buffer_at_the_lowest_rate_without_overflow) {
  link_settings settings;
  settings.rate = rate_min;
  settings.buffer_bytes = buffer_bytes_max;
  link_shaper shaper{settings};
  EXPECT_EQ(shaper.send(1'000, begin, middle).at, begin + 1s);
  EXPECT_EQ(shaper.send(1'000, begin, middle).at, begin + 2s);
}

} // namespace
} // namespace ovir::netdelay
