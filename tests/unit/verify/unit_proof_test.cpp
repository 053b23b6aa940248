// Proofs of units: honest ones pass without the model, forged ones never do.
#include "tests/support/memory_file.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/unit_proof_cases.hpp"
#include "verify/proofs/product_verifier.hpp"
#include "verify/units/commit_model.hpp"
#include "verify/units/piece_walk.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace ovir::proofs {
namespace {

using test::tiny_scene;
using test::unit_scene;
using ::testing::HasSubstr;

/// K-quants, whose keys and values take two terms; three windows, the last of them partial.
const unit_scene& long_scene() {
  static const unit_scene made{[] {
                                 compute::synth_spec spec;
                                 spec.layers = 3;
                                 spec.vocabulary = 300;
                                 return test::synthetic_model(spec);
                               }(),
                               40, 30};
  return made;
}

std::string refusal(const std::vector<compute::receipt_failure>& found) {
  return found.empty() ? std::string{} : found.front().what;
}

TEST(unit_proof, of_honest_work_passes_for_every_layer_and_window) {
  const unit_scene& s = long_scene();
  for (const std::vector<unit_choice>& choices : {std::vector<unit_choice>{{{0, 3}, 0, 3}},
                                                  {{{0, 1}, 0, 1}},
                                                  {{{1, 2}, 1, 2}},
                                                  {{{0, 1}, 2, 3}, {{1, 3}, 1, 3}},
                                                  {{{2, 3}, 0, 1}, {{0, 2}, 0, 2}}}) {
    const auto proof = s.prove(choices);
    ASSERT_TRUE(proof) << proof.error().message;
    const auto bytes = encode_unit_proof(*proof);
    EXPECT_EQ(refusal(s.check(bytes)), "");
    const auto read = decode_unit_proof(bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(encode_unit_proof(*read), bytes);
  }
}

TEST(unit_proof, no_forgery_of_any_kind_passes) {
  std::map<std::string, std::string> refused;
  int forgeries = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    for (const test::unit_case& c : test::make_unit_cases(seed)) {
      const auto found = tiny_scene().check(c.proof, *c.about);
      EXPECT_EQ(found.empty(), c.honest) << c.kind << ", seed " << seed << ": " << refusal(found);
      if (!c.honest && !found.empty()) {
        ++forgeries;
        refused.emplace(c.kind, refusal(found));
      }
    }
  }
  for (const auto& [kind, why] : refused) {
    std::printf("%s: %s\n", kind.c_str(), why.c_str());
  }
  std::printf("%d forgeries of %zu kinds\n", forgeries, refused.size());
  EXPECT_GE(forgeries, 150);
}

TEST(unit_proof, has_no_bit_that_may_be_changed) {
  const auto bytes = encode_unit_proof(tiny_scene().prove({{{0, 2}, 0, 1}}).value());
  const char* const more = std::getenv("OVIR_PROOF_BITS");
  const std::uint64_t bits = more == nullptr ? 150 : std::strtoull(more, nullptr, 10);
  test::kernel_random random{21};
  std::printf("seed %llu\n", static_cast<unsigned long long>(random.seed()));
  for (std::uint64_t i = 0; i < bits; ++i) {
    auto changed = bytes;
    const std::size_t at = random.below(static_cast<std::uint32_t>(bytes.size()));
    changed[at] ^= std::byte{static_cast<std::uint8_t>(1U << random.below(8))};
    EXPECT_FALSE(tiny_scene().check(changed).empty()) << "byte " << at;
  }
}

// A receipt with the same units: products and their proof hold for it, too. What they are bound to
// is all that tells them apart.
TEST(unit_proof, is_bound_to_its_receipt_by_the_context_alone) {
  receipt r = tiny_scene().computed.r;
  r.decode_us += 1;
  tiny_scene().cast.close(r);
  const test::told_receipt other{r};
  unit_proof proof = tiny_scene().prove({{{1, 2}, 0, 1}}).value();
  EXPECT_TRUE(tiny_scene().check(encode_unit_proof(proof)).empty());
  EXPECT_TRUE(verify_products(decode_statement(proof.statement).value(),
                              decode_proof(proof.proof).value()));
  proof.receipt = hash_plain(other.bytes);
  EXPECT_THAT(refusal(tiny_scene().check(encode_unit_proof(proof), other)),
              HasSubstr("bound to something else"));
}

TEST(unit_proof, shows_what_was_stated_falsely_and_by_whom) {
  const unit_scene liar{test::synthetic_model(test::tiny_spec()), 3, 2,
                        test::boundary_lie{1, 0, 1.001F}};
  const auto refused = liar.prove({{{1, 2}, 0, 1}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr(to_hex(liar.cast.id(1))));
  // The honest proof, told for the liar's receipt: its digests are the stated ones.
  test::unit_draft d{tiny_scene(), tiny_scene().prove({{{1, 2}, 0, 1}}).value()};
  d.proof.receipt = hash_plain(liar.told.bytes);
  state_digests(liar.told.r, d.proof.pieces[0]);
  const auto found = tiny_scene().check(d.proven(), liar.told);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].what, HasSubstr("follows another boundary"));
  EXPECT_EQ(found[0].signer, liar.cast.id(1));
}

