// Verifiers that leave one value out of the transcript: a forger who knows it beats each of them.
// So every value that such a verifier leaves out is needed, and the tests of forgeries see it.
#include "tests/support/model/proof_cases.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/product_rounds.hpp"
#include "verify/proofs/product_verifier.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir::proofs {
namespace {

using compute::tensor_type;

class forgetful_transcript final : public transcript {
public:
  using transcript::absorb;
  explicit forgetful_transcript(std::string_view left_out) : left_out_(left_out) {}
  void absorb(std::string_view label, std::span<const std::byte> bytes) override {
    if (label != left_out_) {
      transcript::absorb(label, bytes);
    }
  }

private:
  std::string_view left_out_;
};

struct unit {
  std::vector<test::proven_product> products;
  proof_statement statement;

  explicit unit(std::uint64_t seed) {
    test::kernel_random random{seed};
    products.push_back(make_product(random, {tensor_type::q8_0, 16, 256, 4, 2}));
    statement = statement_of(products, 9);
  }
};

constexpr std::size_t only[] = {0};

/// The honest prover on a statement, with the transcript of the verifier to be beaten.
product_proof prove_on(const proof_statement& statement,
                       const std::vector<test::proven_product>& products, transcript& script) {
  compute::serial_runner serial;
  const std::vector<proven_weights> weights{products[0].proven()};
  absorb_statement(script, statement);
  auto sum = prove_group_sum(statement, only, weights, serial, script);
  sum.proof.openings.push_back(
      open_columns(statement.products[0].weights, weights[0], sum.columns, serial));
  return {{std::move(sum.proof)}};
}

bool passes(const proof_statement& statement, const product_proof& proof,
            std::string_view left_out) {
  forgetful_transcript script{left_out};
  return verify_products(statement, proof, script).has_value();
}

TEST(proof_challenges, depend_on_every_part_of_a_statement) {
  const unit u{5};
  const auto challenge_of = [](const proof_statement& statement) {
    transcript script;
    absorb_statement(script, statement);
    return script.challenge("any");
  };
  const element before = challenge_of(u.statement);
  EXPECT_EQ(challenge_of(u.statement), before);
  const auto depends = [&](auto&& change) {
    proof_statement other = u.statement;
    change(other);
    return challenge_of(other) != before;
  };
  EXPECT_TRUE(depends([](proof_statement& s) { s.context.bytes[0] ^= 1U; }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products.push_back(s.products[0]); }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products[0].weights.root.bytes[9] ^= 1U; }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products[0].weights.row_sum_max += 1; }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products[0].weights.type = tensor_type::q4_0; }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products[0].inputs.q[511] ^= 1; }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products[0].inputs.k[15] ^= 1; }));
  EXPECT_TRUE(depends([](proof_statement& s) { s.products[0].sums[31] += 1; }));
}

TEST(proof_challenges, an_honest_proof_passes_where_both_sides_forget_the_same) {
  const unit u{1};
  for (const char* left_out : {"nothing", "sums", "round", "combined"}) {
    forgetful_transcript script{left_out};
    EXPECT_TRUE(passes(u.statement, prove_on(u.statement, u.products, script), left_out));
  }
}

TEST(proof_challenges, without_the_rounds_a_false_sum_is_bent_to_the_known_challenge) {
  const unit u{2};
  proof_statement lie = u.statement;
  lie.products[0].sums[7] += 1'234;
  forgetful_transcript script{"round"};
  product_proof proof = prove_on(lie, u.products, script);
  EXPECT_FALSE(passes(lie, proof, "round"));

  forgetful_transcript foreseen{"round"};
  absorb_statement(foreseen, lie);
  const group_challenges challenges = draw_challenges(foreseen, lie, only);
  const product_tables tables = tables_of(lie.products[0], challenges);
  const element off = challenges.factors[0] * (claimed_sum(lie.products[0], tables) -
                                               claimed_sum(u.statement.products[0], tables));
  const element at = foreseen.challenge("column");
  // The square's part grows as off * at + change * (at^2 - at) = 0 asks.
  round_message& first = proof.groups[0].rounds[0];
  first.square = first.square - off * inverse(at - one);
  EXPECT_TRUE(passes(lie, proof, "round"));
  EXPECT_FALSE(verify_products(lie, proof));
}

