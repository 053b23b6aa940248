#include "bench/netdelay/link_settings.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

namespace ovir::netdelay {
namespace {

using namespace std::chrono_literals;

std::string refusal_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return {};
}

TEST(link_settings, reads_times) {
  EXPECT_EQ(parse_duration("0"), 0ns);
  EXPECT_EQ(parse_duration("10ms"), 10ms);
  EXPECT_EQ(parse_duration("250us"), 250us);
  EXPECT_EQ(parse_duration("0.5ms"), 500us);
  EXPECT_EQ(parse_duration("60s"), 60s);
  for (const char* text :
       {"", "10", "ms", "-1ms", "+1ms", "1 ms", "1e3ms", "61s", "nanms", "1min"}) {
    EXPECT_THROW(static_cast<void>(parse_duration(text)), std::invalid_argument) << text;
  }
}

TEST(link_settings, reads_shares) {
  EXPECT_DOUBLE_EQ(parse_share("0.1%"), 0.001);
  EXPECT_DOUBLE_EQ(parse_share("100%"), 1);
  EXPECT_DOUBLE_EQ(parse_share("0"), 0);
  for (const char* text : {"", "%", "0.001", "101%", "-1%", "1%%"}) {
    EXPECT_THROW(static_cast<void>(parse_share(text)), std::invalid_argument) << text;
  }
}

TEST(link_settings, reads_rates_and_sizes) {
  EXPECT_EQ(parse_rate("64kbit"), 64'000U);
  EXPECT_EQ(parse_rate("100mbit"), 100'000'000U);
  EXPECT_EQ(parse_rate("2.5gbit"), 2'500'000'000U);
  EXPECT_EQ(parse_bytes("65536"), 65'536U);
  EXPECT_EQ(parse_bytes("256KiB"), 262'144U);
  EXPECT_EQ(parse_bytes("64MiB"), buffer_bytes_max);
  for (const char* text : {"100", "0mbit", "7kbit", "101gbit", "mbit", "100Mbit"}) {
    EXPECT_THROW(static_cast<void>(parse_rate(text)), std::invalid_argument) << text;
  }
  for (const char* text : {"0", "1499", "1kb", "65MiB"}) {
    EXPECT_THROW(static_cast<void>(parse_bytes(text)), std::invalid_argument) << text;
  }
}

TEST(link_settings, reads_pairs_and_keeps_what_they_do_not_say) {
  link_settings others;
  others.delay = 1ms;
  others.loss = 0.5;
  const pair_settings plain = parse_pair("1,3=200ms", 3, others);
  EXPECT_EQ(plain.first, 1U);
  EXPECT_EQ(plain.second, 3U);
  EXPECT_EQ(plain.link.delay, 200ms);
  EXPECT_EQ(plain.link.loss, 0.5);
  const pair_settings full =
      parse_pair("2,1=20ms,jitter=5ms,loss=1%,rate=10mbit,buffer=1MiB", 3, others);
  EXPECT_EQ(full.link, (link_settings{20ms, 5ms, 0.01, 10'000'000, 1024 * 1024}));
}

TEST(link_settings, refuses_pairs_that_are_none) {
  for (const char* text : {"", "1,3", "1=2ms", "1,3=", "0,1=1ms", "1,4=1ms", "2,2=1ms", "1,2,3=1ms",
                           "1,3=1ms,colour=red", "1,3=1ms,jitter=2ms", "1,3=1ms,rate"}) {
    EXPECT_NE(refusal_of([&] { static_cast<void>(parse_pair(text, 3, {})); }), "") << text;
  }
}

TEST(link_settings, refuses_what_exceeds_the_memory_of_a_link) {
  link_settings settings;
  settings.delay = 1s;
  settings.rate = 1'000'000'000;
  EXPECT_EQ(refusal_of([&] { check_settings(settings); }), ""); // 125 million bytes
  settings.rate = 2'000'000'000;
  EXPECT_EQ(refusal_of([&] { check_settings(settings); }),
            "a link of this rate and delay holds 239 MiB, more than 128 MiB; lower one of them");
}

} // namespace
} // namespace ovir::netdelay
