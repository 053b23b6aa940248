// How segments are cut: in proportion, at bounds that keep the bits, and never otherwise.
#include "compute/parts/model_part.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/limits/experts.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

constexpr test::architecture_shape cut_shape{.dim = 256,
                                             .heads = 20,
                                             .kv_heads = 5,
                                             .head_dim = 64,
                                             .ffn_dim = 1280,
                                             .expert_dim = 256,
                                             .shared_dim = 256,
                                             .vocabulary = 320};

test::loaded_model cut_model(tensor_type type, const char* architecture = "llama") {
  test::kernel_random random{455};
  const test::matrix_maker make = [&](std::uint32_t rows, std::uint32_t cols) {
    auto made = form_for(type) == activation_form::floats
                    ? test::make_floats(random, type, rows, cols)
                    : test::make_quantized(random, type, rows, cols, test::filling::random, 0x1400);
    return test::matrix_content{type, std::move(made.bytes)};
  };
  for (const test::architecture_case& one : test::architecture_cases()) {
    if (one.name == architecture) {
      return test::loaded_model{test::architecture_model(one, cut_shape, 1, make)};
    }
  }
  throw std::invalid_argument{architecture};
}

std::vector<std::uint32_t> sizes_of(const segment_cut& cut, part_range member_part::*of) {
  std::vector<std::uint32_t> sizes;
  for (const member_part& m : cut.members) {
    sizes.push_back((m.*of).size());
  }
  return sizes;
}

using sizes = std::vector<std::uint32_t>;

TEST(segment_cut, gives_members_their_shares_in_whole_heads_blocks_and_panels) {
  const auto m = cut_model(tensor_type::q4_k);
  const auto cut = cut_segment(m.get(), {6, 8}, std::vector<std::uint32_t>{3, 1, 1}).value();
  EXPECT_EQ(sizes_of(cut, &member_part::kv_heads), (sizes{3, 1, 1}));
  EXPECT_EQ(sizes_of(cut, &member_part::inner), (sizes{768, 256, 256}));
  EXPECT_EQ(sizes_of(cut, &member_part::rows), (sizes{160, 48, 48}));
  EXPECT_EQ(sizes_of(cut, &member_part::words), (sizes{192, 64, 64}));
  ASSERT_EQ(cut.blocks.size(), 2U);
  EXPECT_EQ(cut.of(7).attention, (block_cut{output_cut::rows, limits::group_float_rows}));
  EXPECT_TRUE(check_cut(m.get(), cut));
  const auto earlier = cut_segment(m.get(), {0, 2}, std::vector<std::uint32_t>{1, 1}).value();
  EXPECT_EQ(sizes_of(earlier, &member_part::words), (sizes{0, 0})) << "the head is the last's";
}

TEST(segment_cut, cuts_matrices_of_floats_by_rows_alone) {
  const auto m = cut_model(tensor_type::f16);
  const cut_wish columns{output_cut::columns, output_cut::columns, 0};
  auto cut = cut_segment(m.get(), {0, 8}, std::vector<std::uint32_t>{1, 1}, columns).value();
  EXPECT_EQ(cut.of(3).attention, (block_cut{output_cut::rows, always}));
  EXPECT_EQ(cut.of(3).feed_forward, (block_cut{output_cut::rows, always}));
  cut.blocks[3].feed_forward.output = output_cut::columns;
  const auto refused = check_cut(m.get(), cut);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::unsupported);
  EXPECT_THAT(refused.error().message,
              HasSubstr("blk.3.ffn_down is F16, whose sums have an order"));
}

TEST(segment_cut, leaves_sums_beyond_64_bits_to_rows) {
  const auto m = cut_model(tensor_type::q8_0);
  model wide = m.get();
  wide.layers[2].ffn_down.wide = true;
  const cut_wish columns{output_cut::columns, output_cut::columns, 0};
  auto cut = cut_segment(wide, {2, 3}, std::vector<std::uint32_t>{1, 1}, columns).value();
  EXPECT_EQ(cut.of(2).attention.output, output_cut::columns);
  EXPECT_EQ(cut.of(2).feed_forward.output, output_cut::rows);
  cut.blocks[0].feed_forward.output = output_cut::columns;
  EXPECT_EQ(check_cut(wide, cut).error().code, errc::unsupported);
}

