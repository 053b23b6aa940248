#include "actors/operator/command_turns.hpp"
#include "messages/limits/shells.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

struct commands {
  command_turns turns;

  void add(std::uint64_t connection, const std::string& text) {
    std::vector<std::byte> bytes;
    for (const char c : text) {
      bytes.push_back(static_cast<std::byte>(c));
    }
    command_turns::command next;
    next.peer.connection = connection_id{connection};
    next.bytes = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    turns.add(std::move(next));
  }
  /// All that waits, in the order in which it is answered.
  std::string taken() {
    std::string all;
    while (const auto next = turns.take()) {
      for (const std::byte b : *next->bytes) {
        all.push_back(static_cast<char>(b));
      }
    }
    return all;
  }
};

TEST(command_turns, keep_the_order_of_one_connection) {
  commands c;
  EXPECT_EQ(c.taken(), "");
  for (const char* const text : {"1", "2", "3"}) {
    c.add(7, text);
  }
  EXPECT_EQ(c.taken(), "123");
  EXPECT_EQ(c.taken(), "");
}

TEST(command_turns, give_each_connection_one_command_in_turn) {
  commands c;
  for (const char* const text : {"a", "b", "c", "d"}) {
    c.add(1, text);
  }
  c.add(2, "x");
  c.add(3, "1");
  c.add(3, "2");
  EXPECT_EQ(c.taken(), "ax1b2cd");
}

TEST(command_turns, let_one_that_comes_late_wait_for_one_command_of_each) {
  commands c;
  for (int i = 0; i < 100; ++i) {
    c.add(1, "a");
    c.add(2, "b");
  }
  c.add(3, "x");
  EXPECT_EQ(c.taken().find('x'), 2U);
}

TEST(command_turns, let_small_commands_pass_a_huge_one) {
  commands c;
  c.add(1, std::string(3 * limits::admin_turn_bytes, '-'));
  c.add(1, "b");
  for (const char* const text : {"u", "v", "w", "x", "y"}) {
    c.add(2, text);
  }
  std::string order;
  for (const char one : c.taken()) {
    if (order.empty() || order.back() != one) {
      order.push_back(one);
    }
  }
  EXPECT_EQ(order, "uv-wbxy") << "its third turn is large enough";
}

TEST(command_turns, drop_what_a_connection_that_ended_asked_for) {
  commands c;
  c.add(1, "a");
  c.add(2, "x");
  c.add(1, "b");
  c.turns.forget(connection_id{1});
  c.turns.forget(connection_id{9});
  c.add(1, "c");
  EXPECT_EQ(c.taken(), "xc");
}

TEST(command_turns, hold_the_bytes_until_they_are_taken) {
  commands c;
  const auto bytes = std::make_shared<const std::vector<std::byte>>(8);
  c.turns.add({{connection_id{1}, {}, channel::admin, {}, {}, true}, bytes});
  EXPECT_EQ(bytes.use_count(), 2) << "a receive budget counts them";
  c.turns.forget(connection_id{1});
  EXPECT_EQ(bytes.use_count(), 1);
}

} // namespace
} // namespace ovir::actors
