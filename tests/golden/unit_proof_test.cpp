// The bytes of docs/formats/roots.md and docs/formats/unit-proof.md, and their independent
// verifier. A change here is a new version.
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/unit_proof_cases.hpp"
#include "tests/support/shared_files.hpp"
#include "verify/units/unit_integers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

namespace ovir::proofs {
namespace {

using test::tiny_scene;
using ::testing::HasSubstr;

constexpr const char* python_program = "/usr/bin/python3";

TEST(unit_proof_golden, roots_and_proofs_begin_with_magic_and_version) {
  std::vector<std::byte> roots = tiny_scene().roots_bytes;
  EXPECT_EQ(std::memcmp(roots.data(), "OVIRROOT", 8), 0);
  roots[8] = std::byte{2};
  const auto later = decode_roots(roots);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, errc::unsupported);
  EXPECT_THAT(later.error().message, HasSubstr("version 2"));
  auto proof = encode_unit_proof(tiny_scene().prove({{{1, 2}, 0, 1}}).value());
  EXPECT_EQ(std::memcmp(proof.data(), "OVIRUNIT", 8), 0);
  proof[8] = std::byte{2};
  EXPECT_EQ(decode_unit_proof(proof).error().code, errc::unsupported);
}

/// What is checked of a case without floating point and without looking into the receipt.
bool integers_hold(const test::unit_case& c) {
  const auto proof = decode_unit_proof(c.proof);
  return proof && proven_statement(*proof, public_model_of(tiny_scene().roots).value(),
                                   hash_plain(c.about->bytes), hash_plain(tiny_scene().roots_bytes))
                      .has_value();
}

// OVIR_PROOF_SEEDS=22 compares more than 1,000 verdicts.
TEST(unit_proof_golden, a_verifier_in_plain_integers_gives_the_same_verdicts) {
  if (test::run_child({python_program, "-c", ""}).exit_code != 0) {
    GTEST_SKIP() << "needs python3: scripts/setup test";
  }
  const char* const more = std::getenv("OVIR_PROOF_SEEDS");
  const std::uint64_t seeds = more == nullptr ? 1 : std::strtoull(more, nullptr, 10);
  const test::temporary_folder place;
  test::write_file(place.path() / "model.roots", tiny_scene().roots_bytes);
  std::size_t cases = 0;
  std::size_t held = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    for (const test::unit_case& c : test::make_unit_cases(200 + seed)) {
      const std::string name = fmt::format("{} {}", seed, c.kind);
      const bool holds = integers_hold(c);
      // What holds as a whole holds here.
      EXPECT_TRUE(holds || !tiny_scene().check(c.proof, *c.about).empty()) << name;
      EXPECT_TRUE(holds || !c.honest) << name;
      test::write_file(place.path() / (name + ".proof"), c.proof);
      test::write_file(place.path() / (name + ".receipt"), c.about->bytes);
      if (holds) {
        test::write_file(place.path() / (name + ".holds"), std::string{});
        ++held;
      }
      ++cases;
    }
  }
  const auto said =
      test::run_child({python_program, test::source_file("docs/proofs/verify_units.py").string(),
                       "--cases", place.path().string(), (place.path() / "model.roots").string()});
  EXPECT_EQ(said.exit_code, 0) << said.out << said.err;
  EXPECT_THAT(said.out, HasSubstr(fmt::format("{} verdicts agree, {} of them that a proof holds; 0 "
                                              "differ",
                                              cases, held)));
  std::printf("%s", said.out.c_str());
}

} // namespace
} // namespace ovir::proofs
