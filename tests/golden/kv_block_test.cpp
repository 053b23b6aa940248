// The bytes of docs/formats/kv-block.md, field by field. A change here is a new version.
#include "compute/forward/kv_block.hpp"
#include "compute/forward/prefix.hpp"
#include "tests/support/model/kv_blocks.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace ovir::compute {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return out;
}

TEST(kv_block_golden, prefixes_and_unit_keys_are_these) {
  std::vector<token_id> ids(64);
  std::iota(ids.begin(), ids.end(), 0U);
  prefix_chain chain;
  chain.add(ids);
  EXPECT_EQ(to_hex(chain.windows()[0]),
            "63e5a2c3fb8251e668e8916a045e6bd092f4972185ac83a72950429326be6b30");
  EXPECT_EQ(to_hex(chain.windows()[1]),
            "2886dd7da4de8a10751f8259d357e6a18c76c05beb495d6db8a9ba6b83b956ee");
  EXPECT_EQ(to_hex(unit_key(hash_plain({}), 7, chain.windows()[0])),
            "0308c8eccc8bad7cd54ffa2723295c65c0d56a3372ff038d20cd0d1187725f12");
  EXPECT_EQ(window_name({}, chain.windows()[0]), chain.windows()[0]) << "everybody's";
  EXPECT_EQ(to_hex(window_name(hash_plain({}), chain.windows()[0])),
            "24ef71d99c2bc41aade1c50caf24e8b62f2bc6c9df8dfd8e0203206aa6fbbdca");
}

TEST(kv_block_golden, a_block_of_one_head_of_one_element_is_these_bytes) {
  kv_cache cache = test::filled_kv({5, 6}, {1, 1}, 64, 1);
  for (std::uint16_t p = 0; p < 64; ++p) {
    cache.keys(5, 0)[p] = p;
    cache.values(5, 0)[p] = static_cast<std::uint16_t>(0x3C00 + p);
  }
  const digest name = hash_plain({});
  std::vector<std::byte> bytes =
      encode_kv_block(cache, 5, 1, unit_key(hash_plain({}), 5, name), nullptr);
  ASSERT_EQ(bytes.size(), 96 + 2 * 64 + 32 + 32 + 32 + 64U);
  EXPECT_EQ(hex(std::span{bytes}.last(128)), std::string(256, '0')) << "nobody's yet";
  seal_kv_block(bytes, name);
  sign_kv_block(bytes, test::author_key(1));
  EXPECT_EQ(hex(std::span{bytes}.first(32)),
            "4f564b56" // "OVKV"
            "0100"     // version
            "0100"     // binary16
            "05000000" // layer
            "01000000" // window
            "01000000" // heads
            "01000000" // elements of each
            "20000000" // positions
            "00000000");
  EXPECT_EQ(hex(std::span{bytes}.subspan(32, 64)),
            "534c4c992af16f4dddf19746ba3c29e7a6ed3f5bb716f03b9d00ae51786153c3"
            "52b751d7943e15148ee8b09d2b37b66d2403c9efa31b873cacbfa2d955279461");
  for (std::uint16_t p = 0; p < 32; ++p) {
    EXPECT_EQ(hex(std::span{bytes}.subspan(96 + 2 * p, 2)), fmt::format("{:02x}00", 32 + p));
    EXPECT_EQ(hex(std::span{bytes}.subspan(160 + 2 * p, 2)), fmt::format("{:02x}3c", 32 + p));
  }
  EXPECT_EQ(hex(std::span{bytes}.last(160)),
            "a212e4db9148c386cbc64aef8e31f58b88ce9e5f59be59a090f27c92d9aedaf6" // check
            "7c9fca42ca9515591c9e3417e6742dc1082a25ae9253c1362b5251cf8dfb7805" // seal
            "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c" // author
            "b5da06928eb8eb15cd804d81203d7aebce4e6d33d31f8d9e3e1deb8a6f96f60d" // signature
            "56a7a3c24bc7d059151e8ac40335ca07b963e0dc376d8445e3838fc3b8e13c08");
}

} // namespace
} // namespace ovir::compute
