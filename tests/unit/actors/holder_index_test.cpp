#include "actors/path/holder_index.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr std::uint32_t model_layers = 8;

node_id key_of(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

digest model_named(std::uint8_t number) {
  digest id;
  id.bytes.fill(number);
  return id;
}

member holding(std::uint8_t number, const std::vector<layer_range>& ranges,
               std::uint8_t model = 1) {
  member m;
  m.node = key_of(number);
  for (const layer_range& range : ranges) {
    m.advert.held.push_back({model_named(model), range, model_layers});
  }
  return m;
}

class holder_indexing : public ::testing::Test {
protected:
  std::vector<node_id> update(std::vector<member> members) {
    return index_.update(std::make_shared<const std::vector<member>>(std::move(members)));
  }
  /// "node:first-last,..." of those that hold some of these layers.
  std::string holders(layer_range run, std::uint8_t model = 1) {
    std::string text;
    const std::vector<layer_range> runs{run};
    for (const layer_holding& h : index_.holders(model_named(model), model_layers, runs)) {
      text += (text.empty() ? "" : " ") + std::to_string(h.who->node.key[0]) + ":";
      for (const layer_range& r : h.ranges) {
        text += std::to_string(r.first) + "-" + std::to_string(r.last) + ",";
      }
    }
    return text;
  }

  holder_index index_;
};

TEST_F(holder_indexing, knows_by_layer_who_holds_what_by_key) {
  update({holding(3, {{0, 8}}), holding(1, {{0, 2}, {6, 8}}), holding(2, {{2, 5}, {4, 6}})});
  EXPECT_EQ(holders({0, 8}), "1:0-2,6-8, 2:2-6, 3:0-8,");
  EXPECT_EQ(holders({0, 1}), "1:0-2,6-8, 3:0-8,");
  EXPECT_EQ(holders({3, 4}), "2:2-6, 3:0-8,");
  EXPECT_EQ(holders({0, 8}, 2), "");
}

TEST_F(holder_indexing, follows_what_changes) {
  update({holding(1, {{0, 4}}), holding(2, {{4, 8}})});
  EXPECT_EQ(holders({0, 8}), "1:0-4, 2:4-8,");
  update({holding(1, {{0, 6}}), holding(2, {{4, 8}}), holding(3, {{5, 6}})});
  EXPECT_EQ(holders({5, 6}), "1:0-6, 2:4-8, 3:5-6,");
  member suspect = holding(1, {{0, 6}});
  suspect.health = member_health::suspect;
  EXPECT_EQ(update({suspect, holding(3, {{5, 6}})}), (std::vector<node_id>{key_of(1), key_of(2)}));
  EXPECT_EQ(holders({0, 8}), "3:5-6,");
  EXPECT_EQ(update({suspect, holding(3, {})}), std::vector<node_id>{}) << "told once";
  EXPECT_EQ(holders({0, 8}), "");
  EXPECT_EQ(update({holding(1, {{0, 6}})}), std::vector<node_id>{key_of(3)});
  EXPECT_EQ(holders({0, 8}), "1:0-6,");
}

TEST_F(holder_indexing, finds_members_as_they_are_now) {
  member busy = holding(1, {{0, 8}});
  update({busy});
  EXPECT_EQ(holders({0, 8}), "1:0-8,");
  busy.advert.sessions = 7;
  update({busy});
  ASSERT_NE(index_.find(key_of(1)), nullptr);
  EXPECT_EQ(index_.find(key_of(1))->advert.sessions, 7U);
  EXPECT_EQ(index_.holding(model_named(1), model_layers, key_of(1)).who->advert.sessions, 7U);
  EXPECT_EQ(index_.find(key_of(2)), nullptr);
  EXPECT_EQ(index_.holding(model_named(1), model_layers, key_of(2)).who, nullptr);
}

TEST_F(holder_indexing, ranges_beyond_the_model_count_for_nothing) {
  update({holding(1, {{0, 9}, {4, 4}, {2, 1'000'000}})});
  EXPECT_EQ(holders({0, 8}), "");
}

TEST_F(holder_indexing, keeps_a_bounded_number_of_models) {
  update({holding(1, {{0, 8}}, 1)});
  for (std::size_t i = 0; i <= limits::node_models_max; ++i) {
    EXPECT_EQ(holders({0, 8}, static_cast<std::uint8_t>(i + 2)), "");
  }
  EXPECT_EQ(holders({0, 8}), "1:0-8,") << "one that was forgotten is known again when asked for";
}

} // namespace
} // namespace ovir::actors
