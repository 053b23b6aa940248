#include "actors/protocol/wire.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

std::string hex(const std::vector<std::byte>& bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 8 == 7 ? "\n" : "");
  }
  return out;
}

std::array<std::uint8_t, 32> counted(std::uint8_t first) {
  std::array<std::uint8_t, 32> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(first + i);
  }
  return bytes;
}

void expect_bytes(const wire_message& message, const std::string& golden) {
  const auto bytes = encode_wire(message);
  EXPECT_EQ(hex(bytes), golden);
  const auto read = decode_wire(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, message);
}

constexpr request_id request{0x0102030405060708};

// docs/formats/wire.md shows the first of these. A change here is a change of the wire format.
TEST(wire_golden, a_step_is_these_bytes) {
  const step_done step{64, 3, {{{1, 2}, 32, digest{counted(0x20)}}}};
  expect_bytes({request, epoch{9}, 4, step}, "0000000010000000\n"
                                             "0000000003000100\n"
                                             "0100090009000000\n"
                                             "0807060504030201\n"
                                             "0400000000000000\n"
                                             "0000000003000100\n"
                                             "4000000000000000\n"
                                             "0300000000000000\n"
                                             "0000000000000000\n"
                                             "0100000037000000\n"
                                             "0400000006000000\n"
                                             "0100000002000000\n"
                                             "2000000000000000\n"
                                             "2021222324252627\n"
                                             "28292a2b2c2d2e2f\n"
                                             "3031323334353637\n"
                                             "38393a3b3c3d3e3f\n");
}

TEST(wire_golden, a_close_is_these_bytes) {
  expect_bytes({request, epoch{9}, 4, close_session{}}, "0000000005000000\n"
                                                        "0000000003000100\n"
                                                        "0100040009000000\n"
                                                        "0807060504030201\n"
                                                        "0400000000000000\n"
                                                        "0000000000000000\n");
}

TEST(wire_golden, a_withdrawal_is_these_bytes) {
  expect_bytes({request, epoch{9}, 4, withdraw_log{}}, "0000000005000000\n"
                                                       "0000000003000100\n"
                                                       "0100100009000000\n"
                                                       "0807060504030201\n"
                                                       "0400000000000000\n"
                                                       "0000000000000000\n");
}

TEST(wire_golden, a_failure_is_these_bytes) {
  expect_bytes({request, epoch{9}, 4, stage_failed{{errc::peer_lost, "gone"}}},
               "0000000008000000\n"
               "0000000003000100\n"
               "01000b0009000000\n"
               "0807060504030201\n"
               "0400000000000000\n"
               "0000000001000100\n"
               "0a00000000000000\n"
               "0100000022000000\n"
               "676f6e6500000000\n");
}

wire_open open_with_log() {
  wire_open open;
  open.model = digest{counted(0x20)};
  open.layers = {0, 4};
  open.positions = 64;
  open.keep = 7;
  open.next = {.lead = false, .node = node_id{counted(0x40)}, .layers = {4, 8}};
  open.previous = node_id{counted(0x60)};
  request_log log;
  log.id = request;
  log.generation = 2;
  log.model = open.model;
  log.prompt = {1, 259, 72};
  log.sampling = {.temperature = 0.5F,
                  .top_k = 40,
                  .top_p = 0.75,
                  .min_p = 0.25,
                  .repeat_penalty = 1.5F,
                  .seed = 7};
  log.max_tokens = 16;
  log.stop = {"end", "\n\n"};
  log.drawn = {{11, digest{counted(0x80)}}};
  open.log = log;
  return open;
}

