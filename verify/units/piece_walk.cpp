#include "verify/units/piece_walk.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/model/transcript.hpp"
#include "messages/check.hpp"
#include "verify/capsule_replay.hpp"

#include <algorithm>

namespace ovir::proofs {

namespace {

using compute::receipt_failure;
using compute::unit_name;

constexpr std::uint32_t window_size = limits::window_positions;

/// Of window `window`, from K and V of `positions` positions.
digest kv_of_window(const unit_between& between, const compute::model_config& c, layer_index layer,
                    std::uint32_t window, std::uint32_t positions) {
  const std::size_t of_head = std::size_t{positions} * c.head_dim;
  const std::size_t first = std::size_t{window} * window_size * c.head_dim;
  const std::uint32_t count = positions_of(window, positions);
  std::vector<std::span<const std::uint16_t>> parts;
  for (const auto* const list : {&between.keys, &between.values}) {
    for (std::uint32_t head = 0; head < c.kv_heads; ++head) {
      parts.push_back(
          std::span{*list}.subspan(head * of_head + first, std::size_t{count} * c.head_dim));
    }
  }
  return compute::kv_digest(layer, window, count, parts);
}

std::vector<digest> boundaries_of(const proven_piece& piece, std::span<const float> rows,
                                  std::uint32_t dim) {
  compute::unit_digests digests{{piece.layer, piece.layer + 1}};
  digests.skip_to(piece.first);
  std::vector<compute::unit_leaf> leaves;
  const position first = piece.first * window_size;
  digests.add(piece.layer, first, piece.positions - first, rows, dim, leaves);
  for (const compute::unit_leaf& open : digests.open_leaves()) {
    leaves.push_back(open);
  }
  std::vector<digest> all;
  for (const compute::unit_leaf& leaf : leaves) {
    all.push_back(leaf.boundary);
  }
  return all;
}

} // namespace

std::vector<token_id> all_tokens(const receipt& r) {
  std::vector<token_id> all = r.asked.prompt;
  all.insert(all.end(), r.output.begin(), r.output.end());
  return all;
}

void state_digests(const receipt& r, proven_piece& piece) {
  piece.inputs.clear();
  piece.outputs.clear();
  piece.kv.clear();
  for (std::uint32_t w = 0; w < piece.last; ++w) {
    if (piece.layer > 0) {
      piece.inputs.push_back(compute::stated_output(r, {w, piece.layer - 1}));
    }
    if (w >= piece.first) {
      piece.outputs.push_back(compute::stated_output(r, {w, piece.layer}));
      piece.kv.push_back(compute::stated_kv(r, {w, piece.layer}));
    }
  }
}

piece_walker::piece_walker(const public_model& model, const receipt& r,
                           const compute::kernel_set& kernels, compute::parallel_runner& runner)
    : model_(model), receipt_(r), kernels_(kernels), runner_(runner),
      rope_(model.config, model.rope_factors) {}

result<walked_piece> piece_walker::walk(const proven_piece& piece, std::span<const float> rows,
                                        compute::integer_products& products) {
  const compute::model_config& c = model_.config;
  const bool last_layer = piece.layer + 1 == c.layers;
  compute::unit_task task;
  task.unit = {piece.first, piece.layer};
  task.positions = piece.positions;
  task.rows = rows;
  task.keep_rows = true;
  const position first = piece.first * window_size;
  if (last_layer) {
    const auto draws_first = static_cast<position>(receipt_.asked.prompt.size() - 1);
    const position draws_end = draws_first + static_cast<position>(receipt_.output.size());
    task.draws_first = std::max(first, draws_first);
    const position end = std::min(task.positions, draws_end);
    task.draws = end > task.draws_first ? end - task.draws_first : 0;
  }
  rope_.grow(piece.positions);
  const public_layer& layer = model_.layers[piece.layer];
  OVIR_ASSIGN(compute::unit_result walked,
              compute::walk_unit(
                  c, {layer.attention_norm, layer.feed_forward_norm, model_.output_norm, &rope_},
                  task, kernels_, products, runner_, scratch_));
  walked_piece got;
  for (std::uint32_t w = piece.first; w < piece.last; ++w) {
    got.kv.push_back(kv_of_window(walked.between, c, piece.layer, w, piece.positions));
  }
  got.outputs = last_layer ? got.kv : boundaries_of(piece, walked.rows, c.dim);
  got.rows = std::move(walked.rows);
  got.draws_first = task.draws_first;
  got.logits = std::move(walked.logits);
  return got;
}

std::optional<receipt_failure> piece_walker::difference_of_draws(const walked_piece& got) const {
  const compute::stated_draws stated = compute::draws_of(receipt_);
  const std::uint32_t vocabulary = model_.config.vocabulary;
  auto checker = compute::draw_checker::make(receipt_);
  for (std::size_t i = 0; i * vocabulary < got.logits.size(); ++i) {
    const auto at = static_cast<position>(got.draws_first + i);
    const auto row = std::span{got.logits}.subspan(i * vocabulary, vocabulary);
    const std::size_t index = at - stated.first;
    if (index >= stated.logits.size() || compute::logits_digest(at, row) != stated.logits[index]) {
      return receipt_failure{
          fmt::format("position {}: from the integers proven follow other logits than those stated",
                      at),
          receipt_.stages.back().signer.node, std::nullopt, at};
    }
    // What a constraint allows is not known here: the logits alone are compared.
    if (checker) {
      if (auto wrong = checker->check(index, row)) {
        return wrong;
      }
    }
  }
  return std::nullopt;
}

std::optional<receipt_failure> piece_walker::difference(const proven_piece& piece,
                                                        const walked_piece& got) const {
  OVIR_CHECK(got.outputs.size() == piece.outputs.size(), got.outputs.size());
  for (std::uint32_t w = piece.first; w < piece.last; ++w) {
    const unit_name unit{w, piece.layer};
    const std::size_t i = w - piece.first;
    const bool same_kv = got.kv[i] == compute::stated_kv(receipt_, unit);
    const digest& stated = compute::stated_output(receipt_, unit);
    if (!same_kv || got.outputs[i] != stated) {
      return receipt_failure{
          fmt::format("layer {} over window {}: from the integers proven follows another {} than "
                      "the one stated",
                      unit.layer, w, same_kv ? "boundary" : "K and V"),
          compute::signer_of(receipt_, unit), unit, std::nullopt};
    }
  }
  return got.logits.empty() ? std::nullopt : difference_of_draws(got);
}

} // namespace ovir::proofs
