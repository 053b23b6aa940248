// Which path a request gets: the one that was paid for, as far as its nodes are still there.
#include "tests/actors/pathfinding.hpp"

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

TEST_F(pathfinding, plans_where_nothing_was_paid_for) {
  EXPECT_EQ(path_of({}), (layer_places{{id(2), {0, layers}}}));
}

TEST_F(pathfinding, prefers_of_equals_the_one_that_verifiers_found_honest) {
  members_[0].advert.held = members_[2].advert.held;
  tell_members();
  verifiers_say({{id(0), 1'000'000}, {id(2), 0}});
  EXPECT_EQ(path_of({}), (layer_places{{id(0), {0, layers}}}));
}

TEST_F(pathfinding, prefers_the_other_where_verifiers_say_the_other) {
  members_[0].advert.held = members_[2].advert.held;
  tell_members();
  verifiers_say({{id(0), 0}, {id(2), 1'000'000}});
  EXPECT_EQ(path_of({}), (layer_places{{id(2), {0, layers}}}));
}

// Node 2 says that it is ten times as fast as node 0 and is as fast.
TEST_F(pathfinding, believes_what_was_seen_and_not_what_a_node_says_of_itself) {
  members_[0].advert.held = members_[2].advert.held;
  members_[0].advert.decode_bytes_per_second = 1'000'000'000;
  members_[1].advert.decode_bytes_per_second = 100'000'000;
  members_[2].advert.decode_bytes_per_second = 10'000'000'000;
  tell_members();
  const layer_places braggart{{id(2), {0, layers}}};
  EXPECT_EQ(path_of({}), braggart);
  sees(request, braggart, 1s);
  EXPECT_EQ(path_of({}, request_id{8}), (layer_places{{id(0), {0, layers}}}));
}

TEST_F(pathfinding, learns_nothing_from_a_path_that_the_request_does_not_have) {
  members_[0].advert.held = members_[2].advert.held;
  members_[0].advert.decode_bytes_per_second = 1'000'000'000;
  members_[2].advert.decode_bytes_per_second = 10'000'000'000;
  tell_members();
  const layer_places braggart{{id(2), {0, layers}}};
  EXPECT_EQ(path_of({}), braggart);
  sees(request, {{id(0), {0, layers}}}, 1s);
  sees(request_id{9}, braggart, 1s);
  EXPECT_EQ(path_of({}, request_id{8}), braggart);
}

TEST_F(pathfinding, begins_on_the_path_that_was_paid_for) {
  const layer_places paid{{id(0), {0, half}}, {id(1), {half, layers}}};
  EXPECT_EQ(path_of(paid), paid);
}

TEST_F(pathfinding, mends_what_was_paid_for_where_a_node_is_gone) {
  members_[1].health = member_health::dead;
  tell_members();
  EXPECT_EQ(path_of({{id(0), {0, half}}, {id(1), {half, layers}}}),
            (layer_places{{id(0), {0, half}}, {id(2), {half, layers}}}));
}

// Members that are gone come first, then one that praises itself in as many ranges as a plan has
// places, and in one that no model has.
TEST_F(pathfinding, looks_at_those_that_can_compute) {
  std::vector<member> all;
  for (std::uint8_t i = 0; i < 20; ++i) {
    member m = members_[2];
    m.node.key.fill(i);
    m.health = i < 19 ? member_health::dead : member_health::alive;
    link(10 + i, m.node);
    for (layer_index first = 0; i == 19 && first < 20; ++first) {
      m.advert.held.push_back({model_, {first % layers, first % layers + 1}});
    }
    if (i == 19) {
      m.advert.held = {m.advert.held.begin() + 1, m.advert.held.end()};
      m.advert.held.push_back({model_, {0, 4 * layers}});
    }
    all.push_back(std::move(m));
  }
  all.insert(all.end(), members_.begin(), members_.end());
  members_ = std::move(all);
  tell_members();
  EXPECT_EQ(path_of({}), (layer_places{{id(2), {0, layers}}}));
}

