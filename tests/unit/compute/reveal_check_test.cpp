// Tier T1: what an honest worker reveals passes, at every place of a request; every lie in it does
// not, and nobody is convicted by it.
#include "compute/forward/unit_walk.hpp"
#include "tests/support/model/computed_receipt.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "verify/reveal_check.hpp"

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
  std::vector<receipt_failure> check(const capsule& c, const unit_reveal& u,
                                     const spot_draw& where = {}) {
    reveal_checker checker{secret(), kernels_reference(), serial_};
    auto done = checker.check(c, u, where);
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

// With one place in four computed, honest work always passes, and a lie at one place is missed
// about three times in four: never by chance of the machine, because the seeds are fixed.
TEST_F(reveals, are_computed_at_the_places_drawn) {
  const capsule c = of_layer(honest(), 1);
  const unit_reveal u = reveal(c, {1, 1});
  const auto draw = [](std::uint8_t n) {
    spot_draw where{4, {}};
    where.seed.bytes.fill(n);
    return where;
  };
  int found_key = 0;
  int found_head = 0;
  constexpr int draws = 60;
  for (std::uint8_t n = 0; n < draws; ++n) {
    EXPECT_TRUE(check(c, u, draw(n)).empty());
    unit_reveal changed = u;
    changed.between.keys[u.between.keys.size() / 2 + 5] ^= 1U; // of a head's first position
    found_key += check(c, changed, draw(n)).empty() ? 0 : 1;
    changed = u;
    changed.between.heads[17] += 100;
    const auto found = check(c, changed, draw(n));
    // Where it is not seen itself, what follows from it has another input than was stated.
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].unit, (unit_name{1, 1}));
    found_head += found[0].what.find("attention revealed") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(found_head, draws / 8);
  EXPECT_LT(found_head, draws / 2);
  EXPECT_GE(found_key, found_head / 4);
}

// Who lies at every place is found by whatever was drawn; everywhere is everywhere.
TEST_F(reveals, with_a_lie_between_products_are_suspicious) {
  const capsule c = of_layer(honest(), 1);
  const unit_reveal u = reveal(c, {2, 1});
  for (const std::uint32_t one_in : {1U, 64U}) {
    unit_reveal changed = u;
    for (float& value : changed.between.heads) {
      value *= 1.001F;
    }
    EXPECT_THAT(check(c, changed, {one_in, {}})[0].what, HasSubstr("attention revealed"));
    changed = u;
    for (std::uint16_t& value : changed.between.values) {
      value ^= 1U;
    }
    EXPECT_THAT(check(c, changed, {one_in, {}})[0].what, HasSubstr("value revealed of head"));
    changed = u;
    changed.between.keys.pop_back();
    EXPECT_THAT(check(c, changed, {one_in, {}})[0].what, HasSubstr("are needed"));
    changed = u;
    changed.between.heads.push_back(0);
    EXPECT_THAT(check(c, changed, {one_in, {}})[0].what, HasSubstr("are needed"));
  }
  for (std::size_t at = 0; at < u.between.keys.size(); at += 97) {
    unit_reveal changed = u;
    changed.between.keys[at] ^= 1U;
    EXPECT_THAT(check(c, changed)[0].what, HasSubstr("key revealed of head")) << at;
  }
  for (std::size_t at = 0; at < u.between.heads.size(); at += 211) {
    unit_reveal changed = u;
    changed.between.heads[at] = std::nextafter(changed.between.heads[at], 1e9F);
    EXPECT_THAT(check(c, changed)[0].what, HasSubstr("attention revealed at position")) << at;
  }
}

/// A worker's products by the weights, kept.
class kept_products final : public integer_products {
public:
  kept_products(const compute::model& m, layer_index layer, unit_reveal& keep) : keep_(keep) {
    const layer_weights& w = m.layers[layer];
    weights_ = {&w.attn_q,   &w.attn_k, &w.attn_v,   &w.attn_output,
                &w.ffn_gate, &w.ffn_up, &w.ffn_down, &m.output};
  }
  [[nodiscard]] activation_form form_of(unit_matrix which) const override {
    return form_for(weights_[static_cast<std::size_t>(which)]->type);
  }
  [[nodiscard]] result<void> of(unit_matrix which, const quantized_batch& x,
                                std::span<const position>, std::vector<float>& y) override {
    const weight& w = *weights_[static_cast<std::size_t>(which)];
    auto& sums = keep_.sums[static_cast<std::size_t>(which)];
    sums.resize(std::size_t{x.tokens} * w.rows);
    integer_product(w, x, sums, serial_);
    y.resize(sums.size());
    round_sums(sums, x, y, serial_);
    return {};
  }

private:
  std::array<const weight*, unit_matrices> weights_{};
  unit_reveal& keep_;
  serial_runner serial_;
};

