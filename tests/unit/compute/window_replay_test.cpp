// Windows of a stage, each computed again by itself from what its statement names: a fault is the
// stage's own, whatever the stages before it did.
#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"
#include "tests/support/model/computed_receipt.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "verify/receipt_check.hpp"
#include "verify/window_replay.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace ovir::compute {
namespace {

using test::computed_receipt;
using test::receipt_maker;

/// Three stages of three layers; windows of 32, 32, 32 and 3 positions, drawn from the third on.
constexpr std::uint32_t audited_prompt = 70;
constexpr std::uint32_t audited_output = 30;
constexpr std::uint32_t audited_windows = 4;
constexpr position last_position = audited_prompt + audited_output - 2;

std::vector<std::byte> bytes_of_rows(std::span<const float> rows) {
  const auto bytes = std::as_bytes(rows);
  return {bytes.begin(), bytes.end()};
}

input_bytes shared_bytes(std::vector<std::byte> bytes) {
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

class audited_windows_of_a_stage : public ::testing::Test {
protected:
  /// A receipt with the K and V of all its layers, computed from the boundaries it states.
  struct recorded {
    receipt r;
    std::vector<std::vector<float>> boundaries;
    std::vector<kv_cache> kv; ///< per layer
  };

  static const test::loaded_model& file() {
    static const test::loaded_model made{[] {
      synth_spec spec;
      spec.layers = 9;
      spec.dim = 32;
      spec.ffn_dim = 64;
      spec.heads = 2;
      spec.kv_heads = 1;
      spec.vocabulary = 300;
      spec.quantization = synth_quantization::q8_0;
      return test::synthetic_model(spec);
    }()};
    return made;
  }
  static const model& weights() {
    static const model checked = [] {
      model m = file().get();
      serial_runner runner;
      EXPECT_TRUE(check_weights(m, {0, 9}, runner));
      return m;
    }();
    return checked;
  }
  static recorded record(std::optional<test::boundary_lie> lie) {
    const computed_receipt made{receipt_maker{}, file(), audited_prompt, audited_output, lie};
    recorded all{made.r, made.boundaries, {}};
    std::vector<token_id> tokens = made.r.asked.prompt;
    tokens.insert(tokens.end(), made.r.output.begin(), made.r.output.end());
    const std::uint32_t dim = weights().config.dim;
    serial_runner runner;
    step_output out;
    for (layer_index l = 0; l < 9; ++l) {
      const auto work = segment::make_checked(weights(), {l, l + 1}, kernels_reference()).value();
      segment_state state =
          work->open(made.r.positions, std::numeric_limits<std::size_t>::max()).value();
      for (position p = 0; p < made.r.positions; p += 32) {
        step_input in{.first = p, .count = positions_of(p / 32, made.r.positions)};
        if (l == 0) {
          in.tokens = std::span{tokens}.subspan(p, in.count);
        } else {
          in.boundary =
              std::span{made.boundaries[l - 1]}.subspan(std::size_t{p} * dim, in.count * dim);
        }
        EXPECT_TRUE(work->forward(state, in, runner, out));
      }
      all.kv.push_back(std::move(state.kv));
    }
    return all;
  }
  static const recorded& honest() {
    static const recorded made = record({});
    return made;
  }
  /// The first stage hands on another boundary than it computed, of the window that is drawn from
  /// first.
  static const recorded& behind_a_liar() {
    static const recorded made = record(test::boundary_lie{2, 2, 1.25F});
    return made;
  }

  static std::vector<input_bytes> inputs(const recorded& from, const stage_window& at) {
    std::vector<input_bytes> all;
    const std::uint32_t dim = weights().config.dim;
    for (const window_input& input : inputs_of(from.r, weights().config, at)) {
      const auto [window, layer] = input.unit;
      if (input.part == audit_part::kv) {
        all.push_back(shared_bytes(kv_bytes(from.kv[layer], layer, window, input.positions)));
      } else {
        all.push_back(shared_bytes(bytes_of_rows(std::span{from.boundaries[layer]}.subspan(
            std::size_t{window} * 32 * dim, std::size_t{input.positions} * dim))));
      }
    }
    return all;
  }
  static result<replay_outcome> replayed(const receipt& r, const stage_window& at,
                                         std::span<const input_bytes> inputs) {
    serial_runner runner;
    return replay_window(r, at, weights(), inputs, kernels_reference(), runner);
  }
  /// What the audit of a window of `r` finds, with inputs from `from`.
  static std::optional<stated_fault> fault(const receipt& r, const recorded& from,
                                           const stage_window& at) {
    const auto done = replayed(r, at, inputs(from, at));
    EXPECT_TRUE(done) << at.stage << " " << at.window << ": " << done.error().message;
    return done ? window_fault(r, at, *done) : std::nullopt;
  }
  static void expect_fault(const receipt& r, const recorded& from, const stage_window& at,
                           const audit_place& place, const node_id& signer) {
    EXPECT_EQ(window_of(r, place), at);
    const auto found = fault(r, from, at);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->place, place);
    EXPECT_EQ(found->signer, signer);
    EXPECT_EQ(found->stated, stated_at(r, place)->value);
    EXPECT_NE(found->stated, found->computed);
  }
  static void flip(digest& d) { d.bytes[5] ^= 1; }

  receipt_maker cast_;
};

TEST_F(audited_windows_of_a_stage, are_computed_as_in_a_replay_of_the_whole) {
  const receipt& r = honest().r;
  ASSERT_TRUE(check_receipt(r, {signer_policy::kind::any, {}}).empty());
  ASSERT_EQ(windows_of(r.positions), audited_windows);
  serial_runner runner;
  const replay_outcome whole =
      replay(r, weights(), bounds_of(r), kernels_reference(), runner).value();
  replay_outcome joined;
  for (std::size_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t w = 0; w < audited_windows; ++w) {
      const stage_window at{stage, w};
      EXPECT_FALSE(fault(r, honest(), at)) << stage << " " << w;
      auto one = replayed(r, at, inputs(honest(), at)).value();
      EXPECT_EQ(one.units.size(), 3U);
      EXPECT_EQ(one.kv.size(), 3U);
      joined.units.merge(one.units);
      joined.kv.merge(one.kv);
      joined.draws.merge(one.draws);
      joined.follows.merge(one.follows);
    }
  }
  EXPECT_EQ(joined.units, whole.units);
  EXPECT_EQ(joined.kv, whole.kv);
  EXPECT_EQ(joined.draws, whole.draws);
  EXPECT_EQ(joined.follows, whole.follows);
  EXPECT_EQ(joined.draws.size(), audited_output);
}

