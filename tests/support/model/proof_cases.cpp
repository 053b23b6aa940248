#include "tests/support/model/proof_cases.hpp"

#include "compute/tensor/quantized_rows.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/product_rounds.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <utility>

namespace ovir::test {

namespace {

using compute::tensor_type;
using proofs::committed_tensor;
using proofs::product_proof;
using proofs::proof_statement;
using proofs::proven_weights;

constexpr std::uint16_t scale_most = 0x1400; // 2^-10, as in real models

owned_weight copy_of(const owned_weight& w) {
  owned_weight copy{w.bytes, w.view};
  copy.view.data = copy.bytes.data();
  return copy;
}

proofs::tensor_commitment commit(const compute::weight& w, std::uint32_t fold) {
  compute::serial_runner serial;
  auto made = proofs::commit_tensor(w, fold, "a tensor", serial);
  EXPECT_TRUE(made) << made.error().message;
  return std::move(made).value();
}

/// Three products in two groups, with their statement and honest proof.
struct scene {
  std::vector<proven_product> products;
  proof_statement statement;
  product_proof proof;

  [[nodiscard]] std::vector<proven_weights> proven() const {
    std::vector<proven_weights> all;
    for (const proven_product& p : products) {
      all.push_back(p.proven());
    }
    return all;
  }
};

scene make_scene(kernel_random& random) {
  scene made;
  const std::uint32_t rows = 24 + random.below(16);
  const std::uint32_t tokens = 1 + random.below(5);
  made.products.push_back(make_product(random, {tensor_type::q4_k, rows, 256, 4, tokens}));
  made.products.push_back(make_product(random, {tensor_type::q8_0, 20, 256, 4, tokens}));
  made.products.push_back(make_product(random, {tensor_type::q6_k, rows, 512, 2, 2}));
  made.statement = statement_of(made.products, 1);
  made.proof = prove(made.statement, made.products);
  return made;
}

/// The prover with weights of its own for the sums, and others for the columns.
product_proof prove_with(const proof_statement& statement, const std::vector<proven_weights>& used,
                         const std::vector<proven_weights>& opened) {
  compute::serial_runner serial;
  proofs::transcript script;
  absorb_statement(script, statement);
  product_proof proof;
  for (const auto& group : groups_of(statement)) {
    auto sum = prove_group_sum(statement, group, used, serial, script);
    for (const std::size_t i : group) {
      sum.proof.openings.push_back(
          open_columns(statement.products[i].weights, opened[i], sum.columns, serial));
    }
    proof.groups.push_back(std::move(sum.proof));
  }
  return proof;
}

struct forgery {
  proof_statement statement;
  std::vector<std::byte> proof;
};

forgery forged(const proof_statement& statement, const product_proof& proof) {
  return {statement, encode_proof(proof)};
}
/// A false statement that its prover takes for true.
forgery proven_falsely(const scene& s, const proof_statement& statement) {
  return forged(statement, prove_with(statement, s.proven(), s.proven()));
}

forgery wrong_product(const scene& s, kernel_random& random) {
  proof_statement lie = s.statement;
  auto& sums = lie.products[random.below(3)].sums;
  sums[random.below(static_cast<std::uint32_t>(sums.size()))] += 1;
  return proven_falsely(s, lie);
}

forgery matching_sums(const scene& s, kernel_random& random) {
  proof_statement lie = s.statement;
  auto& sums = lie.products[0].sums;
  const std::uint32_t at = random.below(static_cast<std::uint32_t>(sums.size()));
  sums[at] += 1'000;
  sums[(at + 1) % sums.size()] -= 1'000;
  return proven_falsely(s, lie);
}

forgery lies_that_cancel(const scene& s, kernel_random& random) {
  proof_statement lie = s.statement; // between two products of a group
  lie.products[0].sums[random.below(8)] += 5;
  lie.products[1].sums[random.below(8)] -= 5;
  return proven_falsely(s, lie);
}

/// What `change` makes of the first product's weights; sums are true of those.
struct other_weights {
  owned_weight weights;
  proofs::tensor_commitment commitment;
  proof_statement statement;

