#pragma once

#include "compute/forward/kv_digest.hpp"
#include "tests/support/model/computed_receipt.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/unit/actors/group/signed_group.hpp"
#include "verify/part_audit.hpp"
#include "verify/window_replay.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace ovir::test {

/// The stage in the middle, or at the end, of a receipt of three, computed by a group of three
/// whose first member is the stage's signer; members may have wrong weights. Windows of 32, 32 and
/// 6 positions; logits of the last five are drawn from.
class grouped_stage {
public:
  static constexpr std::uint32_t prompt = 66;
  static constexpr std::uint32_t windows = 3;

  /// What came of it. The receipt holds by its signatures; the stage behind states what it would
  /// of honest work.
  struct grouped_work {
    receipt r;
    compute::kv_cache kv;
    std::vector<std::vector<std::byte>> shown;       ///< statements about parts, as bytes
    std::vector<compute::part_statement> statements; ///< likewise
  };

  explicit grouped_stage(std::uint32_t which = 1)
      : stage(which), layers{3 * which, 3 * which + 3}, shelf(1U << 24U) {
    for (std::uint8_t i = 0; i < 3; ++i) {
      std::array<std::byte, secret_key::seed_size> seed{};
      seed.fill(std::byte{static_cast<unsigned char>(0xc0 + i)});
      member_keys_.push_back(secret_key::from_seed(seed));
    }
  }

  static const compute::model& weights() {
    static const compute::model checked = [] {
      compute::model m = file().get();
      compute::serial_runner runner;
      EXPECT_TRUE(check_weights(m, {0, 9}, runner));
      return m;
    }();
    return checked;
  }
  static const computed_receipt& honest() {
    static const computed_receipt made{receipt_maker{}, file(), prompt, 5};
    return made;
  }
  /// Of a node that has the next layer's matrix in place of this one's.
  static compute::model with_wrong(layer_index layer,
                                   compute::weight compute::layer_weights::*matrix) {
    compute::model wrong = weights();
    wrong.layers[layer].*matrix = wrong.layers[layer + 1].*matrix;
    return wrong;
  }

