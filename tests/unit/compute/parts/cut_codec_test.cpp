// Cuts as bytes, and names that parts of different groups share where they are the same.
#include "compute/parts/cut_codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

segment_cut two_members() {
  segment_cut cut{
      {4, 6}, {}, {{{0, 3}, {0, 768}, {0, 128}, {}}, {{3, 5}, {768, 1280}, {128, 256}, {}}}};
  cut.blocks = {{{output_cut::rows, 4}, {output_cut::columns, 0}},
                {{output_cut::rows, always}, {output_cut::rows, 0}}};
  return cut;
}

TEST(cut_codec, brings_back_what_it_wrote) {
  const segment_cut cut = two_members();
  const auto bytes = encode_cut(cut);
  EXPECT_EQ(bytes.size(), 2U + 8 + 1 + 2 * 32 + 2 + 2 * 10);
  EXPECT_EQ(decode_cut(bytes).value(), cut);
}

TEST(cut_codec, refuses_other_bytes) {
  const auto bytes = encode_cut(two_members());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_cut(std::span{bytes}.first(n))) << n;
  }
  auto longer = bytes;
  longer.push_back({});
  EXPECT_EQ(decode_cut(longer).error().code, errc::malformed);
  auto version = bytes;
  version[1] = std::byte{2};
  EXPECT_EQ(decode_cut(version).error().code, errc::unsupported);
  auto members = bytes;
  members[10] = std::byte{17};
  EXPECT_EQ(decode_cut(members).error().code, errc::over_limit);
}

TEST(part_name, is_that_of_its_exact_rows_columns_and_heads) {
  const digest model = hash_plain({});
  const segment_cut cut = two_members();
  const digest name = part_name(model, cut, 4, 1);
  EXPECT_NE(part_name(model, cut, 4, 0), name);
  EXPECT_NE(part_name(model, cut, 5, 1), name) << "layer";
  EXPECT_NE(part_name(name, cut, 4, 1), name) << "model";
  for (part_range member_part::*range :
       {&member_part::kv_heads, &member_part::inner, &member_part::rows}) {
    segment_cut other = cut;
    ++(other.members[1].*range).first;
    EXPECT_NE(part_name(model, other, 4, 1), name);
  }
  segment_cut other = cut;
  other.blocks[0].feed_forward.output = output_cut::rows;
  EXPECT_NE(part_name(model, other, 4, 1), name);
}

TEST(part_name, is_the_same_of_the_same_part_in_another_group) {
  const digest model = hash_plain({});
  const segment_cut cut = two_members();
  segment_cut other = cut;
  other.layers = {4, 5};
  other.blocks.pop_back();
  other.blocks[0].attention.floats_up_to = 0; // how it crosses is no part of what it is
  other.members[0] = {{0, 1}, {0, 256}, {0, 64}, {}};
  other.members.insert(other.members.begin() + 1, member_part{{1, 3}, {256, 768}, {64, 128}, {}});
  EXPECT_EQ(part_name(model, other, 4, 2), part_name(model, cut, 4, 1));
  EXPECT_NE(part_name(model, other, 4, 1), part_name(model, cut, 4, 0));
}

TEST(part_name, is_told_in_words) {
  const segment_cut cut = two_members();
  EXPECT_EQ(describe(cut.members[1], cut.of(4)),
            "heads 3 to 4, feed-forward 768 to 1279, output rows 128 to 255");
  layer_cut columns = cut.of(4);
  columns.attention.output = output_cut::columns;
  EXPECT_EQ(describe({{0, 0}, {0, 32}, {0, 16}, {}}, columns), "no heads, feed-forward 0 to 31");
}

} // namespace
} // namespace ovir::compute