  other_weights(const scene& s, const std::function<void(owned_weight&)>& change)
      : weights(copy_of(s.products[0].weights)), statement(s.statement) {
    const committed_tensor& true_one = s.products[0].commitment.tensor;
    do { // until the integers differ: a scale of 0 hides a weight
      change(weights);
      commitment = commit(weights.view, true_one.fold);
    } while (commitment.tensor.root == true_one.root);
    statement.products[0].sums = plain_sums(weights.view, statement.products[0].inputs);
  }
  [[nodiscard]] std::vector<proven_weights> used(const scene& s, const proofs::column_tree* tree) {
    std::vector<proven_weights> all = s.proven();
    all[0] = {&weights.view, tree};
    return all;
  }
};

void change_weight(owned_weight& w, kernel_random& random) {
  w.bytes[144 * random.below(8) + 20 + random.below(100)] ^= std::byte{0x10};
}
void change_scale(owned_weight& w, kernel_random& random) {
  w.bytes[144 * random.below(8) + 4 + random.below(4)] ^= std::byte{1}; // sc of a group of 32
}
void swap_rows(owned_weight& w, kernel_random& random) {
  const std::size_t row = w.view.row_bytes();
  std::byte* const at = w.bytes.data() + random.below(8) * row;
  std::swap_ranges(at, at + row, at + 9 * row);
}

forgery their_own_tree(const scene& s, kernel_random& random) {
  other_weights other{s, [&](owned_weight& w) { change_weight(w, random); }};
  const auto used = other.used(s, &other.commitment.tree);
  return forged(other.statement, prove_with(other.statement, used, used));
}
forgery their_columns_on_the_true_tree(const scene& s, kernel_random& random) {
  other_weights other{s, [&](owned_weight& w) { change_weight(w, random); }};
  const auto used = other.used(s, &s.products[0].commitment.tree);
  return forged(other.statement, prove_with(other.statement, used, used));
}
forgery opened_truly(const scene& s, const std::function<void(owned_weight&)>& change) {
  other_weights other{s, change};
  return forged(other.statement, prove_with(other.statement, other.used(s, nullptr), s.proven()));
}

forgery wrong_inputs(const scene& s, kernel_random& random) {
  proof_statement lie = s.statement;
  auto& x = lie.products[0].inputs;
  std::int8_t& q = x.q[random.below(256)];
  q = static_cast<std::int8_t>(q == 127 ? 126 : q + 1);
  return proven_falsely(s, lie);
}
forgery wrong_scale_of_inputs(const scene& s, kernel_random& random) {
  proof_statement lie = s.statement;
  std::int32_t& m = lie.products[0].inputs.m[random.below(8)];
  m = m == 63 ? 62 : m + 1;
  return proven_falsely(s, lie);
}

forgery stale_context(const scene& s, kernel_random&) {
  proof_statement other = s.statement;
  other.context.bytes[31] ^= 1U;
  return forged(other, s.proof);
}
forgery stale_sums(const scene& s, kernel_random& random) {
  proof_statement other = s.statement;
  other.products[2].sums[random.below(24)] -= 1;
  return forged(other, s.proof);
}
forgery stale_bound(const scene& s, kernel_random&) {
  proof_statement other = s.statement;
  other.products[0].weights.row_sum_max += 1;
  return forged(other, s.proof);
}

forgery swapped_units(const scene& s, kernel_random& random) {
  const scene other = make_scene(random);
  return forged(s.statement, other.proof);
}
forgery swapped_products(const scene& s, kernel_random&) {
  proof_statement other = s.statement;
  std::swap(other.products[0], other.products[1]);
  return forged(other, s.proof);
}
forgery swapped_groups(const scene& s, kernel_random&) {
  product_proof proof = s.proof;
  std::swap(proof.groups[0], proof.groups[1]);
  return forged(s.statement, proof);
}

forgery cut_columns(const scene& s, kernel_random& random) {
  product_proof proof = s.proof;
  auto& openings = proof.groups.back().openings.back();
  openings.resize(openings.size() - 1 - random.below(3));
  return forged(s.statement, proof);
}
forgery repeated_column(const scene& s, kernel_random& random) {
  product_proof proof = s.proof;
  const std::uint32_t at = random.below(proofs::opened_columns - 1);
  for (auto& openings : proof.groups[0].openings) {
    openings[at] = openings[at + 1];
  }
  if (proof == s.proof) { // both were drawn
    proof.groups[0].openings[0][0].symbols[0].re ^= 1U;
  }
  return forged(s.statement, proof);
}
forgery missing_round(const scene& s, kernel_random&) {
  product_proof proof = s.proof;
  proof.groups[0].rounds.pop_back();
  return forged(s.statement, proof);
}
forgery short_path(const scene& s, kernel_random&) {
  product_proof proof = s.proof;
  for (auto& opening : proof.groups[0].openings[0]) {
    opening.path.pop_back();
  }
  return forged(s.statement, proof);
}

/// A proof of the first group whose combined row is changed before it is stated. `change` gets the
/// row, the weights of its entries, and what the row's value lacks of the claim.
using row_change =
    std::function<void(std::vector<proofs::element>& row,
                       const std::vector<proofs::element>& weights, proofs::element lacking)>;
forgery changed_row(const scene& s, const proof_statement& statement, const row_change& change) {
  compute::serial_runner serial;
  proofs::transcript script;
  absorb_statement(script, statement);
  const std::vector<std::size_t> group = groups_of(statement).front();
  auto sum = prove_group_sum(statement, group, s.proven(), serial, script);

  proofs::transcript again; // to where the combined row is stated
  absorb_statement(again, statement);
  const auto challenges = draw_challenges(again, statement, group);
  proofs::element claim = proofs::zero;
  for (std::size_t k = 0; k < group.size(); ++k) {
    const auto& product = statement.products[group[k]];
    claim = claim + challenges.factors[k] * claimed_sum(product, tables_of(product, challenges));
  }
  const proofs::sum_claim left = follow_sum(sum.proof.rounds, claim, again);
  std::vector<proofs::element> weights;
  for (const proofs::element& fold : tables_of(statement.products[0], challenges).folds) {
    for (const proofs::element& column : proofs::equality_table(left.point)) {
      weights.push_back(fold * column);
    }
  }
  auto& row = sum.proof.combined;
  change(row, weights, left.value - proofs::inner_product(row, weights));
  sum.columns = draw_columns(again, row);
  for (const std::size_t i : group) {
    sum.proof.openings.push_back(
        open_columns(statement.products[i].weights, s.proven()[i], sum.columns, serial));
  }
  product_proof proof = s.proof;
  proof.groups.assign(1, std::move(sum.proof));
  return forged(statement, proof);
}

/// The last product is left out, so that one group is the whole of it.
proof_statement first_group(const scene& s) {
  proof_statement statement = s.statement;
  statement.products.pop_back();
  return statement;
}

/// A false claim through the sum-check, and a combined row that is patched to what is left of it,
/// with multiples of `part` alone: 1 or i.
forgery patched_row(const scene& s, kernel_random& random, proofs::element part) {
  proof_statement lie = first_group(s);
  lie.products[0].sums[random.below(20)] += 1;
  const std::size_t at = random.below(1'023);
  return changed_row(s, lie, [&](auto& row, const auto& weights, proofs::element lacking) {
    const auto [first, second] =
        solve_over_base(weights[at] * part, weights[at + 1] * part, lacking);
    row[at] = row[at] + times_base(part, first);
    row[at + 1] = row[at + 1] + times_base(part, second);
  });
}

/// A true statement with a number that is p too large from the beginning: a second encoding.
forgery second_encoding(const scene& s, kernel_random& random) {
  const std::size_t at = 2 + random.below(1'000);
  return changed_row(s, first_group(s),
                     [&](auto& row, const auto&, proofs::element) { row[at].re += proofs::prime; });
}

forgery nothing_but_zeros(const scene& s, kernel_random&) {
  product_proof proof = s.proof;
  for (auto& group : proof.groups) {
    group.rounds.assign(group.rounds.size(), {});
    group.combined.assign(group.combined.size(), {});
  }
  return forged(s.statement, proof);
}

forgery number_beyond_the_field(const scene& s, kernel_random& random) {
  product_proof proof = s.proof;
  for (std::uint64_t* number :
       {&proof.groups[0].rounds[0].at_0.re, &proof.groups[0].combined[random.below(512)].im,
        &proof.groups[1].openings[0][random.below(30)].symbols[0].re}) {
    if (random.below(2) == 0) {
      *number += proofs::prime;
    }
  }
  if (proof == s.proof) {
    proof.groups[0].rounds[1].square.im += proofs::prime;
  }
  return forged(s.statement, proof);
}
forgery bytes_behind(const scene& s, kernel_random& random) {
  forgery f = forged(s.statement, s.proof);
  f.proof.resize(f.proof.size() + 1 + random.below(40));
  return f;
}
forgery bytes_missing(const scene& s, kernel_random& random) {
  forgery f = forged(s.statement, s.proof);
  f.proof.resize(f.proof.size() - 1 - random.below(400));
  return f;
}
forgery one_bit(const scene& s, kernel_random& random) {
  forgery f = forged(s.statement, s.proof);
  f.proof[random.below(static_cast<std::uint32_t>(f.proof.size()))] ^=
      std::byte{static_cast<std::uint8_t>(1U << random.below(8))};
  return f;
}
forgery sum_beyond_the_field(const scene& s, kernel_random& random) {
  proof_statement lie = s.statement;
  std::int64_t& sum = lie.products[0].sums[random.below(24)];
  const auto p = static_cast<std::int64_t>(proofs::prime);
  sum += sum < 0 ? p : -p;
  return proven_falsely(s, lie);
}

using forger = forgery (*)(const scene&, kernel_random&);
const std::pair<const char*, forger> forgers[] = {
    {"wrong product", wrong_product},
    {"matching sums", matching_sums},
    {"lies that cancel", lies_that_cancel},
    {"other weights, their tree", their_own_tree},
    {"other weights, true tree", their_columns_on_the_true_tree},
    {"other weights, true columns",
     [](const scene& s, kernel_random& random) {
       return opened_truly(s, [&](owned_weight& w) { change_weight(w, random); });
     }},
    {"other scales",
     [](const scene& s, kernel_random& random) {
       return opened_truly(s, [&](owned_weight& w) { change_scale(w, random); });
     }},
    {"permuted rows",
     [](const scene& s, kernel_random& random) {
       return opened_truly(s, [&](owned_weight& w) { swap_rows(w, random); });
     }},
    {"wrong inputs", wrong_inputs},
    {"wrong scale of inputs", wrong_scale_of_inputs},
    {"stale context", stale_context},
    {"stale sums", stale_sums},
    {"stale bound", stale_bound},
    {"swapped units", swapped_units},
    {"swapped products", swapped_products},
    {"swapped groups", swapped_groups},
    {"cut columns", cut_columns},
    {"repeated column", repeated_column},
    {"missing round", missing_round},
    {"short path", short_path},
    {"patched real parts",
     [](const scene& s, kernel_random& random) { return patched_row(s, random, proofs::one); }},
    {"patched imaginary parts",
     [](const scene& s, kernel_random& random) {
       return patched_row(s, random, {0, 1});
     }},
    {"second encoding", second_encoding},
    {"zeros", nothing_but_zeros},
    {"number beyond the field", number_beyond_the_field},
    {"bytes behind", bytes_behind},
    {"bytes missing", bytes_missing},
    {"one bit", one_bit},
    {"sum beyond the field", sum_beyond_the_field},
};

} // namespace

std::pair<std::uint64_t, std::uint64_t> solve_over_base(proofs::element x, proofs::element y,
                                                        proofs::element z) {
  const auto cross = [](proofs::element a, proofs::element b) {
    return proofs::base_subtract(proofs::reduce(proofs::uint128{a.re} * b.im),
                                 proofs::reduce(proofs::uint128{a.im} * b.re));
  };
  const proofs::element over = proofs::inverse({cross(x, y), 0});
  return {times_base(over, cross(z, y)).re, times_base(over, cross(x, z)).re};
}

std::vector<std::int64_t> plain_sums(const compute::weight& w, const compute::quantized_batch& x) {
  std::vector<std::int64_t> sums;
  const compute::tensor_layout layout = compute::layout_of(w.type);
  for (std::uint32_t t = 0; t < x.tokens; ++t) {
    for (std::uint32_t r = 0; r < w.rows; ++r) {
      std::int64_t sum = 0;
      for (std::uint32_t at = 0; at < w.cols; at += layout.block_elements) {
        const auto block = compute::decode_block(w.type, w.row(r) + at / layout.block_elements *
                                                                        layout.block_bytes);
        const std::uint32_t group =
            layout.block_elements / static_cast<std::uint32_t>(block.groups);
        std::int64_t products = 0;
        std::int64_t mins = 0;
        for (std::uint32_t i = 0; i < layout.block_elements; ++i) {
          const std::int64_t q = x.q_row(t)[at + i];
          const std::int64_t m = x.m_row(t)[(at + i) / 32];
          products += block.scale[i / group] * m * block.w[i] * q;
          mins += block.min[i / group] * m * q;
        }
        sum += x.k_row(t)[at / x.scale_block()] *
               (block.block_scale * products - block.min_scale * mins);
      }
      sums.push_back(sum);
    }
  }
  return sums;
}

proven_product make_product(kernel_random& random, const product_shape& shape) {
  proven_product made;
  made.weights =
      make_quantized(random, shape.type, shape.rows, shape.cols, filling::random, scale_most);
  made.commitment = commit(made.weights.view, shape.fold);
  made.claim.weights = made.commitment.tensor;
  made.claim.inputs =
      make_batch(random, compute::form_for(shape.type), shape.tokens, shape.cols, filling::random);
  made.claim.sums = plain_sums(made.weights.view, made.claim.inputs);
  return made;
}

proof_statement statement_of(const std::vector<proven_product>& products, std::uint8_t context) {
  proof_statement statement;
  statement.context.bytes.fill(context);
  for (const proven_product& p : products) {
    statement.products.push_back(p.claim);
  }
  return statement;
}

product_proof prove(const proof_statement& statement, const std::vector<proven_product>& products) {
  std::vector<proven_weights> weights;
  for (const proven_product& p : products) {
    weights.push_back(p.proven());
  }
  compute::serial_runner serial;
  return prove_products(statement, weights, serial);
}

std::vector<proof_case> make_proof_cases(std::uint64_t seed) {
  kernel_random random{seed};
  const scene s = make_scene(random);
  std::vector<proof_case> cases;
  cases.push_back({"honest", true, encode_statement(s.statement), encode_proof(s.proof)});
  for (const auto& [kind, forge] : forgers) {
    forgery f = forge(s, random);
    cases.push_back({kind, false, encode_statement(f.statement), std::move(f.proof)});
  }
  return cases;
}

} // namespace ovir::test
