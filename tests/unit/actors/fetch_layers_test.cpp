#include "actors/weights/fetch_layers.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ovir::actors {
namespace {

compute::piece_list pieces_of(std::uint32_t layers, bool tied) {
  compute::synth_spec spec;
  spec.layers = layers;
  spec.tied = tied;
  const auto bytes = test::synthetic_model(spec);
  return compute::piece_list::of(
             std::make_shared<const compute::model_manifest>(
                 compute::manifest_of(compute::gguf::parse(bytes).value()).value()))
      .value();
}

TEST(fetch_layers, tells_only_layers_whose_pieces_all_arrived_in_whatever_order) {
  std::mt19937_64 random{3};
  for (std::uint32_t round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    const compute::piece_list pieces = pieces_of(9, round % 2 == 0);
    const layer_range layers{static_cast<layer_index>(round % 3), 9};
    const auto wanted = pieces.of_segment(layers).value();
    auto missing = wanted;
    std::shuffle(missing.begin(), missing.end(), random);
    missing.resize(missing.size() * (1 + round % 4) / 4); // some were here before
    first_layers begun = first_layers::of(pieces, layers, wanted, missing).value();
    std::vector<layer_range> told;
    for (bool first = true; first || !missing.empty(); first = false) {
      if (!first) {
        begun.arrived(missing.back());
        missing.pop_back();
      }
      if (const auto now = begun.take()) {
        told.push_back(*now);
        const auto these = pieces.of_segment(*now).value();
        for (const std::uint32_t piece : these) {
          EXPECT_EQ(std::count(missing.begin(), missing.end(), piece), 0) << "not here";
        }
      }
    }
    EXPECT_FALSE(begun.take());
    for (std::size_t i = 0; i < told.size(); ++i) {
      EXPECT_EQ(told[i].first, layers.first);
      EXPECT_LT(told[i].last, layers.last);
      EXPECT_TRUE(i == 0 || told[i].size() >= 2 * told[i - 1].size());
    }
  }
}

TEST(fetch_layers, in_the_order_of_use_each_doubling_is_told_as_soon_as_it_is_whole) {
  const compute::piece_list pieces = pieces_of(8, false);
  const auto wanted = pieces.of_segment({0, 8}).value();
  first_layers begun = first_layers::of(pieces, {0, 8}, wanted, wanted).value();
  std::vector<layer_index> told;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    begun.arrived(wanted[i]);
    if (const auto now = begun.take()) {
      told.push_back(now->last);
      EXPECT_EQ(i + 1, pieces.of_segment(*now).value().size());
    }
  }
  EXPECT_EQ(told, (std::vector<layer_index>{1, 2, 4}));
}

TEST(fetch_layers, what_is_here_already_is_told_at_once_and_a_whole_segment_never) {
  const compute::piece_list pieces = pieces_of(8, false);
  const auto wanted = pieces.of_segment({2, 8}).value();
  first_layers some =
      first_layers::of(pieces, {2, 8}, wanted, {wanted.back(), wanted[wanted.size() - 2]}).value();
  EXPECT_EQ(some.take(), (layer_range{2, 6}));
  EXPECT_FALSE(some.take());
  first_layers all = first_layers::of(pieces, {2, 8}, wanted, {}).value();
  EXPECT_FALSE(all.take());
  first_layers strange = first_layers::of(pieces, {2, 8}, wanted, wanted).value();
  strange.arrived(4'000'000);
  EXPECT_FALSE(strange.take());
}

TEST(fetch_layers, as_many_layers_as_fit_four_fifths_of_the_memory) {
  const compute::piece_list pieces = pieces_of(5, false);
  const std::uint64_t three = pieces.bytes_of(pieces.of_segment({0, 3}).value());
  EXPECT_EQ(fitting_layers(pieces, three * 5 / 4 + 5).value(), (layer_range{0, 3}));
  EXPECT_EQ(fitting_layers(pieces, three).value(), (layer_range{0, 2}));
  EXPECT_EQ(fitting_layers(pieces, 10).value(), (layer_range{0, 0}));
}

} // namespace
} // namespace ovir::actors
