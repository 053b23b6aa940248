// The bytes of docs/formats/receipt.md. A change here is a new version of the format.
#include "messages/digest_tree.hpp"
#include "messages/evidence/compact_receipt.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/receipt_check.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <span>

namespace ovir {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return out;
}

const receipt& example() {
  static const receipt made = test::receipt_maker{}.small();
  return made;
}

TEST(receipt_golden, a_receipt_is_these_bytes) {
  const auto bytes = encode_receipt(example());
  EXPECT_EQ(bytes.size(), 1736U);
  EXPECT_EQ(hex(std::span{bytes}.first(64)),
            "00000000d800000000000000050007004f564952524350540100010004000000e803000000000000840300"
            "0000000000204e0000000000001800000007000500");
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "e38d7ae66fcd999428598f8f169cb82266290b14d2354aa56cad6dfe36e6490a");
}

TEST(receipt_golden, a_compact_receipt_and_an_opened_unit_are_these) {
  const auto brief = encode_compact(compact(example()).value());
  EXPECT_EQ(brief.size(), 1136U);
  EXPECT_EQ(to_hex(hash_plain(brief)),
            "a99ef4bf3921dfbfae8b3c50923b8c84b520f5dc39ffaefba28b87e0fa352889");
  const auto opened = encode_opening(open_unit(example(), 0, 1).value());
  EXPECT_EQ(to_hex(hash_plain(opened)),
            "86d7f2843e4278db8c457798cc89b47bb89e0a00675d4bad3b96120e4c6d36b2");
}

TEST(receipt_golden, a_batch_of_evidence_is_these_bytes) {
  const evidence_batch batch{example().asked.request, example().stages[1], {}};
  EXPECT_EQ(to_hex(hash_plain(encode_evidence(batch))),
            "27e77474bdc6c58c48890dcf3ec839afbef2b61448ba008ee8cff6014e7faf2e");
}

TEST(receipt_golden, the_request_has_this_digest) {
  EXPECT_EQ(to_hex(request_digest(example().asked)),
            "867a72143af363725c8ce40e4b720f61e736d74b7e04bf1d74f57158163f8c46");
}

/// With each of the further numbers, closed by its lead and not signed anew by its stages.
receipt with_rules() {
  const test::receipt_maker cast;
  receipt r = cast.small();
  r.asked.sampling.presence_penalty = 0.5F;
  r.asked.sampling.frequency_penalty = -0.25F;
  r.asked.sampling.min_tokens = 1;
  r.asked.sampling.logit_bias = {{17, -100.0F}, {400, 2.5F}};
  cast.close(r);
  return r;
}

TEST(receipt_golden, further_numbers_take_the_place_of_the_constraint) {
  const auto bytes = encode_receipt(with_rules());
  EXPECT_EQ(bytes.size(), 1792U);
  EXPECT_EQ(to_hex(hash_plain(bytes)),
            "ab67f87fb670b953cd6c4f386f5c3f23692f14f7d858bd65296637e100b247d8");
}

// Field by field, without the code under test.
TEST(receipt_golden, a_request_with_further_numbers_is_joined_as_the_page_says) {
  const request_facts asked = with_rules().asked;
  hasher h{"ovir/request/v1"};
  h.update_text(asked.profile).update(asked.model).update_u32(2).update_u32(3);
  h.update(std::as_bytes(std::span{asked.prompt}));
  h.update_u32(std::bit_cast<std::uint32_t>(0.75F)).update_u32(40);
  h.update_u64(std::bit_cast<std::uint64_t>(0.95)).update_u64(std::bit_cast<std::uint64_t>(0.05));
  h.update_u32(std::bit_cast<std::uint32_t>(1.125F)).update_u64(7);
  h.update_u32(2).update_u32(1).update_text("END");
  h.update_text("").update_u32(5).update_u64(0x3f000000).update_u64(0xbe800000).update_u64(1);
  h.update_u64(0xc2c8000000000011).update_u64(0x4020000000000190);
  EXPECT_EQ(request_digest(asked), h.finish());
}

receipt salted(receipt r) {
  const test::receipt_maker cast;
  r.asked.salt = hash_plain({});
  cast.close(r);
  return r;
}

