// The bytes of docs/formats/nat.md. A change here is a change of the wire format.
#include "actors/nat/nat_message.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

std::string hex_of(const std::vector<std::byte>& bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return out;
}

node_id counted_node() {
  node_id node;
  for (std::size_t i = 0; i < node.key.size(); ++i) {
    node.key[i] = static_cast<std::uint8_t>(i + 1);
  }
  return node;
}

TEST(nat_golden, a_meeting_is_these_bytes) {
  EXPECT_EQ(hex_of(encode(meeting{0x0102030405060708,
                                  counted_node(),
                                  true,
                                  nat_mapping::independent,
                                  {"203.0.113.7:40000", "10.0.0.2:40000"},
                                  {"203.0.113.7:7300"}})),
            "4f564e3205"
            "0807060504030201"
            "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
            "0101"
            "02"
            "113230332e302e3131332e373a3430303030"
            "0e31302e302e302e323a3430303030"
            "01"
            "103230332e302e3131332e373a37333030");
}

TEST(nat_golden, a_word_of_where_a_node_is_seen_is_these_bytes) {
  address_seen word{"1.2.3.4:5", {}, true, {1, 2}};
  word.proof.bytes[0] = 0xaa;
  EXPECT_EQ(hex_of(encode(word)), "4f564e3202"
                                  "09312e322e332e343a35"
                                  "aa" +
                                      std::string(126, '0') +
                                      "01"
                                      "0102" +
                                      std::string(28, '0'));
}

TEST(nat_golden, a_knock_is_these_bytes) {
  EXPECT_EQ(hex_of(encode(punch_datagram{punch_kind::knock, {1, 2, 3}})),
            "0e4f5650"
            "02"
            "01020300000000000000000000000000");
}

TEST(nat_golden, a_piece_of_a_stream_is_these_bytes) {
  EXPECT_EQ(hex_of(encode(stream_bytes{0x01020304, {std::byte{0xaa}, std::byte{0xbb}}})),
            "4f564e3208"
            "04030201"
            "02000000"
            "aabb");
}

TEST(nat_golden, what_is_signed_of_a_stream_is_these_bytes) {
  counted_stream what;
  what.relay = counted_node();
  what.session[15] = 9;
  what.bytes = 0x0102;
  EXPECT_EQ(hex_of(count_statement(what)),
            "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20" +
                std::string(128, '0') + "00000000000000000000000000000009" + "0201000000000000");
  EXPECT_EQ(hex_of(seen_statement(counted_node(), "1.2.3.4:5")),
            "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
            "312e322e332e343a35");
}

} // namespace
} // namespace ovir::actors
