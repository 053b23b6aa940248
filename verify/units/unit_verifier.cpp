#include "verify/units/unit_verifier.hpp"

#include "compute/model/transcript.hpp"
#include "messages/check.hpp"
#include "messages/digest_tree.hpp"
#include "verify/freivalds.hpp"
#include "verify/units/piece_walk.hpp"
#include "verify/units/unit_integers.hpp"

#include <algorithm>
#include <cstring>

namespace ovir::proofs {

namespace {

using compute::quantized_batch;
using compute::receipt_failure;
using failures = std::vector<receipt_failure>;

bool same_inputs(const quantized_batch& x, std::size_t first, const quantized_batch& stated) {
  const auto same = [&](const auto& a, const auto& b, std::size_t width) {
    const auto from = a.begin() + static_cast<std::ptrdiff_t>(first * width);
    return std::equal(from, from + static_cast<std::ptrdiff_t>(stated.tokens * width), b.begin());
  };
  return x.form == stated.form && x.cols == stated.cols && same(x.q, stated.q, x.cols) &&
         same(x.k, stated.k, x.cols / x.scale_block()) && same(x.m, stated.m, x.cols / 32);
}

/// Takes products in order from a statement that is proven: each must be of the tensor and of the
/// inputs that the walk came to.
class proven_products final : public compute::integer_products {
public:
  proven_products(const proof_statement& statement, const public_model& known,
                  compute::parallel_runner& runner)
      : statement_(statement), known_(known), runner_(runner) {}

