#include "actors/audit/audit_queue.hpp"
#include "actors/audit/audit_senders.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
namespace bound = limits;

constexpr audit_queue::time_point queue_start{1'000s};

node_id node(std::uint8_t number) {
  node_id id;
  id.key[0] = number;
  return id;
}

waiting_receipt receipt_of(std::uint8_t from, std::size_t bytes = 100) {
  return {node(from), std::make_shared<const std::vector<std::byte>>(bytes), false};
}
waiting_question question_of(std::uint8_t from) {
  waiting_question q{node(from), {}};
  q.what.task.tokens.resize(25);
  return q;
}

/// Whose turn it is; 0: no sender's.
std::uint8_t turn(audit_queue& queue, audit_queue::time_point now = queue_start) {
  const auto next = queue.next(now);
  return next ? std::visit([](const auto& one) { return one.from.key[0]; }, *next) : 0;
}

TEST(audit_queue, who_sends_much_makes_nobody_else_wait) {
  audit_queue queue;
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(queue.push(receipt_of(1), queue_start));
  }
  EXPECT_TRUE(queue.push(receipt_of(2), queue_start));
  EXPECT_TRUE(queue.push(receipt_of(3), queue_start));
  EXPECT_EQ(turn(queue), 1);
  EXPECT_EQ(turn(queue), 2);
  EXPECT_EQ(turn(queue), 3);
  EXPECT_EQ(turn(queue), 1);
  EXPECT_EQ(queue.size(), 48U);
}

TEST(audit_queue, questions_come_first_and_take_turns_as_well) {
  audit_queue queue;
  EXPECT_TRUE(queue.push(receipt_of(1), queue_start));
  EXPECT_TRUE(queue.push(question_of(2), queue_start));
  EXPECT_TRUE(queue.push(question_of(2), queue_start));
  EXPECT_TRUE(queue.push(question_of(3), queue_start));
  EXPECT_EQ(turn(queue), 2);
  EXPECT_EQ(turn(queue), 3);
  EXPECT_EQ(turn(queue), 2);
  EXPECT_EQ(turn(queue), 1);
  EXPECT_EQ(turn(queue), 0);
  EXPECT_EQ(queue.bytes(), 0U);
}

TEST(audit_queue, a_sender_has_so_many_and_so_many_bytes_waiting) {
  audit_queue queue;
  for (std::size_t i = 0; i < bound::audit_sender_receipts_max; ++i) {
    EXPECT_TRUE(queue.push(receipt_of(1), queue_start));
  }
  EXPECT_FALSE(queue.push(receipt_of(1), queue_start));
  for (std::size_t i = 0; i < bound::audit_sender_questions_max; ++i) {
    EXPECT_TRUE(queue.push(question_of(1), queue_start));
  }
  EXPECT_FALSE(queue.push(question_of(1), queue_start));
  const std::size_t quarter = bound::audit_sender_bytes_max / 4;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(queue.push(receipt_of(2, quarter), queue_start));
  }
  EXPECT_FALSE(queue.push(receipt_of(2, 1), queue_start));
  EXPECT_TRUE(queue.push(receipt_of(3), queue_start)) << "another has its own";
  EXPECT_EQ(queue.refused(), 3U);
}

TEST(audit_queue, all_of_it_is_bounded_and_who_has_most_gives_way) {
  audit_queue queue;
  const std::size_t mib = std::size_t{1} << 20U;
  for (std::uint8_t from = 1; from <= 4; ++from) {
    for (int i = 0; i < 16; ++i) {
      EXPECT_TRUE(queue.push(receipt_of(from, mib), queue_start));
    }
  }
  ASSERT_EQ(queue.bytes(), bound::audit_waiting_bytes_max);
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(queue.push(receipt_of(5, mib), queue_start)) << i;
  }
  EXPECT_EQ(queue.bytes(), bound::audit_waiting_bytes_max);
  EXPECT_EQ(queue.refused(), 12U) << "what the others lost";
  EXPECT_FALSE(queue.push(receipt_of(5, 4 * mib), queue_start)) << "all have about the same";
}

TEST(audit_queue, a_sender_waits_until_its_positions_are_made_up_for) {
  audit_queue queue;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(queue.push(receipt_of(1), queue_start));
  }
  EXPECT_EQ(turn(queue), 1);
  // One that is longer than all it has is audited, too: length is no way out.
  queue.charge(node(1), bound::audit_positions_burst + bound::audit_positions_per_minute,
               queue_start);
  EXPECT_EQ(turn(queue), 0);
  EXPECT_FALSE(queue.ready(queue_start + 59s));
  EXPECT_TRUE(queue.push(receipt_of(2), queue_start));
  EXPECT_EQ(turn(queue), 2) << "others do not wait for it";
  EXPECT_TRUE(queue.ready(queue_start + 61s));
  EXPECT_EQ(turn(queue, queue_start + 61s), 1);
  queue.charge(node(1), ~std::uint64_t{0}, queue_start + 61s);
  EXPECT_FALSE(queue.ready(queue_start + 24h));
  EXPECT_TRUE(queue.ready(queue_start + 24h * 365));
}

TEST(audit_queue, more_senders_than_it_remembers_are_refused_while_each_waits) {
  audit_queue queue;
  for (std::size_t i = 0; i <= bound::audit_senders_max; ++i) {
    waiting_receipt r = receipt_of(static_cast<std::uint8_t>(i));
    r.from.key[1] = static_cast<std::uint8_t>(i >> 8U);
    r.from.key[2] = 1;
    EXPECT_EQ(queue.push(std::move(r), queue_start), i < bound::audit_senders_max) << i;
  }
  EXPECT_TRUE(queue.next(queue_start));
}

TEST(audit_senders, one_that_says_too_much_of_no_use_is_not_listened_to_for_a_while) {
  audit_senders senders;
  for (std::uint32_t i = 0; i < bound::audit_useless_max; ++i) {
    EXPECT_FALSE(senders.blame(node(1), queue_start));
  }
  EXPECT_TRUE(senders.listens_to(node(1), queue_start));
  EXPECT_TRUE(senders.blame(node(1), queue_start));
  EXPECT_FALSE(senders.listens_to(node(1), queue_start));
  EXPECT_TRUE(senders.listens_to(node(2), queue_start));
  EXPECT_TRUE(senders.listens_to(node(1), queue_start + bound::audit_mute));
  EXPECT_EQ(senders.useless(), bound::audit_useless_max + 1);
}

TEST(audit_senders, news_are_taken_by_their_size) {
  audit_senders senders;
  const std::size_t large = (bound::audit_news_max / 2) * bound::audit_news_unit_bytes - 1;
  EXPECT_TRUE(senders.takes(node(1), large, queue_start));
  EXPECT_TRUE(senders.takes(node(1), large, queue_start));
  EXPECT_FALSE(senders.takes(node(1), 1, queue_start));
  EXPECT_TRUE(senders.takes(node(2), 1, queue_start));
  EXPECT_TRUE(senders.takes(node(1), 1, queue_start + 1s));
}

} // namespace
} // namespace ovir::actors
