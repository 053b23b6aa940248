#include "verify/reveal_check.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/kernels/reference/plain_blocks.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "compute/text/sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>

namespace ovir::compute {

namespace {

constexpr std::array<std::string_view, unit_matrices> matrix_names{
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "output"};

constexpr std::size_t index_of(unit_matrix which) { return static_cast<std::size_t>(which); }

/// The worker's side: by the weights, and kept.
class computed_products final : public integer_products {
public:
  computed_products(const model& m, layer_index layer, parallel_runner& runner, unit_reveal& keep)
      : runner_(runner), keep_(keep) {
    const layer_weights& w = m.layers[layer];
    weights_ = {&w.attn_q,   &w.attn_k, &w.attn_v,   &w.attn_output,
                &w.ffn_gate, &w.ffn_up, &w.ffn_down, &m.output};
  }
  [[nodiscard]] result<void> usable() const {
    for (std::size_t i = 0; i < unit_matrices; ++i) {
      if (weights_[i]->wide || form_for(weights_[i]->type) == activation_form::floats ||
          row_of(weights_[i]->type)->fraction_bits != 0) {
        return fail(errc::unsupported,
                    "{} is {}{}, whose products are no integers of 64 bits in units of 2^-24: such "
                    "a unit is checked "
                    "by replay",
                    matrix_names[i], name_of(weights_[i]->type),
                    weights_[i]->wide ? " with very large scales" : "");
      }
    }
    return {};
  }
  [[nodiscard]] activation_form form_of(unit_matrix which) const override {
    return form_for(weights_[index_of(which)]->type);
  }
  [[nodiscard]] result<void> of(unit_matrix which, const quantized_batch& x,
                                std::span<const position> /*all*/, std::vector<float>& y) override {
    std::vector<std::int64_t>& sums = keep_.sums[index_of(which)];
    const weight& w = *weights_[index_of(which)];
    sums.resize(std::size_t{x.tokens} * w.rows);
    integer_product(w, x, sums, runner_);
    y.resize(sums.size());
    round_sums(sums, x, y, runner_);
    return {};
  }

private:
  std::array<const weight*, unit_matrices> weights_{};
  parallel_runner& runner_;
  unit_reveal& keep_;
};

/// The auditor's side: as revealed, if it passes.
class checked_products final : public integer_products {
public:
  checked_products(const prepared_model& secret, const unit_reveal& revealed,
                   std::vector<std::int64_t>& chosen)
      : secret_(secret), revealed_(revealed), chosen_(chosen) {}
  [[nodiscard]] activation_form form_of(unit_matrix which) const override {
    return compute::form_of(matrix(which));
  }
  [[nodiscard]] result<void> of(unit_matrix which, const quantized_batch& x,
                                std::span<const position> places, std::vector<float>& y) override {
    const prepared_matrix& m = matrix(which);
    const std::string_view name = matrix_names[index_of(which)];
    // Places end with the last position that is revealed.
    const auto terms = static_cast<std::size_t>(terms_of(which, x.form));
    const std::size_t tokens = places.empty() ? x.tokens : terms * (places.back() + std::size_t{1});
    std::span<const std::int64_t> sums = revealed_.sums[index_of(which)];
    if (sums.size() != tokens * m.rows) {
      return fail(errc::digest_mismatch, "{} integers are revealed of {}; {} are needed",
                  sums.size(), name, tokens * m.rows);
    }
    if (tokens != x.tokens) {
      sums = gather(sums, m.rows, places, terms);
    }
    y.resize(sums.size());
    switch (check_product(m, weighed(which, x), sums, y)) {
    case product_fault::none: break;
    case product_fault::out_of_bounds:
      return fail(errc::digest_mismatch,
                  "an integer revealed of {} is larger than any product can be", name);
    case product_fault::not_the_product:
      return fail(errc::digest_mismatch, "the integers revealed of {} are not its products", name);
    }
    return {};
  }

private:
  std::span<const std::int64_t> gather(std::span<const std::int64_t> sums, std::size_t width,
                                       std::span<const position> places, std::size_t terms) {
    chosen_.resize(terms * places.size() * width);
    std::int64_t* to = chosen_.data();
    for (std::size_t term = 0; term < terms; ++term) {
      const std::int64_t* const from = sums.data() + term * (sums.size() / terms);
      for (const position place : places) {
        to = std::copy_n(from + place * width, width, to);
      }
    }
    return chosen_;
  }
  [[nodiscard]] const prepared_matrix& matrix(unit_matrix which) const {
    return which == unit_matrix::head ? secret_.head
                                      : secret_.layers[revealed_.layer].matrices[index_of(which)];
  }
  /// K and V, gate and up have the same input, and share what is weighed of it.
  const weighed_inputs& weighed(unit_matrix which, const quantized_batch& x) {
    const bool follows = (which == unit_matrix::v && kept_for_ == unit_matrix::k) ||
                         (which == unit_matrix::up && kept_for_ == unit_matrix::gate);
    if (!follows || form_of(which) != form_of(kept_for_) || kept_->weights().size() != x.tokens) {
      std::vector<std::uint64_t> weigh(x.tokens);
      hasher{"ovir/reveal/v1/weights"}
          .update(secret_.seed)
          .update(revealed_.transcript)
          .update_u32(revealed_.window)
          .update_u32(revealed_.layer)
          .update_u32(static_cast<std::uint32_t>(which))
          .finish_into({reinterpret_cast<std::uint8_t*>(weigh.data()), weigh.size() * 8});
      kept_.emplace(x, weigh);
      kept_for_ = which;
    }
    return *kept_;
  }