TEST(proof_challenges, without_the_combined_row_its_word_is_changed_where_nobody_looks) {
  const unit u{3};
  proof_statement lie = u.statement;
  lie.products[0].sums[3] -= 77;
  forgetful_transcript script{"combined"};
  product_proof proof = prove_on(lie, u.products, script);
  EXPECT_FALSE(passes(lie, proof, "combined"));

  forgetful_transcript foreseen{"combined"};
  absorb_statement(foreseen, lie);
  const group_challenges challenges = draw_challenges(foreseen, lie, only);
  const product_tables tables = tables_of(lie.products[0], challenges);
  const element claim = challenges.factors[0] * claimed_sum(lie.products[0], tables);
  const sum_claim left = follow_sum(proof.groups[0].rounds, claim, foreseen);
  std::vector<element>& row = proof.groups[0].combined;
  const std::vector<element> of_columns = equality_table(left.point);
  const auto weight_of = [&](std::size_t y) { return tables.folds[y / 256] * of_columns[y % 256]; };
  element value = zero;
  for (std::size_t y = 0; y < row.size(); ++y) {
    value = value + weight_of(y) * row[y];
  }
  // A polynomial that is 0 at all places that will be looked at.
  std::vector<element> vanishing{one};
  const element root = root_of_unity(code_length(static_cast<std::uint32_t>(row.size() / 2)));
  for (const std::uint32_t column : draw_columns(foreseen, row)) {
    vanishing.insert(vanishing.begin(), zero); // times x, then minus times the place
    for (std::size_t m = 0; m + 1 < vanishing.size(); ++m) {
      vanishing[m] = vanishing[m] - vanishing[m + 1] * power(root, column);
    }
  }
  const auto weighed = [&](element factor) {
    element sum = zero;
    for (std::size_t m = 0; m < vanishing.size(); ++m) {
      const element symbol = vanishing[m] * factor;
      sum = sum + times_base(weight_of(2 * m), symbol.re) +
            times_base(weight_of(2 * m + 1), symbol.im);
    }
    return sum;
  };
  const auto [a, b] = test::solve_over_base(weighed(one), weighed({0, 1}), left.value - value);
  for (std::size_t m = 0; m < vanishing.size(); ++m) {
    const element symbol = vanishing[m] * element{a, b};
    row[2 * m].re = base_add(row[2 * m].re, symbol.re);
    row[2 * m + 1].re = base_add(row[2 * m + 1].re, symbol.im);
  }
  EXPECT_TRUE(passes(lie, proof, "combined"));
  EXPECT_FALSE(verify_products(lie, proof));
}

TEST(proof_challenges, without_the_sums_others_are_chosen_with_the_same_value_at_the_point) {
  // Of weights so large that sums may take nearly any value of the field.
  test::kernel_random random{4};
  std::vector<test::proven_product> products;
  products.push_back(make_product(random, {tensor_type::q8_0, 4, 32, 1, 1}));
  test::owned_weight& w = products[0].weights;
  for (std::size_t row = 0; row < 4; ++row) {
    std::memset(w.bytes.data() + row * 34, 127, 34);
    const std::uint16_t scale = row == 0 ? 0x5010 : 0; // 32.5
    std::memcpy(w.bytes.data() + row * 34, &scale, sizeof scale);
  }
  compute::serial_runner serial;
  products[0].commitment = commit_tensor(w.view, 1, "w", serial).value();
  products[0].claim.weights = products[0].commitment.tensor;
  products[0].claim.sums = test::plain_sums(w.view, products[0].claim.inputs);
  const proof_statement statement = statement_of(products, 9);

  forgetful_transcript foreseen{"sums"};
  absorb_statement(foreseen, statement);
  const product_tables tables =
      tables_of(statement.products[0], draw_challenges(foreseen, statement, only));
  const auto as_signed = [](std::uint64_t x) {
    return static_cast<std::int64_t>(x) - (x > prime / 2 ? static_cast<std::int64_t>(prime) : 0);
  };
  bool beaten = false;
  for (std::uint64_t third = 1; third < 40 && !beaten; ++third) {
    const element rest = zero - times_base(tables.rows[3], third);
    const auto [a, b] = test::solve_over_base(tables.rows[1], tables.rows[2], rest);
    proof_statement lie = statement;
    lie.products[0].sums[1] += as_signed(a);
    lie.products[0].sums[2] += as_signed(b);
    lie.products[0].sums[3] += static_cast<std::int64_t>(third);
    if (!check_statement(lie)) {
      continue;
    }
    forgetful_transcript script{"sums"};
    const product_proof proof = prove_on(lie, products, script);
    beaten = passes(lie, proof, "sums");
    EXPECT_FALSE(verify_products(lie, proof));
    transcript honest;
    EXPECT_FALSE(verify_products(lie, prove_on(lie, products, honest)));
  }
  EXPECT_TRUE(beaten);
}

} // namespace
} // namespace ovir::proofs