  [[nodiscard]] const secret_key& key_of(std::uint32_t member) const {
    return member == 0 ? cast.key(stage) : member_keys_[member];
  }
  [[nodiscard]] compute::part_group group_of(const compute::cut_wish& wish) const {
    compute::part_group group{honest().r.asked.model, {}, {}};
    for (std::uint32_t i = 0; i < 3; ++i) {
      group.nodes.push_back(key_of(i).id());
    }
    const std::vector<std::uint32_t> shares{2, 1, 1};
    group.cut = compute::cut_segment(weights(), layers, shares, wish).value();
    return group;
  }
  /// Member `liar` computes with `other`.
  [[nodiscard]] std::unique_ptr<signed_group> start(const compute::part_group& group,
                                                    const compute::model& other, std::uint32_t liar,
                                                    bool whole = false, std::uint32_t quiet = 0) {
    std::vector<signed_group::member> members;
    for (std::uint32_t i = 0; i < 3; ++i) {
      members.push_back({i == liar ? &other : &weights(), &key_of(i)});
    }
    return std::make_unique<signed_group>(std::move(members), group, shelf, ++number, whole, quiet);
  }
  /// Computes all positions in steps, and states what came of it.
  [[nodiscard]] grouped_work work(compute::segment& by) {
    grouped_work made{honest().r, by.open(honest().r.positions, 1U << 26U).value().kv, {}, {}};
    compute::segment_state state = by.open(honest().r.positions, 1U << 26U).value();
    std::vector<compute::unit_leaf> leaves;
    position at = 0;
    for (const std::uint32_t n : {40U, prompt - 40, 1U, 1U, 1U, 1U}) {
      compute::step_output out;
      compute::step_input in = input_at(at, n);
      in.logit_rows = by.is_last() && at > 0 ? 1 : 0;
      const auto done = by.forward(state, in, runner, out);
      EXPECT_TRUE(done) << done.error().message;
      if (in.logit_rows > 0) { // the draw of this one is the statement's next
        statement& s = made.r.stages[stage].statements[(at + n - 1) / 32];
        s.logits[at + n - 1 - s.first_draw] = compute::logits_digest(at + n - 1, out.logits);
      }
      leaves.insert(leaves.end(), out.leaves.begin(), out.leaves.end());
      at += n;
    }
    EXPECT_EQ(at, honest().r.positions);
    const auto open = state.units.open_leaves();
    leaves.insert(leaves.end(), open.begin(), open.end());
    state_work(made.r, state, leaves);
    made.kv = std::move(state.kv);
    for (std::uint32_t w = 0; w < windows; ++w) {
      for (const auto& s : shelf.find(made.r.asked.model, layers, w)) {
        made.statements.push_back(*s);
        made.shown.push_back(compute::encode_statement(*s));
      }
    }
    return made;
  }
  [[nodiscard]] std::vector<compute::input_bytes> inputs(const grouped_work& made,
                                                         const compute::stage_window& at) const {
    std::vector<compute::input_bytes> all;
    for (const compute::window_input& one : inputs_of(made.r, weights().config, at)) {
      const auto [window, layer] = one.unit;
      if (one.part == audit_part::kv) {
        all.push_back(std::make_shared<const std::vector<std::byte>>(
            kv_bytes(made.kv, layer, window, one.positions)));
      } else {
        const auto rows = std::as_bytes(input_at(window * 32, one.positions).boundary);
        all.push_back(std::make_shared<const std::vector<std::byte>>(rows.begin(), rows.end()));
      }
    }
    return all;
  }
  /// All that a finished group left on the shelf is gone.
  void clear() { shelf.keep({number, 1}, 0, {}); }
  /// After a change of what the stage states.
  void sign_again(receipt& r) const {
    cast.sign_stage(r, stage);
    for (std::size_t i = stage + 1; i < r.stages.size(); ++i) {
      cast.sign_link(r, i);
      cast.sign_stage(r, i);
    }
    cast.follow_statements(r);
    cast.close(r);
  }

  const std::size_t stage; ///< in the receipt
  const layer_range layers;
  receipt_maker cast;
  compute::serial_runner runner;
  actors::part_shelf shelf;
  std::uint64_t number{0}; ///< of the last group

private:
  static const loaded_model& file() {
    static const loaded_model made{
        synthetic_model({.layers = 9,
                         .dim = 64,
                         .ffn_dim = 128,
                         .heads = 8,
                         .kv_heads = 4,
                         .head_dim = 32,
                         .vocabulary = 300,
                         .quantization = compute::synth_quantization::q8_0})};
    return made;
  }
  [[nodiscard]] compute::step_input input_at(position first, std::uint32_t count) const {
    const std::size_t dim = weights().config.dim;
    compute::step_input in{.first = first, .count = count};
    in.boundary =
        std::span{honest().boundaries[layers.first - 1]}.subspan(first * dim, count * dim);
    return in;
  }
  void state_work(receipt& r, const compute::segment_state& state,
                  std::span<const compute::unit_leaf> leaves) const {
    stage_records& stated = r.stages[stage];
    for (const compute::unit_leaf& leaf : leaves) {
      stated.statements[leaf.unit.window].units[leaf.unit.layer - layers.first] = leaf.boundary;
    }
    for (statement& s : stated.statements) {
      for (std::uint32_t l = 0; l < layers.size(); ++l) {
        s.kv[l] = kv_digest(state.kv, layers.first + l, s.window, s.positions);
      }
      if (stage + 1 == r.stages.size()) {
        s.units.back() = s.kv.back();
      }
    }
    sign_again(r);
  }

  std::vector<secret_key> member_keys_;
};

} // namespace ovir::test