  void begin(layer_index layer) { layer_ = layer; }
  [[nodiscard]] bool finished() const { return next_ == statement_.products.size(); }
  [[nodiscard]] compute::activation_form form_of(unit_matrix which) const override {
    return compute::form_for(known_.matrix(layer_, which).type);
  }
  [[nodiscard]] result<void> of(unit_matrix which, const quantized_batch& x,
                                std::span<const position> /*all*/, std::vector<float>& y) override {
    const committed_tensor& tensor = known_.matrix(layer_, which);
    sums_.clear();
    for (std::size_t first = 0; first < x.tokens;) {
      const auto count = static_cast<std::uint32_t>(
          std::min<std::size_t>(limits::proof_tokens_max, x.tokens - first));
      if (finished()) {
        return fail(errc::digest_mismatch, "the proof has too few products");
      }
      const product_claim& product = statement_.products[next_];
      if (product.weights != tensor) {
        return fail(errc::digest_mismatch,
                    "product {} of the proof is not of {}, as the roots "
                    "have it",
                    next_, name_of(layer_, which, false));
      }
      if (product.inputs.tokens != count || !same_inputs(x, first, product.inputs)) {
        return fail(errc::digest_mismatch,
                    "product {} of the proof has other inputs than follow for {}", next_,
                    name_of(layer_, which, false));
      }
      sums_.insert(sums_.end(), product.sums.begin(), product.sums.end());
      first += count;
      ++next_;
    }
    y.resize(sums_.size());
    compute::round_sums(sums_, x, y, runner_);
    return {};
  }

private:
  const proof_statement& statement_;
  const public_model& known_;
  compute::parallel_runner& runner_;
  layer_index layer_{0};
  std::size_t next_{0};
  std::vector<std::int64_t> sums_;
};

/// The proof is about this receipt, these roots, and units that exist, with the digests stated.
result<void> belong_together(const proof_public& known, const public_model& model,
                             const unit_proof& proof) {
  const receipt& r = *known.what;
  if (model.name != r.asked.model || model.config.layers != r.asked.layers) {
    return fail(errc::digest_mismatch, "the roots are about model {}, the receipt about {}",
                to_hex(model.name), to_hex(r.asked.model));
  }
  const proven_piece* before = nullptr;
  for (const proven_piece& piece : proof.pieces) {
    const bool exists = piece.layer < r.asked.layers && piece.last <= windows_of(r.positions);
    if (!exists || piece.positions != (piece.last - 1) * limits::window_positions +
                                          positions_of(piece.last - 1, r.positions)) {
      return fail(errc::digest_mismatch, "the receipt has no layer {} over windows [{}, {})",
                  piece.layer, piece.first, piece.last);
    }
    proven_piece stated;
    stated.layer = piece.layer;
    stated.first = piece.first;
    stated.last = piece.last;
    state_digests(r, stated);
    if (stated.inputs != piece.inputs || stated.outputs != piece.outputs || stated.kv != piece.kv) {
      return fail(errc::digest_mismatch,
                  "the receipt states other digests of layer {} than the proof is about",
                  piece.layer);
    }
    if (piece.source == row_source::computed &&
        (before == nullptr || before->layer + 1 != piece.layer || before->first != 0 ||
         before->positions < piece.positions)) {
      return fail(errc::digest_mismatch, "the rows before layer {} follow from no piece",
                  piece.layer);
    }
    before = &piece;
  }
  return {};
}

result<void> check_embeddings_of(const receipt& r, const public_model& model,
                                 const proven_piece& piece) {
  const std::vector<token_id> tokens = all_tokens(r);
  for (position p = 0; p < piece.positions; ++p) {
    const auto row =
        std::span{piece.rows}.subspan(std::size_t{p} * model.config.dim, model.config.dim);
    const std::uint32_t vocabulary = model.config.vocabulary;
    if (p >= tokens.size() || tokens[p] >= vocabulary ||
        root_from_proof(embedding_row_digest(row), tokens[p], vocabulary, piece.paths[p]) !=
            model.embedding) {
      return fail(errc::digest_mismatch, "the embedding of position {} is not its token's", p);
    }
  }
  return {};
}

result<void> check_revealed_rows(const proven_piece& piece, std::uint32_t dim) {
  const layer_index before = piece.layer - 1;
  compute::unit_digests digests{{before, piece.layer}};
  std::vector<compute::unit_leaf> leaves;
  digests.add(before, 0, piece.positions, piece.rows, dim, leaves);
  for (const compute::unit_leaf& open : digests.open_leaves()) {
    leaves.push_back(open);
  }
  for (std::size_t w = 0; w < piece.inputs.size(); ++w) {
    if (w >= leaves.size() || leaves[w].boundary != piece.inputs[w]) {
      return fail(errc::digest_mismatch,
                  "the rows before layer {} over window {} are not those that the receipt states",
                  piece.layer, w);
    }
  }
  return {};
}

result<void> check_rows(const receipt& r, const public_model& model, const proven_piece& piece) {
  switch (piece.source) {
  case row_source::embeddings: return check_embeddings_of(r, model, piece);
  case row_source::revealed: return check_revealed_rows(piece, model.config.dim);
  case row_source::computed: break; // the piece before was compared with what is stated
  }
  return {};
}

failures not_proven(const proven_piece& piece, const error& why) {
  return {{fmt::format("layer {} over windows {} to {} is not proven: {}", piece.layer, piece.first,
                       piece.last - 1, why.message),
           std::nullopt, compute::unit_name{piece.first, piece.layer}, std::nullopt}};
}

failures walk_proven(const proof_public& known, const public_model& model, const unit_proof& proof,
                     const proof_statement& statement, const compute::kernel_set& kernels,
                     compute::parallel_runner& runner) {
  proven_products products{statement, model, runner};
  piece_walker walker{model, *known.what, kernels, runner};
  walked_piece before;
  for (const proven_piece& piece : proof.pieces) {
    if (const auto fits = check_rows(*known.what, model, piece); !fits) {
      return not_proven(piece, fits.error());
    }
    products.begin(piece.layer);
    const std::span<const float> rows =
        piece.source == row_source::computed ? before.rows : piece.rows;
    auto got =
        walker.walk(piece, rows.first(std::size_t{piece.positions} * model.config.dim), products);
    if (!got) {
      return not_proven(piece, got.error());
    }
    if (const auto wrong = walker.difference(piece, *got)) {
      return {*wrong};
    }
    before = std::move(*got);
  }
  if (!products.finished()) {
    return not_proven(proof.pieces.back(),
                      fail(errc::malformed, "the proof has more products than its units"));
  }
  return {};
}

} // namespace

result<failures> check_unit_proof(const proof_public& known, const unit_proof& proof,
                                  const compute::kernel_set& kernels,
                                  compute::parallel_runner& runner) {
  OVIR_CHECK(!proof.pieces.empty());
  OVIR_ASSIGN(const public_model model, public_model_of(*known.roots));
  OVIR_TRY(belong_together(known, model, proof));
  const auto statement = proven_statement(proof, model, known.receipt_digest, known.roots_digest);
  if (!statement) {
    return not_proven(proof.pieces.front(), statement.error());
  }
  return walk_proven(known, model, proof, *statement, kernels, runner);
}

} // namespace ovir::proofs