// A worker that gives one head another attention at one position, computes everything after that
// rightly, states what follows, signs it and reveals all of it: wrong at that place alone.
TEST_F(reveals, that_follow_from_a_lie_are_seen_where_it_is) {
  receipt r = honest().r;
  computed_receipt forged = honest();
  const capsule c = of_layer(honest(), 1);
  unit_reveal u = reveal(c, {1, 1});
  u.between.heads[70] *= 1.5F;
  const unit_spots nowhere{&u.between, {}, {}};
  unit_task task;
  task.unit = {1, 1};
  task.positions = 64;
  task.rows = std::span{c.pieces[0].rows}.first(std::size_t{64} * 256);
  task.spots = &nowhere;
  compute::model checked = model().get();
  ASSERT_TRUE(check_weights(checked, {0, 3}, serial_));
  unit_reveal followed;
  kept_products products{checked, 1, followed};
  const layer_weights& w = checked.layers[1];
  const auto norm = [](const weight& of) {
    return std::span{reinterpret_cast<const float*>(of.data), of.cols};
  };
  rope_table rope{checked.config, {}};
  unit_scratch scratch;
  rope.grow(64);
  const auto lie = walk_unit(checked.config, {norm(w.attn_norm), norm(w.ffn_norm), {}, &rope}, task,
                             kernels_reference(), products, serial_, scratch);
  ASSERT_TRUE(lie) << lie.error().message;
  for (const auto which :
       {unit_matrix::output, unit_matrix::gate, unit_matrix::up, unit_matrix::down}) {
    u.sums[static_cast<std::size_t>(which)] = followed.sums[static_cast<std::size_t>(which)];
  }
  ASSERT_NE(r.stages[1].statements[1].units[0], lie->output);
  r.stages[1].statements[1].units[0] = lie->output;
  cast_.sign_stage(r, 1);
  cast_.follow_statements(r);
  cast_.close(r);
  forged.r = r;
  const capsule false_one = of_layer(forged, 1);
  u.transcript = r.transcript;
  const auto everywhere = check(false_one, u);
  ASSERT_EQ(everywhere.size(), 1U);
  EXPECT_THAT(everywhere[0].what, HasSubstr("attention revealed at position 32"));
  EXPECT_EQ(everywhere[0].signer, cast_.id(1));
  int seen = 0;
  constexpr int draws = 64;
  for (std::uint8_t n = 0; n < draws; ++n) {
    spot_draw where{8, {}};
    where.seed.bytes.fill(n);
    seen += check(false_one, u, where).empty() ? 0 : 1;
  }
  EXPECT_GE(seen, 2); // 8 are expected
  EXPECT_LE(seen, 20);
}

/// One auditor over all windows of a layer.
class reveals_in_order : public reveals {
protected:
  std::vector<receipt_failure> next(const capsule& c, const unit_reveal& u,
                                    std::uint32_t one_in = 1, std::uint8_t seed = 0) {
    spot_draw where{one_in, {}};
    where.seed.bytes.fill(seed);
    auto done = checker_.check(c, u, where);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : std::vector<receipt_failure>{};
  }
  /// Of the first position: what a check of a later window looks at unless it knows it.
  static unit_reveal without_first_key(unit_reveal u) {
    u.sums[static_cast<std::size_t>(unit_matrix::k)].front() += 1;
    return u;
  }

private:
  reveal_checker checker_{secret(), kernels_reference(), serial_};
};