// 24 nodes hold everything; the 19 with the lowest keys are dead.
TEST_F(pathfinding, plans_with_the_five_that_are_left_of_24) {
  const member whole = members_[2];
  members_.clear();
  for (std::uint8_t i = 0; i < 24; ++i) {
    member m = whole;
    m.node.key.fill(i + 1);
    m.health = i < 19 ? member_health::dead : member_health::alive;
    m.advert.decode_bytes_per_second = 1'000'000'000 + i;
    link(10 + i, m.node);
    members_.push_back(std::move(m));
  }
  tell_members();
  EXPECT_EQ(path_of({}), (layer_places{{members_[23].node, {0, layers}}}));
  for (std::size_t alive = 23; alive > 19; --alive) {
    members_[alive].health = member_health::suspect;
    tell_members();
    EXPECT_EQ(where(request), (layer_places{{members_[alive - 1].node, {0, layers}}}))
        << "a request under way goes on";
  }
  members_[19].advert.draining = true;
  may_lack_paths_ = true;
  tell_members();
  EXPECT_EQ(path_of({}, request_id{8}), layer_places{}) << "nothing new for who drains";
  members_[0].health = member_health::alive;
  tell_members();
  EXPECT_EQ(where(request_id{8}), (layer_places{{members_[0].node, {0, layers}}}))
      << "one that came back is planned with at once";
}

TEST_F(pathfinding, does_not_take_a_node_without_a_link_or_without_memory) {
  members_[2].advert.memory_free = 1'000'000;
  tell_members();
  const layer_places halves{{id(0), {0, half}}, {id(1), {half, layers}}};
  EXPECT_EQ(path_of({}), halves);
  members_[2].advert.memory_free = members_[0].advert.memory_free;
  members_.push_back(members_[2]);
  members_.back().node.key.fill(1);
  members_.back().advert.decode_bytes_per_second = 1'000'000'000'000;
  tell_members();
  EXPECT_EQ(path_of({}, request_id{8}), (layer_places{{id(2), {0, layers}}}));
}

TEST_F(pathfinding, leaves_a_node_at_fault_and_plans_it_behind_others_for_a_while) {
  EXPECT_EQ(path_of({}), (layer_places{{id(2), {0, layers}}}));
  const layer_places others{{id(0), {0, half}}, {id(1), {half, layers}}};
  ASSERT_EQ(given_.size(), 1U);
  caf::anon_send(paths_, path_trouble{request, given_[0].handle, {errc::internal, "so it says"}});
  scheduler_.run();
  EXPECT_EQ(where(request), others) << "the request goes on elsewhere";
  EXPECT_EQ(path_of({}, request_id{8}), others) << "and so does a later one";
  scheduler_.clock().advance_time(limits::fault_weight * limits::fault_decay);
  scheduler_.run();
  EXPECT_EQ(path_of({}, request_id{9}), (layer_places{{id(2), {0, layers}}})) << "not for ever";
}

TEST_F(pathfinding, takes_a_node_at_fault_where_there_is_no_other) {
  EXPECT_EQ(path_of({}), (layer_places{{id(2), {0, layers}}}));
  ASSERT_EQ(given_.size(), 1U);
  caf::anon_send(paths_, path_trouble{request, given_[0].handle, {errc::internal, "so it says"}});
  scheduler_.run();
  may_lack_paths_ = true; // the first request does
  members_[0].health = member_health::dead;
  tell_members();
  EXPECT_EQ(path_of({}, request_id{8}), (layer_places{{id(2), {0, layers}}}));
}

TEST_F(pathfinding, gives_two_runs_of_a_request_no_node_in_common) {
  const layer_places first = path_of({}, request, twin_rule::refused);
  EXPECT_EQ(first, (layer_places{{id(2), {0, layers}}}));
  EXPECT_EQ(path_of({}, twin_of(request), twin_rule::refused),
            (layer_places{{id(0), {0, half}}, {id(1), {half, layers}}}));
}

// The first one paid for nodes that the second cannot do without.
TEST_F(pathfinding, leaves_a_path_for_the_second_run) {
  const layer_places paid{{id(0), {0, half}}, {id(2), {half, layers}}};
  EXPECT_EQ(path_of(paid), paid);
  const layer_places first = path_of(paid, request_id{8}, twin_rule::refused);
  EXPECT_NE(first, paid);
  EXPECT_FALSE(path_of({}, twin_of(request_id{8}), twin_rule::refused).empty());
}

TEST_F(pathfinding, gives_a_run_no_node_that_its_twin_ever_had) {
  EXPECT_EQ(path_of({}, request, twin_rule::waits), (layer_places{{id(2), {0, layers}}}));
  ASSERT_EQ(given_.size(), 1U);
  caf::anon_send(paths_, path_trouble{request, given_[0].handle, {errc::busy, "it is full"}});
  scheduler_.run();
  EXPECT_EQ(where(request), (layer_places{{id(0), {0, half}}, {id(1), {half, layers}}}));
  may_lack_paths_ = true;
  EXPECT_TRUE(path_of({}, twin_of(request), twin_rule::waits).empty())
      << "what node 2 computed for the first run is in what it goes on with";
}

