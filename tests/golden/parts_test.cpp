// The bytes of docs/formats/parts.md. A change here is a change of the wire format.
#include "compute/parts/crossing.hpp"
#include "compute/parts/cut_codec.hpp"
#include "messages/wire/group_frame.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ovir::compute {
namespace {

std::string parts_hex(std::span<const std::byte> bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 8 == 7 ? "\n" : "");
  }
  return out;
}

TEST(parts_golden, maxima_of_a_member_are_these_bytes) {
  const std::vector<row_state> states{row_state::good, row_state::bad_activation};
  const auto payload = encode_maxima(std::vector<float>{1, 0.5F}, states);
  const group_header header{group_kind::maxima, 1, 2, 21, 4, 0, 2, 0x0102030405060708, 9};
  EXPECT_EQ(parts_hex(encode_group(header, payload)), "4f56543138000000\n"
                                                      "0a00000000000000\n"
                                                      "0000000006000000\n"
                                                      "0000000005000000\n"
                                                      "0100020001000200\n"
                                                      "1500000004000000\n"
                                                      "0000000002000000\n"
                                                      "0807060504030201\n"
                                                      "0900000000000000\n"
                                                      "0000803f0000003f\n"
                                                      "0002");
}

TEST(parts_golden, sums_are_these_bytes) {
  EXPECT_EQ(parts_hex(encode_sums(std::vector<std::int64_t>{1, -2, 0x7FFFFF})), "03010000feffffff\n"
                                                                                "ff7f");
}

const segment_cut golden_cut{
    {4, 5}, {{{output_cut::rows, 4}, {output_cut::columns, 0}}}, {{{0, 1}, {0, 32}, {0, 16}, {}}}};

TEST(parts_golden, a_cut_is_these_bytes) {
  EXPECT_EQ(parts_hex(encode_cut(golden_cut)), "4301040000000500\n"
                                               "0000010000000001\n"
                                               "0000000000000020\n"
                                               "0000000000000010\n"
                                               "0000000000000000\n"
                                               "0000000100010400\n"
                                               "00000200000000");
}

TEST(parts_golden, a_part_s_name_is_this_digest) {
  EXPECT_EQ(to_hex(part_name(hash_plain({}), golden_cut, 4, 0)),
            "4adc7a8d4745d680cbc3b6a88a0acd0de9d77c088795147ec2cd9f6a7e6c3ea9");
}

} // namespace
} // namespace ovir::compute
