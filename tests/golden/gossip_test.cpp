#include "actors/members/gossip_format.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

secret_key key(std::uint8_t n) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{n};
  return secret_key::from_seed(seed);
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 32 == 31 ? "\n" : "");
  }
  return out;
}

// docs/formats/gossip.md shows the first of these. A change here is a change of the wire format.
TEST(gossip_golden, a_ping_with_a_farewell_is_these_bytes) {
  EXPECT_EQ(hex(encode_gossip({ping{0x0102030405060708}, {sign_farewell(key(1), 9)}})),
            "4f5647310108070605040302010000010003cecc1507dc1ddd7295951c290888\n"
            "f095adb9044d1b73d696e6df065d683bd4fc09000000000000001c0ab68f27fc\n"
            "c78684a06a6d8f545745ea3f3c48b4f38a077c04f2037e5b00b494df8c4cdb37\n"
            "f3906afe3d91e42de0fe220517bae3398d71d009db3f7090360f");
}

TEST(gossip_golden, news_of_an_advert_is_these_bytes) {
  node_advert a;
  a.name = "n";
  a.address = "n.example:7001";
  a.roles.add(role::worker);
  a.held = {{digest{{1, 2}}, {0, 4}, 8}};
  a.spare_free = 9;
  a.memory_bytes = 1000;
  a.memory_free = 500;
  a.decode_bytes_per_second = 7;
  a.prefill_bytes_per_second = 8;
  a.sessions = 1;
  a.rtts = {{key(3).id(), 250}};
  EXPECT_EQ(hex(encode_gossip({news{}, {sign_advert(key(2), 5, a)}})),
            "4f5647310700000100016b79c57e6a095239282c04818e96112f3f03a4001ba9\n"
            "7a564c23852a3f1ea5fc05000000000000000100000001006e0e006e2e657861\n"
            "6d706c653a373030310000010001020000000000000000000000000000000000\n"
            "0000000000000000000000000000000000040000000800000000000900000000\n"
            "000000e803000000000000f40100000000000007000000000000000800000000\n"
            "0000000100000040420f000100dadbd184a2d526f1ebdd5c06fdad9359b22875\n"
            "9b4d7f79d66689fa254aad8546fa0000000019f4ebd4e5f34f3e5309e8ea6f0f\n"
            "4cbe9e9607f696e8af20f6b7005873910eedda91fe69177aea964315a76864c6\n"
            "c10ac5ba01d131f0faad5522eff86935bd01");
}

TEST(gossip_golden, a_summary_with_a_suspicion_is_these_bytes) {
  EXPECT_EQ(hex(encode_gossip({summary{true, {{key(2).id(), 5, true}}},
                               {sign_suspicion(key(1), key(2).id(), 5)}})),
            "4f5647310601ffffffffffffffffffffffffffffffffffffffffffffffffffff\n"
            "ffffffffffff01006b79c57e6a095239282c04818e96112f3f03a4001ba97a56\n"
            "4c23852a3f1ea5fc0500000000000000010000010002cecc1507dc1ddd729595\n"
            "1c290888f095adb9044d1b73d696e6df065d683bd4fc6b79c57e6a095239282c\n"
            "04818e96112f3f03a4001ba97a564c23852a3f1ea5fc0500000000000000a0d9\n"
            "697db974d09c6e3cc79b440e8d4a96d9ee14a7748cd168fd18485755dcf30b7d\n"
            "f2517373833c3cc03668757a61234257a53e9a079eab67f444fb787c0e0e");
}

TEST(gossip_golden, a_sign_of_life_is_these_bytes) {
  EXPECT_EQ(hex(encode_gossip({sign_life(key(2), key(1).id(), 7), {}})),
            "4f5647310507000000000000006b79c57e6a095239282c04818e96112f3f03a4\n"
            "001ba97a564c23852a3f1ea5fccecc1507dc1ddd7295951c290888f095adb904\n"
            "4d1b73d696e6df065d683bd4fcd821902f6062d9ccf900f5611c822d0745ec80\n"
            "92e0bcb50552b514542771d8ff83d4ecd3926a6797ecdbfbf97ffeca892432f1\n"
            "99b3b75731dd8274bc730d310000000000");
}

TEST(gossip_golden, notices_are_these_bytes) {
  EXPECT_EQ(hex(encode_gossip({notices{{{std::byte{1}, std::byte{2}}, {std::byte{3}}}}, {}})),
            "4f5647310a0200020000000102010000000300000000");
}

TEST(gossip_golden, a_list_and_its_answer_are_these_bytes) {
  EXPECT_EQ(hex(encode_gossip({latest{0x0102030405060708, {1, 0xaabbcc02, 7}}, {}})),
            "4f5647310b0807060504030201030001000000"
            "02ccbbaa0700000000000000");
  signature proof;
  proof.bytes[0] = 5;
  EXPECT_EQ(
      hex(encode_gossip({latest_answer{1, {4}, {8, 12}, {{0x0c0d, 9, {{0x0a0b, proof}}}}}, {}})),
      "4f5647310c01000000000000000100040000000200080000000c00000001000d\n"
      "0c0000000000000900000000000000010b0a0000000000000500000000000000\n"
      "0000000000000000000000000000000000000000000000000000000000000000\n"
      "00000000000000000000000000000000000000000000000000000000");
}

} // namespace
} // namespace ovir::actors