TEST_F(pathfinding, refuses_two_runs_where_there_are_no_two_paths) {
  members_[1].health = member_health::dead;
  tell_members();
  may_lack_paths_ = true;
  EXPECT_TRUE(path_of({}, request, twin_rule::refused).empty()) << "not even one begins";
  EXPECT_TRUE(path_of({}, twin_of(request), twin_rule::waits).empty());
  EXPECT_TRUE(lost_.empty());
  for (auto passed = 0ms; passed <= limits::two_paths_wait; passed += 100ms) {
    scheduler_.advance_time(100ms);
    scheduler_.run();
  }
  ASSERT_EQ(lost_.size(), 1U) << "the one that waits is not refused";
  EXPECT_EQ(lost_[0].code, errc::segment_missing);
  EXPECT_NE(lost_[0].message.find("two paths without a common node"), std::string::npos);
  members_[1].health = member_health::alive;
  tell_members();
  EXPECT_FALSE(where(twin_of(request)).empty());
}

/// The same with two strangers that say that they hold everything and are a thousand times as fast.
class open_pathfinding : public pathfinding {
protected:
  open_pathfinding() : pathfinding(true) {
    for (member& m : members_) {
      m.advert.decode_bytes_per_second = 1'000'000'000;
    }
    for (std::uint8_t i = 0; i < 2; ++i) {
      member m = members_[2];
      m.node.key.fill(0xf0 + i);
      m.advert.decode_bytes_per_second = 1'000'000'000'000;
      link(10 + i, m.node);
      members_.push_back(std::move(m));
    }
    tell_members();
  }
  void set(std::initializer_list<std::size_t> nodes, member_health health) {
    for (const std::size_t node : nodes) {
      members_[node].health = health;
    }
    tell_members();
  }
  [[nodiscard]] bool has_strangers(const layer_places& path) const {
    return std::any_of(path.begin(), path.end(),
                       [&](const auto& one) { return access_->is_stranger(one.first); });
  }
};

TEST_F(open_pathfinding, gives_both_runs_nodes_with_leave_where_these_make_two_paths) {
  EXPECT_TRUE(has_strangers(path_of({}))) << "a request that runs once goes to the fastest";
  const layer_places first = path_of({}, request_id{8}, twin_rule::refused);
  const layer_places second = path_of({}, twin_of(request_id{8}), twin_rule::refused);
  EXPECT_FALSE(first.empty() || has_strangers(first));
  EXPECT_FALSE(second.empty() || has_strangers(second));
}

// Else it would wait for one silent key after the other.
TEST_F(open_pathfinding, goes_on_without_strangers_once_one_of_them_failed_the_request) {
  EXPECT_TRUE(has_strangers(path_of({})));
  ASSERT_EQ(given_.size(), 1U);
  caf::anon_send(paths_,
                 path_trouble{request, given_[0].handle, {errc::timed_out, "it is silent"}});
  scheduler_.run();
  EXPECT_FALSE(where(request).empty() || has_strangers(where(request)));
  EXPECT_TRUE(has_strangers(path_of({}, request_id{8}))) << "another request does not";
}

// The two strangers may be one owner's, who computes the same wrong result twice.
TEST_F(open_pathfinding, gives_strangers_one_of_two_runs_and_never_both) {
  may_lack_paths_ = true;
  set({0, 1}, member_health::dead);
  const layer_places own{{id(2), {0, layers}}};
  EXPECT_EQ(path_of({}, request, twin_rule::refused), own);
  EXPECT_TRUE(has_strangers(path_of({}, twin_of(request), twin_rule::refused)));
  set({2}, member_health::dead);
  EXPECT_TRUE(where(request).empty() || where(request) == own) << "the other stranger is free";
  set({0, 1}, member_health::alive);
  EXPECT_EQ(where(request), (layer_places{{id(0), {0, half}}, {id(1), {half, layers}}}));
}