TEST_F(audited_windows_of_a_stage, are_computed_from_what_is_named_in_order) {
  const auto& config = weights().config;
  EXPECT_TRUE(inputs_of(honest().r, config, {0, 0}).empty()) << "its tokens are in the receipt";
  const auto named = inputs_of(honest().r, config, {1, 3});
  ASSERT_EQ(named.size(), 10U);
  EXPECT_EQ(named[0].unit, (unit_name{3, 2}));
  EXPECT_EQ(named[0].positions, 3U);
  EXPECT_EQ(named[0].bytes, std::size_t{3} * config.dim * 4);
  EXPECT_EQ(named[0].name, honest().r.stages[0].statements[3].units[2]);
  EXPECT_EQ(named[1].unit, (unit_name{0, 3}));
  EXPECT_EQ(named[5].unit, (unit_name{1, 4}));
  EXPECT_EQ(named[5].part, audit_part::kv);
  EXPECT_EQ(named[5].name, honest().r.stages[1].statements[1].kv[1]);
  EXPECT_TRUE(inputs_of(honest().r, config, {3, 0}).empty());
  EXPECT_TRUE(inputs_of(honest().r, config, {1, 4}).empty());
}

TEST_F(audited_windows_of_a_stage, show_the_first_liar_and_no_honest_stage_behind_it) {
  const recorded& from = behind_a_liar();
  ASSERT_TRUE(check_receipt(from.r, {signer_policy::kind::any, {}}).empty());
  for (std::size_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t w = 0; w < audited_windows; ++w) {
      if (stage == 0 && w == 2) {
        expect_fault(from.r, from, {0, 2}, {audit_part::unit, 2, 2, 0}, cast_.id(0));
      } else {
        EXPECT_FALSE(fault(from.r, from, {stage, w})) << stage << " " << w;
      }
    }
  }
}

TEST_F(audited_windows_of_a_stage, show_a_wrong_unit_behind_a_liar) {
  for (const std::uint32_t w : {2U, 3U}) {
    for (const layer_index layer : {3U, 4U, 5U, 6U, 7U}) {
      receipt r = behind_a_liar().r;
      const std::size_t stage = layer / 3;
      flip(r.stages[stage].statements[w].units[layer % 3]);
      expect_fault(r, behind_a_liar(), {stage, w}, {audit_part::unit, w, layer, 0},
                   cast_.id(stage));
    }
  }
}

