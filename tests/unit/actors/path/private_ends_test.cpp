// Which layers of a request a node may have whose ends are for few nodes.
#include "actors/path/private_ends.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t ends_model_layers = 8;

node_id ends_key(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

/// Nodes 1 and 2 may have the first two layers and the last one.
ends_rule two_named() { return {{ends_key(1), ends_key(2)}, 2, 1, hash("salt", {})}; }

layer_range allowed(std::uint8_t node, layer_range held, const ends_rule& rule = two_named()) {
  return allowed_layers(rule, ends_key(node), held, ends_model_layers);
}

TEST(private_ends, a_node_that_is_not_named_holds_what_lies_between) {
  EXPECT_EQ(allowed(9, {0, 8}), (layer_range{2, 7}));
  EXPECT_EQ(allowed(9, {1, 3}), (layer_range{2, 3}));
  EXPECT_EQ(allowed(9, {4, 8}), (layer_range{4, 7}));
  EXPECT_EQ(allowed(9, {3, 5}), (layer_range{3, 5}));
  EXPECT_EQ(allowed(9, {0, 2}).size(), 0U);
  EXPECT_EQ(allowed(9, {7, 8}).size(), 0U);
}

TEST(private_ends, a_named_node_may_have_all_it_holds) {
  for (const layer_range held : {layer_range{0, 8}, layer_range{0, 1}, layer_range{7, 8}}) {
    EXPECT_EQ(allowed(1, held), held);
    EXPECT_EQ(allowed(2, held), held);
  }
}

// Every range and every pair of ends, of a model so small that all can be tried.
TEST(private_ends, no_other_node_is_given_a_layer_of_an_end) {
  for (std::uint32_t first = 1; first <= ends_model_layers + 2; ++first) {
    for (std::uint32_t last = 1; last <= ends_model_layers + 2; ++last) {
      const ends_rule rule{{ends_key(1)}, first, last, hash("salt", {})};
      for (layer_index from = 0; from < ends_model_layers; ++from) {
        for (layer_index to = from + 1; to <= ends_model_layers; ++to) {
          const layer_range some = allowed(9, {from, to}, rule);
          for (layer_index l = 0; l < ends_model_layers; ++l) {
            const bool given = some.first <= l && l < some.last;
            const bool end = l < first || l + last >= ends_model_layers;
            EXPECT_EQ(given, !end && from <= l && l < to) << first << ' ' << last << ' ' << l;
          }
        }
      }
    }
  }
}

TEST(private_ends, it_is_said_which_layers_of_the_ends_no_named_node_holds) {
  const std::vector<std::pair<node_id, layer_range>> held{
      {ends_key(9), {0, 8}}, {ends_key(1), {0, 1}}, {ends_key(2), {5, 7}}};
  const auto lacking = lacking_ends(two_named(), held, ends_model_layers);
  EXPECT_THAT(lacking, ElementsAre(layer_range{1, 2}, layer_range{7, 8}));
  const error why = no_ends(two_named(), "tales", lacking);
  EXPECT_EQ(why.code, errc::segment_missing);
  EXPECT_THAT(why.message, HasSubstr("tales"));
  EXPECT_THAT(why.message, HasSubstr("holds layers 1 and 7 "));
  EXPECT_LT(why.message.size(), 512U);
  const std::vector<std::pair<node_id, layer_range>> whole{{ends_key(1), {0, 2}},
                                                           {ends_key(2), {7, 8}}};
  EXPECT_THAT(lacking_ends(two_named(), whole, ends_model_layers), IsEmpty());
}

TEST(private_ends, a_path_keeps_the_rule_where_named_nodes_have_both_ends) {
  EXPECT_TRUE(keeps_ends(two_named(),
                         {{ends_key(1), {0, 2}}, {ends_key(9), {2, 7}}, {ends_key(2), {7, 8}}}));
  EXPECT_TRUE(keeps_ends(two_named(), {{ends_key(2), {0, 8}}}));
  EXPECT_FALSE(keeps_ends(two_named(),
                          {{ends_key(1), {0, 1}}, {ends_key(9), {1, 7}}, {ends_key(2), {7, 8}}}));
  EXPECT_FALSE(keeps_ends(two_named(), {{ends_key(1), {0, 2}}, {ends_key(9), {2, 8}}}));
}

} // namespace
} // namespace ovir::actors
