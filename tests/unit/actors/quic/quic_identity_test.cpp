#include "actors/quic/quic_identity.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace ovir::actors {
namespace {

secret_key key_number(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

std::vector<std::uint8_t> raw_key(const node_id& node) {
  std::vector<std::uint8_t> bytes{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                  0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
  bytes.insert(bytes.end(), node.key.begin(), node.key.end());
  return bytes;
}

TEST(quic_identity, reads_the_one_form_of_a_raw_key_and_no_other) {
  const node_id node = key_number(5).id();
  const auto good = raw_key(node);
  const auto read = node_of_raw_key(good);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, node);
  for (std::size_t i = 0; i < 12; ++i) {
    auto other = good;
    other[i] ^= 1U;
    EXPECT_FALSE(node_of_raw_key(other)) << "byte " << i;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(node_of_raw_key(std::span{good}.first(size)));
  }
  auto longer = good;
  longer.push_back(0);
  EXPECT_FALSE(node_of_raw_key(longer));
  EXPECT_FALSE(node_of_raw_key(raw_key(node_id{})));
}

TEST(quic_identity, has_a_secret_of_its_key) {
  const auto one = quic_identity::make(key_number(1));
  const auto again = quic_identity::make(key_number(1));
  const auto other = quic_identity::make(key_number(2));
  ASSERT_TRUE(one && again && other);
  EXPECT_EQ(one->node(), key_number(1).id());
  EXPECT_TRUE(std::equal(one->secret().begin(), one->secret().end(), again->secret().begin()));
  EXPECT_FALSE(std::equal(one->secret().begin(), one->secret().end(), other->secret().begin()));
}

} // namespace
} // namespace ovir::actors