TEST_F(audited_windows_of_a_stage, show_wrong_k_and_v_behind_a_liar) {
  for (const layer_index layer : {3U, 4U, 5U, 7U}) {
    receipt r = behind_a_liar().r;
    const std::size_t stage = layer / 3;
    statement& s = r.stages[stage].statements[2];
    flip(s.kv[layer % 3]);
    if (layer % 3 < 2) {
      flip(s.units[layer % 3 + 1]); // said of a later layer, it follows perhaps
    }
    expect_fault(r, behind_a_liar(), {stage, 2}, {audit_part::kv, 2, layer, 0}, cast_.id(stage));
    // The window behind it was computed from K and V that are not to be had.
    const auto later = replayed(r, {stage, 3}, inputs(behind_a_liar(), {stage, 3}));
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().code, errc::digest_mismatch);
  }
}

TEST_F(audited_windows_of_a_stage, show_wrong_logits_and_tokens_behind_a_liar) {
  for (const position at : {audited_prompt - 1, audited_prompt + 7, last_position}) {
    receipt r = behind_a_liar().r;
    const std::uint32_t w = at / 32;
    statement& s = r.stages[2].statements[w];
    flip(s.logits[at - s.first_draw]);
    expect_fault(r, behind_a_liar(), {2, w}, {audit_part::draw, w, 8, at}, cast_.id(2));
  }
  receipt r = behind_a_liar().r;
  const std::uint32_t w = last_position / 32;
  r.output.back() = (r.output.back() + 1) % 300;
  const audit_place token{audit_part::token, w, 8, last_position};
  expect_fault(r, behind_a_liar(), {2, w}, token, cast_.id(receipt_maker::lead));
  statement& s = r.stages[2].statements[w];
  for (std::size_t i = 0; i < s.logits.size(); ++i) {
    s.choices.push_back(r.output[s.first_draw + i + 1 - audited_prompt]);
  }
  expect_fault(r, behind_a_liar(), {2, w}, token, cast_.id(2));
}

TEST_F(audited_windows_of_a_stage, show_the_author_of_a_unit_that_is_cited) {
  receipt r = honest().r;
  statement& s = r.stages[1].statements[1];
  flip(s.units[1]);
  flip(s.units[2]);
  cast_.cite(r, 1, 4, 1, receipt_maker::stranger);
  expect_fault(r, honest(), {1, 1}, {audit_part::unit, 1, 4, 0}, cast_.id(receipt_maker::stranger));
  r = honest().r;
  flip(r.stages[1].statements[1].kv[0]);
  cast_.cite(r, 1, 3, 1, receipt_maker::stranger);
  expect_fault(r, honest(), {1, 1}, {audit_part::kv, 1, 3, 0}, cast_.id(receipt_maker::stranger));
  r = honest().r;
  cast_.cite(r, 1, 3, 1, receipt_maker::stranger);
  flip(r.stages[1].statements[1].units[1]);
  expect_fault(r, honest(), {1, 1}, {audit_part::unit, 1, 4, 0}, cast_.id(1));
}

TEST_F(audited_windows_of_a_stage, take_no_other_inputs_than_those_named) {
  const stage_window at{1, 3};
  const auto right = inputs(honest(), at);
  const auto named = inputs_of(honest().r, weights().config, at);
  const auto code = [&](const std::vector<input_bytes>& given) {
    const auto done = replayed(honest().r, at, given);
    return done ? std::nullopt : std::optional{done.error().code};
  };
  ASSERT_TRUE(replayed(honest().r, at, right));
  for (std::size_t i = 0; i < right.size(); ++i) {
    EXPECT_TRUE(named[i].is(*right[i]));
    for (const std::size_t bit : {std::size_t{0}, 4 * right[i]->size(), 8 * right[i]->size() - 1}) {
      std::vector<std::byte> bytes = *right[i];
      bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      EXPECT_FALSE(named[i].is(bytes));
      auto other = right;
      other[i] = shared_bytes(bytes);
      EXPECT_EQ(code(other), errc::digest_mismatch) << i;
    }
    auto other = right;
    std::vector<std::byte> bytes = *right[i];
    bytes.pop_back();
    other[i] = shared_bytes(bytes);
    EXPECT_EQ(code(other), errc::digest_mismatch) << i;
    other[i] = nullptr;
    EXPECT_EQ(code(other), errc::digest_mismatch) << i;
  }
  auto other = right;
  std::swap(other[1], other[4]); // the same layer of two windows
  EXPECT_EQ(code(other), errc::digest_mismatch);
  other = right;
  other.pop_back();
  EXPECT_EQ(code(other), errc::invalid_argument);
}

