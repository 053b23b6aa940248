// Replay capsules: honest ones are computed again and equal; a forger who owns valid keys and
// recomputes every digest is caught at the unit where he lied, and only he is named.
#include "tests/support/model/computed_receipt.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "verify/capsule_replay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::compute {
namespace {

using test::computed_receipt;
using ::testing::HasSubstr;

const signer_policy anybody{signer_policy::kind::any, {}};

class capsules : public ::testing::Test {
protected:
  static const test::loaded_model& model() {
    static const test::loaded_model made{[] {
      synth_spec spec;
      spec.layers = 9;
      spec.vocabulary = 300;
      return test::synthetic_model(spec);
    }()};
    return made;
  }
  static const computed_receipt& honest() {
    static const computed_receipt made{test::receipt_maker{}, model(), 40, 30};
    return made;
  }
  result<capsule> enclose(const receipt& r, const std::vector<piece_choice>& pieces) {
    return make_capsule(r, pieces, model().get(), *fast_, serial_);
  }
  std::optional<receipt_failure> replay(const capsule& c, std::size_t piece = 0) {
    auto done = replay_piece(c, c.pieces[piece], model().get(), *fast_, serial_);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : std::nullopt;
  }
  /// A capsule of one layer with the rows of `from`, whatever they are.
  static capsule of_layer(const computed_receipt& from, layer_index layer) {
    capsule c{from.r, 256, {{{layer, layer + 1}, from.r.positions, {}}}};
    if (layer > 0) {
      c.pieces[0].rows = from.boundaries[layer - 1];
    }
    return c;
  }

  serial_runner serial_;
  const kernel_set* fast_{select_kernels(std::nullopt).value()};
  test::receipt_maker cast_;
};

TEST_F(capsules, of_honest_work_are_equal_in_whole_and_in_part) {
  ASSERT_TRUE(check_receipt(honest().r, anybody).empty());
  const auto whole = enclose(honest().r, whole_stages(honest().r));
  ASSERT_TRUE(whole) << whole.error().message;
  ASSERT_EQ(whole->pieces.size(), 3U);
  EXPECT_TRUE(check_inputs(*whole).empty());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(replay(*whole, i)) << i;
  }
  const auto units = enclose(honest().r, {{{4, 5}, 32}, {{0, 1}, 64}, {{8, 9}, 69}});
  ASSERT_TRUE(units) << units.error().message;
  EXPECT_EQ(units->pieces[0].rows.size(), 32U * 256);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(replay(*units, i)) << i;
  }
}

TEST_F(capsules, survive_being_written_and_read) {
  const auto made = enclose(honest().r, {{{4, 6}, 64}});
  ASSERT_TRUE(made);
  const auto bytes = encode_capsule(*made);
  const auto read = decode_capsule(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->what, made->what);
  EXPECT_EQ(read->pieces[0].rows, made->pieces[0].rows);
  EXPECT_TRUE(is_capsule(bytes));
  for (const std::size_t size : {std::size_t{0}, std::size_t{31}, bytes.size() - 8}) {
    EXPECT_FALSE(decode_capsule(std::span{bytes}.first(size)));
  }
}

TEST_F(capsules, name_the_unit_and_the_signer_of_every_lie) {
  for (const layer_index layer : {0U, 4U, 7U}) {
    for (const std::uint32_t window : {0U, 1U, 2U}) {
      const computed_receipt forged{cast_, model(), 40, 30,
                                    test::boundary_lie{layer, window, 1.0001F}};
      ASSERT_TRUE(check_receipt(forged.r, anybody).empty()) << "the forger did not do his job";
      for (layer_index looked_at = 0; looked_at < 9; ++looked_at) {
        const capsule c = of_layer(forged, looked_at);
        ASSERT_TRUE(check_inputs(c).empty());
        const auto found = replay(c);
        ASSERT_EQ(found.has_value(), looked_at == layer) << layer << " seen from " << looked_at;
        if (found) {
          EXPECT_EQ(found->unit, (unit_name{window, layer}));
          EXPECT_EQ(found->signer, cast_.id(layer / 3));
        }
      }
      // Whoever computes again to make a capsule of what came after is told where to look.
      const auto later = enclose(forged.r, {{{layer + 1, layer + 2}, forged.r.positions}});
      ASSERT_FALSE(later);
      EXPECT_EQ(later.error().code, errc::digest_mismatch);
      EXPECT_THAT(later.error().message,
                  HasSubstr(fmt::format("put layer {} up to window {}", layer, window)));
    }
  }
}

TEST_F(capsules, find_false_logits_and_tokens) {
  receipt r = honest().r;
  statement& s = r.stages[2].statements[1];
  s.logits[3].bytes[0] ^= 1U;
  cast_.sign_stage(r, 2);
  cast_.follow_statements(r);
  cast_.close(r);
  ASSERT_TRUE(check_receipt(r, anybody).empty());
  computed_receipt changed = honest();
  changed.r = r;
  auto found = replay(of_layer(changed, 8));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signer, cast_.id(2));
  EXPECT_EQ(found->at, s.first_draw + 3);

  r = honest().r;
  r.output.back() = (r.output.back() + 1) % 300; // fed to nothing: only the draw can show it
  cast_.follow_statements(r);
  cast_.close(r);
  ASSERT_TRUE(check_receipt(r, anybody).empty());
  changed.r = r;
  found = replay(of_layer(changed, 8));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signer, cast_.id(test::receipt_maker::lead));
}

TEST_F(capsules, with_rows_that_nobody_stated_convict_nobody) {
  for (const std::size_t value :
       {std::size_t{0}, std::size_t{33 * 256}, std::size_t{69 * 256 - 1}}) {
    capsule c = of_layer(honest(), 5);
    c.pieces[0].rows[value] += 1;
    const auto found = check_inputs(c);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_FALSE(found[0].signer);
    EXPECT_EQ(found[0].unit->window, value / 256 / 32);
  }
}

TEST_F(capsules, of_what_does_not_exist_are_refused) {
  const receipt& r = honest().r;
  EXPECT_EQ(enclose(r, {{{3, 3}, 32}}).error().code, errc::invalid_argument);
  EXPECT_EQ(enclose(r, {{{3, 10}, 32}}).error().code, errc::invalid_argument);
  EXPECT_EQ(enclose(r, {{{3, 4}, 33}}).error().code, errc::invalid_argument);
  EXPECT_EQ(enclose(r, {{{3, 4}, 96}}).error().code, errc::invalid_argument);
  EXPECT_EQ(enclose(r, {}).error().code, errc::over_limit);
  capsule c = of_layer(honest(), 5);
  c.pieces[0].rows.pop_back();
  EXPECT_EQ(check(c).error().code, errc::malformed);
  c = of_layer(honest(), 5);
  c.pieces[0].positions = 33;
  EXPECT_EQ(check(c).error().code, errc::malformed);
  c.pieces.clear();
  EXPECT_EQ(check(c).error().code, errc::malformed);
}

} // namespace
} // namespace ovir::compute