TEST(model_roots, have_one_encoding_and_the_vectors_of_the_manifest) {
  const unit_scene& s = tiny_scene();
  const auto read = decode_roots(s.roots_bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, s.roots);
  EXPECT_EQ(encode_roots(*read), s.roots_bytes);
  const auto known = public_model_of(*read);
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_EQ(known->name, s.told.r.asked.model);
  EXPECT_EQ(known->config.vocabulary, 260U);
  model_roots changed = s.roots;
  for (auto& vector : changed.vectors) {
    if (!vector.empty()) {
      vector[1] ^= std::byte{1};
      break;
    }
  }
  const auto refused = decode_roots(encode_roots(changed));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("is not the one that the manifest names"));
  for (std::size_t size = 0; size < s.roots_bytes.size(); size += 37) {
    EXPECT_FALSE(decode_roots(std::span{s.roots_bytes}.first(size))) << size;
  }
}

TEST(model_roots, are_of_plain_llama_models_alone) {
  compute::model_manifest manifest = tiny_scene().roots.manifest;
  manifest.tensors.push_back(manifest.tensors.back());
  manifest.tensors.back().name = "zz.weight";
  const auto unknown = shape_of(manifest);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, errc::unsupported);
  model_roots fewer = tiny_scene().roots; // a layer's norm is missing
  const auto at = std::find_if(fewer.manifest.tensors.begin(), fewer.manifest.tensors.end(),
                               [](const auto& t) { return t.name == "blk.1.ffn_norm.weight"; }) -
                  fewer.manifest.tensors.begin();
  fewer.manifest.tensors.erase(fewer.manifest.tensors.begin() + at);
  fewer.matrices.erase(fewer.matrices.begin() + at);
  fewer.vectors.erase(fewer.vectors.begin() + at);
  const auto known = public_model_of(fewer);
  ASSERT_FALSE(known);
  EXPECT_THAT(known.error().message, HasSubstr("blk.1.ffn_norm.weight"));
}

TEST(model_roots, are_committed_to_anew_where_the_last_time_ended) {
  const unit_scene& s = tiny_scene();
  const auto empty = [&] { return shape_of(s.roots.manifest).value(); };
  std::vector<std::size_t> matrices;
  for (std::size_t i = 0; i < s.roots.matrices.size(); ++i) {
    if (s.roots.matrices[i].rows > 0) {
      matrices.push_back(i);
    }
  }
  test::memory_file file;
  {
    model_roots roots = empty();
    auto log = commitment_log::open(file, roots);
    ASSERT_TRUE(log);
    for (std::size_t n = 0; n < 3; ++n) {
      EXPECT_TRUE(log->add(matrices[n], s.roots.matrices[matrices[n]]));
    }
  }
  for (const std::size_t lost : {0U, 1U, 75U, 76U}) { // a record has 76 bytes
    test::memory_file cut{file.content};
    cut.content.resize(cut.content.size() - lost);
    model_roots roots = empty();
    auto log = commitment_log::open(cut, roots);
    ASSERT_TRUE(log);
    EXPECT_EQ(log->kept(), lost == 0 ? 3U : 2U) << lost;
    for (const std::size_t i : matrices) {
      if (!log->has(i)) {
        EXPECT_TRUE(log->add(i, s.roots.matrices[i]));
      }
    }
    EXPECT_EQ(roots.matrices, s.roots.matrices);
  }
  // One bit of a root, and of whose model it is.
  for (const std::size_t at : {std::size_t{44 + 76 + 20}, std::size_t{20}}) {
    test::memory_file changed{file.content};
    changed.content[at] ^= std::byte{1};
    model_roots roots = empty();
    EXPECT_EQ(commitment_log::open(changed, roots)->kept(), at == 20 ? 0U : 1U);
  }
}

TEST(model_roots, are_of_the_tensors_that_the_manifest_names) {
  const unit_scene& s = tiny_scene();
  compute::serial_runner serial;
  for (std::size_t i = 0; i < s.roots.matrices.size(); ++i) {
    if (s.roots.matrices[i].rows > 0) {
      model_roots other = s.roots;
      other.manifest.tensors[i].chunks[0].bytes[3] ^= 1U;
      const auto made = commit_matrix(s.model.file(), other, i, serial);
      ASSERT_FALSE(made);
      EXPECT_THAT(made.error().message, HasSubstr("differs from its manifest within bytes 0 to"));
    }
  }
}

} // namespace
} // namespace ovir::proofs
