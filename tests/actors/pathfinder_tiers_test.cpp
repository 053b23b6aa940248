// Which nodes a request gets that demands what attestors say of them.
#include "tests/actors/pathfinding.hpp"

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

/// Nodes hold all layers, the first is the fastest; a request demands the region eu.
class pathfinding_attested : public pathfinding {
protected:
  static constexpr request_id tiered{11};
  static constexpr std::uint64_t until = 1'000'000'100;

  pathfinding_attested() {
    for (std::size_t node = 0; node < 3; ++node) {
      members_[node].advert.held = {{model_, {0, layers}}};
      members_[node].advert.decode_bytes_per_second = (4 - node) * 1'000'000'000;
    }
  }
  static secret_key attestor(std::uint8_t number = 1) {
    std::array<std::byte, secret_key::seed_size> seed{};
    seed[0] = std::byte{number};
    return secret_key::from_seed(seed);
  }
  void attested(std::size_t node, node_properties what, std::uint64_t expires = until) {
    members_[node].advert.attested = {attest(attestor(), id(node), std::move(what), expires)};
  }
  layer_places path(node_properties wanted = {{}, "eu", {}}) {
    tell_members();
    watch_path asked{tiered, model_, 16, caf::actor_cast<lead_actor>(lead_), {}, {}};
    asked.tier = tier_demand{{attestor().id()}, std::move(wanted)};
    caf::anon_send(paths_, std::move(asked));
    scheduler_.run();
    return where(tiered);
  }
  [[nodiscard]] layer_places on(std::size_t node) const { return {{id(node), {0, layers}}}; }
  void wait_for(std::chrono::milliseconds time) {
    for (auto passed = 0ms; passed <= time; passed += 100ms) {
      scheduler_.advance_time(100ms);
      scheduler_.run();
    }
  }
};

TEST_F(pathfinding_attested, a_request_goes_to_a_node_of_its_tier_though_others_are_faster) {
  attested(2, {"Example Ltd", "eu", {}});
  EXPECT_EQ(path(), on(2));
  EXPECT_EQ(attested_, members_[2].advert.attested) << "for its receipt";
  EXPECT_EQ(path_of({}), on(0)) << "any other goes to the fastest";
  EXPECT_TRUE(attested_.empty());
}

TEST_F(pathfinding_attested, the_stages_of_a_path_have_the_tier_all_of_them) {
  members_[1].advert.held = {{model_, {0, half}}};
  members_[2].advert.held = {{model_, {half, layers}}};
  attested(1, {{}, "eu", {}});
  attested(2, {{}, "eu", {}});
  EXPECT_EQ(path(), (layer_places{{id(1), {0, half}}, {id(2), {half, layers}}}));
  EXPECT_EQ(attested_.size(), 2U);
}

TEST_F(pathfinding_attested, a_request_whose_tier_no_node_has_is_refused_with_what_lacks) {
  members_[0].advert.held = {{model_, {0, half}}};
  members_[1].advert.held = {{model_, {half, layers}}};
  members_[2].advert.held.clear();
  attested(0, {{}, "eu", {}});
  attested(1, {{}, "us", {}});
  may_lack_paths_ = true;
  EXPECT_TRUE(path().empty());
  EXPECT_TRUE(lost_.empty()) << "a node may come";
  wait_for(limits::ends_wait);
  ASSERT_EQ(lost_.size(), 1U);
  EXPECT_EQ(lost_[0].code, errc::segment_missing);
  EXPECT_NE(lost_[0].message.find("no node that holds layers 4-8 is attested region eu"),
            std::string::npos)
      << lost_[0].message;
}

TEST_F(pathfinding_attested, what_is_forged_expired_foreign_or_of_another_key_counts_for_nothing) {
  attested(0, {{}, "us", {}});
  members_[0].advert.attested[0].properties.region = "eu"; // forged
  attested(1, {{}, "eu", {}}, unix_);                      // expired
  members_[2].advert.attested = {
      attest(attestor(2), id(2), {{}, "eu", {}}, until), // of another key
      attest(attestor(), id(0), {{}, "eu", {}}, until)}; // foreign
  may_lack_paths_ = true;
  EXPECT_TRUE(path().empty());
  attested(2, {{}, "eu", {}});
  tell_members();
  EXPECT_EQ(where(tiered), on(2));
}

TEST_F(pathfinding_attested, a_node_that_loses_it_in_mid_stream_is_not_used_for_what_follows) {
  attested(0, {{}, "eu", {}});
  attested(1, {{}, "eu", {}}, until + 100);
  ASSERT_EQ(path(), on(0));
  unix_ = until; // time alone ends it
  wait_for(200ms);
  EXPECT_EQ(where(tiered), on(1));
  members_[1].advert.attested.clear(); // or the node shows it no longer
  attested(2, {{}, "eu", {}}, until + 100);
  tell_members();
  EXPECT_EQ(where(tiered), on(2));
  may_lack_paths_ = true;
  members_[2].advert.attested.clear();
  tell_members();
  wait_for(2 * limits::ends_wait);
  EXPECT_TRUE(lost_.empty()) << "one that began waits for a node";
  attested(0, {{}, "eu", {}}, until + 100);
  tell_members();
  EXPECT_EQ(where(tiered), on(0));
}

TEST_F(pathfinding_attested, its_ends_are_on_named_nodes_of_the_tier) {
  tell_members();
  attested(0, {{}, "eu", {}});
  attested(2, {{}, "eu", {}});
  tell_members();
  watch_path asked{tiered, model_, 16, caf::actor_cast<lead_actor>(lead_), {}, {}};
  asked.tier = tier_demand{{attestor().id()}, {{}, "eu", {}}};
  asked.ends = ends_rule{{id(1), id(2)}, 2, 1, hash("salt", {})};
  std::sort(asked.ends->nodes.begin(), asked.ends->nodes.end());
  caf::anon_send(paths_, std::move(asked));
  scheduler_.run();
  const layer_places found = where(tiered);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().first, id(2));
  EXPECT_EQ(found.back().first, id(2));
  for (const auto& [node, held] : found) {
    EXPECT_NE(node, id(1)) << "named, and of no tier";
  }
}

} // namespace
} // namespace ovir::actors
