// The bytes of evidence, receipts and compact receipts: one encoding each, bounded, small.
#include "messages/evidence/compact_receipt.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/receipt_check.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace ovir {
namespace {

using test::receipt_maker;

const receipt_maker& cast() {
  static const receipt_maker made;
  return made;
}

const compute::signer_policy anybody{compute::signer_policy::kind::any, {}};

evidence_batch batch() {
  const receipt r = cast().honest();
  return {r.asked.request,
          r.stages[1],
          {{2, 8, r.stages[0].statements[0].input, r.closing},
           {2, 16, r.stages[0].statements[1].input, r.order}}};
}

template <class Decode>
errc code_of(const std::vector<std::byte>& bytes, const Decode& decode) {
  const auto read = decode(bytes);
  EXPECT_FALSE(read);
  return read ? errc::internal : read.error().code;
}

TEST(evidence_batch, survives_its_encoding) {
  const evidence_batch b = batch();
  EXPECT_EQ(decode_evidence(encode_evidence(b)).value(), b);
  evidence_batch links = b;
  links.records.commitments.clear();
  links.records.statements.clear();
  links.records.senders.push_back(cast().honest().lead);
  EXPECT_EQ(decode_evidence(encode_evidence(links)).value(), links);
}

TEST(receipt, survives_its_encoding) {
  for (const receipt& r :
       {cast().honest(), cast().small(), cast().make({4, 6, 5, 200, 17}), cast().small_greedy()}) {
    EXPECT_EQ(decode_receipt(encode_receipt(r)).value(), r);
  }
}

receipt with_rules() {
  receipt r = cast().small();
  r.asked.sampling.presence_penalty = 0.5F;
  r.asked.sampling.frequency_penalty = -0.25F;
  r.asked.sampling.min_tokens = 1;
  r.asked.sampling.logit_bias = {{17, -100.0F}, {400, 2.5F}};
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    cast().sign_link(r, i);
    cast().sign_stage(r, i);
  }
  cast().close(r);
  return r;
}

TEST(receipt, with_further_numbers_survives_its_encoding_and_has_another_request) {
  receipt r = with_rules();
  EXPECT_EQ(decode_receipt(encode_receipt(r)).value(), r);
  EXPECT_TRUE(compute::check_receipt(r, anybody).empty());
  r.asked.sampling.min_tokens = 0;
  r.asked.sampling.constraint = "{}";
  EXPECT_EQ(decode_receipt(encode_receipt(r)).value(), r);
}

// What decides an answer is in what the lead signed: no field may change behind its back.
TEST(receipt, with_a_bias_or_penalty_that_a_forger_changed_is_refused) {
  const std::vector<std::function<void(sampling_params&)>> forgeries{
      [](sampling_params& s) { s.logit_bias[0].bias = -99.5F; },
      [](sampling_params& s) { s.logit_bias[1].token = 401; },
      [](sampling_params& s) { s.logit_bias.pop_back(); },
      [](sampling_params& s) { s.presence_penalty = 0.25F; },
      [](sampling_params& s) { s.frequency_penalty = 0; },
      [](sampling_params& s) { s.min_tokens = 2; },
      [](sampling_params& s) {
        s = {s.temperature, s.top_k, s.top_p, s.min_p, s.repeat_penalty, s.seed};
      }};
  for (std::size_t i = 0; i < forgeries.size(); ++i) {
    receipt r = with_rules();
    forgeries[i](r.asked.sampling);
    const auto found = compute::check_receipt(r, anybody);
    ASSERT_FALSE(found.empty()) << i;
    EXPECT_EQ(found[0].signer, cast().id(receipt_maker::lead)) << i;
  }
}

TEST(receipt, is_refused_where_it_is_cut_or_longer) {
  std::vector<std::byte> bytes = encode_receipt(cast().small());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_receipt(std::span{bytes}.first(n))) << n;
  }
  bytes.resize(bytes.size() + 8);
  EXPECT_EQ(code_of(bytes, decode_receipt), errc::malformed);
}

