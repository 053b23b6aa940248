#include "messages/digest.hpp"
#include "messages/signing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <type_traits>

namespace ovir {
namespace {

using ::testing::HasSubstr;

secret_key key_of_hex(std::string_view seed) {
  const digest bytes = digest_from_hex(seed).value();
  return secret_key::from_seed(std::as_bytes(std::span{bytes.bytes}));
}

secret_key signing_key(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{number});
  return secret_key::from_seed(seed);
}

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span{text}); }

join_token token_of(const secret_key& admin, std::uint64_t expires = 2'000) {
  const std::array<std::byte, 16> nonce{std::byte{7}};
  return issue_token(admin, signing_key(2).id(), role_set{}.add(role::worker), expires, nonce);
}

TEST(secret_key, has_the_public_key_that_rfc_8032_gives_for_its_seed) {
  // Section 7.1, tests 1 to 3.
  EXPECT_EQ(
      to_hex(key_of_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").id()),
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(
      to_hex(key_of_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").id()),
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  EXPECT_EQ(
      to_hex(key_of_hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").id()),
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
}

// They look at what was moved away.
// NOLINTBEGIN(bugprone-use-after-move)
TEST(secret_key, moves_and_leaves_nothing_behind) {
  static_assert(!std::is_copy_constructible_v<secret_key>);
  static_assert(!std::is_copy_assignable_v<secret_key>);
  secret_key from = signing_key(1);
  const node_id id = from.id();
  secret_key to{std::move(from)};
  EXPECT_EQ(to.id(), id);
  EXPECT_TRUE(from.id().empty());
  EXPECT_THAT(from.seed(), ::testing::Each(0));
  secret_key third = signing_key(3);
  third = std::move(to);
  EXPECT_EQ(third.id(), id);
  EXPECT_TRUE(to.id().empty());
  EXPECT_THAT(to.seed(), ::testing::Each(0));
  EXPECT_THAT(third.seed(), ::testing::Each(1));
  EXPECT_TRUE(verify(id, "d", bytes("x"), third.sign("d", bytes("x"))));
}

TEST(secret_key, one_that_was_moved_away_signs_nothing) {
  secret_key from = signing_key(1);
  const secret_key to{std::move(from)};
  EXPECT_DEATH(static_cast<void>(from.sign("d", {})), "moved away");
}
// NOLINTEND(bugprone-use-after-move)

TEST(secret_key, wipes_its_bytes_when_it_is_dropped) {
  alignas(secret_key) std::array<std::byte, sizeof(secret_key)> room{};
  auto* const key = new (room.data()) secret_key{signing_key(0x5a)};
  ASSERT_EQ(room[5], std::byte{0x5a});
  key->~secret_key();
  // Volatile, because nobody is meant to look at what is left of an object.
  const volatile std::byte* const left = room.data();
  for (std::size_t i = 0; i < 64; ++i) {
    const std::byte byte = left[i];
    EXPECT_EQ(byte, std::byte{}) << i;
  }
}

TEST(signing, a_signature_is_for_one_signer_domain_and_text) {
  const secret_key key = signing_key(1);
  const signature s = key.sign("ovir/test/v1", bytes("text"));
  EXPECT_TRUE(verify(key.id(), "ovir/test/v1", bytes("text"), s));
  EXPECT_FALSE(verify(signing_key(2).id(), "ovir/test/v1", bytes("text"), s));
  EXPECT_FALSE(verify(key.id(), "ovir/test/v2", bytes("text"), s));
  EXPECT_FALSE(verify(key.id(), "ovir/test/v1", bytes("texts"), s));
  EXPECT_FALSE(verify(key.id(), "ovir/test/v1t", bytes("ext"), s));
  EXPECT_FALSE(verify(key.id(), "ovir/test/v1", {}, s));
  EXPECT_NE(key.sign("ovir/test/v2", bytes("text")), s);
}

TEST(signing, a_changed_bit_anywhere_spoils_a_signature) {
  const secret_key key = signing_key(1);
  const signature s = key.sign("d", bytes("text"));
  for (std::size_t bit = 0; bit < 8 * s.bytes.size(); ++bit) {
    signature changed = s;
    changed.bytes[bit / 8] = static_cast<std::uint8_t>(changed.bytes[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(verify(key.id(), "d", bytes("text"), changed)) << bit;
  }
}

TEST(signing, nobody_signs_as_the_empty_node) {
  // The key of all zeros is a point of small order, for which some forgeries always hold.
  signature forged;
  EXPECT_FALSE(verify(node_id{}, "d", bytes("text"), forged));
  forged.bytes[0] = 1;
  EXPECT_FALSE(verify(node_id{}, "d", bytes("text"), forged));
}

TEST(join_token, is_good_until_it_expires) {
  const secret_key admin = signing_key(1);
  const join_token token = token_of(admin, 2'000);
  EXPECT_EQ(token.admin, admin.id());
  EXPECT_TRUE(check(token, admin.id(), 0));
  EXPECT_TRUE(check(token, admin.id(), 1'999));
  for (const std::uint64_t late : {std::uint64_t{2'000}, std::uint64_t{2'001}, ~std::uint64_t{0}}) {
    const auto checked = check(token, admin.id(), late);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, errc::invalid_argument);
    EXPECT_THAT(checked.error().message, HasSubstr("expired"));
  }
}

TEST(join_token, of_another_admin_does_not_count) {
  const join_token token = token_of(signing_key(1));
  const auto other = check(token, signing_key(3).id(), 0);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("not from " + short_name(signing_key(3).id())));
  // Writing the right admin's name on it does not help.
  join_token renamed = token;
  renamed.admin = signing_key(3).id();
  EXPECT_FALSE(signed_by_its_admin(renamed));
  const auto forged = check(renamed, signing_key(3).id(), 0);
  ASSERT_FALSE(forged);
  EXPECT_EQ(forged.error().code, errc::invalid_argument);
  EXPECT_THAT(forged.error().message, HasSubstr("signature"));
}

TEST(join_token, cannot_be_given_to_another_node_or_made_to_say_more) {
  const secret_key admin = signing_key(1);
  const auto refused = [&admin](auto&& change) {
    join_token token = token_of(admin);
    change(token);
    return !check(token, admin.id(), 0).has_value();
  };
  EXPECT_TRUE(refused([](join_token& t) { t.node = signing_key(4).id(); }));
  EXPECT_TRUE(refused([](join_token& t) { t.roles.add(role::operate); }));
  EXPECT_TRUE(refused([](join_token& t) { t.expires_unix += 1; }));
  EXPECT_TRUE(refused([](join_token& t) { t.nonce[15] = 1; }));
  EXPECT_FALSE(refused([](join_token&) {}));
}

TEST(join_token, a_changed_bit_anywhere_is_noticed) {
  const secret_key admin = signing_key(1);
  const std::vector<std::byte> good = to_bytes(token_of(admin));
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::vector<std::byte> changed = good;
    changed[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    const auto token = token_from_bytes(changed);
    EXPECT_FALSE(token && check(*token, admin.id(), 0)) << bit;
    if (token) {
      EXPECT_EQ(to_bytes(*token), changed) << bit;
    }
  }
}

TEST(join_token, comes_back_from_bytes_and_text) {
  const join_token token = token_of(signing_key(1));
  EXPECT_EQ(token_from_bytes(to_bytes(token)).value(), token);
  EXPECT_EQ(token_from_text(to_text(token)).value(), token);
  EXPECT_EQ(to_text(token).size(), 221U);
}

TEST(join_token, no_other_text_means_the_same) {
  const join_token token = token_of(signing_key(1));
  const std::string good = to_text(token);
  // Every byte at every place: libsodium's decoder takes some above 127 for digits.
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = good;
      changed[i] = static_cast<char>(c);
      const auto read = token_from_text(changed);
      EXPECT_EQ(read.has_value() && *read == token, changed == good) << changed;
      EXPECT_TRUE(!read || to_text(*read) == changed) << i << ": byte " << c;
    }
  }
}

TEST(join_token, text_of_another_length_or_kind_is_malformed) {
  const std::string good = to_text(token_of(signing_key(1)));
  std::vector<std::string> all{"", "ovir-join-", " " + good, good + "A", good + "\n", good + "="};
  all.push_back(good.substr(0, good.size() - 1));
  all.push_back(good.substr(10));
  for (const char c : {'A', '='}) {
    all.push_back(std::string(good.size(), c));
    all.push_back(std::string{"ovir-join-"}.append(211, c));
  }
  for (const std::string& wrong : all) {
    const auto token = token_from_text(wrong);
    ASSERT_FALSE(token) << wrong;
    EXPECT_EQ(token.error().code, errc::malformed) << wrong;
  }
}

TEST(join_token, bytes_of_another_length_version_or_role_are_malformed) {
  const std::vector<std::byte> good = to_bytes(token_of(signing_key(1)));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(token_from_bytes(std::span{good}.first(size)).error().code, errc::malformed);
  }
  std::vector<std::byte> changed = good;
  changed.push_back({});
  EXPECT_EQ(token_from_bytes(changed).error().code, errc::malformed);
  changed = good;
  changed[3] = std::byte{'2'};
  EXPECT_THAT(token_from_bytes(changed).error().message, HasSubstr("version 1"));
  changed = good;
  changed[4 + 32] |= std::byte{0x40}; // between the members' roles and the admins'
  EXPECT_THAT(token_from_bytes(changed).error().message, HasSubstr("bits 0x0041"));
}

} // namespace
} // namespace ovir
