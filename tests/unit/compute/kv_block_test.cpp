#include "compute/forward/kv_block.hpp"
#include "compute/forward/kv_digest.hpp"
#include "compute/model/transcript.hpp"
#include "messages/limits/cache.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/kv_blocks.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir::compute {
namespace {

constexpr kv_shape shape{3, 4};
constexpr layer_range layers{2, 4};

digest repeated(std::uint8_t byte) {
  digest d;
  d.bytes.fill(byte);
  return d;
}

std::vector<std::byte> example() {
  const kv_cache cache = test::filled_kv(layers, shape, 96, 7);
  const digest output = repeated(0xBB);
  return test::kv_bytes(cache, 3, 1, repeated(0xAA), &output);
}

errc refused_with(std::vector<std::byte> bytes) {
  const auto block = kv_block::decode(test::share(std::move(bytes)));
  EXPECT_FALSE(block);
  return block ? errc::internal : block.error().code;
}

TEST(kv_block, takes_a_window_out_and_puts_the_very_bits_back_into_another_cut) {
  const kv_cache from = test::filled_kv(layers, shape, 96, 7);
  kv_cache to = test::filled_kv({0, 8}, shape, 128, 8);
  const digest output = repeated(0xBB);
  const auto block =
      kv_block::decode(test::share(test::kv_bytes(from, 3, 1, repeated(0xAA), &output))).value();
  EXPECT_EQ(
      block.header(),
      (kv_block_header{
          3, 1, shape, repeated(0xAA), hash_plain({}), {}, {}, output, kv_digest(from, 3, 1, 32)}));
  const kv_cache before = test::filled_kv({0, 8}, shape, 128, 8);
  block.copy_to(to);
  for (std::uint32_t head = 0; head < shape.heads; ++head) {
    for (position p = 0; p < 128; ++p) {
      const bool inside = p >= 32 && p < 64;
      const std::size_t at = std::size_t{p} * shape.head_dim;
      const auto* const keys = inside ? from.keys(3, head) : before.keys(3, head);
      const auto* const values = inside ? from.values(3, head) : before.values(3, head);
      EXPECT_EQ(std::memcmp(to.keys(3, head) + at, keys + at, shape.head_dim * 2), 0) << p;
      EXPECT_EQ(std::memcmp(to.values(3, head) + at, values + at, shape.head_dim * 2), 0) << p;
    }
  }
}

TEST(kv_block, of_the_last_layer_states_the_digest_of_its_k_and_v) {
  const kv_cache cache = test::filled_kv(layers, shape, 96, 7);
  const auto block =
      kv_block::decode(test::share(test::kv_bytes(cache, 3, 1, repeated(0xAA), nullptr))).value();
  EXPECT_EQ(block.header().output, block.header().kv);
  const kv_cache other = test::filled_kv(layers, shape, 96, 8);
  const auto another =
      kv_block::decode(test::share(test::kv_bytes(other, 3, 1, repeated(0xAA), nullptr))).value();
  EXPECT_NE(block.header().output, another.header().output);
}

// What is behind the check is judged by those who take blocks of others.
TEST(kv_block, with_any_bit_changed_is_refused_or_neither_sealed_nor_signed) {
  const digest name = repeated(0xCC);
  const std::vector<std::byte> right = *test::authored(example(), name, 1);
  const auto judged = [&](const std::vector<std::byte>& bytes) {
    const auto block = kv_block::decode(test::share(bytes));
    return block && block->is_sealed(name) && block->is_signed();
  };
  ASSERT_TRUE(judged(right));
  for (std::size_t bit = 0; bit < right.size() * 8; ++bit) {
    std::vector<std::byte> wrong = right;
    wrong[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(judged(wrong)) << "bit " << bit;
  }
}

TEST(kv_block, is_sealed_by_who_knows_its_windows_name_and_signed_by_its_author) {
  const digest name = repeated(0xCC);
  std::vector<std::byte> bytes = example();
  const auto block = [&] { return kv_block::decode(test::share(bytes)).value(); };
  EXPECT_TRUE(block().author().empty());
  EXPECT_FALSE(block().is_sealed(name));
  EXPECT_FALSE(block().is_signed()) << "nobody signed it";
  seal_kv_block(bytes, repeated(0xAA));
  EXPECT_FALSE(block().is_sealed(name)) << "the key of a unit makes no seal";
  seal_kv_block(bytes, name);
  EXPECT_TRUE(block().is_sealed(name));
  const std::vector<std::byte> unsigned_one = bytes;
  const secret_key author = test::author_key(7);
  sign_kv_block(bytes, author);
  EXPECT_TRUE(block().is_signed());
  EXPECT_EQ(block().author(), author.id());
  EXPECT_EQ(author_of_kv_block(bytes), author.id());
  EXPECT_TRUE(same_kv_block(bytes, unsigned_one));
  // Under the name of another.
  const node_id other = test::author_key(8).id();
  std::memcpy(bytes.data() + bytes.size() - 96, other.key.data(), node_id::size);
  EXPECT_FALSE(block().is_signed());
  bytes[200] ^= std::byte{1};
  EXPECT_FALSE(same_kv_block(bytes, unsigned_one));
}

// What an author signs holds of the unit alone: where it was kept may stay unknown.
TEST(kv_block, gives_its_authors_word_for_the_unit_to_who_shows_its_claim) {
  const digest name = repeated(0xCC);
  const auto block = kv_block::decode(test::authored(example(), name, 7)).value();
  const unit_citation cited = block.citation();
  EXPECT_EQ(cited.layer, 3U);
  EXPECT_EQ(cited.author, test::author_key(7).id());
  const auto holds = [&](const digest& model, const unit_claim& claim) {
    return verify_unit(cited.author, claim_digest(model, profile_name, claim), cited.binding,
                       cited.proof);
  };
  const digest model = block.header().model;
  const unit_claim right = block.header().claim();
  EXPECT_TRUE(holds(model, right));
  EXPECT_FALSE(holds(repeated(1), right));
  for (digest unit_claim::*part :
       {&unit_claim::input, &unit_claim::earlier, &unit_claim::output, &unit_claim::kv}) {
    unit_claim wrong = right;
    (wrong.*part).bytes[31] ^= 1;
    EXPECT_FALSE(holds(model, wrong));
  }
  unit_claim other = right;
  other.layer = 2;
  EXPECT_FALSE(holds(model, other));
  other = right;
  other.window = 0;
  EXPECT_FALSE(holds(model, other));
}

TEST(kv_block, of_any_other_length_is_refused) {
  const std::vector<std::byte> right = example();
  for (std::size_t size = 0; size < right.size(); ++size) {
    EXPECT_FALSE(
        kv_block::decode(test::share({right.begin(), right.begin() + static_cast<int>(size)})));
  }
  std::vector<std::byte> longer = right;
  longer.push_back(std::byte{});
  EXPECT_EQ(refused_with(longer), errc::malformed);
}

// Everything that a forger could change and seal again.
TEST(kv_block, sealed_again_after_a_change_is_refused_where_it_makes_no_sense) {
  const auto with = [](std::size_t at, std::uint32_t value, std::size_t bytes) {
    std::vector<std::byte> block = example();
    std::memcpy(block.data() + at, &value, bytes);
    test::check_kv_block(block);
    return block;
  };
  ASSERT_TRUE(kv_block::decode(test::share(with(8, 3, 4))));
  EXPECT_EQ(refused_with(with(4, 1, 2)), errc::unsupported);
  EXPECT_EQ(refused_with(with(4, 3, 2)), errc::unsupported);
  EXPECT_EQ(refused_with(with(6, 2, 2)), errc::malformed); // element
  EXPECT_EQ(refused_with(with(8, limits::layers_max, 4)), errc::over_limit);
  EXPECT_EQ(refused_with(with(12, limits::context_max / 32, 4)), errc::over_limit);
  EXPECT_EQ(refused_with(with(16, 0, 4)), errc::over_limit);                // heads
  EXPECT_EQ(refused_with(with(16, limits::heads_max, 4)), errc::malformed); // size
  EXPECT_EQ(refused_with(with(20, 0xFFFFFFFF, 4)), errc::over_limit);       // head_dim
  EXPECT_EQ(refused_with(with(24, 31, 4)), errc::malformed);                // positions
  EXPECT_EQ(refused_with(with(28, 1, 4)), errc::malformed);                 // reserved
  EXPECT_EQ(refused_with(with(192, 0x7C00, 2)), errc::malformed);           // infinity
  EXPECT_EQ(refused_with(with(194, 0xFE01, 2)), errc::malformed);           // NaN
}

TEST(kv_block, beyond_the_limit_is_refused_by_its_numbers) {
  std::vector<std::byte> block = example();
  const std::uint32_t heads = limits::heads_max;
  const std::uint32_t dim = limits::head_dim_max;
  ASSERT_GT(kv_block_bytes({heads, dim}), limits::kv_block_bytes_max);
  std::memcpy(block.data() + 16, &heads, 4);
  std::memcpy(block.data() + 20, &dim, 4);
  test::check_kv_block(block);
  EXPECT_EQ(refused_with(block), errc::over_limit);
}

} // namespace
} // namespace ovir::compute
