// The bytes of docs/formats/join-token.md, spelled out field by field. A change here is a new
// version of the format.
#include "messages/digest.hpp"
#include "messages/invitation.hpp"
#include "messages/signing.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return out;
}

/// The key pairs of RFC 8032, section 7.1: test 1 is the admin, test 2 the node.
secret_key key_of(std::string_view seed) {
  const digest bytes = digest_from_hex(seed).value();
  return secret_key::from_seed(std::as_bytes(std::span{bytes.bytes}));
}

join_token example() {
  const secret_key admin =
      key_of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  const secret_key node =
      key_of("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  std::array<std::byte, 16> nonce{};
  for (std::size_t i = 0; i < nonce.size(); ++i) {
    nonce[i] = static_cast<std::byte>(i);
  }
  const role_set roles = role_set{}.add(role::worker).add(role::scheduler);
  return issue_token(admin, node.id(), roles, 1'800'000'000, nonce);
}

TEST(join_token_golden, a_token_is_these_bytes) {
  EXPECT_EQ(hex(to_bytes(example())),
            "4f564a31"                                                         // "OVJ1"
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c" // node
            "0300"                                                             // roles
            "00d2496b00000000"                                                 // expires
            "000102030405060708090a0b0c0d0e0f"                                 // nonce
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" // admin
            "b5a338ae7e96284e89fa2d2c0152798f0829d17f5ecaf4c58141c83df8c5fc53"
            "e7e20795dfb2796049aba4b0e9214431406ecf19265d8fd9aa73cbf45702e90c");
}

TEST(join_token_golden, and_this_text) {
  EXPECT_EQ(to_text(example()),
            "ovir-join-T1ZKMT1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYMAwAA0klrAAAAAAABAgMEBQ"
            "YHCAkKCwwNDg_XWpgBgrEKt9VL_tPJZAc6DuFy89qmIyWvAhpo9wdRGrWjOK5-lihOifotLAFSeY8IKd"
            "F_Xsr0xYFByD34xfxT5-IHld-yeWBJq6Sw6SFEMUBuzxkmXY_ZqnPL9FcC6Qw");
}

TEST(join_token_golden, what_is_signed_is_the_digest_of_the_first_62_bytes) {
  const auto bytes = to_bytes(example());
  EXPECT_EQ(to_hex(hash("ovir/join-token/v1", std::span{bytes}.first(62))),
            "854694bfae7429ff68aac70505bb2101feedd790f88838dceeda4fe6b6c81864");
}

TEST(join_token_golden, a_token_by_an_invitation_is_these_bytes) {
  const secret_key admin =
      key_of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  const secret_key guest =
      key_of("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  const secret_key secret =
      key_of("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
  const role_set roles = role_set{}.add(role::worker).add(role::scheduler);
  const invitation by = issue_invitation(admin, secret.id(), roles, 1'800'000'000, 20);
  const shown_token shown = accept_invitation(secret, by, guest.id(), role_set{}.add(role::worker),
                                              std::array<std::byte, 16>{});
  const std::string text = hex(to_bytes(shown));
  EXPECT_EQ(text.substr(0, 188),
            "4f564a31"                                                         // "OVJ1"
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c" // node
            "0100"                                                             // roles
            "00d2496b00000000"                                                 // expires
            "00000000000000000000000000000000"                                 // nonce
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025" // invitation's key
  );
  EXPECT_EQ(text.substr(188, 128),
            "5bdb1d32a85fb720fae3bd88af3df6ac5b5fec4fbbd619d246b847e026d0ac7eff9526d07c9464b167e235"
            "80310cbf80fcc684f21e5b39915ff4ea977be87108");
  EXPECT_EQ(text.substr(316, 164),
            "4f564931"                                                         // "OVI1"
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025" // key
            "0300"                                                             // roles
            "00d2496b00000000"                                                 // expires
            "14000000"                                                         // uses
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" // admin
  );
  EXPECT_EQ(text.substr(480), "3397a1a47ee05f7ec3fda02564887a59f7a39eeff78d2b5bf8418a150e946a231c4e"
                              "fa5a3e5782ec78dd505bef3969c7bdf67662ef2a4a5ec747deb911e1e408");
}

} // namespace
} // namespace ovir
