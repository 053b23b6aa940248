// The bytes of docs/formats/proof.md, and their independent verifier. A change here is a new
// version.
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/proof_cases.hpp"
#include "tests/support/shared_files.hpp"
#include "verify/proofs/product_verifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

namespace ovir::proofs {
namespace {

using ::testing::HasSubstr;

constexpr const char* python = "/usr/bin/python3";

/// A product whose bytes are counted, not drawn: 3 rows of 64 as Q8_0, 2 tokens.
std::vector<test::proven_product> counted_product() {
  std::vector<test::proven_product> one(1);
  test::proven_product& p = one[0];
  p.weights.view = {.type = compute::tensor_type::q8_0, .rows = 3, .cols = 64};
  for (std::size_t i = 0; i < 3 * p.weights.view.row_bytes(); ++i) {
    p.weights.bytes.push_back(static_cast<std::byte>(i % 34 == 1 ? 0x14 : i * 7));
  }
  p.weights.view.data = p.weights.bytes.data();
  compute::serial_runner serial;
  p.commitment = commit_tensor(p.weights.view, 2, "counted", serial).value();
  p.claim.weights = p.commitment.tensor;
  compute::quantized_batch& x = p.claim.inputs;
  x.reshape(compute::activation_form::a32, 2, 64);
  for (std::size_t i = 0; i < 128; ++i) {
    x.q[i] = static_cast<std::int8_t>(static_cast<int>(i * 11 % 255) - 127);
    x.m[i / 32] = 1;
    x.k[i / 32] = static_cast<std::int32_t>(1 + i / 32 * 1'300);
  }
  p.claim.sums = test::plain_sums(p.weights.view, x);
  return one;
}

TEST(proof_golden, statements_and_proofs_are_these_bytes) {
  const auto one = counted_product();
  EXPECT_EQ(to_hex(one[0].commitment.tensor.root),
            "0a37acb109bb0af0f6d9301953f71c8f321aae4354acf78275ff6dc1e4e8c078");
  EXPECT_EQ(to_hex(commitment_digest(one[0].commitment.tensor)),
            "6254e4bd325f5dd2972417a2403f1d7e3d1adb81b5d931ab569a974a11f48612");
  const proof_statement statement = statement_of(one, 5);
  const auto stated = encode_statement(statement);
  EXPECT_EQ(std::memcmp(stated.data(), "OVIRSTAT", 8), 0);
  EXPECT_EQ(stated.size(), 292U);
  EXPECT_EQ(to_hex(hash_plain(stated)),
            "97f0c387a0d23e98deb86e5ead25cdd2dd2a7b07ebe067318eaa1e1ef6be5b57");
  const product_proof proof = prove(statement, one);
  EXPECT_TRUE(verify_products(statement, proof));
  auto proven = encode_proof(proof);
  EXPECT_EQ(std::memcmp(proven.data(), "OVIRPROF", 8), 0);
  EXPECT_EQ(proven.size(), 13156U);
  EXPECT_EQ(to_hex(hash_plain(proven)),
            "6a079de7bfe2a0616091829a2f395f750ee2bc013daf2e2cd661e405c7028ca3");
  proven[8] = std::byte{2};
  const auto later = decode_proof(proven);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, errc::unsupported);
  EXPECT_THAT(later.error().message, HasSubstr("version 2"));
}

bool has_python() { return test::run_child({python, "-c", ""}).exit_code == 0; }

// OVIR_PROOF_SEEDS=36 compares more than 1,000 verdicts.
TEST(proof_golden, a_verifier_in_plain_integers_gives_the_same_verdicts) {
  if (!has_python()) {
    GTEST_SKIP() << "needs python3: scripts/setup test";
  }
  const char* const more = std::getenv("OVIR_PROOF_SEEDS");
  const std::uint64_t seeds = more == nullptr ? 1 : std::strtoull(more, nullptr, 10);
  const test::temporary_folder place;
  std::size_t cases = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    for (const test::proof_case& c : test::make_proof_cases(100 + seed)) {
      const std::string name = fmt::format("{} {}", seed, c.kind);
      test::write_file(place.path() / (name + ".statement"), c.statement);
      test::write_file(place.path() / (name + ".proof"), c.proof);
      if (c.honest) {
        test::write_file(place.path() / (name + ".holds"), std::string{});
      }
      ++cases;
    }
  }
  const auto said =
      test::run_child({python, test::source_file("docs/proofs/verify_products.py").string(),
                       "--cases", place.path().string()});
  EXPECT_EQ(said.exit_code, 0) << said.out << said.err;
  EXPECT_THAT(said.out, HasSubstr(fmt::format("{} verdicts agree, {} of them that a proof holds; 0 "
                                              "differ",
                                              cases, seeds)));
  std::printf("%s", said.out.c_str());
}

TEST(proof_golden, the_soundness_of_the_page_follows_from_the_parameters) {
  if (!has_python()) {
    GTEST_SKIP() << "needs python3: scripts/setup test";
  }
  const auto said =
      test::run_child({python, test::source_file("docs/proofs/soundness.py").string(), "--check"});
  EXPECT_EQ(said.exit_code, 0) << said.out << said.err;
}

} // namespace
} // namespace ovir::proofs
