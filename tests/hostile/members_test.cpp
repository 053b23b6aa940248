// Members of the cluster that were let in and do as much of what their role allows as they can, or
// say what is no message.
#include "messages/limits/general.hpp"
#include "messages/sanitized.hpp"
#include "tests/hostile/hostile_orders.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>

namespace ovir::test {
namespace {

using namespace actors;

class hostile_member_of : public hostile_orders {
protected:
  static constexpr std::uint32_t context = 512;
};

// At every port, on every channel.
TEST_F(hostile_member_of, the_cluster_claims_huge_lengths_and_sends_what_is_no_header) {
  for (const std::uint32_t length : {0xffff'ffffU, 0x7fff'ffffU, (64U << 20U) + 1}) {
    for (const std::uint16_t kind : std::array<std::uint16_t, 6>{1, 2, 3, 4, 5, 0xffff}) {
      for (hostile_peer& liar : everywhere()) {
        (void)liar.message(kind, length, noise(1'000));
        EXPECT_TRUE(liar.waits_for_close()) << kind << ' ' << length;
      }
    }
  }
  for (int round = 0; round < 5; ++round) {
    for (hostile_peer& liar : everywhere()) {
      (void)liar.send(noise(5'000));
      EXPECT_TRUE(liar.waits_for_close()) << "random bytes after the hello";
    }
    for (hostile_peer& liar : everywhere()) {
      (void)liar.send_raw(noise(5'000));
      EXPECT_TRUE(liar.waits_for_close()) << "random bytes instead of TLS";
    }
  }
  expect_service();
}

TEST_F(hostile_member_of, the_cluster_leaves_messages_half_sent) {
  std::vector<hostile_peer> slow = everywhere();
  std::vector<hostile_member> wide; // of sizes that are allowed, and do not come
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    wide.push_back(member(node, attacker::scheduler));
    (void)wide.back().data.message(1, limits::frame_bytes_max, noise(100));
    (void)wide.back().control.message(2, limits::wire_bytes_max, noise(100));
  }
  for (std::size_t i = 0; i < slow.size(); ++i) {
    const std::uint16_t kind = std::array<std::uint16_t, 3>{3, 1, 4}.at(i % 3);
    const auto bytes = hostile_peer::message_bytes(kind, 1'000, noise(10));
    (void)slow[i].send(std::span{bytes}.first(i < 3 ? 9 : bytes.size()));
  }
  expect_service(6);
  for (std::size_t i = 0; i < slow.size(); ++i) {
    EXPECT_TRUE(slow[i].waits_for_close()) << i;
  }
}

TEST_F(hostile_member_of, the_cluster_sends_noise_and_damaged_messages) {
  const std::vector<std::byte> gossip =
      encode_gossip({summary{true, {{id_of(9), 1, true}, {id_of(10), 2, false}}},
                     {sign_suspicion(attacker_key(attacker::worker), id_of(9), 1),
                      sign_farewell(attacker_key(attacker::worker), 3)}});
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    for (int round = 0; round < 40; ++round) {
      hostile_member liar = member(node, round % 2 == 0 ? attacker::worker : attacker::scheduler);
      for (const wire_message& message : every_kind(honest_->current(), node == back ? 4 : 0)) {
        if (!liar.wire(damaged(encode_wire(message)))) {
          break;
        }
      }
      for (const frame_kind kind : {frame_kind::tokens, frame_kind::boundary, frame_kind::logits,
                                    frame_kind::choice, frame_kind::hidden}) {
        const auto bytes = frame_of(honest_->current(), kind, 3);
        (void)liar.frame(round % 3 == 0 ? noise(200) : damaged(bytes),
                         round % 3 == 1 ? frame_to_lead : static_cast<std::uint32_t>(round % 8));
      }
      (void)liar.gossip(round % 3 == 0 ? noise(300) : damaged(gossip));
    }
  }
  expect_service();
}

TEST_F(hostile_member_of, the_cluster_floods_it_with_stages) {
  hostile_member driver = member(front, attacker::scheduler);
  std::vector<request_id> mine;
  const auto close_all = [&](epoch of) {
    for (const request_id request : std::exchange(mine, {})) {
      ASSERT_TRUE(driver.wire({request, of, 0, close_session{}}));
    }
    // A place is free when its stage has ended, and not yet when it was told to.
    EXPECT_TRUE(cluster_->wait_until([&] {
      const request_id one = next_request();
      const bool free = open(driver, open_of(one, {0, 4}, context)) != errc::busy;
      return driver.wire({one, epoch{1}, 0, close_session{}}) && free;
    }));
  };
  // Schedulers adopt what the nodes keep for a driver that is no member, and sanitizers are slow.
  const auto [prompt, tokens] =
      address_sanitized ? std::pair{8U, 8U} : std::pair{context - 1, 1'000U};
  // More than there are places, each with a log to keep; then more than there is memory.
  for (const auto& [count, positions] : {std::pair{900U, 1U}, std::pair{100U, context}}) {
    std::size_t busy = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      mine.push_back(next_request());
      wire_message order = open_of(mine.back(), {0, 4}, positions);
      std::get<wire_open>(order.body).log = log_of(mine.back(), prompt, tokens);
      busy += open(driver, order) == errc::busy ? 1 : 0;
    }
    EXPECT_GT(busy, 0U) << positions;
    EXPECT_LT(busy, count) << positions;
    expect_service();
    close_all(epoch{1});
  }
  // Small promises first, which grow.
  std::size_t busy = 0;
  for (int i = 0; i < 100; ++i) {
    mine.push_back(next_request());
    EXPECT_EQ(open(driver, open_of(mine.back(), {0, 4}, 1)), std::nullopt);
    busy += open(driver, open_of(mine.back(), {0, 4}, context, epoch{2})) == errc::busy ? 1 : 0;
  }
  EXPECT_GT(busy, 0U);
  expect_service();
  close_all(epoch{2});
  expect_step(driver);
}

TEST_F(hostile_member_of, the_cluster_asks_for_stages_that_no_request_needs) {
  hostile_member driver = member(front, attacker::scheduler);
  EXPECT_EQ(open(driver, open_of(next_request(), {0, 4}, context + 1)), errc::over_limit);
  EXPECT_EQ(open(driver, open_of(next_request(), {0, 4}, 1U << 20U)), errc::over_limit);
  wire_message order = open_of(next_request(), {0, 4}, 8);
  std::get<wire_open>(order.body).log = log_of(order.request, 100'000, 1'000);
  EXPECT_EQ(open(driver, order), errc::over_limit) << "a prompt longer than the model sees";
  order = open_of(next_request(), {0, 4}, 8);
  std::get<wire_open>(order.body).log = log_of(order.request, context, 1'000);
  std::get<wire_open>(order.body).log->drawn.assign(900, {5, model_});
  EXPECT_EQ(open(driver, order), errc::over_limit) << "and with what was drawn";
  order = open_of(next_request(), {0, 4}, 8);
  std::get<wire_open>(order.body).model.bytes.fill(9);
  EXPECT_EQ(open(driver, order), errc::segment_missing);
  // Every way to cut what is held there, and some that are not.
  for (layer_index first = 0; first < layers; ++first) {
    for (layer_index last = first + 1; last <= layers + 1; ++last) {
      const request_id request = next_request();
      const auto refused = open(driver, open_of(request, {first, last}, 8));
      EXPECT_EQ(refused, last <= 4 ? std::nullopt : std::optional{errc::segment_missing})
          << first << ' ' << last;
      ASSERT_TRUE(driver.wire({request, epoch{1}, first, close_session{}}));
    }
  }
  expect_step(driver);
  expect_service();
}

// Orders whose answers pile up, because it does not read them.
TEST_F(hostile_member_of, the_cluster_reads_no_answer) {
  hostile_member deaf = member(front, attacker::scheduler);
  wire_message order = open_of(next_request(), {0, 4}, context + 1);
  const std::vector<std::byte> bytes = encode_wire(order);
  bool open = true;
  for (int i = 0; i < 400'000 && open; ++i) {
    open = deaf.wire(bytes);
  }
  EXPECT_FALSE(open) << "it takes any number of orders";
  expect_service();
}

// As large as they may be, and of no request.
TEST_F(hostile_member_of, the_cluster_sends_the_largest_messages_there_are) {
  const std::vector<std::byte> frame = noise(limits::frame_bytes_max);
  const std::vector<std::byte> adverts = noise(limits::gossip_bytes_max);
  wire_message order = open_of(next_request(), {0, 4}, 8);
  std::get<wire_open>(order.body).log = log_of(order.request, limits::context_max, 1);
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    hostile_member liar = member(node, attacker::scheduler);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(liar.frame(frame, 0));
      EXPECT_TRUE(liar.wire(order)) << "a prompt of as many tokens as any model may see";
    }
    (void)liar.gossip(adverts);
    EXPECT_TRUE(liar.control.waits_for_close());
  }
  expect_service();
}

TEST_F(hostile_member_of, the_cluster_asks_to_go_on_with_requests_that_never_were) {
  hostile_member worker = member(head, attacker::worker);
  const auto ask = [&](const request_log& log) {
    return worker.wire({log.id, {}, 0, wire_adopt{log}});
  };
  request_log odd = log_of(next_request());
  odd.drawn.assign(5, {limits::vocabulary_max - 1, model_});
  ASSERT_TRUE(ask(odd)) << "tokens outside of the vocabulary";
  odd = log_of(next_request());
  odd.prompt.assign(4, limits::vocabulary_max - 1);
  ASSERT_TRUE(ask(odd));
  odd = log_of(next_request(), 100'000, 1U << 19U);
  ASSERT_TRUE(ask(odd)) << "longer than the context";
  odd = log_of(next_request(), 500, 1U << 19U);
  odd.drawn.assign(1'000, {5, model_});
  ASSERT_TRUE(ask(odd)) << "longer than the context with what was drawn";
  odd = log_of(next_request());
  odd.generation = limits::generations_max;
  ASSERT_TRUE(ask(odd)) << "the last of its leads";
  odd = log_of(next_request());
  odd.model.bytes.fill(9);
  worker = member(head, attacker::worker);
  ASSERT_TRUE(ask(odd)) << "another model";
  expect_service();
  for (int i = 0; i < 1'000; ++i) { // more than there is room for
    ASSERT_TRUE(ask(log_of(next_request(), 400, 100)));
  }
  expect_service();
  EXPECT_TRUE(cluster_->wait_until([&] { // none of them runs for ever
    const apps::json jobs = cluster_->ask(head, "jobs").at("jobs");
    return jobs.size() <= 2;
  }));
}

TEST_F(hostile_member_of, the_cluster_floods_it_with_gossip_and_forged_adverts) {
  const std::string front_key = cluster_->ask(front, "version").at("node");
  const node_id victim = node_id_from_hex(front_key).value();
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    hostile_member flood = member(node, attacker::worker);
    bool taken = true;
    for (std::uint64_t i = 0; i < 20'000 && taken; ++i) {
      taken = flood.gossip(encode_gossip({ping{i}, {}}));
    }
    EXPECT_TRUE(flood.control.waits_for_close()) << "more than its allowance";
    // In the name of another: signed by nobody, or by the liar.
    hostile_member liar = member(node, attacker::worker);
    node_advert advert;
    advert.name = "front";
    advert.address = listen(back);
    advert.roles.add(role::worker);
    signed_advert forged = sign_advert(attacker_key(attacker::worker), 1ULL << 60U, advert);
    forged.node = victim;
    (void)liar.gossip(encode_gossip({news{}, {forged}}));
    signed_farewell gone = sign_farewell(attacker_key(attacker::worker), 1ULL << 60U);
    gone.node = victim;
    (void)liar.gossip(encode_gossip({news{}, {gone}}));
    // Nodes that do not exist, and suspicions against those that do.
    hostile_member dreamer = member(node, attacker::worker);
    for (std::uint8_t key = 1; key < 0x50; ++key) {
      advert.name = fmt::format("ghost-{}", key);
      advert.address = "nobody.invalid:1";
      (void)dreamer.gossip(
          encode_gossip({news{},
                         {sign_advert(attacker_key(key), 1, advert),
                          sign_suspicion(attacker_key(attacker::worker), victim, key)}}));
    }
  }
  expect_service();
  const apps::json nodes = cluster_->ask(head, "nodes");
  for (const apps::json& n : nodes.at("nodes")) {
    if (n.at("node") == front_key) {
      EXPECT_EQ(n.at("address"), listen(front));
      EXPECT_EQ(n.at("health"), "alive");
    }
  }
}

// The fastest node of all, with every layer, which answers nothing.
TEST_F(hostile_member_of, the_cluster_praises_itself_and_computes_nothing) {
  std::vector<hostile_member> links;
  node_advert advert;
  advert.name = "black hole";
  advert.address = "nobody.invalid:1";
  advert.roles.add(role::worker);
  advert.held.push_back({model_, {0, layers}, layers});
  advert.memory_bytes = advert.memory_free = 1ULL << 40U;
  advert.decode_bytes_per_second = advert.prefill_bytes_per_second = 1ULL << 50U;
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    links.push_back(member(node, attacker::worker));
    ASSERT_TRUE(links.back().gossip(encode_gossip(
        {news{}, {sign_advert(attacker_key(attacker::worker), 1'000 + node, advert)}})));
  }
  expect_service(4);
}

} // namespace
} // namespace ovir::test