TEST(wire_golden, an_open_with_its_log_is_these_bytes) {
  expect_bytes({request, epoch{9}, 0, open_with_log()}, "0000000038000000\n"
                                                        "0000000003000100\n"
                                                        "0100000009000000\n"
                                                        "0807060504030201\n"
                                                        "0000000000000000\n"
                                                        "0000000004000500\n"
                                                        "0000000004000000\n"
                                                        "4000000007000000\n"
                                                        "0400000008000000\n"
                                                        "0000000000000000\n"
                                                        "1000000004000000\n"
                                                        "1c00000004000000\n"
                                                        "2800000004000000\n"
                                                        "3400000002000600\n"
                                                        "0000000000000000\n"
                                                        "2021222324252627\n"
                                                        "28292a2b2c2d2e2f\n"
                                                        "3031323334353637\n"
                                                        "38393a3b3c3d3e3f\n"
                                                        "4041424344454647\n"
                                                        "48494a4b4c4d4e4f\n"
                                                        "5051525354555657\n"
                                                        "58595a5b5c5d5e5f\n"
                                                        "6061626364656667\n"
                                                        "68696a6b6c6d6e6f\n"
                                                        "7071727374757677\n"
                                                        "78797a7b7c7d7e7f\n"
                                                        "0200000010000000\n"
                                                        "0000000000000000\n"
                                                        "1500000035000000\n"
                                                        "2800000004000000\n"
                                                        "350000001c000000\n"
                                                        "3900000016000000\n"
                                                        "450000002f000000\n"
                                                        "1900000002000000\n"
                                                        "0000003f00000000\n"
                                                        "2800000000000000\n"
                                                        "000000000000e83f\n"
                                                        "000000000000d03f\n"
                                                        "0000c03f00000000\n"
                                                        "0700000000000000\n"
                                                        "2021222324252627\n"
                                                        "28292a2b2c2d2e2f\n"
                                                        "3031323334353637\n"
                                                        "38393a3b3c3d3e3f\n"
                                                        "0100000003010000\n"
                                                        "4800000000000000\n"
                                                        "050000001a000000\n"
                                                        "0500000012000000\n"
                                                        "656e640000000000\n"
                                                        "0a0a000000000000\n"
                                                        "0400000005000000\n"
                                                        "0b00000000000000\n"
                                                        "8081828384858687\n"
                                                        "88898a8b8c8d8e8f\n"
                                                        "9091929394959697\n"
                                                        "98999a9b9c9d9e9f\n");
}

TEST(wire_golden, names_of_windows_are_these_bytes) {
  expect_bytes({request, epoch{9}, 4, name_windows{3, {digest{counted(0x20)}}}},
               "000000000c000000\n"
               "0000000003000100\n"
               "0100060009000000\n"
               "0807060504030201\n"
               "0400000000000000\n"
               "0000000001000100\n"
               "0300000000000000\n"
               "0100000027000000\n"
               "0400000004000000\n"
               "2021222324252627\n"
               "28292a2b2c2d2e2f\n"
               "3031323334353637\n"
               "38393a3b3c3d3e3f\n");
}

wire_open open_that_may_reuse() {
  wire_open open;
  open.model = digest{counted(0x20)};
  open.layers = {4, 8};
  open.positions = 64;
  open.keep = 7;
  open.next = {.lead = true, .node = {}, .layers = {}};
  open.previous = node_id{counted(0x60)};
  open.reuse = reuse_order{1, {digest{counted(0x80)}}, false, 2};
  return open;
}

TEST(wire_golden, an_open_that_may_reuse_is_these_bytes) {
  expect_bytes({request, epoch{9}, 4, open_that_may_reuse()}, "0000000022000000\n"
                                                              "0000000003000100\n"
                                                              "0100000009000000\n"
                                                              "0807060504030201\n"
                                                              "0400000000000000\n"
                                                              "0000000004000500\n"
                                                              "0400000008000000\n"
                                                              "4000000007000000\n"
                                                              "0000000000000000\n"
                                                              "0001000000000000\n"
                                                              "1000000004000000\n"
                                                              "1c00000004000000\n"
                                                              "2800000004000000\n"
                                                              "0000000000000000\n"
                                                              "3000000002000100\n"
                                                              "2021222324252627\n"
                                                              "28292a2b2c2d2e2f\n"
                                                              "3031323334353637\n"
                                                              "38393a3b3c3d3e3f\n"
                                                              "0000000000000000\n"
                                                              "0000000000000000\n"
                                                              "0000000000000000\n"
                                                              "0000000000000000\n"
                                                              "6061626364656667\n"
                                                              "68696a6b6c6d6e6f\n"
                                                              "7071727374757677\n"
                                                              "78797a7b7c7d7e7f\n"
                                                              "0100000000000000\n"
                                                              "0300000000000000\n"
                                                              "0100000027000000\n"
                                                              "0400000004000000\n"
                                                              "8081828384858687\n"
                                                              "88898a8b8c8d8e8f\n"
                                                              "9091929394959697\n"
                                                              "98999a9b9c9d9e9f\n");
}

TEST(wire_golden, an_open_whose_answer_explains_differs_in_one_bit_alone) {
  wire_open open = open_that_may_reuse();
  const auto plain = encode_wire({request, epoch{9}, 4, open});
  open.reuse->explain = true;
  auto explaining = encode_wire({request, epoch{9}, 4, open});
  constexpr std::size_t explain_at = 27 * 8 + 4;
  EXPECT_EQ(plain[explain_at], std::byte{0});
  EXPECT_EQ(explaining[explain_at], std::byte{1});
  explaining[explain_at] = plain[explain_at];
  EXPECT_EQ(explaining, plain);
}