  const prepared_model& secret_;
  const unit_reveal& revealed_;
  std::vector<std::int64_t>& chosen_; ///< rows of the matrix asked for last
  std::optional<weighed_inputs> kept_;
  unit_matrix kept_for_{unit_matrix::head};
};

std::vector<token_id> tokens_of(const receipt& r) {
  std::vector<token_id> all = r.asked.prompt;
  all.insert(all.end(), r.output.begin(), r.output.end());
  return all;
}

const capsule_piece* piece_for(const capsule& c, unit_name unit) {
  const auto found = std::find_if(c.pieces.begin(), c.pieces.end(), [&](const capsule_piece& p) {
    return p.layers.first == unit.layer && windows_of(p.positions) > unit.window;
  });
  return found == c.pieces.end() ? nullptr : &*found;
}

result<unit_task> task_for(const capsule& c, unit_name unit) {
  const receipt& r = c.what;
  if (unit.layer >= r.asked.layers || unit.window >= windows_of(r.positions) ||
      piece_for(c, unit) == nullptr) {
    return fail(
        errc::invalid_argument,
        "the capsule has no piece that begins with layer {} and reaches window {}; make one "
        "with ovir receipt capsule --units {}@{}",
        unit.layer, unit.window, unit.layer, unit.window);
  }
  unit_task task;
  task.unit = unit;
  const position first = unit.window * limits::window_positions;
  task.positions = first + positions_of(unit.window, r.positions);
  if (unit.layer > 0) {
    task.rows = std::span{piece_for(c, unit)->rows}.first(std::size_t{task.positions} * c.dim);
  }
  if (unit.layer + 1 == r.asked.layers) {
    const auto draws_first = static_cast<position>(r.asked.prompt.size() - 1);
    const position draws_end = draws_first + static_cast<position>(r.output.size());
    task.draws_first = std::max(first, draws_first);
    const position end = std::min(task.positions, draws_end);
    task.draws = end > task.draws_first ? end - task.draws_first : 0;
  }
  return task;
}

/// The rows revealed of layer 0 from position `known` on are those of the tokens. Who reveals
/// others is not believed.
result<void> check_embeddings(const receipt& r, const unit_task& task, const unit_reveal& revealed,
                              const prepared_model& secret, position known) {
  if (revealed.rows.size() != std::size_t{task.positions} * secret.dim) {
    return fail(errc::digest_mismatch, "{} values of embeddings are revealed; {} are needed",
                revealed.rows.size(), std::size_t{task.positions} * secret.dim);
  }
  const std::vector<token_id> tokens = tokens_of(r);
  for (position p = known; p < task.positions; ++p) {
    const auto row = std::span{revealed.rows}.subspan(std::size_t{p} * secret.dim, secret.dim);
    if (tokens[p] >= secret.vocabulary ||
        embedding_row_digest(row) != secret.embedding[tokens[p]]) {
      return fail(errc::digest_mismatch,
                  "the embedding revealed for position {} is not its token's", p);
    }
  }
  return {};
}

/// Of the unit's window, as a statement names them.
digest revealed_kv(const unit_between& between, const model_config& config, const unit_task& task) {
  const std::size_t of_head = std::size_t{task.positions} * config.head_dim;
  const std::size_t first =
      std::size_t{task.unit.window} * limits::window_positions * config.head_dim;
  std::vector<std::span<const std::uint16_t>> parts;
  for (const auto* const list : {&between.keys, &between.values}) {
    for (std::uint32_t head = 0; head < config.kv_heads; ++head) {
      parts.push_back(std::span{*list}.subspan(head * of_head + first, of_head - first));
    }
  }
  return kv_digest(task.unit.layer, task.unit.window,
                   task.positions - task.unit.window * limits::window_positions, parts);
}

std::vector<receipt_failure> compare(const receipt& r, const unit_task& task,
                                     const unit_result& computed, std::uint32_t vocabulary) {
  const unit_name unit = task.unit;
  if (computed.output != stated_output(r, unit)) {
    return {{fmt::format(
                 "layer {} over window {}: from the integers revealed follows {}, stated is "
                 "{}",
                 unit.layer, unit.window, to_hex(computed.output), to_hex(stated_output(r, unit))),
             signer_of(r, unit), unit, std::nullopt}};
  }
  const stated_draws stated = draws_of(r);
  auto checker = draw_checker::make(r);
  for (std::uint32_t i = 0; i < task.draws; ++i) {
    const position at = task.draws_first + i;
    const auto row = std::span{computed.logits}.subspan(std::size_t{i} * vocabulary, vocabulary);
    if (logits_digest(at, row) != stated.logits[at - stated.first]) {
      return {{fmt::format("position {}: from the integers revealed follow other logits than those "
                           "stated",
                           at),
               r.stages.back().signer.node, std::nullopt, at}};
    }
    if (!checker) {
      // Which tokens may come is not known here, and so no signer is to blame.
      const bool known = !restricts_tokens(r.asked.sampling);
      return {{checker.error().message, known ? std::optional{r.lead.node} : std::nullopt,
               std::nullopt, at}};
    }
    if (auto wrong = checker->check(at - stated.first, row)) {
      return {*wrong};
    }
  }
  return {};
}

/// `count / one_in` of [0, count), rounded up, ascending: those with the smallest secret numbers.
std::vector<std::uint32_t> draw_places(std::uint32_t count, const spot_draw& where,
                                       std::string_view what) {
  std::vector<std::uint32_t> places(count);
  std::iota(places.begin(), places.end(), 0U);
  if (where.one_in <= 1 || count == 0) {
    return places;
  }
  std::vector<std::uint64_t> drawn(count);
  hasher{what}
      .update(where.seed)
      .update_u32(count)
      .finish_into({reinterpret_cast<std::uint8_t*>(drawn.data()), drawn.size() * 8});
  const std::uint32_t wanted = (count - 1) / where.one_in + 1;
  std::nth_element(places.begin(), places.begin() + (wanted - 1), places.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return drawn[a] < drawn[b]; });
  places.resize(wanted);
  std::sort(places.begin(), places.end());
  return places;
}

result<void> belong_together(const capsule& c, const unit_reveal& revealed,
                             const prepared_model& secret) {
  if (revealed.transcript != c.what.transcript) {
    return fail(errc::invalid_argument, "the reveal belongs to transcript {}, the capsule to {}",
                to_hex(revealed.transcript), to_hex(c.what.transcript));
  }
  if (secret.model != c.what.asked.model || secret.layer_count != c.what.asked.layers ||
      secret.dim != c.dim) {
    return fail(errc::invalid_argument, "prepared is model {}, the receipt is about {}",
                to_hex(secret.model), to_hex(c.what.asked.model));
  }
  return {};
}

} // namespace