TEST(segment_cut, refuses_bounds_within_blocks_of_what_crosses_as_integers) {
  const auto m = cut_model(tensor_type::q6_k);
  const cut_wish columns{output_cut::columns, output_cut::columns, 0};
  const auto good = cut_segment(m.get(), {4, 5}, std::vector<std::uint32_t>{2, 3}, columns).value();
  for (const output_cut how : {output_cut::columns, output_cut::rows}) {
    segment_cut cut = good;
    cut.blocks[0].feed_forward.output = how;
    cut.members[0].inner.last -= 32;
    cut.members[1].inner.first -= 32;
    const auto refused = check_cut(m.get(), cut);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, errc::malformed);
    EXPECT_THAT(refused.error().message,
                HasSubstr("member 0 of the group has elements [0, 480) of the input of "
                          "blk.4.ffn_down, whose blocks are of 256"));
    // As floats they may cross anywhere.
    cut.blocks[0].feed_forward = {output_cut::rows, always};
    EXPECT_TRUE(check_cut(m.get(), cut));
  }
}

TEST(segment_cut, lets_heads_that_are_no_whole_blocks_cross_as_floats) {
  // Two K/V heads of half a block of 256 each.
  const test::loaded_model m{test::tiny_model(1, synth_quantization::q4_k)};
  const cut_wish columns{output_cut::columns, output_cut::columns, 0};
  const auto cut = cut_segment(m.get(), {0, 2}, std::vector<std::uint32_t>{1, 1}, columns).value();
  EXPECT_EQ(cut.of(0).attention, (block_cut{output_cut::rows, always}));
  EXPECT_EQ(cut.of(0).feed_forward.output, output_cut::columns);
  auto forced = cut;
  forced.blocks[0].attention = {output_cut::columns, 0};
  EXPECT_THAT(check_cut(m.get(), forced).error().message, HasSubstr("blk.0.attn_output"));
}

TEST(segment_cut, refuses_parts_that_do_not_tile) {
  const auto m = cut_model(tensor_type::q8_0);
  const auto good = cut_segment(m.get(), {0, 8}, std::vector<std::uint32_t>{1, 1}).value();
  struct wrong {
    std::function<void(segment_cut&)> change;
    std::string message;
  };
  for (const wrong& one : {
           wrong{[](segment_cut& c) { --c.members[0].kv_heads.last; }, "member 1 of the group has "
                                                                       "K/V heads"},
           wrong{[](segment_cut& c) { ++c.members[0].inner.last; }, "feed-forward rows"},
           wrong{[](segment_cut& c) { --c.members[1].rows.last; }, "output rows [0, 255) of 256"},
           wrong{[](segment_cut& c) {
                   c.members[1].words = {160, 330};
                 },
                 "rows of the head"},
           wrong{[](segment_cut& c) { c.members.pop_back(); }, "all must be held"},
           wrong{[](segment_cut& c) { c.members.clear(); }, "a group of 0 members"},
           wrong{[](segment_cut& c) { c.members.resize(limits::group_members_max + 1); },
                 "a group of 17 members"},
           wrong{[](segment_cut& c) { c.blocks.pop_back(); }, "says how 7 are cut"},
           wrong{[](segment_cut& c) {
                   c.layers = {3, 3};
                 },
                 "does not exist"},
           wrong{[](segment_cut& c) { c.blocks[0].attention.output = output_cut{7}; },
                 "a way that does not exist"},
           wrong{[](segment_cut& c) { c.blocks[0].attention.floats_up_to = always + 1; },
                 "a pass has at most"},
       }) {
    segment_cut cut = good;
    one.change(cut);
    const auto refused = check_cut(m.get(), cut);
    ASSERT_FALSE(refused) << one.message;
    EXPECT_THAT(refused.error().message, HasSubstr(one.message));
    EXPECT_FALSE(take_part(m.get(), cut, 0)) << one.message;
  }
}

TEST(segment_cut, refuses_shares_that_make_no_group) {
  const auto m = cut_model(tensor_type::q8_0);
  for (const std::vector<std::uint32_t>& shares :
       {std::vector<std::uint32_t>{},
        {1, 0},
        {limits::group_share_max + 1},
        std::vector<std::uint32_t>(limits::group_members_max + 1, 1)}) {
    EXPECT_EQ(cut_segment(m.get(), {0, 8}, shares).error().code, errc::invalid_argument);
  }
  EXPECT_EQ(cut_segment(m.get(), {0, 9}, std::vector<std::uint32_t>{1}).error().code,
            errc::invalid_argument);
}

