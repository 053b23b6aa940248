#include "messages/wire/frame.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

std::string frame_hex(const std::vector<std::byte>& bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 8 == 7 ? "\n" : "");
  }
  return out;
}

// docs/formats/frame.md shows the same bytes. A change here is a change of the wire format.
TEST(frame_golden, a_token_frame_is_these_bytes) {
  const std::vector<token_id> ids{259, 72};
  const frame_header header{
      frame_kind::tokens, request_id{0x0102030405060708}, epoch{9}, 32, 2, 1, 1, 4};
  EXPECT_EQ(frame_hex(encode_frame(header, std::as_bytes(std::span{ids}))), "4f56463130000000\n"
                                                                            "0800000000000000\n"
                                                                            "0000000005000000\n"
                                                                            "0000000004000000\n"
                                                                            "0100010009000000\n"
                                                                            "0807060504030201\n"
                                                                            "2000000002000000\n"
                                                                            "0100000001000400\n"
                                                                            "0301000048000000\n");
}

} // namespace
} // namespace ovir