result<unit_reveal> reveal_unit(const capsule& c, unit_name unit, const model& m,
                                const kernel_set& kernels, parallel_runner& runner) {
  if (m.config.layers != c.what.asked.layers || m.config.dim != c.dim) {
    return fail(errc::digest_mismatch, "the capsule is about another model");
  }
  OVIR_ASSIGN(unit_task task, task_for(c, unit));
  model checked = m;
  OVIR_TRY(check_weights(checked, {0, m.config.layers}, runner));
  unit_reveal out;
  out.transcript = c.what.transcript;
  out.window = unit.window;
  out.layer = unit.layer;
  if (unit.layer == 0) {
    const std::vector<token_id> tokens = tokens_of(c.what);
    out.rows.resize(std::size_t{task.positions} * m.config.dim);
    for (position p = 0; p < task.positions; ++p) {
      if (tokens[p] >= m.config.vocabulary) {
        return fail(errc::digest_mismatch, "token {} is outside the model's vocabulary", tokens[p]);
      }
      embed_row(m.token_embedding, tokens[p], out.rows.data() + std::size_t{p} * m.config.dim);
    }
    task.rows = out.rows;
  }
  OVIR_TRY(require_plain_blocks(m, "reveals"));
  computed_products products{checked, unit.layer, runner, out};
  OVIR_TRY(products.usable());
  const auto floats = [](const weight& w) {
    return std::span{reinterpret_cast<const float*>(w.data), w.cols};
  };
  std::vector<float> factors;
  if (!m.rope_factors.empty()) {
    factors.resize(m.rope_factors.cols);
    embed_row(m.rope_factors, 0, factors.data());
  }
  rope_table rope{m.config, factors};
  rope.grow(task.positions);
  unit_scratch scratch;
  const layer_weights& w = m.layers[unit.layer];
  OVIR_ASSIGN(unit_result walked,
              walk_unit(m.config,
                        {floats(w.attn_norm), floats(w.ffn_norm), floats(m.output_norm), &rope},
                        task, kernels, products, runner, scratch));
  out.between = std::move(walked.between);
  return out;
}

