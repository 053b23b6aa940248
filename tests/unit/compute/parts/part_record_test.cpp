// Records of what crossed: the same however positions came together, and another for a member that
// was wrong in the last place of one sum.
#include "compute/parts/cut_codec.hpp"
#include "compute/parts/local_group.hpp"
#include "compute/parts/part_record.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <tuple>
#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

/// Changes bytes of `member` at `place`, which then cross so.
struct crossing_lie {
  crossing_place place{};
  std::uint32_t member{99};
  std::function<void(std::vector<std::byte>&)> change{};
};

class recorded_group : public testing::Test {
protected:
  recorded_group()
      : model_(test::synthetic_model({.layers = 4,
                                      .dim = 256,
                                      .ffn_dim = 768,
                                      .heads = 8,
                                      .kv_heads = 4,
                                      .head_dim = 128,
                                      .quantization = synth_quantization::q4_k})) {}

  segment_cut cut(const cut_wish& wish) {
    return cut_segment(model_.get(), {0, 4}, std::vector<std::uint32_t>{1, 2}, wish).value();
  }

  std::vector<part_leaf> record(const segment_cut& how, const std::vector<std::uint32_t>& steps,
                                const crossing_lie& lie = {}) {
    const kernel_set& kernels = *select_kernels({}).value();
    auto engine = local_group::make(model_.get(), how, kernels, runner_).value();
    part_record kept = part_record::make(model_.get().config, how, hash_plain({})).value();
    std::uint32_t rows = 0;
    engine->watch_crossings(
        [&](const crossing_place& at, std::uint32_t member, std::vector<std::byte>& bytes) {
          if (at == lie.place && member == lie.member) {
            lie.change(bytes);
          }
        });
    engine->witness_crossings([&](const crossing_place& at, activation_form form,
                                  std::span<const std::span<const std::byte>> all) {
      kept.add(at, form, rows, 0, rows, all);
    });
    const auto s = segment::make_with(model_.get(), how.layers, kernels, std::move(engine)).value();
    segment_state state = s->open(80, 1U << 26U).value();
    position at = 0;
    for (const std::uint32_t n : steps) {
      std::vector<token_id> tokens;
      for (std::uint32_t i = 0; i < n; ++i) {
        tokens.push_back((at + i) * 37 % 320);
      }
      step_input in{.first = at, .count = n};
      in.tokens = tokens;
      step_output out;
      rows = n;
      const auto done = s->forward(state, in, runner_, out);
      EXPECT_TRUE(done) << done.error().message;
      at += n;
    }
    auto leaves = kept.take_leaves();
    const auto open = kept.open_leaves();
    leaves.insert(leaves.end(), open.begin(), open.end());
    std::sort(leaves.begin(), leaves.end(), [](const part_leaf& a, const part_leaf& b) {
      return std::tuple{a.window, a.layer, a.member} < std::tuple{b.window, b.layer, b.member};
    });
    return leaves;
  }

  serial_runner runner_;
  test::loaded_model model_;
};

const std::vector<cut_wish> fixed_ways{{output_cut::rows, output_cut::rows, always},
                                       {output_cut::rows, output_cut::rows, 0},
                                       {output_cut::columns, output_cut::columns, 0}};

TEST_F(recorded_group, has_the_same_leaves_however_positions_came_together) {
  for (const cut_wish& way : fixed_ways) {
    const auto how = cut(way);
    const auto once = record(how, {40});
    ASSERT_EQ(once.size(), 2U * 4 * 2) << "windows, layers, members";
    EXPECT_EQ(once[0].positions, 32U);
    EXPECT_EQ(once.back().positions, 8U);
    EXPECT_EQ(record(how, {1, 30, 3, 1, 5}), once);
    EXPECT_EQ(once[1].part, part_name(hash_plain({}), how, 0, 1));
  }
}

TEST_F(recorded_group, shows_a_member_that_is_off_by_one_in_one_partial_sum) {
  const auto how = cut(fixed_ways[2]);
  const auto honest = record(how, {8});
  const crossing_lie lie{
      {2, layer_block::feed_forward, crossing_kind::sums}, 1, [](std::vector<std::byte>& bytes) {
        std::vector<int128> sums(8 * 256);
        ASSERT_TRUE(add_sums(bytes, sums));
        std::vector<std::int64_t> changed(sums.begin(), sums.end());
        ++changed[1'000];
        bytes = encode_sums(changed);
      }};
  const auto stated = record(how, {8}, lie);
  const auto found = first_difference(stated, honest);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->stated.member, 1U);
  EXPECT_EQ(found->stated.layer, 2U);
  EXPECT_EQ(found->step, 3U) << "maxima and sums of attention, then maxima, then these";
  EXPECT_EQ(found->stated.part, part_name(hash_plain({}), how, 2, 1));
  EXPECT_FALSE(first_difference(honest, honest));
}

TEST_F(recorded_group, names_the_member_that_was_wrong_and_not_those_who_went_on_from_it) {
  // What member 1 sends of layer 1 changes what everybody sends from then on, member 0 first.
  struct wrong {
    cut_wish way;
    crossing_place place;
    std::uint32_t step;
  };
  for (const wrong& w :
       {wrong{fixed_ways[0], {1, layer_block::attention, crossing_kind::floats}, 0},
        wrong{fixed_ways[0], {1, layer_block::attention, crossing_kind::rows}, 1},
        wrong{fixed_ways[1], {1, layer_block::attention, crossing_kind::quantised}, 1},
        wrong{fixed_ways[1], {1, layer_block::feed_forward, crossing_kind::rows}, 5}}) {
    const auto how = cut(w.way);
    const crossing_lie lie{w.place, 1, [](std::vector<std::byte>& bytes) {
                             bytes[2] ^= std::byte{1}; // of the first row
                           }};
    const auto found = first_difference(record(how, {5, 1}, lie), record(how, {6}));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->stated.layer, 1U);
    EXPECT_EQ(found->step, w.step);
    EXPECT_EQ(found->stated.member, 1U);
  }
}

TEST_F(recorded_group, has_no_record_where_what_crosses_depends_on_the_pass) {
  const auto how = cut({output_cut::rows, output_cut::rows, 4});
  const auto refused = part_record::make(model_.get().config, how, hash_plain({}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::unsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("depends on the rows of a pass"));
}

} // namespace
} // namespace ovir::compute