TEST(receipt, of_another_version_is_refused_by_its_number) {
  std::vector<std::byte> bytes = encode_receipt(cast().small());
  bytes[24] = std::byte{9}; // behind the segment table, the root pointer and the magic
  EXPECT_EQ(code_of(bytes, decode_receipt), errc::unsupported);
  bytes = encode_compact(compact(cast().small()).value());
  bytes[24] = std::byte{2};
  EXPECT_EQ(code_of(bytes, decode_compact), errc::unsupported);
  bytes = encode_opening(open_unit(cast().small(), 0, 1).value());
  bytes[24] = std::byte{2};
  EXPECT_EQ(code_of(bytes, decode_opening), errc::unsupported);
  bytes = encode_evidence(batch());
  bytes[16] = std::byte{2};
  EXPECT_EQ(code_of(bytes, decode_evidence), errc::unsupported);
}

TEST(receipt, with_choices_beyond_their_bounds_is_refused) {
  receipt r = cast().small_greedy();
  const auto refused = [&](std::vector<token_id> choices) {
    r.stages[1].statements[0].choices = std::move(choices);
    return !check(r).has_value();
  };
  EXPECT_TRUE(refused({limits::vocabulary_max}));
  EXPECT_TRUE(refused(std::vector<token_id>(limits::window_positions + 1)));
  EXPECT_FALSE(refused({limits::vocabulary_max - 1}));
}

TEST(receipt, is_not_taken_for_another_format) {
  const receipt r = cast().small();
  const auto whole = encode_receipt(r);
  const auto brief = encode_compact(compact(r).value());
  const auto opened = encode_opening(open_unit(r, 0, 0).value());
  EXPECT_EQ(kind_of(whole), receipt_kind::whole);
  EXPECT_EQ(kind_of(brief), receipt_kind::compact);
  EXPECT_EQ(kind_of(opened), receipt_kind::opening);
  EXPECT_EQ(kind_of({}), receipt_kind::other);
  EXPECT_EQ(kind_of(encode_evidence(batch())), receipt_kind::other);
  EXPECT_FALSE(decode_receipt(brief));
  EXPECT_FALSE(decode_compact(whole));
  EXPECT_FALSE(decode_opening(brief));
}