reveal_checker::reveal_checker(const prepared_model& secret, const kernel_set& kernels,
                               parallel_runner& runner)
    : secret_(secret), kernels_(kernels), runner_(runner), config_(config_of(secret)),
      rope_(config_, secret.rope_factors) {}

/// Before the unit's window. What K and V follow from is the receipt's: whoever checks a capsule
/// compared its rows with what is stated there.
std::uint32_t reveal_checker::known_positions(const receipt& r, const unit_name& unit) const {
  const bool same = known_.layer == unit.layer && known_.closing == r.closing;
  return same ? std::min(known_.positions, unit.window * limits::window_positions) : 0;
}

/// Precondition: sizes fit `positions`.
result<void> reveal_checker::same_as_known(const unit_reveal& revealed, std::uint32_t known,
                                           std::uint32_t positions) const {
  const std::size_t of_head = std::size_t{positions} * config_.head_dim;
  for (std::uint32_t h = 0; known > 0 && h < config_.kv_heads; ++h) {
    for (const bool key : {true, false}) {
      const std::uint16_t* const given =
          (key ? revealed.between.keys : revealed.between.values).data() + h * of_head;
      const std::vector<std::uint16_t>& before = (key ? known_.keys : known_.values)[h];
      const std::size_t count = std::size_t{known} * config_.head_dim;
      if (!std::equal(given, given + count, before.data())) {
        const auto at = std::mismatch(given, given + count, before.data()).first - given;
        return fail(errc::digest_mismatch,
                    "the {} revealed of head {} at position {} is not the one that was checked "
                    "with an earlier window",
                    key ? "key" : "value", h, static_cast<std::size_t>(at) / config_.head_dim);
      }
    }
  }
  return {};
}

