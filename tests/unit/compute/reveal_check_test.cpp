// Tier T1: what an honest worker reveals passes, at every place of a request; every lie in it does
// not, and nobody is convicted by it.
#include "compute/reveal_check.hpp"
#include "tests/support/computed_receipt.hpp"
#include "tests/support/gguf_builder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace ovir::compute {
namespace {

using test::computed_receipt;
using ::testing::HasSubstr;

class reveals : public ::testing::Test {
protected:
  static const test::loaded_model& model() {
    static const test::loaded_model made{[] {
      synth_spec spec;
      spec.layers = 3;
      spec.vocabulary = 300;
      return test::synthetic_model(spec);
    }()};
    return made;
  }
  static const computed_receipt& honest() {
    static const computed_receipt made{test::receipt_maker{}, model(), 40, 30};
    return made;
  }
  static const prepared_model& secret() {
    static const prepared_model made = [] {
      serial_runner serial;
      std::mt19937_64 chance{99};
      compute::model checked = model().get();
      EXPECT_TRUE(check_weights(checked, {0, 3}, serial));
      auto prepared = prepare_model_check(
          checked, honest().r.asked.model,
          [&chance](std::span<std::byte> out) {
            for (std::byte& b : out) {
              b = static_cast<std::byte>(chance());
            }
          },
          serial);
      EXPECT_TRUE(prepared) << prepared.error().message;
      return std::move(*prepared);
    }();
    return made;
  }
  static capsule of_layer(const computed_receipt& from, layer_index layer) {
    capsule c{from.r, 256, {{{layer, layer + 1}, from.r.positions, {}}}};
    if (layer > 0) {
      c.pieces[0].rows = from.boundaries[layer - 1];
    }
    return c;
  }
  unit_reveal reveal(const capsule& c, unit_name unit) {
    auto made = reveal_unit(c, unit, model().get(), *fast_, serial_);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : unit_reveal{};
  }
  std::vector<receipt_failure> check(const capsule& c, const unit_reveal& u) {
    auto done = check_reveal(c, u, secret(), kernels_reference(), serial_);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : std::vector<receipt_failure>{};
  }

  serial_runner serial_;
  const kernel_set* fast_{select_kernels(std::nullopt).value()};
  test::receipt_maker cast_;
};

TEST_F(reveals, of_honest_work_pass_for_every_unit) {
  for (layer_index layer = 0; layer < 3; ++layer) {
    const capsule c = of_layer(honest(), layer);
    for (std::uint32_t window = 0; window < 3; ++window) {
      const unit_reveal u = reveal(c, {window, layer});
      const auto found = check(c, u);
      EXPECT_TRUE(found.empty()) << found.front().what;
      const auto bytes = encode_reveal(u);
      const auto read = decode_reveal(bytes);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(*read, u);
    }
  }
}

TEST_F(reveals, with_any_integer_changed_are_suspicious) {
  for (layer_index layer = 0; layer < 3; ++layer) {
    const capsule c = of_layer(honest(), layer);
    const unit_reveal u = reveal(c, {1, layer});
    for (std::size_t matrix = 0; matrix < unit_matrices; ++matrix) {
      for (const bool last : {false, true}) {
        unit_reveal changed = u;
        if (changed.sums[matrix].empty()) {
          continue;
        }
        (last ? changed.sums[matrix].back() : changed.sums[matrix].front()) += 1;
        const auto found = check(c, changed);
        ASSERT_EQ(found.size(), 1U) << layer << " " << matrix;
        EXPECT_THAT(found[0].what, HasSubstr("are not its products"));
        EXPECT_EQ(found[0].signer, cast_.id(layer));
        EXPECT_EQ(found[0].unit, (unit_name{1, layer}));
        changed = u;
        changed.sums[matrix].pop_back();
        EXPECT_THAT(check(c, changed)[0].what, HasSubstr("are needed"));
      }
    }
  }
}

TEST_F(reveals, of_false_embeddings_are_not_believed) {
  const capsule c = of_layer(honest(), 0);
  unit_reveal u = reveal(c, {0, 0});
  u.rows[300] += 0.5F;
  const auto found = check(c, u);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].what, HasSubstr("embedding revealed for position 1"));
}

// The products are right, but what was stated is not what follows from them.
TEST_F(reveals, show_what_was_stated_falsely) {
  for (const layer_index layer : {0U, 1U}) {
    const computed_receipt forged{cast_, model(), 40, 30, test::boundary_lie{layer, 1, 1.0001F}};
    const capsule c = of_layer(forged, layer);
    ASSERT_TRUE(check_receipt(forged.r, {signer_policy::kind::any, {}}).empty());
    for (const std::uint32_t window : {0U, 1U}) {
      const auto found = check(c, reveal(c, {window, layer}));
      ASSERT_EQ(found.size(), window) << layer;
      if (window == 1) {
        EXPECT_THAT(found[0].what, HasSubstr("from the integers revealed follows"));
        EXPECT_EQ(found[0].signer, cast_.id(layer));
      }
    }
  }
  receipt r = honest().r;
  r.stages[2].statements[1].logits[2].bytes[5] ^= 4U;
  cast_.sign_stage(r, 2);
  cast_.follow_statements(r);
  cast_.close(r);
  computed_receipt changed = honest();
  changed.r = r;
  const capsule c = of_layer(changed, 2);
  const auto found = check(c, reveal(c, {1, 2}));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].what, HasSubstr("other logits"));
}

TEST_F(reveals, of_another_capsule_or_model_are_refused) {
  const capsule c = of_layer(honest(), 1);
  const unit_reveal u = reveal(c, {1, 1});
  unit_reveal other = u;
  other.transcript.bytes[0] ^= 1U;
  EXPECT_FALSE(check_reveal(c, other, secret(), *fast_, serial_));
  other = u;
  other.layer = 2; // the capsule has no such piece
  EXPECT_FALSE(check_reveal(c, other, secret(), *fast_, serial_));
  prepared_model another = secret();
  another.model.bytes[0] ^= 1U;
  EXPECT_FALSE(check_reveal(c, u, another, *fast_, serial_));
}

TEST_F(reveals, need_what_was_prepared_written_and_read) {
  const auto bytes = encode_prepared(secret());
  const auto read = decode_prepared(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, secret());
  EXPECT_FALSE(decode_prepared(std::span{bytes}.first(bytes.size() - 8)));
  auto later = bytes;
  later[24] = std::byte{2};
  ASSERT_FALSE(decode_prepared(later));
  EXPECT_EQ(decode_prepared(later).error().code, errc::unsupported);
  prepared_model wrong = secret();
  wrong.layers[1].matrices[3].secret[0] = field_prime;
  EXPECT_FALSE(ovir::check(wrong));
  wrong = secret();
  wrong.layers[1].matrices[3].bounds[0] = std::uint64_t{1} << 60U;
  EXPECT_FALSE(ovir::check(wrong));
  wrong = secret();
  wrong.kv_heads = 3;
  EXPECT_FALSE(ovir::check(wrong));
}

} // namespace
} // namespace ovir::compute
