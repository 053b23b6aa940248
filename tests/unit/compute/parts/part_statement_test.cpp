// Statements about parts as bytes, and what their signatures are under.
#include "compute/parts/part_statement.hpp"
#include "messages/limits/parts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

secret_key stating_key(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{number});
  return secret_key::from_seed(seed);
}

/// Of two members, two layers and three positions; everything in it differs.
part_statement stated_parts() {
  part_statement s;
  s.group.model = hash_plain({});
  s.group.nodes = {stating_key(1).id(), stating_key(2).id()};
  s.group.cut.layers = {4, 6};
  s.group.cut.blocks.assign(2, {{output_cut::rows, 4}, {output_cut::columns, 0}});
  s.group.cut.members = {{{0, 1}, {0, 32}, {0, 16}, {}}, {{1, 2}, {32, 64}, {16, 32}, {}}};
  s.run.first = 37;
  s.run.together = {8, 8, 1};
  std::uint32_t next = 0;
  const auto some = [&] { return hasher{"ovir/test/leaf"}.update_u32(++next).finish(); };
  s.run.input = some();
  s.run.before = {some(), some()};
  for (std::size_t i = 0; i < std::size_t{2} * part_lanes * 2; ++i) {
    s.run.leaves.push_back(some());
  }
  const part_terms terms{s.group};
  for (std::uint32_t i = 0; i < 2; ++i) {
    s.proofs.push_back(sign_parts(stating_key(static_cast<std::uint8_t>(i + 1)),
                                  {hash_plain({}), terms.said(s.run, i)}));
  }
  return s;
}

TEST(part_statement, comes_back_as_it_was_and_is_signed_by_all) {
  const part_statement s = stated_parts();
  const auto bytes = encode_statement(s);
  const auto back = decode_statement(bytes);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, s);
  EXPECT_TRUE(check_proofs(s));
  EXPECT_GE(bytes_of(s), bytes.size() - 200);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_statement(std::span{bytes}.first(n))) << n;
  }
}

TEST(part_statement, with_any_bit_changed_is_signed_by_none_or_is_none) {
  const auto bytes = encode_statement(stated_parts());
  std::size_t decoded = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 3) {
    auto other = bytes;
    other[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    const auto read = decode_statement(other);
    decoded += read ? 1 : 0;
    EXPECT_FALSE(read && check_proofs(*read)) << bit;
  }
  EXPECT_GT(decoded, bytes.size()) << "most bits are of digests and signatures";
}

TEST(part_statement, is_of_positions_of_one_window_and_of_leaves_of_its_cut) {
  const auto refused = [](const part_statement& s) {
    const auto read = decode_statement(encode_statement(s));
    EXPECT_FALSE(read);
    return read ? std::string{} : read.error().message;
  };
  part_statement s = stated_parts();
  s.run.leaves.pop_back();
  EXPECT_THAT(refused(s), HasSubstr("39 leaves"));
  s = stated_parts();
  s.run.first = 62; // its third position is of the next window
  EXPECT_THAT(refused(s), HasSubstr("3 positions from 62 on"));
  s.run.together = {};
  EXPECT_THAT(refused(s), HasSubstr("0 positions"));
  s = stated_parts();
  s.run.together[1] = 0;
  EXPECT_THAT(refused(s), HasSubstr("a pass of no rows"));
  s = stated_parts();
  s.run.first = limits::context_max;
  EXPECT_THAT(refused(s), HasSubstr("positions from"));
  s = stated_parts();
  s.proofs.pop_back();
  EXPECT_THAT(refused(s), HasSubstr("1 signatures"));
  s = stated_parts();
  s.run.before.push_back({});
  EXPECT_THAT(refused(s), HasSubstr("3 chains"));
  s = stated_parts();
  s.group.nodes[1] = s.group.nodes[0];
  EXPECT_THAT(refused(s), HasSubstr("different nodes"));
  const std::vector<std::byte> large(limits::part_statement_bytes_max + 1);
  EXPECT_EQ(decode_statement(large).error().code, errc::over_limit);
}

TEST(part_statement, of_a_member_has_nothing_of_keys_and_values_that_it_was_not_sent) {
  const part_statement s = stated_parts();
  const part_terms terms{s.group};
  part_run other = s.run;
  other.leaves[leaf_at(1, part_lane::kv, 0, 2)] = {};
  other.before[0] = {};
  EXPECT_EQ(terms.said(other, 1), terms.said(s.run, 1)) << "those of the first are not its word";
  EXPECT_NE(terms.said(other, 0), terms.said(s.run, 0));
  other = s.run;
  other.leaves[leaf_at(1, part_lane::inner_output, 0, 2)] = {};
  EXPECT_NE(terms.said(other, 1), terms.said(s.run, 1)) << "what it was sent is";
}

TEST(part_statement, signs_for_this_purpose_alone) {
  const part_statement s = stated_parts();
  part_proof other = s.proofs[1];
  other.proof = stating_key(2).sign("ovir/statement/v1/signature",
                                    std::as_bytes(std::span{other.ends.front().bytes}));
  EXPECT_FALSE(verify_parts(s.group.nodes[1], other));
  other = s.proofs[1];
  other.ends.pop_back();
  EXPECT_FALSE(verify_parts(s.group.nodes[1], other)) << "of both ends or of none";
}

} // namespace
} // namespace ovir::compute
