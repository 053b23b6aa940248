// The bytes of docs/formats/blocks.md. A change here is a change of the wire format.
#include "messages/name_filter.hpp"
#include "messages/wire/block_frame.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

std::string block_hex(std::span<const std::byte> bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 8 == 7 ? "\n" : "");
  }
  return out;
}

digest counted() {
  digest name;
  for (std::size_t i = 0; i < name.bytes.size(); ++i) {
    name.bytes[i] = static_cast<std::uint8_t>(i + 1);
  }
  return name;
}

TEST(blocks_golden, wanting_a_block_is_these_bytes) {
  EXPECT_EQ(block_hex(encode_want_blocks(0x0102030405, std::vector{counted()})),
            "4f56423120000000\n"
            "2000000000000000\n"
            "0000000003000000\n"
            "0000000002000000\n"
            "0100020000000000\n"
            "0504030201000000\n"
            "0102030405060708\n"
            "090a0b0c0d0e0f10\n"
            "1112131415161718\n"
            "191a1b1c1d1e1f20\n");
}

TEST(blocks_golden, a_filter_of_one_name_is_these_bytes) {
  name_filter filter{1};
  filter.add(counted());
  EXPECT_EQ(block_hex(filter.bytes()), "0204081020408000\n"
                                       "0000000000000000\n"
                                       "0000000000000000\n"
                                       "0000000000000000\n"
                                       "0000000000000000\n"
                                       "0000000000000000\n"
                                       "0000000000000000\n"
                                       "0000000000000000\n");
}

} // namespace
} // namespace ovir
