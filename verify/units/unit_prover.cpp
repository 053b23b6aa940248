#include "verify/units/unit_prover.hpp"

#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "messages/digest_tree.hpp"
#include "messages/node_id.hpp"
#include "verify/capsule_replay.hpp"
#include "verify/freivalds.hpp"
#include "verify/proofs/product_prover.hpp"
#include "verify/units/commit_model.hpp"
#include "verify/units/piece_walk.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>

namespace ovir::proofs {

namespace {

using compute::quantized_batch;
using compute::weight;

/// A claim, and by which weights.
struct claimed_product {
  const weight* weights{nullptr};
  std::string name;
};

/// Computes products by the weights and keeps them as claims, in the order of the walk.
class claiming_products final : public compute::integer_products {
public:
  claiming_products(const compute::model& m, const public_model& known,
                    compute::parallel_runner& runner, proof_statement& statement)
      : model_(m), known_(known), runner_(runner), statement_(statement) {}

  void begin(layer_index layer) {
    layer_ = layer;
    const compute::layer_weights& w = model_.layers[layer];
    weights_ = {&w.attn_q,   &w.attn_k, &w.attn_v,   &w.attn_output,
                &w.ffn_gate, &w.ffn_up, &w.ffn_down, &model_.output};
  }
  [[nodiscard]] compute::activation_form form_of(unit_matrix which) const override {
    return compute::form_for(weights_[static_cast<std::size_t>(which)]->type);
  }
  [[nodiscard]] result<void> of(unit_matrix which, const quantized_batch& x,
                                std::span<const position> /*all*/, std::vector<float>& y) override {
    const weight& w = *weights_[static_cast<std::size_t>(which)];
    const committed_tensor& tensor = known_.matrix(layer_, which);
    if (w.wide || w.type != tensor.type || w.rows != tensor.rows || w.cols != tensor.cols) {
      return fail(errc::digest_mismatch, "the roots are about other matrices than the model has");
    }
    std::vector<std::int64_t> sums(std::size_t{x.tokens} * w.rows);
    compute::integer_product(w, x, sums, runner_);
    y.resize(sums.size());
    compute::round_sums(sums, x, y, runner_);
    for (std::size_t first = 0; first < x.tokens; first += limits::proof_tokens_max) {
      const auto count = static_cast<std::uint32_t>(
          std::min<std::size_t>(limits::proof_tokens_max, x.tokens - first));
      const auto from = sums.begin() + static_cast<std::ptrdiff_t>(first * w.rows);
      statement_.products.push_back(
          {tensor,
           batch_part(x, first, count),
           {from, from + static_cast<std::ptrdiff_t>(std::size_t{count} * w.rows)}});
      made_.push_back({&w, name_of(layer_, which, false)});
    }
    return {};
  }
  [[nodiscard]] std::span<const claimed_product> made() const { return made_; }

private:
  const compute::model& model_;
  const public_model& known_;
  compute::parallel_runner& runner_;
  proof_statement& statement_;
  layer_index layer_{0};
  std::array<const weight*, unit_matrices> weights_{};
  std::vector<claimed_product> made_;
};

result<std::vector<proven_piece>> pieces_of(const receipt& r,
                                            std::span<const unit_choice> choices) {
  std::vector<proven_piece> pieces;
  for (const unit_choice& choice : choices) {
    if (choice.layers.first >= choice.layers.last || choice.layers.last > r.asked.layers ||
        choice.first >= choice.last || choice.last > windows_of(r.positions)) {
      return fail(errc::invalid_argument,
                  "the receipt has no layers [{}, {}) over windows [{}, {})", choice.layers.first,
                  choice.layers.last, choice.first, choice.last);
    }
    for (layer_index l = choice.layers.first; l < choice.layers.last; ++l) {
      proven_piece piece;
      piece.layer = l;
      piece.first = choice.first;
      piece.last = choice.last;
      piece.positions =
          (choice.last - 1) * limits::window_positions + positions_of(choice.last - 1, r.positions);
      const bool chained = choice.first == 0 && l > choice.layers.first;
      piece.source = chained ? row_source::computed : row_source::revealed;
      piece.source = l == 0 ? row_source::embeddings : piece.source;
      state_digests(r, piece);
      pieces.push_back(std::move(piece));
    }
  }
  if (pieces.empty() || pieces.size() > limits::unit_proof_pieces_max) {
    return fail(errc::over_limit, "{} layers in one proof; it has 1 to {}: choose fewer units",
                pieces.size(), limits::unit_proof_pieces_max);
  }
  return pieces;
}

/// The rows before layers that do not follow from a piece, by computing.
result<void> fill_rows(const proof_material& from, std::vector<proven_piece>& pieces,
                       const compute::kernel_set& kernels, compute::parallel_runner& runner) {
  std::vector<compute::piece_choice> wanted;
  for (const proven_piece& piece : pieces) {
    if (piece.source == row_source::revealed) {
      wanted.push_back({{piece.layer, piece.layer + 1}, piece.positions});
    }
  }
  if (wanted.empty()) {
    return {};
  }
  OVIR_ASSIGN(capsule inputs,
              compute::make_capsule(*from.what, wanted, *from.model, kernels, runner));
  std::size_t next = 0;
  for (proven_piece& piece : pieces) {
    if (piece.source == row_source::revealed) {
      piece.rows = std::move(inputs.pieces[next++].rows);
    }
  }
  return {};
}

/// The rows of the tokens, with their paths.
result<void> fill_embeddings(const proof_material& from, std::vector<proven_piece>& pieces,
                             compute::parallel_runner& runner) {
  const compute::model& m = *from.model;
  const std::vector<token_id> tokens = all_tokens(*from.what);
  std::vector<digest> leaves;
  std::map<token_id, std::vector<digest>> paths;
  for (proven_piece& piece : pieces) {
    if (piece.source != row_source::embeddings) {
      continue;
    }
    if (leaves.empty()) {
      leaves = embedding_digests(m.token_embedding, runner);
    }
    piece.rows.resize(std::size_t{piece.positions} * m.config.dim);
    for (position p = 0; p < piece.positions; ++p) {
      const token_id id = tokens[p];
      if (id >= m.config.vocabulary) {
        return fail(errc::digest_mismatch, "token {} is outside the model's vocabulary", id);
      }
      compute::embed_row(m.token_embedding, id, piece.rows.data() + std::size_t{p} * m.config.dim);
      const auto [path, isnew] = paths.try_emplace(id);
      if (isnew) {
        path->second = tree_proof(leaves, id);
      }
      piece.paths.push_back(path->second);
    }
  }
  return {};
}

result<void> walk_pieces(const proof_material& from, const public_model& known,
                         const unit_proof& proof, claiming_products& products,
                         const compute::kernel_set& kernels, compute::parallel_runner& runner) {
  piece_walker walker{known, *from.what, kernels, runner};
  walked_piece before;
  for (const proven_piece& piece : proof.pieces) {
    products.begin(piece.layer);
    const std::span<const float> rows =
        piece.source == row_source::computed ? before.rows : piece.rows;
    OVIR_ASSIGN(walked_piece got, walker.walk(piece, rows, products));
    if (const auto wrong = walker.difference(piece, got)) {
      return fail(errc::digest_mismatch, "{}; it was stated by {}", wrong->what,
                  wrong->signer ? to_hex(*wrong->signer) : std::string{"no stage"});
    }
    before = std::move(got);
  }
  return {};
}

} // namespace

tree_source committed_again(compute::parallel_runner& runner) {
  return [&runner](const committed_tensor& tensor, const weight& w,
                   std::string_view name) -> result<column_tree> {
    OVIR_ASSIGN(tensor_commitment made, commit_tensor(w, tensor.fold, name, runner));
    return std::move(made.tree);
  };
}

quantized_batch batch_part(const quantized_batch& x, std::size_t first, std::uint32_t count) {
  quantized_batch part;
  part.form = x.form;
  part.tokens = count;
  part.cols = x.cols;
  const auto rows = [&](const auto& all, auto& some, std::size_t width) {
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(first * width);
    some.assign(from, from + static_cast<std::ptrdiff_t>(count * width));
  };
  rows(x.q, part.q, x.cols);
  rows(x.k, part.k, x.cols / x.scale_block());
  rows(x.m, part.m, x.cols / 32);
  rows(x.sum, part.sum, x.cols / 32);
  part.u.assign(count, 0); // takes no part in S
  return part;
}

result<unit_proof> prove_units(const proof_material& from, std::span<const unit_choice> choices,
                               const compute::kernel_set& kernels,
                               compute::parallel_runner& runner) {
  OVIR_ASSIGN(const public_model known, public_model_of(*from.roots));
  if (known.name != from.what->asked.model) {
    return fail(errc::digest_mismatch, "the roots are about model {}, the receipt about {}",
                to_hex(known.name), to_hex(from.what->asked.model));
  }
  if (known.config.layers != from.what->asked.layers ||
      from.model->config.layers != known.config.layers ||
      from.model->config.dim != known.config.dim) {
    return fail(errc::digest_mismatch, "receipt, roots and model are not of one shape");
  }
  compute::model checked = *from.model;
  OVIR_TRY(check_weights(checked, {0, checked.config.layers}, runner));
  unit_proof proof;
  proof.receipt = from.receipt_digest;
  proof.roots = from.roots_digest;
  proof.dim = known.config.dim;
  OVIR_ASSIGN(proof.pieces, pieces_of(*from.what, choices));
  OVIR_TRY(fill_rows(from, proof.pieces, kernels, runner));
  OVIR_TRY(fill_embeddings(from, proof.pieces, runner));
  proof_statement statement;
  statement.context = context_of(proof);
  claiming_products products{checked, known, runner, statement};
  OVIR_TRY(walk_pieces(from, known, proof, products, kernels, runner));
  OVIR_TRY(check_statement(statement));
  std::map<const weight*, column_tree> trees;
  std::vector<proven_weights> proven;
  for (std::size_t i = 0; i < statement.products.size(); ++i) {
    const claimed_product& made = products.made()[i];
    const committed_tensor& tensor = statement.products[i].weights;
    if (trees.find(made.weights) == trees.end()) {
      OVIR_ASSIGN(column_tree tree, from.trees(tensor, *made.weights, made.name));
      if (tree.root() != tensor.root) {
        return fail(errc::digest_mismatch, "the roots have another root of {} than the model",
                    made.name);
      }
      trees.emplace(made.weights, std::move(tree));
    }
    proven.push_back({made.weights, &trees.at(made.weights)});
  }
  proof.proof = encode_proof(prove_products(statement, proven, runner));
  proof.statement = encode_statement(statement);
  return proof;
}

} // namespace ovir::proofs