TEST_F(reveals_in_order, are_checked_once_for_each_position) {
  for (layer_index layer = 0; layer < 3; ++layer) {
    const capsule c = of_layer(honest(), layer);
    EXPECT_EQ(next(c, without_first_key(reveal(c, {1, layer}))).size(), 1U) << "nothing is known";
    for (std::uint32_t window = 0; window < 3; ++window) {
      unit_reveal u = reveal(c, {window, layer});
      if (window > 0) {
        u = without_first_key(u);
        u.rows.empty() ? void() : void(u.rows.front() += 1); // embeddings, likewise
      }
      const auto found = next(c, u);
      EXPECT_TRUE(found.empty()) << found.front().what;
    }
    EXPECT_TRUE(next(c, reveal(c, {1, layer})).empty()) << "an earlier one once more";
  }
}

TEST_F(reveals_in_order, show_other_keys_and_values_than_before) {
  const capsule c = of_layer(honest(), 1);
  ASSERT_TRUE(next(c, reveal(c, {0, 1})).empty());
  const unit_reveal u = reveal(c, {1, 1});
  for (const std::uint32_t one_in : {1U, 8U}) {
    unit_reveal changed = u;
    changed.between.keys.front() ^= 1U;
    auto found = next(c, changed, one_in);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_THAT(found[0].what, HasSubstr("key revealed of head 0 at position 0 is not the one"));
    EXPECT_EQ(found[0].unit, (unit_name{1, 1}));
    changed = u;
    const std::size_t of_head = u.between.values.size() / secret().kv_heads;
    changed.between.values[of_head * (secret().kv_heads - 1) + 31 * secret().head_dim] ^= 1U;
    found = next(c, changed, one_in);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_THAT(found[0].what, HasSubstr("at position 31 is not the one"));
  }
}

// What is known of one receipt is not known of another, and of one layer not of the next.
TEST_F(reveals_in_order, of_other_receipts_and_layers_begin_anew) {
  const computed_receipt forged{cast_, model(), 40, 30, test::boundary_lie{0, 0, 1.5F}};
  const capsule c = of_layer(honest(), 1);
  ASSERT_TRUE(next(c, reveal(c, {0, 1})).empty());
  const capsule other = of_layer(forged, 1); // of other rows, and rightly computed
  EXPECT_TRUE(next(other, reveal(other, {1, 1})).empty());
  EXPECT_EQ(next(c, without_first_key(reveal(c, {1, 1}))).size(), 1U);
  ASSERT_TRUE(next(c, reveal(c, {1, 1})).empty());
  const capsule above = of_layer(honest(), 2);
  EXPECT_TRUE(next(above, reveal(above, {2, 2})).empty());
}

// A key that was taken as revealed is no key that was checked. In the last layer, where a window
// without draws states nothing that follows from it.
TEST_F(reveals_in_order, know_nothing_of_places_that_were_not_drawn) {
  const computed_receipt longer{cast_, model(), 80, 10};
  const capsule c = of_layer(longer, 2);
  const auto with_lie = [](unit_reveal u) {
    u.between.keys.front() ^= 1U;
    return u;
  };
  const unit_reveal second = with_lie(reveal(c, {1, 2}));
  const unit_reveal third = with_lie(reveal(c, {2, 2}));
  int missed = 0;
  for (std::uint8_t seed = 0; seed < 20; ++seed) {
    missed += next(c, second, 8, seed).empty() ? 1 : 0;
    const auto found = next(c, third);
    ASSERT_EQ(found.size(), 1U) << int{seed};
    EXPECT_THAT(found[0].what, HasSubstr("is not what its integers give"));
  }
  EXPECT_GT(missed, 5);
}

TEST_F(reveals, of_another_capsule_or_model_are_refused) {
  const capsule c = of_layer(honest(), 1);
  const unit_reveal u = reveal(c, {1, 1});
  unit_reveal other = u;
  other.transcript.bytes[0] ^= 1U;
  EXPECT_FALSE((reveal_checker{secret(), *fast_, serial_}.check(c, other, {})));
  other = u;
  other.layer = 2; // the capsule has no such piece
  EXPECT_FALSE((reveal_checker{secret(), *fast_, serial_}.check(c, other, {})));
  prepared_model another = secret();
  another.model.bytes[0] ^= 1U;
  EXPECT_FALSE((reveal_checker{another, *fast_, serial_}.check(c, u, {})));
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