TEST(segment_cut, cuts_experts_by_rows_with_activations_as_floats) {
  const auto m = cut_model(tensor_type::q8_0, "mixtral");
  const cut_wish wish{output_cut::columns, output_cut::columns, 0};
  const auto cut = cut_segment(m.get(), {0, 8}, std::vector<std::uint32_t>{2, 1}, wish).value();
  EXPECT_EQ(cut.blocks[3].attention.output, output_cut::columns);
  EXPECT_EQ(cut.blocks[3].feed_forward, (block_cut{output_cut::rows, always}));
  EXPECT_EQ(cut.members[1].inner.last, m.get().config.expert_ffn_dim);
  auto wrong = cut;
  wrong.blocks[3].feed_forward.floats_up_to = 4;
  const auto refused = check_cut(m.get(), wrong);
  EXPECT_EQ(refused.error().code, errc::unsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("layer 3 is a mixture of experts"));
  std::uint64_t elements = 0;
  for (std::uint32_t i = 0; i < 2; ++i) {
    const auto part = take_part(m.get(), cut, i).value();
    ASSERT_EQ(part.weights.layers[3].experts.size(), m.get().layers[3].experts.size());
    for (const expert_part& which : expert_parts) {
      const weight& mine = part.weights.layers[3].experts[1].*which.member;
      elements += std::uint64_t{mine.rows} * mine.cols;
    }
  }
  const model_config& c = m.get().config;
  EXPECT_EQ(elements, std::uint64_t{3} * c.dim * c.expert_ffn_dim) << "of one expert, once";
  auto large = m.get();
  large.config.experts_used = limits::experts_used_max;
  large.config.expert_ffn_dim = limits::feed_forward_max;
  EXPECT_EQ(check_for_parts(large, {0, 8}).error().code, errc::over_limit);
}

TEST(model_part, has_its_rows_as_views_its_columns_as_copies_and_nothing_else) {
  const auto m = cut_model(tensor_type::q4_0, "qwen2");
  const cut_wish wish{output_cut::rows, output_cut::columns, 0};
  const auto cut = cut_segment(m.get(), {7, 8}, std::vector<std::uint32_t>{2, 1, 2}, wish).value();
  const auto part = take_part(m.get(), cut, 1).value();
  const layer_weights& whole = m.get().layers[7];
  const layer_weights& mine = part.weights.layers[7];
  const member_part& ranges = cut.members[1];
  EXPECT_EQ(mine.attn_q.data, whole.attn_q.row(ranges.kv_heads.first * 256));
  EXPECT_EQ(mine.attn_q.rows, 256U);
  EXPECT_EQ(mine.attn_q_bias.data, whole.attn_q_bias.data + ranges.kv_heads.first * 256 * 4);
  EXPECT_EQ(mine.attn_q_bias.cols, 256U);
  EXPECT_EQ(mine.attn_k.rows, 64U);
  EXPECT_EQ(mine.attn_output.data, whole.attn_output.row(ranges.rows.first));
  EXPECT_EQ(mine.attn_norm.data, whole.attn_norm.data);
  ASSERT_EQ(part.copies.size(), 1U);
  EXPECT_EQ(mine.ffn_down.cols, ranges.inner.size());
  for (std::uint32_t r = 0; r < mine.ffn_down.rows; ++r) {
    const std::byte* const from = whole.ffn_down.row(r) + ranges.inner.first / 32 * 18;
    ASSERT_EQ(std::memcmp(mine.ffn_down.row(r), from, mine.ffn_down.row_bytes()), 0) << r;
  }
  EXPECT_EQ(part.weights.output.rows, ranges.words.size());
  EXPECT_TRUE(part.weights.token_embedding.empty());
  EXPECT_TRUE(part.weights.layers[6].attn_q.empty()) << "not of the segment";
  const std::uint64_t all = file_bytes(whole);
  EXPECT_GT(part.layer_bytes({7, 8}), all / 7);
  EXPECT_LT(part.layer_bytes({7, 8}), all / 4);
}

TEST(model_part, of_all_members_are_all_rows_and_columns_once) {
  const auto m = cut_model(tensor_type::q5_k);
  for (const output_cut how : {output_cut::rows, output_cut::columns}) {
    const cut_wish wish{how, how, 0};
    const auto cut =
        cut_segment(m.get(), {0, 8}, std::vector<std::uint32_t>{5, 1, 2, 1, 1}, wish).value();
    for (const layer_part& one : layer_parts) {
      const weight& whole = m.get().layers[5].*one.member;
      std::uint64_t elements = 0;
      for (std::uint32_t i = 0; i < cut.members.size(); ++i) {
        for (const weight_part& part : weight_parts(m.get(), cut, 5, i)) {
          elements +=
              part.member == one.member ? std::uint64_t{part.rows.size()} * part.columns.size() : 0;
        }
      }
      const std::uint64_t times = one.product ? 1 : cut.members.size();
      EXPECT_EQ(elements, times * whole.rows * whole.cols) << one.name;
    }
  }
}

} // namespace
} // namespace ovir::compute
