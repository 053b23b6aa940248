// The bytes of docs/formats/prepared.md and docs/formats/reveal.md. A change here is a new version.
#include "messages/evidence/prepared.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace ovir {
namespace {

prepared_matrix matrix(std::uint32_t rows, std::uint32_t cols, std::uint64_t first) {
  prepared_matrix m{1, rows, cols, {}, {}, {}};
  for (std::uint64_t i = 0; i < rows; ++i) {
    m.secret.push_back((first + i) << 40U);
    m.bounds.push_back(first * 1'000 + i);
  }
  for (std::uint64_t i = 0; i < cols; ++i) {
    m.product.push_back(first + i * i);
  }
  return m;
}

/// One layer of dim 32 with one head, two tokens, no factors.
prepared_model prepared_example() {
  prepared_model m;
  m.model.bytes.fill(1);
  m.seed.bytes.fill(2);
  m.layer_count = 1;
  m.dim = m.feed_forward = m.head_dim = m.rope_dim = 32;
  m.heads = m.kv_heads = 1;
  m.vocabulary = 2;
  m.context = 64;
  m.norm_epsilon = 0x1p-17F;
  m.rope_base = 10'000;
  m.output_norm.assign(32, 1.5F);
  m.head = matrix(2, 32, 3);
  m.embedding = {embedding_row_digest(m.output_norm), digest{}};
  m.layers.resize(1);
  m.layers[0].attention_norm.assign(32, 0.5F);
  m.layers[0].feed_forward_norm.assign(32, 0.25F);
  for (std::size_t i = 0; i < layer_matrices; ++i) {
    m.layers[0].matrices[i] = matrix(32, 32, 10 + i);
  }
  return m;
}

unit_reveal revealed() {
  unit_reveal u;
  u.transcript.bytes.fill(7);
  u.window = 3;
  u.layer = 1;
  u.rows = {0.5F, -2};
  for (std::size_t i = 0; i < unit_matrices; ++i) {
    u.sums[i] = {static_cast<std::int64_t>(i), -1, std::int64_t{1} << 50U};
  }
  u.between = {{0x3c00, 0xbc00}, {0x4000}, {1.5F}};
  return u;
}

TEST(prepared_golden, a_prepared_model_is_these_bytes) {
  const auto bytes = encode_prepared(prepared_example());
  EXPECT_EQ(std::memcmp(bytes.data() + 16, "OVIRPREP", 8), 0);
  EXPECT_EQ(bytes.size(), 6672U);
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "923b341d538b25f28f8fa8535649e00be1d56235ba55bd339f2608a6c830d4ff");
}

TEST(prepared_golden, a_reveal_is_these_bytes) {
  auto bytes = encode_reveal(revealed());
  EXPECT_EQ(std::memcmp(bytes.data() + 16, "OVIRRVEA", 8), 0);
  EXPECT_EQ(bytes.size(), 408U);
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "61760605219b21182da477b76d061efa7cfcc35fedde652bf9ce12822766897d");
  bytes[24] = std::byte{4};
  const auto later = decode_reveal(bytes);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, errc::unsupported);
  EXPECT_THAT(later.error().message, ::testing::HasSubstr("version 4"));
}

} // namespace
} // namespace ovir
