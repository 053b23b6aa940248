#include "verify/capsule_replay.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"

#include <algorithm>
#include <limits>

namespace ovir::compute {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;
constexpr std::uint32_t chunk_positions = 2 * window_size;

std::vector<token_id> tokens_of(const receipt& r) {
  std::vector<token_id> all = r.asked.prompt;
  all.insert(all.end(), r.output.begin(), r.output.end());
  return all;
}

result<void> fits(const receipt& r, const model& m) {
  const model_config& config = m.config;
  if (config.layers != r.asked.layers) {
    return fail(errc::digest_mismatch, "the receipt is about a model of {} layers, this one has {}",
                r.asked.layers, config.layers);
  }
  const std::vector<token_id> tokens = tokens_of(r);
  const auto unknown = std::find_if(tokens.begin(), tokens.end(),
                                    [&](token_id id) { return id >= config.vocabulary; });
  if (unknown != tokens.end()) {
    return fail(errc::digest_mismatch, "token {} is outside the model's vocabulary of {}", *unknown,
                config.vocabulary);
  }
  return {};
}

result<void> check_choice(const piece_choice& piece, const receipt& r) {
  if (piece.layers.first >= piece.layers.last || piece.layers.last > r.asked.layers) {
    return fail(errc::invalid_argument, "there are no layers [{}, {}) in a model of {} layers",
                piece.layers.first, piece.layers.last, r.asked.layers);
  }
  if (piece.positions == 0 || piece.positions > r.positions ||
      (piece.positions < r.positions && piece.positions % window_size != 0)) {
    return fail(errc::invalid_argument,
                "{} positions end neither a window nor the request of {} positions",
                piece.positions, r.positions);
  }
  return {};
}

/// A segment between two places where boundaries are wanted.
struct leg {
  layer_range layers;
  std::unique_ptr<segment> work;
  segment_state state;
  std::vector<float> rows; ///< boundary before its first layer
};

/// Segments from the model's start, cut wherever a piece begins; none begins after the last cut.
result<std::vector<leg>> legs_to(std::span<const piece_choice> pieces, std::uint32_t positions,
                                 const model& m, const kernel_set& kernels,
                                 parallel_runner& runner) {
  std::vector<layer_index> cuts{0};
  for (const piece_choice& piece : pieces) {
    cuts.push_back(piece.layers.first);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<leg> legs;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    const layer_range layers{cuts[i], cuts[i + 1]};
    OVIR_ASSIGN(auto work, segment::make(m, layers, kernels, runner));
    OVIR_ASSIGN(segment_state state,
                work->open(positions, std::numeric_limits<std::size_t>::max()));
    legs.push_back({layers, std::move(work), std::move(state), {}});
  }
  return legs;
}

/// The boundary before each of `legs`' ends, by computing.
result<void> walk(std::vector<leg>& legs, std::span<const token_id> tokens, std::uint32_t positions,
                  parallel_runner& runner) {
  step_output out;
  for (position first = 0; first < positions; first += chunk_positions) {
    step_input in;
    in.first = first;
    in.count = std::min(chunk_positions, positions - first);
    in.tokens = tokens.subspan(first, in.count);
    std::vector<float> boundary;
    for (leg& one : legs) {
      in.boundary = boundary;
      OVIR_TRY(one.work->forward(one.state, in, runner, out));
      one.rows.insert(one.rows.end(), out.boundary.begin(), out.boundary.end());
      boundary = out.boundary;
      in.tokens = {};
    }
  }
  return {};
}

std::optional<receipt_failure> differs(const receipt& r, unit_name unit, const digest& computed) {
  const digest& stated = stated_output(r, unit);
  if (stated == computed) {
    return std::nullopt;
  }
  return receipt_failure{fmt::format("layer {} over window {}: the {} stated is {}, computed again "
                                     "{}",
                                     unit.layer, unit.window,
                                     unit.layer + 1 == r.asked.layers ? "K and V" : "boundary",
                                     to_hex(stated), to_hex(computed)),
                         signer_of(r, unit), unit, std::nullopt};
}

std::optional<receipt_failure> first_of(const receipt& r, std::span<const unit_leaf> leaves) {
  for (const unit_leaf& leaf : leaves) {
    if (auto found = differs(r, leaf.unit, leaf.boundary)) {
      return found;
    }
  }
  return std::nullopt;
}

// Of every window that ends here, K and V of the layers; they are the model's last layer's unit.
std::optional<receipt_failure> first_of_kv(const receipt& r, segment_state& state,
                                           const model_config& config, layer_range layers,
                                           position first, position end, std::uint32_t all) {
  for (std::uint32_t w = first / window_size; w * window_size < end; ++w) {
    const std::uint32_t positions = positions_of(w, all);
    if (w * window_size + positions > end) {
      break;
    }
    for (layer_index layer = layers.first; layer < layers.last; ++layer) {
      const digest computed = kv_digest(state.kv, layer, w, positions);
      if (auto found =
              layer + 1 == config.layers ? differs(r, {w, layer}, computed) : std::nullopt) {
        return found;
      }
      if (stated_kv(r, {w, layer}) != computed) {
        return receipt_failure{fmt::format("layer {} over window {}: K and V stated are {}, "
                                           "computed again {}",
                                           layer, w, to_hex(stated_kv(r, {w, layer})),
                                           to_hex(computed)),
                               signer_of(r, {w, layer}), unit_name{w, layer}, std::nullopt};
      }
    }
  }
  return std::nullopt;
}

/// Rows at the end of [first, first + count) from the first drawn position on. A cancelled request
/// may have computed positions that nothing was drawn from.
std::uint32_t logit_rows(const receipt& r, position first, std::uint32_t count) {
  const auto draws_first = static_cast<position>(r.asked.prompt.size() - 1);
  const position end = first + count;
  return r.output.empty() || end <= draws_first ? 0 : end - std::max(first, draws_first);
}

std::optional<receipt_failure> first_of_draws(const receipt& r, draw_checker& checker,
                                              position first, std::span<const float> rows,
                                              std::uint32_t vocabulary) {
  const stated_draws stated = draws_of(r);
  for (; !rows.empty(); rows = rows.subspan(vocabulary), ++first) {
    const std::size_t index = first - stated.first;
    if (index >= checker.draws()) {
      break;
    }
    const std::span<const float> row = rows.first(vocabulary);
    if (const digest computed = logits_digest(first, row); computed != stated.logits[index]) {
      return receipt_failure{fmt::format("position {}: the logits stated are {}, computed again {}",
                                         first, to_hex(stated.logits[index]), to_hex(computed)),
                             r.stages.back().signer.node, std::nullopt, first};
    }
    if (auto found = checker.check(index, row)) {
      return found;
    }
  }
  return std::nullopt;
}

} // namespace