attestation attested_example() {
  std::array<std::byte, secret_key::seed_size> seed{};
  const secret_key attestor = secret_key::from_seed(seed);
  return attest(attestor, attestor.id(), {"Example Ltd", "eu", "tdx"}, 1'800'000'000);
}

TEST(receipt_golden, a_salt_takes_the_place_of_the_constraint_and_comes_back) {
  const test::receipt_maker cast;
  for (const receipt& plain : {cast.small(), with_rules()}) {
    const receipt r = salted(plain);
    EXPECT_EQ(decode_receipt(encode_receipt(r)).value(), r);
    hasher h{"ovir/request/v1/salted"};
    h.update(hash_plain({})).update(request_digest(plain.asked));
    EXPECT_EQ(request_digest(r.asked), h.finish()) << "as the page says";
  }
  receipt zero = salted(cast.small());
  zero.asked.salt = digest{};
  EXPECT_EQ(check(zero).error().code, errc::malformed);
}

TEST(receipt_golden, attestations_take_the_place_of_the_constraint_and_come_back) {
  const test::receipt_maker cast;
  for (const receipt& plain : {cast.small(), with_rules(), salted(cast.small())}) {
    receipt r = plain;
    r.attested.assign(limits::receipt_attestations_max, attested_example());
    EXPECT_EQ(decode_receipt(encode_receipt(r)).value(), r);
    EXPECT_EQ(request_digest(r.asked), request_digest(plain.asked)) << "no signature covers them";
    r.attested.push_back(attested_example());
    EXPECT_EQ(check(r).error().code, errc::over_limit);
  }
  receipt r = cast.small();
  r.attested = {attested_example()};
  EXPECT_TRUE(compute::check_receipt(r, {compute::signer_policy::kind::any, {}}).empty());
}

// Field by field, without the code under test.
TEST(receipt_golden, what_is_signed_is_joined_as_the_page_says) {
  const receipt& r = example();
  const stage_records& stage = r.stages[1];
  const auto key = std::as_bytes(std::span{stage.signer.node.key});
  const auto open = [&](std::string_view domain) {
    hasher h{domain};
    h.update_u64(0x0123456789abcdef).update(request_digest(r.asked)).update(r.asked.model);
    h.update_text("exact-1/7c004b2d").update_u32(2);
    h.update_u32(1).update_u32(2).update(key).update_text("ovir test");
    return h;
  };
  const digest nothing = hash("ovir/evidence/v1/empty", {});
  hasher commitment = open("ovir/commitment/v1");
  commitment.update_u32(0)
      .update_u32(1)
      .update_u32(0)
      .update(nothing)
      .update_u64(1'800'000'000)
      .update_u32(0);
  const digest committed = commitment.finish();
  EXPECT_TRUE(verify(stage.signer.node, "ovir/commitment/v1/signature",
                     std::as_bytes(std::span{committed.bytes}), stage.commitments[0].proof));

  const statement& s = stage.statements[0];
  const digest unit = hasher{"ovir/statement/v1/unit"}
                          .update_u32(0)
                          .update_u32(1)
                          .update_u32(4)
                          .update(s.units[0])
                          .update(s.kv[0])
                          .finish();
  const auto draw = [&](std::uint32_t at, const digest& logits) {
    return hasher{"ovir/statement/v1/draw"}.update_u32(at).update(logits).finish();
  };
  const digest draws = hasher{"ovir/evidence/v1/node"}
                           .update(draw(2, s.logits[0]))
                           .update(draw(3, s.logits[1]))
                           .finish();
  hasher stated{"ovir/statement/v1"};
  stated.update(hasher{"ovir/evidence/v1/signed"}
                    .update(committed)
                    .update(std::as_bytes(std::span{stage.commitments[0].proof.bytes}))
                    .finish());
  stated.update_u32(0).update_u32(4);
  stated.update(hasher{"ovir/statement/v1/input"}
                    .update(s.input)
                    .update(std::as_bytes(std::span{s.received.bytes}))
                    .update_u32(1)
                    .update_u32(4)
                    .update_u32(10)
                    .update_u32(15)
                    .finish());
  stated.update_u32(1).update_u32(0).update(unit).update_u32(2).update_u32(2).update(draws).update(
      nothing);
  stated.update_u64(100).update_u64(1'000);
  const digest value = stated.finish();
  EXPECT_TRUE(verify(stage.signer.node, "ovir/statement/v1/signature",
                     std::as_bytes(std::span{value.bytes}), s.proof));

  hasher link{"ovir/link/v1"};
  link.update_u64(0x0123456789abcdef).update(request_digest(r.asked)).update(r.asked.model);
  link.update_text("exact-1/7c004b2d").update_u32(2);
  link.update_u32(0).update_u32(1).update(std::as_bytes(std::span{r.stages[0].signer.node.key}));
  link.update_text("ovir test").update_u32(0).update_u32(4).update(s.input);
  const digest sent = link.finish();
  EXPECT_TRUE(verify(r.stages[0].signer.node, "ovir/link/v1/signature",
                     std::as_bytes(std::span{sent.bytes}), s.received));
}

// What a stage that was asked for the highest logits signs of each.
TEST(receipt_golden, a_choice_is_a_leaf_of_its_own) {
  const receipt r = test::receipt_maker{}.small_greedy();
  const statement& s = r.stages[1].statements[0];
  ASSERT_EQ(s.choices, r.output);
  const auto choice = [&](std::uint32_t at, const digest& logits, token_id token) {
    return hasher{"ovir/statement/v1/choice"}
        .update_u32(at)
        .update(logits)
        .update_u32(token)
        .finish();
  };
  const digest draws = hasher{"ovir/evidence/v1/node"}
                           .update(choice(2, s.logits[0], 117))
                           .update(choice(3, s.logits[1], 118))
                           .finish();
  EXPECT_EQ(summary_of(s, r.stages[1].signer, {}).draws_root, draws);
}

} // namespace
} // namespace ovir
