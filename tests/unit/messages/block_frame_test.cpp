#include "messages/limits/blocks.hpp"
#include "messages/wire/block_frame.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir {
namespace {

using bytes = std::vector<std::byte>;

errc refusal(const block_header& header, std::size_t payload) {
  const auto right = check(header, bytes(payload));
  EXPECT_FALSE(right);
  return right ? errc::internal : right.error().code;
}

errc refusal_of(const bytes& message) {
  const auto read = decode_block(message);
  EXPECT_FALSE(read);
  return read ? errc::internal : read.error().code;
}

TEST(block_frame, every_kind_reads_back) {
  const std::vector<digest> names(3, digest{{1, 2, 3}});
  const bytes want = encode_want_blocks(9, names);
  const auto asked = decode_block(want);
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->header, (block_header{block_kind::want, 0, 9}));
  EXPECT_EQ(asked->names(), names);
  for (const auto& [header, size] :
       {std::pair{block_header{block_kind::claims, 7, 0}, limits::block_filter_bytes_min},
        std::pair{block_header{block_kind::block, 255, 9}, std::size_t{5}},
        std::pair{block_header{block_kind::missing, 2, 9}, std::size_t{0}}}) {
    const bytes sent = encode_block(header, bytes(size, std::byte{7}));
    const auto read = decode_block(sent);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->header, header);
    EXPECT_EQ(read->payload.size(), size);
  }
}

TEST(block_frame, sizes_and_numbers_are_bounded_by_kind) {
  using enum block_kind;
  EXPECT_EQ(refusal({claims, 0, 0}, 32), errc::malformed);
  EXPECT_EQ(refusal({claims, 0, 0}, 96), errc::malformed);
  EXPECT_EQ(refusal({claims, 0, 1}, 64), errc::malformed);
  EXPECT_EQ(refusal({claims, 0, 0}, 2 * limits::block_filter_bytes_max), errc::over_limit);
  EXPECT_EQ(refusal({claims, limits::blocks_claimed_max + 1, 0}, 64), errc::over_limit);
  EXPECT_EQ(refusal({want, 0, 1}, 0), errc::malformed);
  EXPECT_EQ(refusal({want, 0, 1}, 33), errc::malformed);
  EXPECT_EQ(refusal({want, 1, 1}, 32), errc::malformed);
  EXPECT_EQ(refusal({want, 0, 1}, (limits::blocks_asked_max + 1) * 32), errc::over_limit);
  EXPECT_EQ(refusal({block, 0, 1}, 0), errc::malformed);
  EXPECT_EQ(refusal({block, limits::blocks_asked_max, 1}, 1), errc::over_limit);
  EXPECT_EQ(refusal({block, 0, 1}, limits::kv_block_bytes_max + 1), errc::over_limit);
  EXPECT_EQ(refusal({missing, 0, 1}, 1), errc::over_limit);
  EXPECT_EQ(refusal({static_cast<block_kind>(5), 0, 1}, 1), errc::unsupported);
}

TEST(block_frame, what_does_not_begin_like_one_is_refused) {
  const bytes good = encode_want_blocks(9, std::vector<digest>(1));
  EXPECT_EQ(refusal_of({}), errc::malformed);
  EXPECT_EQ(refusal_of({good.begin(), good.end() - 8}), errc::malformed);
  bytes other = good;
  other[0] = std::byte{'X'};
  EXPECT_EQ(refusal_of(other), errc::malformed);
  bytes later = good;
  later[32] = std::byte{2}; // the version, behind prefix, segment table and root
  EXPECT_EQ(refusal_of(later), errc::unsupported);
}

TEST(block_frame, a_flip_of_any_bit_in_front_is_refused_or_means_something_else) {
  const bytes good = encode_want_blocks(9, std::vector<digest>(2));
  const block_header header = decode_block(good).value().header;
  for (std::size_t bit = 0; bit < block_overhead_bytes * 8; ++bit) {
    bytes flipped = good;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto read = decode_block(flipped);
    EXPECT_TRUE(!read || read->header != header) << bit;
  }
}

} // namespace
} // namespace ovir
