#include "bench/netdelay/packet_queue.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ovir::netdelay {
namespace {

using namespace std::chrono_literals;

std::vector<std::byte> packet_of(std::size_t bytes, int value) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(value));
}

TEST(packet_queue, gives_packets_in_their_order) {
  packet_queue queue{10'000};
  EXPECT_FALSE(queue.next_due());
  EXPECT_TRUE(queue.push(instant{1ms}, packet_of(100, 1)));
  EXPECT_TRUE(queue.push(instant{2ms}, packet_of(50, 2)));
  EXPECT_EQ(queue.next_due(), instant{1ms});
  EXPECT_EQ(queue.front().size(), 100U);
  queue.pop();
  EXPECT_EQ(queue.next_due(), instant{2ms});
  EXPECT_EQ(queue.front()[49], std::byte{2});
  queue.pop();
  EXPECT_FALSE(queue.next_due());
  EXPECT_EQ(queue.bytes(), 0U);
}

TEST(packet_queue, refuses_what_exceeds_its_bytes_and_counts_overhead) {
  packet_queue queue{2 * (100 + packet_overhead_bytes)};
  EXPECT_TRUE(queue.push(instant{1ms}, packet_of(100, 1)));
  EXPECT_FALSE(queue.push(instant{1ms}, packet_of(101, 1)));
  EXPECT_TRUE(queue.push(instant{1ms}, packet_of(100, 1)));
  EXPECT_FALSE(queue.push(instant{1ms}, packet_of(0, 1)));
  queue.pop();
  EXPECT_TRUE(queue.push(instant{1ms}, packet_of(100, 1)));
}

} // namespace
} // namespace ovir::netdelay
