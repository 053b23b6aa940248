// The bytes of docs/formats/capsule.md. A change here is a new version of the format.
#include "messages/evidence/capsule.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace ovir {
namespace {

/// The example of the page: four positions, rows of two values that count up.
capsule example() {
  capsule c{test::receipt_maker{}.small(), 2, {{{0, 2}, 4, {}}, {{1, 2}, 4, {}}}};
  for (int i = 0; i < 8; ++i) {
    c.pieces[1].rows.push_back(static_cast<float>(i) + 0.5F);
  }
  return c;
}

TEST(capsule_golden, a_capsule_is_these_bytes) {
  const auto bytes = encode_capsule(example());
  EXPECT_EQ(bytes.size(), 1872U);
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "4f7a1b7133b998642b974c39a88510d7e349b4d0577c8d39eb91214500f731c5");
}

TEST(capsule_golden, the_receipt_and_the_rows_lie_in_it_as_they_are) {
  const auto bytes = encode_capsule(example());
  const auto inner = encode_receipt(example().what);
  const std::vector<float> rows = example().pieces[1].rows;
  const auto row_bytes = std::as_bytes(std::span{rows});
  EXPECT_NE(std::search(bytes.begin(), bytes.end(), inner.begin(), inner.end()), bytes.end());
  EXPECT_NE(std::search(bytes.begin(), bytes.end(), row_bytes.begin(), row_bytes.end()),
            bytes.end());
  EXPECT_EQ(std::memcmp(bytes.data() + 16, "OVIRCPSL", 8), 0);
}

TEST(capsule_golden, another_version_is_refused_by_its_number) {
  auto bytes = encode_capsule(example());
  bytes[24] = std::byte{2};
  const auto read = decode_capsule(bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, errc::unsupported);
  EXPECT_THAT(read.error().message, ::testing::HasSubstr("version 2"));
}

} // namespace
} // namespace ovir
