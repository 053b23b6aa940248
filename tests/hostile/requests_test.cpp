// Members of the cluster that speak for requests of others, or drive their own as no lead would.
#include "tests/hostile/hostile_orders.hpp"

#include <algorithm>

namespace ovir::test {
namespace {

using namespace actors;

class hostile_party_to : public hostile_orders {};

TEST_F(hostile_party_to, speaks_for_requests_of_others) {
  std::vector<hostile_member> workers;
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    workers.push_back(member(node, attacker::worker));
  }
  const std::size_t until = honest_->answered() + 10;
  while (honest_->answered() < until && honest_->complaint().empty()) {
    const request_id request = honest_->current();
    for (hostile_member& w : workers) {
      for (const layer_index stage : {0U, 4U}) {
        for (const wire_message& message : every_kind(request, stage)) {
          ASSERT_TRUE(w.wire(message)) << "what a role does not allow is dropped, and no more";
        }
        for (const frame_kind kind : {frame_kind::tokens, frame_kind::boundary, frame_kind::logits,
                                      frame_kind::choice, frame_kind::hidden}) {
          for (std::uint32_t driver = 0; driver < 4; ++driver) {
            ASSERT_TRUE(w.frame(frame_of(request, kind, 1, driver), stage));
            ASSERT_TRUE(w.frame(frame_of(request, kind, 1, driver), frame_to_lead));
          }
        }
      }
    }
  }
  expect_service();
}

TEST_F(hostile_party_to, drives_requests_of_others) {
  std::vector<hostile_member> drivers;
  for (const std::size_t node : {front, back}) {
    drivers.push_back(member(node, attacker::scheduler));
  }
  const std::size_t until = honest_->answered() + 10;
  while (honest_->answered() < until && honest_->complaint().empty()) {
    const request_id request = honest_->current();
    for (std::size_t i = 0; i < drivers.size(); ++i) {
      const layer_index stage = i == 0 ? 0 : 4;
      for (wire_message& message : every_kind(request, stage)) {
        message.driver = epoch{0}; // of an earlier lead
        ASSERT_TRUE(drivers[i].wire(message));
      }
      // Of the one that drives, but for an order that could begin it before its lead does.
      for (const wire_message& message : every_kind(request, stage)) {
        if (!std::holds_alternative<wire_open>(message.body)) {
          ASSERT_TRUE(drivers[i].wire(message));
        }
      }
      for (const frame_kind kind : {frame_kind::tokens, frame_kind::boundary}) {
        ASSERT_TRUE(drivers[i].frame(frame_of(request, kind, 1, 1, 5), stage));
      }
    }
  }
  expect_service();
}

TEST_F(hostile_party_to, a_request_that_another_scheduler_drives) {
  hostile_member driver = member(front, attacker::scheduler);
  hostile_member rival = member(front, attacker::rival);
  const request_id request = next_request();
  ASSERT_EQ(open(driver, open_of(request, {0, 4}, 64, epoch{5})), std::nullopt);
  for (const std::uint32_t life : {0U, 4U, 5U}) {
    EXPECT_EQ(open(rival, open_of(request, {0, 4}, 64, epoch{life})), errc::superseded) << life;
    for (wire_message& message : every_kind(request, 0)) {
      message.driver = epoch{life};
      if (!std::holds_alternative<wire_open>(message.body)) {
        ASSERT_TRUE(rival.wire(message));
      }
    }
    ASSERT_TRUE(rival.frame(frame_of(request, frame_kind::tokens, 2, 5), 0));
  }
  EXPECT_EQ(open(rival, open_of(request, {0, 4}, 64, epoch{5})), errc::superseded)
      << "and it was heard after all before it";
  ASSERT_TRUE(driver.frame(frame_of(request, frame_kind::tokens, 4, 5), 0));
  const auto answer = hear_of(driver, request, epoch{5});
  ASSERT_TRUE(answer);
  const auto* const step = std::get_if<step_done>(&answer->body);
  ASSERT_NE(step, nullptr);
  EXPECT_EQ(step->length, 4U);
  expect_service();
}

TEST_F(hostile_party_to, leaves_a_request_behind_in_a_life_that_nobody_reaches) {
  hostile_member rival = member(front, attacker::rival);
  const request_id request = next_request();
  {
    hostile_member driver = member(front, attacker::scheduler);
    ASSERT_EQ(open(driver, open_of(request, {0, 4}, 64, epoch{0xFFFF'FFFF})), std::nullopt);
    EXPECT_EQ(open(rival, open_of(request, {0, 4}, 64)), errc::superseded);
  }
  // Refused until the node has noticed that the driver is gone.
  std::optional<errc> refused = errc::superseded;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (refused == errc::superseded && std::chrono::steady_clock::now() < until) {
    refused = open(rival, open_of(request, {0, 4}, 64));
  }
  EXPECT_EQ(refused, std::nullopt);
  expect_service();
}

TEST_F(hostile_party_to, feeds_its_own_stage_with_anything) {
  hostile_member driver = member(front, attacker::scheduler);
  hostile_member tail = member(back, attacker::scheduler);
  for (int round = 0; round < 30; ++round) {
    const request_id request = next_request();
    ASSERT_TRUE(driver.wire(open_of(request, {0, 4}, 64)));
    ASSERT_TRUE(tail.wire(open_of(request, {4, 8}, 64)));
    for (const position first : {0U, 60U, 1U << 19U}) {
      ASSERT_TRUE(driver.frame(frame_of(request, frame_kind::tokens, 4, 1, first), 0));
      ASSERT_TRUE(tail.frame(frame_of(request, frame_kind::boundary, 4, 1, first), 4));
      ASSERT_TRUE(tail.frame(frame_of(request, frame_kind::boundary, 500, 1, first), 4));
    }
    for (hostile_member* m : {&driver, &tail}) {
      const layer_index stage = m == &driver ? 0 : 4;
      ASSERT_TRUE(m->wire({request, epoch{1}, stage, replay_boundaries{0, 1U << 19U, 1}}));
      ASSERT_TRUE(m->wire({request, epoch{1}, stage, replay_boundaries{1U << 19U, 3, 3}}));
      ASSERT_TRUE(m->wire({request, epoch{1}, stage, resend_logits{1U << 19U}}));
      ASSERT_TRUE(m->wire({request, epoch{1}, stage, finish_session{}}));
      ASSERT_TRUE(m->wire({request, epoch{1}, stage, close_session{}}));
    }
  }
  expect_service();
}

// The frames of a request of its own: in every order, twice, of an earlier life, after its end.
TEST_F(hostile_party_to, replays_and_reorders_frames) {
  hostile_member driver = member(front, attacker::scheduler);
  for (int round = 0; round < 10; ++round) {
    const request_id request = next_request();
    std::vector<std::vector<std::byte>> frames;
    for (const position first : {0U, 4U, 8U, 12U}) {
      frames.push_back(frame_of(request, frame_kind::tokens, 4, 1, first));
    }
    for (std::uint32_t life = 1; life <= 3; ++life) {
      ASSERT_EQ(open(driver, open_of(request, {0, 4}, 64, epoch{life})), std::nullopt);
      std::shuffle(frames.begin(), frames.end(), random_);
      for (const auto& frame : frames) {
        ASSERT_TRUE(driver.frame(frame, 0));
        ASSERT_TRUE(driver.frame(frame, 0));
      }
    }
    ASSERT_TRUE(driver.wire(open_of(request, {0, 4}, 64, epoch{1}))) << "an earlier life's order";
    ASSERT_TRUE(driver.wire({request, epoch{3}, 0, close_session{}}));
    for (const auto& frame : frames) {
      ASSERT_TRUE(driver.frame(frame, 0));
    }
  }
  expect_step(driver);
  expect_service();
}

// Records of TLS, on connections that were let in: each costs its own connection.
TEST_F(hostile_party_to, replays_and_reorders_records_at_every_port) {
  const std::string ask = R"({"id":1,"command":"nodes"})";
  const auto text = std::as_bytes(std::span{ask});
  const auto size = static_cast<std::uint32_t>(ask.size());
  const auto ping = encode_gossip({actors::ping{1}, {}});
  const auto tensor = frame_of(next_request(), frame_kind::tokens, 1);
  const std::array<std::vector<std::byte>, 3> messages{
      hostile_peer::message_bytes(3, static_cast<std::uint32_t>(ping.size()), ping),
      hostile_peer::message_bytes(1, static_cast<std::uint32_t>(tensor.size()), tensor),
      hostile_peer::message_bytes(4, size, text)};
  for (const bool twice : {true, false}) {
    std::vector<hostile_peer> links = everywhere(); // control, data and admin of each node
    for (std::size_t i = 0; i < links.size(); ++i) {
      const auto first = links[i].sealed(messages.at(i % 3));
      const auto second = links[i].sealed(messages.at(i % 3));
      (void)links[i].send_raw(twice ? first : second);
      (void)links[i].send_raw(first);
      EXPECT_TRUE(links[i].waits_for_close()) << i << (twice ? ", twice" : ", reordered");
    }
  }
  expect_service();
}

// Closed and opened again while a step of it is computed.
TEST_F(hostile_party_to, opens_and_closes_one_request_over_and_over) {
  hostile_member driver = member(front, attacker::scheduler);
  const request_id request = next_request();
  const std::vector<std::byte> frame = frame_of(request, frame_kind::tokens, 200);
  for (int round = 0; round < 200; ++round) {
    ASSERT_TRUE(driver.wire(open_of(request, {0, 4}, 256)));
    ASSERT_TRUE(driver.frame(frame, 0));
    ASSERT_TRUE(driver.wire({request, epoch{1}, 0, close_session{}}));
    ASSERT_TRUE(driver.wire(open_of(request, {0, 4}, 256)));
    ASSERT_TRUE(driver.frame(frame, 0));
  }
  ASSERT_TRUE(driver.wire({request, epoch{1}, 0, close_session{}}));
  expect_step(driver);
  expect_service();
}

} // namespace
} // namespace ovir::test
