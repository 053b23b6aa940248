#include "verify/proofs/product_verifier.hpp"

#include "messages/digest_tree.hpp"
#include "verify/proofs/column_tree.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/product_rounds.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <bit>

namespace ovir::proofs {

namespace {

/// Two symbols, one for each component of a combined row: the code is linear over the base field.
struct symbol_pair {
  element re;
  element im;

  friend bool operator==(const symbol_pair&, const symbol_pair&) = default;
};

/// The symbols of a combined row's word at the root of unity `z`, by Horner's rule.
symbol_pair encoded_at(std::span<const element> combined, element z) {
  symbol_pair at{zero, zero};
  for (std::size_t m = combined.size() / 2; m-- > 0;) {
    const element& even = combined[2 * m];
    const element& odd = combined[2 * m + 1];
    at.re = at.re * z + element{even.re, odd.re};
    at.im = at.im * z + element{even.im, odd.im};
  }
  return at;
}

/// Adds a column of one tensor, its rows weighed.
void add_column(symbol_pair& sum, std::span<const element> symbols,
                std::span<const element> weights) {
  for (std::size_t row = 0; row < symbols.size(); ++row) {
    sum.re = sum.re + times_base(symbols[row], weights[row].re);
    sum.im = sum.im + times_base(symbols[row], weights[row].im);
  }
}

result<void> check_sizes(const proof_statement& statement, std::span<const std::size_t> group,
                         const group_proof& proof) {
  const committed_tensor& any = statement.products[group.front()].weights;
  const std::uint32_t levels = variables_of(code_length(any.span() / 2));
  bool fits = proof.rounds.size() == variables_of(any.cols) &&
              proof.combined.size() == any.span() && proof.openings.size() == group.size();
  for (std::size_t k = 0; fits && k < group.size(); ++k) {
    const committed_tensor& tensor = statement.products[group[k]].weights;
    fits = proof.openings[k].size() == opened_columns;
    for (const column_opening& opening : proof.openings[k]) {
      fits =
          fits && opening.symbols.size() == tensor.folded_rows() && opening.path.size() == levels;
    }
  }
  if (!fits) {
    return fail(errc::malformed, "a proof has other sizes than its statement asks for");
  }
  return {};
}

/// The columns that were drawn: each is under its root, and together they are the combined row's.
result<void> check_columns(const proof_statement& statement, std::span<const std::size_t> group,
                           const group_proof& proof,
                           const std::vector<std::vector<element>>& weights,
                           std::span<const std::uint32_t> columns) {
  const std::uint32_t length = code_length(static_cast<std::uint32_t>(proof.combined.size() / 2));
  const element root = root_of_unity(length);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    symbol_pair sum{zero, zero};
    for (std::size_t k = 0; k < group.size(); ++k) {
      const column_opening& opening = proof.openings[k][i];
      const auto reached =
          root_from_proof(column_digest(opening.symbols), columns[i], length, opening.path);
      if (reached != statement.products[group[k]].weights.root) {
        return fail(errc::digest_mismatch,
                    "column {} that a proof opens is not under the root of product {}", columns[i],
                    group[k]);
      }
      add_column(sum, opening.symbols, weights[k]);
    }
    if (sum != encoded_at(proof.combined, power(root, columns[i]))) {
      return fail(errc::digest_mismatch,
                  "a proof's combined row is not that of the committed weights at column {}",
                  columns[i]);
    }
  }
  return {};
}

result<void> verify_group(const proof_statement& statement, std::span<const std::size_t> group,
                          const group_proof& proof, transcript& script) {
  OVIR_TRY(check_sizes(statement, group, proof));
  const group_challenges challenges = draw_challenges(script, statement, group);
  std::vector<product_tables> tables;
  element claim = zero;
  for (std::size_t k = 0; k < group.size(); ++k) {
    const product_claim& product = statement.products[group[k]];
    tables.push_back(tables_of(product, challenges));
    claim = claim + challenges.factors[k] * claimed_sum(product, tables[k]);
  }
  const sum_claim left = follow_sum(proof.rounds, claim, script);
  const std::vector<element> of_columns = equality_table(left.point);
  std::vector<std::vector<element>> weights; // of the committed rows in the combined one
  for (std::size_t k = 0; k < group.size(); ++k) {
    const product_claim& product = statement.products[group[k]];
    const element x =
        inner_product(input_table(product, tables[k], challenges.factors[k]), of_columns);
    weights.push_back(tables[k].rows);
    for (element& weight : weights.back()) {
      weight = weight * x;
    }
  }
  const committed_tensor& any = statement.products[group.front()].weights;
  element value = zero;
  for (std::size_t fold = 0; fold < any.fold; ++fold) {
    const auto part = std::span{proof.combined}.subspan(fold * any.cols, any.cols);
    value = value + tables.front().folds[fold] * inner_product(part, of_columns);
  }
  const std::vector<std::uint32_t> columns = draw_columns(script, proof.combined);
  if (value != left.value) {
    return fail(errc::digest_mismatch,
                "the sums of product {} and of those with its width do not follow from a proof's "
                "combined row",
                group.front());
  }
  return check_columns(statement, group, proof, weights, columns);
}

} // namespace

result<void> verify_products(const proof_statement& statement, const product_proof& proof,
                             transcript& script) {
  OVIR_TRY(check_statement(statement));
  const auto groups = groups_of(statement);
  if (groups.size() != proof.groups.size()) {
    return fail(errc::malformed, "a proof of {} groups of products, where its statement has {}",
                proof.groups.size(), groups.size());
  }
  absorb_statement(script, statement);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    OVIR_TRY(verify_group(statement, groups[g], proof.groups[g], script));
  }
  return {};
}

result<void> verify_products(const proof_statement& statement, const product_proof& proof) {
  transcript script;
  return verify_products(statement, proof, script);
}

} // namespace ovir::proofs
