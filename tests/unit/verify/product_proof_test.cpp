// Proofs of products: honest ones pass, forged ones never do.
#include "tests/support/model/proof_cases.hpp"
#include "verify/freivalds.hpp"
#include "verify/proofs/product_verifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace ovir::proofs {
namespace {

using compute::tensor_type;
using ::testing::HasSubstr;

/// What a reader of both files concludes.
result<void> verify_bytes(const test::proof_case& c) {
  OVIR_ASSIGN(const proof_statement statement, decode_statement(c.statement));
  OVIR_ASSIGN(const product_proof proof, decode_proof(c.proof));
  return verify_products(statement, proof);
}

TEST(product_proof, the_sums_of_the_profile_are_proven_for_all_types) {
  test::kernel_random random{1};
  std::printf("seed %llu\n", static_cast<unsigned long long>(random.seed()));
  compute::serial_runner serial;
  for (const tensor_type type :
       {tensor_type::q8_0, tensor_type::q4_0, tensor_type::q4_1, tensor_type::q5_0,
        tensor_type::q5_1, tensor_type::iq4_nl, tensor_type::q2_k, tensor_type::q3_k,
        tensor_type::q4_k, tensor_type::q5_k, tensor_type::q6_k, tensor_type::iq4_xs}) {
    for (const auto& [rows, fold, tokens] :
         {std::tuple{7U, 2U, 3U}, {1U, 1U, 1U}, {33U, 16U, 32U}}) {
      std::vector<test::proven_product> one;
      one.push_back(make_product(random, {type, rows, 256, fold, tokens}));
      std::vector<std::int64_t> sums(std::size_t{tokens} * rows);
      integer_product(one[0].weights.view, one[0].claim.inputs, sums, serial);
      ASSERT_EQ(one[0].claim.sums, sums);
      const proof_statement statement = statement_of(one, 3);
      const auto checked = verify_products(statement, prove(statement, one));
      EXPECT_TRUE(checked) << name_of(type) << " " << rows << ": " << checked.error().message;
    }
  }
}

TEST(product_proof, activations_and_weights_at_the_end_of_their_range_are_proven) {
  test::kernel_random random{2};
  compute::serial_runner serial;
  for (const tensor_type type : {tensor_type::q8_0, tensor_type::q4_k}) {
    test::proven_product p;
    p.weights = make_quantized(random, type, 6, 512, test::filling::largest, 0x1c00);
    p.commitment = commit_tensor(p.weights.view, 2, "w", serial).value();
    p.claim = {p.commitment.tensor,
               make_batch(random, form_for(type), 64, 512, test::filling::largest),
               {}};
    p.claim.sums = test::plain_sums(p.weights.view, p.claim.inputs);
    std::vector<test::proven_product> one;
    one.push_back(std::move(p));
    const proof_statement statement = statement_of(one, 3);
    const auto checked = verify_products(statement, prove(statement, one));
    EXPECT_TRUE(checked) << checked.error().message;
  }
}

TEST(product_proof, no_forgery_of_any_kind_passes) {
  std::map<std::string, int> refused;
  int forgeries = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    for (const test::proof_case& c : test::make_proof_cases(seed)) {
      const auto verdict = verify_bytes(c);
      EXPECT_EQ(verdict.has_value(), c.honest) << c.kind << ", seed " << seed;
      if (!c.honest && !verdict) {
        ++forgeries;
        ++refused[c.kind];
        EXPECT_FALSE(verdict.error().message.empty());
      }
    }
  }
  std::printf("%d forgeries of %zu kinds\n", forgeries, refused.size());
  EXPECT_GE(forgeries, 150);
}

TEST(product_proof, has_one_encoding) {
  for (const test::proof_case& c : test::make_proof_cases(11)) {
    if (const auto proof = decode_proof(c.proof); proof) {
      EXPECT_EQ(encode_proof(*proof), c.proof) << c.kind;
    }
    if (const auto statement = decode_statement(c.statement); statement) {
      EXPECT_EQ(encode_statement(*statement), c.statement) << c.kind;
    }
  }
}

TEST(product_proof, a_statement_out_of_form_is_refused_with_its_product) {
  test::kernel_random random{5};
  std::vector<test::proven_product> one;
  one.push_back(make_product(random, {tensor_type::q4_k, 4, 256, 2, 2}));
  const proof_statement good = statement_of(one, 0);
  EXPECT_TRUE(check_statement(good));
  const auto refused = [&](auto&& change) {
    proof_statement bad = good;
    change(bad.products[0]);
    const auto checked = check_statement(bad);
    EXPECT_FALSE(checked);
    return checked ? std::string{} : checked.error().message;
  };
  EXPECT_THAT(refused([](product_claim& p) { p.inputs.q[5] = -128; }), HasSubstr("token 0"));
  EXPECT_THAT(refused([](product_claim& p) { p.inputs.k[1] = 4'096; }), HasSubstr("product 0"));
  EXPECT_THAT(refused([](product_claim& p) { p.inputs.m[9] = 64; }), HasSubstr("token 1"));
  EXPECT_THAT(refused([](product_claim& p) { p.inputs.m[0] = 0; }), HasSubstr("token 0"));
  EXPECT_THAT(refused([](product_claim& p) { p.inputs.tokens = 1'025; }), HasSubstr("width"));
  EXPECT_THAT(refused([](product_claim& p) { p.sums.pop_back(); }), HasSubstr("sums"));
  EXPECT_THAT(refused([](product_claim& p) { p.sums[0] = std::int64_t{1} << 62U; }),
              HasSubstr("largest"));
  EXPECT_THAT(refused([](product_claim& p) { p.weights.row_sum_max = std::uint64_t{1} << 40U; }),
              HasSubstr("2^60"));
  EXPECT_THAT(refused([](product_claim& p) { p.weights.fold = 3; }), HasSubstr("fold"));
  EXPECT_THAT(refused([](product_claim& p) { p.weights.type = tensor_type::f32; }),
              HasSubstr("F32"));
  EXPECT_FALSE(check_statement(proof_statement{}));
}

} // namespace
} // namespace ovir::proofs