TEST(wire_golden, an_opened_that_reused_is_these_bytes) {
  expect_bytes({request, epoch{9}, 4, session_opened{64, {}, 32, {1, 2, 3}}}, "000000000e000000\n"
                                                                              "0000000003000100\n"
                                                                              "0100080009000000\n"
                                                                              "0807060504030201\n"
                                                                              "0400000000000000\n"
                                                                              "0000000004000300\n"
                                                                              "4000000020000000\n"
                                                                              "0100000000000000\n"
                                                                              "0200000000000000\n"
                                                                              "0300000000000000\n"
                                                                              "0900000007000000\n"
                                                                              "0000000000000000\n"
                                                                              "0500000007000000\n"
                                                                              "0000000006000000\n"
                                                                              "0000000004000000\n");
}

TEST(wire_golden, an_opened_that_explains_is_these_bytes) {
  session_opened opened{64, {}, 32, {1, 2, 3}};
  opened.told = reuse_told{3, 2, reuse_end::missing, {fetch_choice::computed, 5, 4, 0, 9, 8, 7}};
  expect_bytes({request, epoch{9}, 4, opened}, "0000000014000000\n"
                                               "0000000003000100\n"
                                               "0100080009000000\n"
                                               "0807060504030201\n"
                                               "0400000000000000\n"
                                               "0000000004000300\n"
                                               "4000000020000000\n"
                                               "0100000000000000\n"
                                               "0200000000000000\n"
                                               "0300000000000000\n"
                                               "0900000007000000\n"
                                               "0c00000006000000\n"
                                               "0500000007000000\n"
                                               "0000000006000000\n"
                                               "0000000004000000\n"
                                               "0300000002000000\n"
                                               "0103000005000000\n"
                                               "0400000000000000\n"
                                               "0900000000000000\n"
                                               "0800000000000000\n"
                                               "0700000000000000\n");
}

TEST(wire_golden, an_order_to_fetch_layers_is_these_bytes) {
  expect_bytes({request, {}, 4, wire_load{digest{counted(0x80)}, {4, 8}, true}},
               "000000000c000000\n"
               "0000000003000100\n"
               "01000e0000000000\n"
               "0807060504030201\n"
               "0400000000000000\n"
               "0000000002000100\n"
               "0400000008000000\n"
               "0100000000000000\n"
               "0000000004000000\n"
               "8081828384858687\n"
               "88898a8b8c8d8e8f\n"
               "9091929394959697\n"
               "98999a9b9c9d9e9f\n");
}

TEST(wire_golden, an_order_to_drop_layers_is_these_bytes) {
  expect_bytes({request, {}, 4, wire_unload{digest{counted(0x80)}, {4, 8}}}, "000000000c000000\n"
                                                                             "0000000003000100\n"
                                                                             "0100110000000000\n"
                                                                             "0807060504030201\n"
                                                                             "0400000000000000\n"
                                                                             "0000000002000100\n"
                                                                             "0400000008000000\n"
                                                                             "0000000000000000\n"
                                                                             "0000000004000000\n"
                                                                             "8081828384858687\n"
                                                                             "88898a8b8c8d8e8f\n"
                                                                             "9091929394959697\n"
                                                                             "98999a9b9c9d9e9f\n");
}

TEST(wire_golden, a_model_that_is_asked_for_is_these_bytes) {
  expect_bytes({request, {}, 0, wire_asked{digest{counted(0x80)}}}, "0000000009000000\n"
                                                                    "0000000003000100\n"
                                                                    "0100120000000000\n"
                                                                    "0807060504030201\n"
                                                                    "0000000000000000\n"
                                                                    "0000000004000000\n"
                                                                    "8081828384858687\n"
                                                                    "88898a8b8c8d8e8f\n"
                                                                    "9091929394959697\n"
                                                                    "98999a9b9c9d9e9f\n");
}

TEST(wire_golden, a_refusal_to_fetch_is_these_bytes) {
  expect_bytes(
      {request, {}, 4, wire_load_failed{digest{counted(0x80)}, {errc::over_limit, "no room"}}},
      "000000000e000000\n"
      "0000000003000100\n"
      "01000f0000000000\n"
      "0807060504030201\n"
      "0400000000000000\n"
      "0000000000000200\n"
      "0400000004000000\n"
      "1000000001000100\n"
      "8081828384858687\n"
      "88898a8b8c8d8e8f\n"
      "9091929394959697\n"
      "98999a9b9c9d9e9f\n"
      "1600000000000000\n"
      "010000003a000000\n"
      "6e6f20726f6f6d00\n");
}

} // namespace
} // namespace ovir::actors
