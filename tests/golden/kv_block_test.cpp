// The bytes of docs/formats/kv-block.md, field by field. A change here is a new version.
#include "compute/forward/kv_block.hpp"
#include "compute/forward/kv_digest.hpp"
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
      test::kv_bytes(cache, 5, 1, unit_key(hash_plain({}), 5, name), nullptr);
  const digest kv = kv_digest(cache, 5, 1, 32);
  const std::string kv_text = hex(std::as_bytes(std::span{kv.bytes}));
  ASSERT_EQ(bytes.size(), 192 + 2 * 64 + 32 + 32 + 32 + 64U);
  EXPECT_EQ(hex(std::span{bytes}.last(128)), std::string(256, '0')) << "nobody's yet";
  seal_kv_block(bytes, name);
  sign_kv_block(bytes, test::author_key(1));
  EXPECT_EQ(hex(std::span{bytes}.first(32)),
            "4f564b56" // "OVKV"
            "0200"     // version
            "0100"     // binary16
            "05000000" // layer
            "01000000" // window
            "01000000" // heads
            "01000000" // elements of each
            "20000000" // positions
            "00000000");
  EXPECT_EQ(hex(std::span{bytes}.subspan(160, 32)), kv_text) << "output";
  EXPECT_EQ(hex(std::span{bytes}.subspan(32, 64)),
            "534c4c992af16f4dddf19746ba3c29e7a6ed3f5bb716f03b9d00ae51786153c3"   // unit key
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"); // model
  for (std::uint16_t p = 0; p < 32; ++p) {
    EXPECT_EQ(hex(std::span{bytes}.subspan(192 + 2 * p, 2)), fmt::format("{:02x}00", 32 + p));
    EXPECT_EQ(hex(std::span{bytes}.subspan(256 + 2 * p, 2)), fmt::format("{:02x}3c", 32 + p));
  }
  EXPECT_EQ(hex(std::span{bytes}.last(160)),
            "b35c8549262d411614d64870d7ae36ee2e41ac30e69325657eeaea52055f9801" // check
            "79395cd43f224729e472b7deb45db7e76af03813cdfc8f208a98ffc5913814be" // seal
            "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c" // author
            "2d6ad6deea06a5fd5abad5a8af507fa38132666d781592b8ffb7c446742e7f64" // signature
            "dac26a7205a9b18df17283a1c9998d3f9a15f9e1df3255d8b158848c4f61d704");
}

} // namespace
} // namespace ovir::compute