TEST_F(open_pathfinding, keeps_a_run_free_of_strangers_also_where_its_twin_has_left_them) {
  may_lack_paths_ = true;
  set({0, 1}, member_health::dead);
  EXPECT_FALSE(has_strangers(path_of({}, request, twin_rule::waits)));
  EXPECT_TRUE(has_strangers(path_of({}, twin_of(request), twin_rule::waits)));
  set({0, 1}, member_health::alive);
  set({3, 4}, member_health::dead);
  EXPECT_FALSE(where(twin_of(request)).empty() || has_strangers(where(twin_of(request))));
  set({3, 4}, member_health::alive);
  set({2}, member_health::dead);
  EXPECT_FALSE(has_strangers(where(request))) << "what a stranger computed is in what its twin has";
}

TEST_F(open_pathfinding, refuses_two_runs_where_no_path_is_of_nodes_with_leave_alone) {
  may_lack_paths_ = true;
  set({1, 2}, member_health::dead); // node 0 has half of the layers
  EXPECT_FALSE(path_of({}, request_id{8}).empty());
  EXPECT_TRUE(path_of({}, request, twin_rule::refused).empty());
  for (auto passed = 0ms; passed <= limits::two_paths_wait; passed += 100ms) {
    scheduler_.advance_time(100ms);
    scheduler_.run();
  }
  ASSERT_EQ(lost_.size(), 1U);
  EXPECT_EQ(lost_[0].code, errc::segment_missing);
}

/// A request with the same layers as its ends, of which node 2 alone may be sent tokens.
constexpr request_id unseen{9};

class pathfinding_unseen : public pathfinding {
protected:
  pathfinding_unseen() {
    members_[2].advert.held = {{model_, {0, 2}}, {model_, {layers - 1, layers}}};
    members_[0].advert.held = members_[1].advert.held = {{model_, {0, layers}}};
    tell_members();
  }
  layer_places path() {
    watch_path wanted{unseen, model_, 16, caf::actor_cast<lead_actor>(lead_), {}, {}};
    wanted.ends = ends_rule{{id(2)}, 2, 1, hash("salt", {})};
    caf::anon_send(paths_, std::move(wanted));
    scheduler_.run();
    return where(unseen);
  }
  [[nodiscard]] layer_places over(std::size_t middle) const {
    return {{id(2), {0, 2}}, {id(middle), {2, layers - 1}}, {id(2), {layers - 1, layers}}};
  }
  void wait_for(std::chrono::milliseconds time) {
    for (auto passed = 0ms; passed <= time; passed += 100ms) {
      scheduler_.advance_time(100ms);
      scheduler_.run();
    }
  }
};

TEST_F(pathfinding_unseen, the_ends_are_on_a_named_node_though_others_hold_all) {
  EXPECT_EQ(path_of({}).size(), 1U) << "any request goes to who has all";
  const layer_places found = path();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found == over(0) || found == over(1));
}

TEST_F(pathfinding_unseen, what_lies_between_moves_and_the_ends_stay) {
  members_[1].health = member_health::dead;
  tell_members();
  EXPECT_EQ(path(), over(0));
  members_[0].health = member_health::dead;
  members_[1].health = member_health::alive;
  tell_members();
  EXPECT_EQ(where(unseen), over(1));
}

TEST_F(pathfinding_unseen, a_lost_end_is_waited_for_and_given_to_no_other_node) {
  const layer_places before = path();
  ASSERT_EQ(before.size(), 3U);
  may_lack_paths_ = true;
  members_[2].health = member_health::dead;
  tell_members();
  wait_for(2 * limits::ends_wait);
  EXPECT_EQ(where(unseen), before) << "as it was, and broken";
  EXPECT_TRUE(lost_.empty()) << "one that began is not refused";
  members_[2].health = member_health::alive;
  tell_members();
  EXPECT_EQ(where(unseen).front().first, id(2));
  EXPECT_EQ(where(unseen).back().first, id(2));
}

TEST_F(pathfinding_unseen, a_request_is_refused_with_the_layers_that_no_named_node_holds) {
  members_[2].advert.held = {{model_, {0, 1}}};
  tell_members();
  may_lack_paths_ = true;
  EXPECT_TRUE(path().empty());
  EXPECT_TRUE(lost_.empty()) << "a node may come";
  wait_for(limits::ends_wait);
  ASSERT_GE(lost_.size(), 1U);
  EXPECT_EQ(lost_[0].code, errc::segment_missing);
  EXPECT_NE(lost_[0].message.find("holds layers 1 and 8 "), std::string::npos) << lost_[0].message;
}

} // namespace
} // namespace ovir::actors
