#include "verify/units/unit_integers.hpp"

#include "compute/forward/unit_walk.hpp"
#include "messages/limits/general.hpp"
#include "verify/proofs/product_verifier.hpp"

#include <algorithm>
#include <array>

namespace ovir::proofs {

namespace {

constexpr std::array products_of_layer{unit_matrix::k,      unit_matrix::v,    unit_matrix::q,
                                       unit_matrix::output, unit_matrix::gate, unit_matrix::up,
                                       unit_matrix::down};
constexpr std::size_t products_without_draws = 2;

/// Goes through a statement's products in the order of a walk.
class product_order {
public:
  product_order(const proof_statement& statement, const public_model& known)
      : statement_(statement), known_(known) {}

  [[nodiscard]] bool finished() const { return next_ == statement_.products.size(); }
  [[nodiscard]] bool is_next(layer_index layer, unit_matrix which) const {
    return !finished() && statement_.products[next_].weights == known_.matrix(layer, which);
  }
  /// `tokens` of one matrix, in products of as many as go into one.
  result<void> take(layer_index layer, unit_matrix which, std::size_t tokens) {
    while (tokens > 0) {
      const std::size_t count = std::min<std::size_t>(limits::proof_tokens_max, tokens);
      if (!is_next(layer, which) || statement_.products[next_].inputs.tokens != count) {
        return fail(errc::digest_mismatch, "product {} of the proof is not of {} with {} tokens",
                    next_, name_of(layer, which, false), count);
      }
      ++next_;
      tokens -= count;
    }
    return {};
  }
  /// The head: of the positions that a token was drawn from, which the receipt knows.
  result<void> take_head(layer_index layer, std::size_t most) {
    std::size_t tokens = 0;
    while (is_next(layer, unit_matrix::head) && tokens < most) {
      const std::size_t count = statement_.products[next_++].inputs.tokens;
      tokens += count;
      if (count < limits::proof_tokens_max) {
        break;
      }
    }
    if (tokens == 0 || tokens > most) {
      return fail(errc::digest_mismatch,
                  "the proof's products of the head are of {} tokens; 1 to "
                  "{} are possible",
                  tokens, most);
    }
    return {};
  }

private:
  const proof_statement& statement_;
  const public_model& known_;
  std::size_t next_{0};
};

result<void> take_piece(const proven_piece& piece, const public_model& known,
                        product_order& products) {
  const std::size_t window = piece.positions - std::size_t{piece.first} * limits::window_positions;
  const bool last = piece.layer + 1 == known.config.layers;
  for (std::size_t i = 0; i < products_of_layer.size(); ++i) {
    const unit_matrix which = products_of_layer[i];
    // A unit of the last layer that no token was drawn from ends with K and V.
    if (last && i == products_without_draws && !products.is_next(piece.layer, which)) {
      return {};
    }
    const auto form = compute::form_for(known.matrix(piece.layer, which).type);
    const std::size_t terms = static_cast<std::size_t>(compute::terms_of(which, form));
    const std::size_t positions = i < products_without_draws ? piece.positions : window;
    OVIR_TRY(products.take(piece.layer, which, terms * positions));
  }
  return last ? products.take_head(piece.layer, window) : result<void>{};
}

} // namespace

result<proof_statement> proven_statement(const unit_proof& proof, const public_model& known,
                                         const digest& receipt, const digest& roots) {
  if (proof.receipt != receipt) {
    return fail(errc::digest_mismatch, "the proof is about another receipt, {}",
                to_hex(proof.receipt));
  }
  if (proof.roots != roots || proof.dim != known.config.dim) {
    return fail(errc::digest_mismatch, "the proof was made for other roots, {}",
                to_hex(proof.roots));
  }
  OVIR_ASSIGN(proof_statement statement, decode_statement(proof.statement));
  if (statement.context != context_of(proof)) {
    return fail(errc::digest_mismatch, "the proof's products are bound to something else");
  }
  product_order products{statement, known};
  for (const proven_piece& piece : proof.pieces) {
    if (piece.layer >= known.config.layers) {
      return fail(errc::digest_mismatch, "the model has no layer {}", piece.layer);
    }
    OVIR_TRY(take_piece(piece, known, products));
  }
  if (!products.finished()) {
    return fail(errc::malformed, "the proof has more products than its units");
  }
  OVIR_ASSIGN(const product_proof products_proof, decode_proof(proof.proof));
  OVIR_TRY(verify_products(statement, products_proof));
  return statement;
}

} // namespace ovir::proofs
