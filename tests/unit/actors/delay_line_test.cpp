#include "actors/link/delay_line.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<const std::vector<std::byte>> bytes_of(std::size_t size) {
  return std::make_shared<const std::vector<std::byte>>(size);
}

// Notes what is sent, and when the last of `wanted` messages came.
class noting_network final : public network {
public:
  connection_id connect(const std::string&, channel, const node_id&) override {
    return connection_id{7};
  }
  result<void> send(connection_id, message_kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>>) override {
    const std::lock_guard lock{guard};
    targets.push_back(target);
    if (targets.size() == wanted) {
      done.set_value(std::chrono::steady_clock::now());
    }
    return {};
  }
  void close(connection_id connection, error) override { closed = connection; }

  std::mutex guard;
  std::vector<std::uint32_t> targets;
  std::size_t wanted{0};
  std::promise<std::chrono::steady_clock::time_point> done;
  connection_id closed{};
};

TEST(delay_line, passes_everything_on_at_once_without_a_delay) {
  noting_network net;
  delay_line line{net};
  EXPECT_EQ(line.connect("a:1", channel::data, {}), connection_id{7});
  EXPECT_TRUE(line.send(connection_id{1}, message_kind::wire, 3, bytes_of(1)));
  EXPECT_EQ(net.targets, std::vector<std::uint32_t>{3});
}

TEST(delay_line, holds_back_in_order_even_while_the_delay_shrinks) {
  noting_network net;
  net.wanted = 3;
  delay_line line{net};
  const auto begun = std::chrono::steady_clock::now();
  line.set_delay(30ms);
  EXPECT_TRUE(line.send(connection_id{1}, message_kind::wire, 0, bytes_of(1)));
  line.set_delay(1ms);
  EXPECT_TRUE(line.send(connection_id{1}, message_kind::tensor, 1, bytes_of(1)));
  line.set_delay(0ms);
  EXPECT_TRUE(line.send(connection_id{1}, message_kind::gossip, 2, bytes_of(1)));
  EXPECT_GE(net.done.get_future().get() - begun, 30ms);
  EXPECT_EQ(net.targets, (std::vector<std::uint32_t>{0, 1, 2}));
}

TEST(delay_line, lets_shells_through) {
  noting_network net;
  delay_line line{net};
  line.set_delay(limits::chaos_delay_max);
  EXPECT_TRUE(line.send(connection_id{1}, message_kind::reply, 9, bytes_of(1)));
  EXPECT_EQ(net.targets, std::vector<std::uint32_t>{9});
}

TEST(delay_line, holds_a_bounded_number_of_bytes) {
  noting_network net;
  delay_line line{net};
  line.set_delay(limits::chaos_delay_max);
  const auto large = bytes_of(limits::data_send_bytes_max / 2);
  EXPECT_TRUE(line.send(connection_id{1}, message_kind::tensor, 0, large));
  const auto refused = line.send(connection_id{5}, message_kind::tensor, 1, large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::busy);
  EXPECT_EQ(net.closed, connection_id{5});
}

} // namespace
} // namespace ovir::actors