std::vector<piece_choice> whole_stages(const receipt& r) {
  std::vector<piece_choice> all;
  for (const stage_records& stage : r.stages) {
    all.push_back({stage.signer.layers, r.positions});
  }
  return all;
}

const node_id& signer_of(const receipt& r, const unit_name& unit) {
  for (const stage_records& stage : r.stages) {
    if (unit.layer >= stage.signer.layers.first && unit.layer < stage.signer.layers.last) {
      const unit_citation* const cited =
          unit.window < stage.statements.size()
              ? citation_of(stage.statements[unit.window], unit.layer)
              : nullptr;
      return cited != nullptr ? cited->author : stage.signer.node;
    }
  }
  return r.lead.node;
}

namespace {

const statement& statement_about(const receipt& r, unit_name unit, std::size_t& index) {
  for (const stage_records& stage : r.stages) {
    const layer_range layers = stage.signer.layers;
    if (unit.layer >= layers.first && unit.layer < layers.last) {
      OVIR_CHECK(unit.window < stage.statements.size(), unit.window);
      index = unit.layer - layers.first;
      return stage.statements[unit.window];
    }
  }
  OVIR_CHECK(false, unit.layer);
  return r.stages.front().statements.front();
}

} // namespace

const digest& stated_output(const receipt& r, unit_name unit) {
  std::size_t index = 0;
  return statement_about(r, unit, index).units[index];
}

const digest& stated_kv(const receipt& r, unit_name unit) {
  std::size_t index = 0;
  return statement_about(r, unit, index).kv[index];
}

