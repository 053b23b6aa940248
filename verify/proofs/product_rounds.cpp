#include "verify/proofs/product_rounds.hpp"

#include "messages/wire/bytes.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <algorithm>

namespace ovir::proofs {

void absorb_statement(transcript& script, const proof_statement& statement) {
  std::vector<std::byte> head;
  byte_writer out{head};
  out.write(statement.context);
  out.number(static_cast<std::uint32_t>(statement.products.size()));
  script.absorb("statement", head);
  for (const product_claim& product : statement.products) {
    const product_bytes bytes = bytes_of(product);
    script.absorb("tensor", bytes.tensor);
    script.absorb("inputs", bytes.inputs);
    script.absorb("sums", bytes.sums);
  }
}

group_challenges draw_challenges(transcript& script, const proof_statement& statement,
                                 std::span<const std::size_t> group) {
  std::uint32_t tokens = 0;
  std::uint32_t rows = 0;
  for (const std::size_t i : group) {
    tokens = std::max(tokens, variables_of(statement.products[i].inputs.tokens));
    rows = std::max(rows, variables_of(statement.products[i].weights.rows));
  }
  group_challenges drawn;
  drawn.tokens = script.challenges("tokens", tokens);
  drawn.rows = script.challenges("rows", rows);
  drawn.factors = script.challenges("factors", group.size());
  return drawn;
}

product_tables tables_of(const product_claim& product, const group_challenges& challenges) {
  const std::uint32_t folds = variables_of(product.weights.fold);
  const std::uint32_t rows = variables_of(product.weights.rows);
  const std::span<const element> point{challenges.rows};
  return {equality_table(std::span{challenges.tokens}.first(variables_of(product.inputs.tokens))),
          equality_table(point.first(folds)), equality_table(point.subspan(folds, rows - folds))};
}

element claimed_sum(const product_claim& product, const product_tables& tables) {
  const std::uint32_t rows = product.weights.rows;
  std::vector<element> of_rows(rows); // the equality table of all bits of a row's number
  for (std::size_t r = 0; r < rows; ++r) {
    of_rows[r] = tables.folds[r % product.weights.fold] * tables.rows[r / product.weights.fold];
  }
  element sum = zero;
  for (std::size_t t = 0; t < product.inputs.tokens; ++t) {
    sum = sum + tables.tokens[t] *
                    inner_product(of_rows, std::span{product.sums}.subspan(t * rows, rows));
  }
  return sum;
}

std::vector<element> input_table(const product_claim& product, const product_tables& tables,
                                 element factor) {
  const compute::quantized_batch& x = product.inputs;
  std::vector<weighed_sum> sums(x.cols);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    for (std::size_t c = 0; c < x.cols; ++c) {
      sums[c].add(tables.tokens[t], std::int64_t{x.q_row(t)[c]} * x.m_row(t)[c / 32] *
                                        x.k_row(t)[c / x.scale_block()]);
    }
  }
  std::vector<element> table(x.cols);
  std::transform(sums.begin(), sums.end(), table.begin(),
                 [&](const weighed_sum& sum) { return factor * sum.value(); });
  return table;
}

std::vector<std::uint32_t> draw_columns(transcript& script, std::span<const element> combined) {
  script.absorb("combined", combined);
  return script.positions("columns", opened_columns,
                          code_length(static_cast<std::uint32_t>(combined.size() / 2)));
}

} // namespace ovir::proofs
