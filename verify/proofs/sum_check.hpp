#pragma once

#include "verify/proofs/field.hpp"
#include "verify/proofs/transcript.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The sum-check protocol for sums of products of two multilinear functions, as Thaler uses it for
/// products of matrices: sum over c of sum over k of X_k(c) * W_k(c).
namespace ovir::proofs {

/// g(t) = at_0 + (claim - 2 at_0 - square) t + square t^2 of one round, the sum with one variable
/// left open. That g(0) + g(1) is the claim holds by this form.
struct round_message {
  element at_0;
  element square;

  friend bool operator==(const round_message&, const round_message&) = default;
};

/// g(`at`).
[[nodiscard]] element evaluate(const round_message& round, element claim, element at) noexcept;

/// Two tables over the same variables, [2^n].
struct table_pair {
  std::vector<element> x;
  std::vector<element> w;
};

/// The message of the next round: the highest variable of `pairs` stays open.
[[nodiscard]] round_message open_round(std::span<const table_pair> pairs);
/// Sets that variable to `at`: the tables halve.
void bind(std::span<table_pair> pairs, element at);

/// What a prover's sum-check leaves.
struct sum_check_result {
  std::vector<round_message> rounds;
  std::vector<element> point; ///< [n], of the variables in ascending order
};
/// Uses `pairs` up: their only entries are then X_k and W_k at the point. Precondition: tables of
/// one size, at least 2.
[[nodiscard]] sum_check_result prove_sum(std::vector<table_pair>& pairs, transcript& script);

/// The point of the verifier, and what the sum of X_k * W_k is claimed to be there.
struct sum_claim {
  std::vector<element> point;
  element value;
};
[[nodiscard]] sum_claim follow_sum(std::span<const round_message> rounds, element claim,
                                   transcript& script);

} // namespace ovir::proofs
