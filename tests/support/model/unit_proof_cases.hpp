#pragma once

#include "compute/make/synth.hpp"
#include "tests/support/model/computed_receipt.hpp"
#include "verify/proofs/product_prover.hpp"
#include "verify/units/unit_prover.hpp"
#include "verify/units/unit_verifier.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// Proofs of units of a small model's receipt, honest and forged. A forger has the weights, all
/// keys, trees, and the code of the prover.
namespace ovir::test {

/// A receipt as a reader has it.
struct told_receipt {
  explicit told_receipt(receipt what);
  receipt r;
  std::vector<std::byte> bytes;
};

/// A model with its roots, and a receipt of what it computed.
class unit_scene {
public:
  unit_scene(std::vector<std::byte> model_bytes, std::uint32_t prompt, std::uint32_t output,
             std::optional<boundary_lie> lie = {});

  [[nodiscard]] result<proofs::unit_proof> prove(std::vector<proofs::unit_choice> choices,
                                                 const told_receipt& about) const;
  [[nodiscard]] result<proofs::unit_proof> prove(std::vector<proofs::unit_choice> choices) const {
    return prove(std::move(choices), told);
  }
  /// What a reader with this scene's roots concludes.
  [[nodiscard]] std::vector<compute::receipt_failure> check(std::span<const std::byte> proof,
                                                            const told_receipt& about) const;
  [[nodiscard]] std::vector<compute::receipt_failure>
  check(std::span<const std::byte> proof) const {
    return check(proof, told);
  }

  loaded_model model;
  receipt_maker cast;
  computed_receipt computed;
  told_receipt told;
  proofs::model_roots roots;
  std::vector<std::byte> roots_bytes;
  std::map<digest, proofs::column_tree> trees; ///< by root
};

/// What a proof is made of, to be changed and proven anew.
struct unit_draft {
  proofs::unit_proof proof;
  proofs::proof_statement statement;
  std::vector<proofs::proven_weights> weights; ///< of the statement's products

  unit_draft(const unit_scene& s, const proofs::unit_proof& from);
  /// With the context and the proof of what it says now. `opened`: whose columns are shown, where
  /// they are not those of `weights`.
  [[nodiscard]] std::vector<std::byte>
  proven(const std::vector<proofs::proven_weights>* opened = nullptr) const;
  /// With the proof that it had.
  [[nodiscard]] std::vector<std::byte> stale() const;
};

/// Three layers of 64, Q8_0.
[[nodiscard]] compute::synth_spec tiny_spec();
/// Of four positions.
[[nodiscard]] const unit_scene& tiny_scene();

struct unit_case {
  std::string kind;
  bool honest{false};
  std::vector<std::byte> proof;
  const told_receipt* about{nullptr};
};
/// Honest proofs for readers with the roots of `tiny_scene`, and a forgery of each kind.
[[nodiscard]] std::vector<unit_case> make_unit_cases(std::uint64_t seed);

} // namespace ovir::test
