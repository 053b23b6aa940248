// The bytes of docs/formats/parts.md. A change here is a change of the wire format.
#include "compute/parts/crossing.hpp"
#include "compute/parts/cut_codec.hpp"
#include "compute/parts/part_statement.hpp"
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

TEST(parts_golden, a_statement_is_these_bytes_and_a_member_says_this_digest) {
  part_statement s;
  s.group = {hash_plain({}), {}, golden_cut};
  s.group.cut.members.push_back({{1, 2}, {32, 64}, {16, 32}, {}});
  s.group.nodes.resize(2);
  s.group.nodes[0].key.fill(1);
  s.group.nodes[1].key.fill(2);
  s.run.first = 37;
  s.run.together = {8, 1};
  std::uint8_t next = 0;
  const auto some = [&] {
    digest d;
    d.bytes.fill(++next);
    return d;
  };
  s.run.input = some();
  s.run.before = {some(), some()};
  for (std::size_t i = 0; i < std::size_t{2} * part_lanes; ++i) {
    s.run.leaves.push_back(some());
  }
  for (std::size_t i = 0; i < 2; ++i) {
    s.proofs.push_back({{some()}, {}});
    s.proofs.back().proof.bytes.fill(++next);
  }
  const auto bytes = encode_statement(s);
  EXPECT_EQ(bytes.size(), 1141U);
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "5c349ffd9d4b3e9e65ba848ec858e8c7eb98f6a61d431e19917f081b68ef58b2");
  EXPECT_EQ(to_hex(part_terms{s.group}.said(s.run, 1)),
            "70ac5cedae8b4a42f2445444be76aa748248898dba51e33e8bfd547b954b3efb");
}

} // namespace
} // namespace ovir::compute