TEST_F(audited_windows_of_a_stage, are_not_computed_from_numbers_that_are_none) {
  const stage_window at{1, 1};
  receipt r = honest().r;
  auto given = inputs(honest(), at);
  std::vector<std::byte> bytes = *given[2];
  bytes[10] = std::byte{0x00};
  bytes[11] = std::byte{0x7c}; // binary16: infinity
  r.stages[1].statements[0].kv[1] = kv_digest(4, 0, 32, bytes);
  given[2] = shared_bytes(bytes);
  ASSERT_TRUE(inputs_of(r, weights().config, at)[2].is(bytes));
  EXPECT_EQ(replayed(r, at, given).error().code, errc::malformed);

  r = honest().r;
  given = inputs(honest(), at);
  std::vector<float> rows(given[0]->size() / sizeof(float));
  std::memcpy(rows.data(), given[0]->data(), given[0]->size());
  rows[100] = std::numeric_limits<float>::quiet_NaN();
  unit_digests digests{{2, 3}};
  digests.skip_to(1);
  std::vector<unit_leaf> leaves;
  digests.add(2, 32, 32, rows, weights().config.dim, leaves);
  r.stages[1].statements[1].input = leaves.at(0).boundary;
  given[0] = shared_bytes(bytes_of_rows(rows));
  EXPECT_EQ(replayed(r, at, given).error().code, errc::malformed);
}

TEST_F(audited_windows_of_a_stage, fit_their_receipt_and_model) {
  const auto code = [&](const receipt& r, const stage_window& at) {
    const auto done = replayed(r, at, inputs(honest(), at));
    return done ? std::nullopt : std::optional{done.error().code};
  };
  EXPECT_EQ(code(honest().r, {3, 0}), errc::invalid_argument);
  EXPECT_EQ(code(honest().r, {0, audited_windows}), errc::invalid_argument);
  receipt r = honest().r;
  r.asked.layers = 12;
  EXPECT_EQ(code(r, {0, 0}), errc::invalid_argument);
  r = honest().r;
  r.asked.prompt[3] = 300;
  EXPECT_EQ(code(r, {0, 0}), errc::invalid_argument);
  r = honest().r;
  r.stages[2].signer.layers.last = 10;
  EXPECT_EQ(code(r, {2, 0}), errc::invalid_argument);
  r = honest().r;
  r.stages[1].statements[1].kv.pop_back();
  EXPECT_EQ(code(r, {1, 2}), errc::invalid_argument);
  r = honest().r;
  r.output.resize(3);
  EXPECT_EQ(code(r, {0, 0}), errc::invalid_argument);
  r = honest().r;
  r.positions = weights().config.context + 1;
  EXPECT_EQ(code(r, {0, 0}), errc::invalid_argument);
}

TEST_F(audited_windows_of_a_stage, are_found_for_places_that_are_stated) {
  const receipt& r = honest().r;
  EXPECT_EQ(window_of(r, {audit_part::unit, 3, 0, 0}), (stage_window{0, 3}));
  EXPECT_EQ(window_of(r, {audit_part::kv, 0, 5, 0}), (stage_window{1, 0}));
  EXPECT_EQ(window_of(r, {audit_part::draw, 2, 8, 69}), (stage_window{2, 2}));
  EXPECT_EQ(window_of(r, {audit_part::token, 3, 8, last_position}), (stage_window{2, 3}));
  for (const audit_place& none :
       {audit_place{audit_part::unit, audited_windows, 0, 0},
        audit_place{audit_part::unit, 0, 9, 0}, audit_place{audit_part::kv, 0xffffffff, 3, 0},
        audit_place{audit_part::kv, 0, 0xffffffff, 0}, audit_place{audit_part::unit, 0, 3, 1},
        audit_place{audit_part::draw, 2, 8, 68}, audit_place{audit_part::draw, 3, 8, 69},
        audit_place{audit_part::draw, 2, 5, 69},
        audit_place{audit_part::draw, 3, 8, last_position + 1},
        audit_place{audit_part::token, 2, 8, 68},
        audit_place{audit_part::token, 3, 8, last_position + 1}}) {
    EXPECT_FALSE(window_of(r, none)) << none.window << " " << none.layer << " " << none.at;
  }
}

} // namespace
} // namespace ovir::compute
