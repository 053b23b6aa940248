// The bytes of docs/formats/fast-record.md. A change here is a new version of the format.
#include "messages/evidence/fast_record.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

fast_record example_record() {
  fast_record r;
  r.model.bytes.fill(3);
  r.layers = 2;
  r.dim = 2;
  r.prompt = 2;
  r.tokens = {5, 6, 7};
  r.rows = {1, 2, 3, 4, 5, 6, 7, 8.5F};
  r.software = "ovir test";
  sign(r, test::receipt_maker{}.key(0));
  return r;
}

TEST(fast_record_golden, a_record_is_these_bytes) {
  const auto bytes = encode_fast_record(example_record());
  EXPECT_EQ(bytes.size(), 280U);
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "58df4525f7590ecb51fa18336dc523fc52f96c8dfe3d3ddc03c85eb7cac6fd3c");
  EXPECT_TRUE(is_fast_record(bytes));
}

TEST(fast_record_golden, every_flipped_bit_is_refused_or_unsigned) {
  std::vector<std::byte> bytes = encode_fast_record(example_record());
  for (std::size_t i = 0; i < 8 * bytes.size(); ++i) {
    bytes[i / 8] ^= std::byte{1} << static_cast<int>(i % 8);
    const auto read = decode_fast_record(bytes);
    EXPECT_FALSE(read && is_signed(*read)) << i;
    bytes[i / 8] ^= std::byte{1} << static_cast<int>(i % 8);
  }
}

TEST(fast_record_golden, another_version_is_refused_by_its_number) {
  auto bytes = encode_fast_record(example_record());
  bytes[24] = std::byte{2};
  const auto read = decode_fast_record(bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, errc::unsupported);
  EXPECT_THAT(read.error().message, ::testing::HasSubstr("version 2"));
}

} // namespace
} // namespace ovir
