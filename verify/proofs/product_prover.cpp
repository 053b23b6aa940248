#include "verify/proofs/product_prover.hpp"

#include "messages/check.hpp"
#include "verify/proofs/integer_rows.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/product_rounds.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <bit>

namespace ovir::proofs {

namespace {

/// W at the point of rows, [2^n] for the columns: `weighed` are the committed rows at the high bits
/// of that point.
std::vector<element> column_table(const committed_tensor& tensor, std::span<const element> weighed,
                                  std::span<const element> folds) {
  std::vector<element> table(std::bit_ceil(tensor.cols), zero);
  for (std::size_t fold = 0; fold < tensor.fold; ++fold) {
    for (std::size_t c = 0; c < tensor.cols; ++c) {
      table[c] = table[c] + folds[fold] * weighed[fold * tensor.cols + c];
    }
  }
  return table;
}

} // namespace

opened_sum prove_group_sum(const proof_statement& statement, std::span<const std::size_t> group,
                           std::span<const proven_weights> weights,
                           compute::parallel_runner& runner, transcript& script) {
  const group_challenges challenges = draw_challenges(script, statement, group);
  std::vector<std::vector<element>> weighed; // by product
  std::vector<table_pair> pairs;
  for (std::size_t k = 0; k < group.size(); ++k) {
    const product_claim& product = statement.products[group[k]];
    const product_tables tables = tables_of(product, challenges);
    weighed.push_back(
        weigh_rows(*weights[group[k]].weights, product.weights.fold, tables.rows, runner));
    table_pair pair;
    pair.x = input_table(product, tables, challenges.factors[k]);
    pair.x.resize(std::bit_ceil(product.weights.cols), zero);
    pair.w = column_table(product.weights, weighed.back(), tables.folds);
    pairs.push_back(std::move(pair));
  }
  opened_sum result;
  result.proof.rounds = prove_sum(pairs, script).rounds;
  std::vector<element>& combined = result.proof.combined;
  combined.assign(weighed.front().size(), zero);
  for (std::size_t k = 0; k < group.size(); ++k) {
    for (std::size_t y = 0; y < combined.size(); ++y) {
      combined[y] = combined[y] + pairs[k].x.front() * weighed[k][y];
    }
  }
  result.columns = draw_columns(script, combined);
  return result;
}

std::vector<column_opening> open_columns(const committed_tensor& tensor,
                                         const proven_weights& weights,
                                         std::span<const std::uint32_t> columns,
                                         compute::parallel_runner& runner) {
  const element root = root_of_unity(code_length(tensor.span() / 2));
  std::vector<element> places;
  for (const std::uint32_t column : columns) {
    places.push_back(power(root, column));
  }
  auto symbols = symbols_at(*weights.weights, tensor.fold, places, runner);
  std::vector<column_opening> openings(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    openings[i] = {std::move(symbols[i]), weights.tree->path(columns[i])};
  }
  return openings;
}

product_proof prove_products(const proof_statement& statement,
                             std::span<const proven_weights> weights,
                             compute::parallel_runner& runner) {
  OVIR_CHECK(weights.size() == statement.products.size(), weights.size());
  transcript script;
  absorb_statement(script, statement);
  product_proof proof;
  for (const auto& group : groups_of(statement)) {
    opened_sum sum = prove_group_sum(statement, group, weights, runner, script);
    for (const std::size_t i : group) {
      sum.proof.openings.push_back(
          open_columns(statement.products[i].weights, weights[i], sum.columns, runner));
    }
    proof.groups.push_back(std::move(sum.proof));
  }
  return proof;
}

} // namespace ovir::proofs
