// The bytes of docs/formats/credit.md.
#include "ledger/keeper/message.hpp"
#include "ledger/rules/equivocation.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return out;
}

TEST(golden_credit, questions_are_kind_version_id_and_body) {
  node_id who;
  who.key.fill(0x11);
  std::string key;
  for (int i = 0; i < 32; ++i) {
    key += "11";
  }
  EXPECT_EQ(hex(to_bytes(message{0x0102030405060708, ask_account{who}})),
            "01" // ask account
            "01" // version
            "0807060504030201" +
                key);
  EXPECT_EQ(hex(to_bytes(message{7, ask_entries{9}})), "04010700000000000000"
                                                       "0900000000000000");
  EXPECT_EQ(hex(to_bytes(message{7, submit{{std::byte{0xaa}}, {}}})), "02010700000000000000"
                                                                      "01000000aa00000000");
  digest content;
  content.bytes.fill(0x22);
  digest model;
  model.bytes.fill(0x33);
  std::string digests;
  for (const char* const byte : {"22", "33"}) {
    for (int i = 0; i < 32; ++i) {
      digests += byte;
    }
  }
  EXPECT_EQ(
      hex(to_bytes(message{7, claim{{{0x0102}, content, model, "exact-1", 8}, {std::byte{0xaa}}}})),
      "07010700000000000000"
      "0201000000000000" +
          digests +
          "08000000"
          "0700000065786163742d31"
          "01000000aa");
  std::string half;
  for (int i = 0; i < 32; ++i) {
    half += "22";
  }
  EXPECT_EQ(hex(to_bytes(message{7, ask_voucher{content, true}})),
            "08010700000000000000" + half + "01");
  EXPECT_EQ(hex(to_bytes(message{7, ask_voucher_statement{content, 9}})),
            "09010700000000000000" + half + "0900000000000000");
  EXPECT_EQ(hex(to_bytes(message{7, refusal{{errc::busy, "no"}}})), "23010700000000000000"
                                                                    "01020000006e6f");
  EXPECT_EQ(hex(to_bytes(message{7, leader_news{who}})), "28010700000000000000" + key);
}

TEST(golden_credit, an_equivocation_has_this_name) {
  const test::receipt_maker cast;
  const receipt r = cast.small();
  receipt other = r;
  other.stages[1].statements[0].units[0].bytes[0] ^= 1;
  cast.sign_stage(other, 1);
  const std::vector<std::byte> bytes =
      to_bytes(equivocation{terms_of(r.asked), r.stages[1], other.stages[1]});
  EXPECT_EQ(hex(std::span{bytes}.first(2)), "0401");
  EXPECT_EQ(to_hex(evidence_digest(bytes)),
            "2428e01ed009ba69a8dc7fa45fbabd2a4ce795ee05d1312aa3d6f99e174097ac");
  EXPECT_EQ(to_hex(about_of(terms_of(r.asked))),
            "04fa40265bc6ae534b2bd6e42ad111ff2a80e519af1a3d4a1239b935c6a05fc1");
}

} // namespace
} // namespace ovir::ledger
