// The bytes of docs/formats/fetch.md. A change here is a change of the wire format.
#include "messages/wire/fetch_frame.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

std::string hex(const std::vector<std::byte>& bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 8 == 7 ? "\n" : "");
  }
  return out;
}

TEST(fetch_golden, wanting_two_pieces_is_these_bytes) {
  digest model;
  for (std::size_t i = 0; i < model.bytes.size(); ++i) {
    model.bytes[i] = static_cast<std::uint8_t>(i + 1);
  }
  const std::vector<std::uint32_t> pieces{7, 0x0102};
  EXPECT_EQ(hex(encode_want_pieces(model, pieces, 0x0102030405)), "4f56503140000000\n"
                                                                  "0800000000000000\n"
                                                                  "0000000007000000\n"
                                                                  "0000000006000000\n"
                                                                  "0100040000000000\n"
                                                                  "0504030201000000\n"
                                                                  "0102030405060708\n"
                                                                  "090a0b0c0d0e0f10\n"
                                                                  "1112131415161718\n"
                                                                  "191a1b1c1d1e1f20\n"
                                                                  "0700000002010000\n");
}

TEST(fetch_golden, a_refusal_of_a_whole_model_is_these_bytes) {
  EXPECT_EQ(hex(encode_refusal(digest{}, no_piece, {errc::segment_missing, "no"})).substr(0, 85),
            "4f56503140000000\n"
            "0300000000000000\n"
            "0000000007000000\n"
            "0000000006000000\n"
            "01000600ffffffff\n");
}

} // namespace
} // namespace ovir