result<capsule> make_capsule(const receipt& r, std::span<const piece_choice> pieces, const model& m,
                             const kernel_set& kernels, parallel_runner& runner) {
  OVIR_TRY(fits(r, m));
  std::uint32_t positions = 0;
  std::size_t values = 0;
  for (const piece_choice& piece : pieces) {
    OVIR_TRY(check_choice(piece, r));
    positions = std::max(positions, piece.positions);
    values += piece.layers.first == 0 ? 0 : std::size_t{piece.positions} * m.config.dim;
  }
  if (pieces.empty() || pieces.size() > limits::capsule_pieces_max ||
      values * sizeof(float) > limits::capsule_bytes_max) {
    return fail(errc::over_limit,
                "a capsule of {} pieces and {} bytes of rows; it has 1 to {} pieces and at most {} "
                "bytes: choose fewer layers or windows",
                pieces.size(), values * sizeof(float), limits::capsule_pieces_max,
                limits::capsule_bytes_max);
  }
  OVIR_ASSIGN(std::vector<leg> legs, legs_to(pieces, positions, m, kernels, runner));
  OVIR_TRY(walk(legs, tokens_of(r), positions, runner));
  capsule made{r, m.config.dim, {}};
  for (const piece_choice& piece : pieces) {
    capsule_piece one{piece.layers, piece.positions, {}};
    for (const leg& before : legs) {
      if (before.layers.last == piece.layers.first) {
        const std::span<const float> all{before.rows};
        const auto wanted = all.first(std::size_t{piece.positions} * m.config.dim);
        one.rows.assign(wanted.begin(), wanted.end());
      }
    }
    made.pieces.push_back(std::move(one));
  }
  if (const auto found = check_inputs(made); !found.empty()) {
    return fail(errc::digest_mismatch,
                "{}: the model gives another input than the receipt states; put layer {} up to "
                "window {} in the capsule instead, or earlier ones",
                found.front().what, found.front().unit->layer, found.front().unit->window);
  }
  return made;
}

std::vector<receipt_failure> check_inputs(const capsule& c) {
  std::vector<receipt_failure> found;
  for (const capsule_piece& piece : c.pieces) {
    if (piece.layers.first == 0) {
      continue; // the tokens are in the receipt
    }
    const layer_index before = piece.layers.first - 1;
    unit_digests digests{{before, piece.layers.first}};
    std::vector<unit_leaf> leaves;
    digests.add(before, 0, piece.positions, piece.rows, c.dim, leaves);
    for (const unit_leaf& open : digests.open_leaves()) {
      leaves.push_back(open);
    }
    for (const unit_leaf& leaf : leaves) {
      if (stated_output(c.what, leaf.unit) != leaf.boundary) {
        found.push_back({fmt::format("the input of layer {} over window {} is not what the receipt "
                                     "states",
                                     piece.layers.first, leaf.unit.window),
                         std::nullopt, leaf.unit, std::nullopt});
        break;
      }
    }
  }
  return found;
}

result<std::optional<receipt_failure>> replay_piece(const capsule& c, const capsule_piece& piece,
                                                    const model& m, const kernel_set& kernels,
                                                    parallel_runner& runner,
                                                    const token_trie* words) {
  const receipt& r = c.what;
  const model_config& config = m.config;
  OVIR_TRY(fits(r, m));
  if (c.dim != config.dim) {
    return fail(errc::digest_mismatch, "the capsule has rows of {} values, the model of {}", c.dim,
                config.dim);
  }
  OVIR_ASSIGN(const auto work, segment::make(m, piece.layers, kernels, runner));
  OVIR_ASSIGN(segment_state state,
              work->open(piece.positions, std::numeric_limits<std::size_t>::max()));
  std::optional<draw_checker> checker; // of the model's last layer alone
  if (work->is_last()) {
    OVIR_ASSIGN(checker, draw_checker::make(r, words));
  }
  const std::vector<token_id> tokens = tokens_of(r);
  using found = std::optional<receipt_failure>;
  step_output out;
  for (position first = 0; first < piece.positions; first += chunk_positions) {
    step_input in;
    in.first = first;
    in.count = std::min(chunk_positions, piece.positions - first);
    if (work->is_first()) {
      in.tokens = std::span{tokens}.subspan(first, in.count);
    } else {
      in.boundary = std::span{piece.rows}.subspan(std::size_t{first} * config.dim,
                                                  std::size_t{in.count} * config.dim);
    }
    in.logit_rows = work->is_last() ? logit_rows(r, first, in.count) : 0;
    OVIR_TRY(work->forward(state, in, runner, out));
    if (found wrong = first_of(r, out.leaves)) {
      return wrong;
    }
    const position end = first + in.count;
    if (found wrong = first_of_kv(r, state, config, piece.layers, first, end, r.positions)) {
      return wrong;
    }
    if (work->is_last()) {
      if (found wrong =
              first_of_draws(r, *checker, end - in.logit_rows, out.logits, config.vocabulary)) {
        return wrong;
      }
    }
  }
  return first_of(r, state.units.open_leaves());
}

} // namespace ovir::compute