TEST(receipt, refuses_numbers_beyond_their_ranges) {
  const auto refused = [](const std::function<void(receipt&)>& change) {
    receipt r = cast().small();
    change(r);
    const auto checked = check(r);
    EXPECT_FALSE(checked);
    return !checked;
  };
  EXPECT_TRUE(refused([](receipt& r) { r.asked.prompt.clear(); }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.prompt[0] = limits::vocabulary_max; }));
  EXPECT_TRUE(refused([](receipt& r) { r.output[0] = limits::vocabulary_max; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.layers = 0; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.layers = limits::layers_max + 1; }));
  EXPECT_TRUE(refused([](receipt& r) { r.positions = 0; }));
  EXPECT_TRUE(refused([](receipt& r) { r.positions = 6; }));
  EXPECT_TRUE(refused([](receipt& r) { r.stages.clear(); }));
  EXPECT_TRUE(refused([](receipt& r) { r.lead.layers = {0, 1}; }));
  EXPECT_TRUE(refused([](receipt& r) { r.lead.software = "line\nbreak"; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.stop.emplace_back(); }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.sampling.temperature /= 0.0F; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.sampling.presence_penalty = 2.5F; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.sampling.frequency_penalty /= 0.0F; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.sampling.min_tokens = limits::context_max + 1; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.sampling.logit_bias = {{4, 1.0F}, {3, 1.0F}}; }));
  EXPECT_TRUE(refused([](receipt& r) { r.asked.sampling.logit_bias.resize(2'000); }));
  EXPECT_TRUE(refused([](receipt& r) { r.stages[0].statements[0].positions = 33; }));
  EXPECT_TRUE(refused([](receipt& r) { r.stages[0].statements[0].positions = 0; }));
  EXPECT_TRUE(refused([](receipt& r) { r.stages[0].signer.layers = {1, 1}; }));
  EXPECT_TRUE(refused([](receipt& r) { r.stages[0].signer.software.assign(129, 'x'); }));
}

// The bounds: 120 bytes per token and stage, and 2 KB for up to four stages.
TEST(receipt, is_small) {
  const receipt two = cast().make({2, 11, 64, 65, 17}); // 22 layers, 128 positions
  const auto bytes = encode_receipt(two);
  EXPECT_LT(bytes.size(), 120U * 128 * 2);
  EXPECT_LT(bytes.size(), 47U * 128 * 2) << "it was less than 47 when this was written";
  receipt four = cast().make({4, 8, 700, 301, 17});
  for (std::size_t i = 0; i < 4; ++i) {
    four.stages[i].signer.software = "ovir 0.1.0 avx512 0123456789abcdef";
  }
  four.lead.software = four.stages[0].signer.software;
  EXPECT_LT(encode_compact(compact(four).value()).size(), 2'048U);
}

class compact_receipts : public ::testing::Test {
protected:
  receipt whole_ = cast().honest();
  compact_receipt brief_ = compact(whole_).value();
};

TEST_F(compact_receipts, survive_their_encoding_and_are_checked) {
  EXPECT_EQ(decode_compact(encode_compact(brief_)).value(), brief_);
  EXPECT_TRUE(check_receipt(brief_, anybody).empty());
  EXPECT_EQ(check_receipt(brief_, compute::signer_policy{}).size(), 1U);
}

TEST_F(compact_receipts, name_who_signed_something_else) {
  for (std::size_t i = 0; i < 3; ++i) {
    compact_receipt c = brief_;
    c.stages[i].last.units_root.bytes[3] ^= 1U;
    c = decode_compact(encode_compact(c)).value();
    const auto found = check_receipt(c, anybody);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].signer, cast().id(i));
    EXPECT_EQ(found[0].unit->window, 2U);
  }
  compact_receipt c = brief_;
  c.closed.output_ids.bytes[0] ^= 1U;
  const auto found = check_receipt(c, anybody);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].signer, cast().id(receipt_maker::lead));
}

TEST_F(compact_receipts, open_every_unit_and_no_other) {
  for (std::uint32_t w = 0; w < 3; ++w) {
    for (layer_index l = 0; l < 9; ++l) {
      const unit_opening o = open_unit(whole_, w, l).value();
      EXPECT_EQ(decode_opening(encode_opening(o)).value(), o);
      EXPECT_TRUE(check_opening(brief_, o)) << w << " " << l;
      EXPECT_EQ(o.output, whole_.stages[l / 3].statements[w].units[l % 3]);
      unit_opening other = o;
      other.output.bytes[0] ^= 1U;
      EXPECT_FALSE(check_opening(brief_, other));
      other = o;
      other.layer = (l + 1) % 9;
      EXPECT_FALSE(check_opening(brief_, other));
      other = o;
      other.statement.window = (w + 1) % 3;
      EXPECT_FALSE(check_opening(brief_, other));
      other = o;
      other.statement.compute_us += 1;
      EXPECT_FALSE(check_opening(brief_, other));
      other = o;
      other.stage = (o.stage + 1) % 4;
      EXPECT_FALSE(check_opening(brief_, other));
      EXPECT_FALSE(check_opening(compact(cast().other_question()).value(), o));
    }
  }
  EXPECT_FALSE(open_unit(whole_, 3, 0));
  EXPECT_FALSE(open_unit(whole_, 0, 9));
}

TEST_F(compact_receipts, are_not_made_where_stages_were_replaced) {
  whole_.stages[1].senders.push_back(whole_.stages[0].signer);
  const auto made = compact(whole_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::unsupported);
}

} // namespace
} // namespace ovir
