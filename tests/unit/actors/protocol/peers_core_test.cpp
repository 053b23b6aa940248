#include "actors/protocol/peers_core.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using receiver = peers_core::receiver;

constexpr request_id asked{7};

node_id peer(std::uint8_t n) {
  node_id id;
  id.key.fill(n);
  return id;
}

role_set only(role one) {
  role_set roles;
  roles.add(one);
  return roles;
}

wire_message about(wire_body body, layer_index stage = 0) {
  return {asked, epoch{1}, stage, std::move(body)};
}

frame_header frame_of(frame_kind kind) {
  frame_header header;
  header.kind = kind;
  header.request = asked;
  return header;
}

TEST(peers_core, nodes_of_running_requests_are_involved) {
  peers_core core;
  core.route_lead(asked, {{peer(1), 0}, {peer(2), 4}});
  core.route_stage(asked, 4, peer(3));
  EXPECT_TRUE(core.involves(peer(2)));
  EXPECT_TRUE(core.involves(peer(3)));
  EXPECT_FALSE(core.involves(peer(4)));
  core.drop_lead(asked);
  core.drop_stage(asked, 4);
  EXPECT_FALSE(core.involves(peer(2)));
  EXPECT_FALSE(core.involves(peer(3)));
}

TEST(peers_core, orders_are_taken_from_schedulers_alone) {
  const peers_core core;
  for (const wire_body& order :
       {wire_body{close_session{}}, wire_body{wire_open{}}, wire_body{wire_load{}},
        wire_body{wire_unload{}}, wire_body{wire_adopted{}}}) {
    EXPECT_EQ(core.judge(peer(1), only(role::scheduler), about(order)).to, receiver::host);
    const auto refused = core.judge(peer(1), only(role::worker), about(order));
    EXPECT_EQ(refused.to, receiver::none);
    EXPECT_FALSE(refused.refused.empty());
  }
}

TEST(peers_core, what_clients_of_another_scheduler_want_is_heard_from_schedulers_alone) {
  const peers_core core;
  EXPECT_EQ(core.judge(peer(1), only(role::scheduler), about(wire_asked{})).to, receiver::placer);
  EXPECT_EQ(core.judge(peer(1), only(role::worker), about(wire_asked{})).to, receiver::none);
}

TEST(peers_core, a_request_to_adopt_and_a_refusal_to_fetch_are_taken_from_workers_alone) {
  const peers_core core;
  EXPECT_EQ(core.judge(peer(1), only(role::worker), about(wire_adopt{})).to, receiver::jobs);
  EXPECT_EQ(core.judge(peer(1), only(role::scheduler), about(wire_adopt{})).to, receiver::none);
  EXPECT_EQ(core.judge(peer(1), only(role::worker), about(wire_load_failed{})).to, receiver::paths);
  EXPECT_EQ(core.judge(peer(1), only(role::verifier), about(wire_load_failed{})).to,
            receiver::none);
}

TEST(peers_core, an_answer_is_taken_from_the_stage_whose_it_is) {
  peers_core core;
  core.route_lead(asked, {{peer(1), 0}, {peer(2), 4}});
  const auto answer = [&core](std::uint8_t from, layer_index stage) {
    return core.judge(peer(from), member_roles, about(step_done{}, stage));
  };
  EXPECT_EQ(answer(1, 0).to, receiver::lead);
  EXPECT_EQ(answer(2, 4).to, receiver::lead);
  EXPECT_EQ(answer(2, 4).stage, stage_index{1});
  EXPECT_EQ(answer(1, 4).to, receiver::none) << "another's stage";
  EXPECT_EQ(answer(3, 0).to, receiver::none) << "not of the path";
  core.drop_lead(asked);
  EXPECT_EQ(answer(1, 0).to, receiver::none) << "over";
}

TEST(peers_core, a_stage_that_no_lead_counts_on_is_closed) {
  peers_core core;
  core.route_lead(asked, {{peer(1), 0}, {peer(2), 4}});
  const auto closes = [&core](std::uint8_t from, layer_index stage) {
    return core.judge(peer(from), member_roles, about(step_done{}, stage)).closes;
  };
  EXPECT_FALSE(closes(2, 4));
  EXPECT_TRUE(closes(3, 4)) << "of an earlier path";
  EXPECT_EQ(core.take_leads().size(), 1U);
  EXPECT_EQ(core.lead_routes(), 0U);
  EXPECT_TRUE(closes(2, 4)) << "of an earlier life";
}

TEST(peers_core, logits_come_from_the_last_stage_and_evidence_from_any) {
  peers_core core;
  core.route_lead(asked, {{peer(1), 0}, {peer(2), 4}});
  const auto to_lead = [&core](std::uint8_t from, frame_kind kind) {
    return core.judge(peer(from), frame_to_lead, frame_of(kind)).to;
  };
  EXPECT_EQ(to_lead(2, frame_kind::logits), receiver::lead);
  EXPECT_EQ(to_lead(2, frame_kind::choice), receiver::lead);
  EXPECT_EQ(to_lead(1, frame_kind::logits), receiver::none);
  EXPECT_EQ(to_lead(1, frame_kind::evidence), receiver::lead);
  EXPECT_EQ(to_lead(2, frame_kind::tokens), receiver::none);
  EXPECT_EQ(to_lead(3, frame_kind::evidence), receiver::none);
}

TEST(peers_core, a_stage_is_fed_by_who_is_before_it) {
  peers_core core;
  core.route_stage(asked, 4, peer(1));
  const auto fed = [&core](std::uint8_t from, frame_kind kind, std::uint32_t stage) {
    return core.judge(peer(from), stage, frame_of(kind)).to;
  };
  EXPECT_EQ(fed(1, frame_kind::tokens, 4), receiver::stage);
  EXPECT_EQ(fed(1, frame_kind::evidence, 4), receiver::stage);
  EXPECT_EQ(fed(1, frame_kind::logits, 4), receiver::none);
  EXPECT_EQ(fed(2, frame_kind::tokens, 4), receiver::none);
  EXPECT_EQ(fed(1, frame_kind::tokens, 0), receiver::none);
  EXPECT_EQ(core.stage_routes(), 1U);
  core.clear();
  EXPECT_EQ(fed(1, frame_kind::tokens, 4), receiver::none);
}

} // namespace
} // namespace ovir::actors