void reveal_checker::keep(const receipt& r, const unit_reveal& revealed, std::uint32_t positions) {
  if (known_positions(r, {positions / limits::window_positions + 1, revealed.layer}) == 0) {
    known_ = {r.closing, revealed.layer, 0, {}, {}};
    known_.keys.resize(config_.kv_heads);
    known_.values.resize(config_.kv_heads);
  }
  if (positions <= known_.positions) {
    return;
  }
  const std::size_t of_head = std::size_t{positions} * config_.head_dim;
  const std::size_t had = std::size_t{known_.positions} * config_.head_dim;
  for (std::uint32_t h = 0; h < config_.kv_heads; ++h) {
    const auto add = [&](const std::vector<std::uint16_t>& from, std::vector<std::uint16_t>& to) {
      const auto first = from.begin() + static_cast<std::ptrdiff_t>(h * of_head);
      to.insert(to.end(), first + static_cast<std::ptrdiff_t>(had),
                first + static_cast<std::ptrdiff_t>(of_head));
    };
    add(revealed.between.keys, known_.keys[h]);
    add(revealed.between.values, known_.values[h]);
  }
  known_.positions = positions;
}

result<std::vector<receipt_failure>>
reveal_checker::check(const capsule& c, const unit_reveal& revealed, const spot_draw& where) {
  OVIR_CHECK(where.one_in > 0);
  OVIR_TRY(belong_together(c, revealed, secret_));
  const unit_name unit{revealed.window, revealed.layer};
  OVIR_ASSIGN(unit_task task, task_for(c, unit));
  const receipt& r = c.what;
  const auto failed = [&](const error& why) {
    return std::vector<receipt_failure>{
        {fmt::format("layer {} over window {}: {}", unit.layer, unit.window, why.message),
         signer_of(r, unit), unit, std::nullopt}};
  };
  const std::size_t kept_size = std::size_t{task.positions} * config_.kv_heads * config_.head_dim;
  if (revealed.between.keys.size() != kept_size || revealed.between.values.size() != kept_size) {
    return failed(fail(errc::digest_mismatch,
                       "{} keys and {} values are revealed; {} of each are needed",
                       revealed.between.keys.size(), revealed.between.values.size(), kept_size));
  }
  const position known = known_positions(r, unit);
  if (unit.layer == 0) {
    if (const auto same = check_embeddings(r, task, revealed, secret_, known); !same) {
      return failed(same.error());
    }
    task.rows = revealed.rows;
  }
  if (const auto same = same_as_known(revealed, known, task.positions); !same) {
    return failed(same.error());
  }
  const std::uint32_t unknown = unit.window * limits::window_positions - known;
  unit_spots spots{
      &revealed.between, draw_places(unknown, where, "ovir/reveal/v1/earlier"),
      draw_places((task.positions - unit.window * limits::window_positions) * secret_.kv_heads,
                  where, "ovir/reveal/v1/attention")};
  const bool everywhere = spots.earlier.size() == unknown;
  for (position& place : spots.earlier) {
    place += known;
  }
  task.spots = &spots;
  rope_.grow(task.positions);
  checked_products products{secret_, revealed, chosen_};
  const prepared_layer& layer = secret_.layers[unit.layer];
  const auto computed = walk_unit(
      config_, {layer.attention_norm, layer.feed_forward_norm, secret_.output_norm, &rope_}, task,
      kernels_, products, runner_, scratch_);
  if (!computed) {
    return failed(computed.error());
  }
  if (const digest kv = revealed_kv(revealed.between, config_, task); kv != stated_kv(r, unit)) {
    return failed(fail(errc::digest_mismatch, "K and V revealed are {}, stated are {}", to_hex(kv),
                       to_hex(stated_kv(r, unit))));
  }
  if (everywhere) {
    keep(r, revealed, task.positions);
  }
  return compare(r, task, *computed, secret_.vocabulary);
}

} // namespace ovir::compute
