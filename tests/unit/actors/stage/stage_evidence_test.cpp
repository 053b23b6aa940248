// What stages sign about real work, and what a lead makes of it: three stages compute a small
// model, each with a key of its own, and the receipt is checked by tier T0.
#include "tests/unit/actors/stage/signed_work.hpp"

namespace ovir::actors {
namespace {

using namespace signed_work;

TEST_P(signed_request, ends_in_a_receipt_that_holds) {
  run(30);
  finish();
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(check_receipt(*r, anybody).empty());
  ASSERT_EQ(r->stages.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(r->stages[i].signer.node, stages_[i]->id());
    EXPECT_EQ(r->stages[i].statements.size(), 3U);
    EXPECT_TRUE(r->stages[i].senders.empty());
  }
  const compute::stated_draws drawn = compute::draws_of(*r);
  ASSERT_EQ(drawn.logits.size(), r->output.size());
  for (std::size_t i = 0; i < r->output.size(); ++i) {
    const bool chosen = GetParam() == stage_answers::highest;
    EXPECT_EQ(drawn.choices[i], chosen ? std::optional{r->output[i]} : std::nullopt) << i;
  }
}

TEST_P(signed_request, signs_what_is_sent_every_eighth_position_while_it_decodes) {
  run(1);
  const std::size_t before = links_;
  while (tokens_.size() < 45 + 17) {
    step(static_cast<position>(tokens_.size() - 1), 1, {}, 1);
  }
  EXPECT_EQ(links_ - before, 2U * 2U) << "two stages that send, positions 48 and 56";
}

// Guesses that were right are stated when the next frame says so; in the last frame there is no
// next, so a lead feeds them once more and asks for their logits again.
TEST_P(signed_request, states_what_was_drawn_from_guesses_too) {
  step(0, 45, {}, 1);
  while (tokens_.size() < 45 + 24) {
    // What repeats is mostly right, and a token that never comes is wrong.
    const token_id last = tokens_.back();
    const std::vector<token_id> guesses{last, tokens_.size() % 3 == 0 ? token_id{299} : last};
    step(static_cast<position>(tokens_.size() - 1), 1, guesses, 1);
  }
  const auto held = stages_[0]->length();
  const auto end = static_cast<position>(tokens_.size() - 1);
  if (held < end) {
    const std::vector<token_id> known = tokens_;
    step(held, end - held, {}, end - held);
    tokens_ = known; // drawn again from the same logits
  }
  finish();
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(check_receipt(*r, anybody).empty());
}

TEST_P(signed_request, has_no_receipt_while_a_statement_is_missing) {
  run(10);
  const auto r = make();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::timed_out);
}

// Its last window is never stated, or another path takes over: what was paid for is audited.
TEST_P(signed_request, has_a_receipt_of_the_part_that_all_stages_stated) {
  run(40);
  ASSERT_FALSE(make());
  const auto output = std::span{tokens_}.subspan(45);
  const auto made = lead_->make_part(output, transcript_.logits(), frames_);
  ASSERT_TRUE(made) << made.error().message;
  const receipt r = decode_receipt(*made).value();
  EXPECT_TRUE(check_receipt(r, anybody).empty());
  EXPECT_EQ(r.end, finish_reason::cancelled);
  EXPECT_EQ(r.positions, 64U);
  EXPECT_EQ(r.output, std::vector<token_id>(output.begin(), output.begin() + 64 - 45 + 1));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(r.stages[i].signer.node, stages_[i]->id());
    EXPECT_EQ(r.stages[i].statements.size(), 2U);
  }
}

// An earlier path told its lead other logits, and the token is as that lead drew it.
TEST_P(signed_request, has_a_receipt_of_the_part_before_what_was_drawn_from_other_logits) {
  run(60);
  const auto output = std::span{tokens_}.subspan(45);
  for (const auto& [at, positions] : {std::pair{95U, 64U}, {64U, 64U}, {63U, 32U}, {44U, 32U}}) {
    auto draws = transcript_.logits();
    draws[at - 44].second.bytes[0] ^= 1U;
    const auto made = lead_->make_part(output, draws, frames_);
    ASSERT_TRUE(made) << at << made.error().message;
    const receipt r = decode_receipt(*made).value();
    EXPECT_EQ(r.positions, positions) << at;
    EXPECT_TRUE(check_receipt(r, anybody).empty()) << at;
  }
}

// A window inside the prompt: no token was drawn.
TEST_P(signed_request, has_a_receipt_of_a_part_without_a_token) {
  step(0, 40, {}, 0);
  const auto made = lead_->make_part({}, {}, frames_);
  ASSERT_TRUE(made) << made.error().message;
  const receipt r = decode_receipt(*made).value();
  EXPECT_TRUE(check_receipt(r, anybody).empty());
  EXPECT_EQ(r.positions, 32U);
  EXPECT_TRUE(r.output.empty());
}

TEST_P(signed_request, has_no_receipt_of_a_part_where_a_stage_states_nothing) {
  run(10);
  std::erase_if(frames_, [this](const frame_bytes& frame) {
    return decode_evidence(decode_frame(*frame)->tensor)->records.signer.node == stages_[1]->id();
  });
  const auto made = lead_->make_part(std::span{tokens_}.subspan(45), transcript_.logits(), frames_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::not_found);
}

TEST_P(signed_request, states_nothing_for_an_input_that_nobody_signed) {
  evidence_batch forged = lead_->sign_tokens(std::span{tokens_}.first(32), 0, 32);
  forged.links[0].output.bytes[0] ^= 1U; // another window's, say
  signing_stage fresh{{0, 2}, 1, GetParam()};
  fresh.begin(lead_->order());
  const frame_header h{frame_kind::tokens, request, epoch{1}, 0, 32, 1, 0};
  (void)fresh.work(std::make_shared<const std::vector<std::byte>>(
      encode_frame(h, std::as_bytes(std::span{tokens_}.first(32)))));
  EXPECT_TRUE(fresh.news.to_lead.records.statements.empty());
  fresh.evidence->take(forged, fresh.news);
  EXPECT_TRUE(fresh.news.to_lead.records.statements.empty());
  fresh.evidence->take(lead_->sign_tokens(std::span{tokens_}.first(32), 0, 32), fresh.news);
  EXPECT_EQ(fresh.news.to_lead.records.statements.size(), 1U);
}

TEST_P(signed_request, is_refused_where_a_stage_signed_something_else) {
  run(30);
  finish();
  for (frame_bytes& frame : frames_) {
    evidence_batch batch = decode_evidence(decode_frame(*frame)->tensor).value();
    if (batch.records.signer.layers.first == 2 && !batch.records.statements.empty()) {
      batch.records.statements[0].units[0].bytes[5] ^= 1U;
      frame = evidence_frame(request, epoch{1}, batch);
      break;
    }
  }
  const auto r = make();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::digest_mismatch);
  EXPECT_NE(r.error().message.find(short_name(stages_[1]->id())), std::string::npos);
}

// Every signature is known by then; each time one byte is another than it was.
TEST_P(signed_request, is_refused_when_a_byte_changes_after_all_was_verified) {
  run(30);
  finish();
  ASSERT_TRUE(make());
  const std::uint64_t verified = desk_.known->verified();
  ASSERT_TRUE(make());
  EXPECT_EQ(desk_.known->verified(), verified) << "nothing is verified a second time";
  const std::vector<std::function<void(stage_records&)>> changes{
      [](stage_records& r) { r.statements[0].proof.bytes[3] ^= 1U; },
      [](stage_records& r) { r.statements[0].received.bytes[40] ^= 4U; },
      [](stage_records& r) { r.statements[0].input.bytes[31] ^= 128U; },
      [](stage_records& r) { r.statements[0].units[1].bytes[0] ^= 1U; },
      [](stage_records& r) { ++r.statements[0].compute_us; },
      [](stage_records& r) { r.commitments[0].proof.bytes[63] ^= 16U; },
      [](stage_records& r) { ++r.commitments[0].deadline_unix; },
      [](stage_records& r) { r.signer.software += "?"; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    expect_refused(1, changes[i], i);
  }
}

// The forgers own a valid key, know the format and compute every digest anew.
TEST_P(signed_request, is_refused_when_other_statements_come_for_the_closing) {
  run(30);
  finish();
  ASSERT_TRUE(make());
  const secret_key stranger = key_number(8);
  const auto sign_anew = [&](stage_records& r, const secret_key& by) {
    // Window 0 is signed over a commitment that comes with it, and over no history.
    const commitment& c = r.commitments[0];
    const digest committed = signed_digest(
        commitment_digest(lead_->order().terms, r.signer, c, growing_tree{}.root()), c.proof);
    r.statements[0].proof = sign_statement(
        by,
        statement_digest(committed, summary_of(r.statements[0], r.signer, growing_tree{}.root())));
  };
  const stage_records first = stages_[1]->evidence->all().front().records;
  stage_records again = first;
  sign_anew(again, stages_[1]->key());
  ASSERT_EQ(again.statements[0].proof, first.statements[0].proof) << "as the stage signs";
  // Another boundary than it sent, by its own key: a signature that holds.
  expect_refused(
      1,
      [&](stage_records& r) {
        r.statements[0].units[1].bytes[7] ^= 1U;
        sign_anew(r, stages_[1]->key());
      },
      0);
  // What it did state, by somebody else.
  expect_refused(
      1, [&](stage_records& r) { sign_anew(r, stranger); }, 1);
  // Under its name, what somebody else stated and signed, whose signature is known here.
  expect_refused(
      1,
      [&](stage_records& r) {
        r.statements[0].proof = stages_[2]->evidence->all().front().records.statements[0].proof;
      },
      2);
  // Its own signature, known here, under what it did not state.
  expect_refused(
      1, [&](stage_records& r) { r.statements[0].input = digest{}; }, 3);
}

TEST_P(signed_request, verifies_for_the_closing_what_others_signed_and_that_once) {
  stages_[0]->known() = desk_.known; // the lead and the first stage are of one node
  run(30);
  finish();
  ASSERT_EQ(desk_.known->verified(), 0U) << "neither verified what the other signed";
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  const std::size_t commitments = r->stages[1].commitments.size() + r->stages[2].commitments.size();
  // Of two stages the statements of three windows, and what the second sent; what the first sent is
  // known.
  EXPECT_EQ(desk_.known->verified(), commitments + 2U * 3U + 3U);
  EXPECT_TRUE(check_receipt(*r, anybody).empty()) << "all of it holds for a stranger";
}

TEST_P(signed_request, verifies_of_each_window_the_signature_that_it_shows) {
  run(30);
  finish();
  for (const auto& stage : stages_) {
    EXPECT_EQ(stage->known()->verified(), 3U);
  }
}

// Signatures that are none, under the name of who sends: as many as are kept unverified and more.
TEST_P(signed_request, finds_the_true_signature_among_any_number_of_others) {
  const evidence_batch honest = lead_->sign_tokens(std::span{tokens_}.first(32), 0, 32);
  signing_stage fresh{{0, 2}, 1, GetParam()};
  fresh.begin(lead_->order());
  const secret_key stranger = key_number(8);
  const auto junk = [&](std::uint8_t number, bool same_output) {
    evidence_batch batch = honest;
    link_signature& link = batch.links[0];
    link.output.bytes[9] ^= same_output ? 0U : 1U;
    link.proof = sign_link(
        stranger, link_digest(lead_->order().terms, batch.records.signer, 0, 32, link.output));
    link.proof.bytes[0] ^= number;
    return batch;
  };
  constexpr std::size_t most = limits::links_unchecked_max;
  for (std::size_t i = 0; i < most; ++i) {
    fresh.evidence->take(junk(static_cast<std::uint8_t>(i), i % 2 == 0), fresh.news);
  }
  fresh.evidence->take(honest, fresh.news);
  for (std::size_t i = 0; i < most; ++i) {
    fresh.evidence->take(junk(static_cast<std::uint8_t>(i), i % 2 == 0), fresh.news);
  }
  EXPECT_EQ(fresh.known()->verified(), most + 1) << "beyond the limit each is verified as it comes";
  const frame_header h{frame_kind::tokens, request, epoch{1}, 0, 32, 1, 0};
  (void)fresh.work(std::make_shared<const std::vector<std::byte>>(
      encode_frame(h, std::as_bytes(std::span{tokens_}.first(32)))));
  ASSERT_EQ(fresh.news.to_lead.records.statements.size(), 1U);
  EXPECT_EQ(fresh.news.to_lead.records.statements[0].received, honest.links[0].proof);
}

TEST_P(signed_request, states_nothing_for_a_stranger_s_signature) {
  evidence_batch forged = lead_->sign_tokens(std::span{tokens_}.first(32), 0, 32);
  forged.links[0].proof =
      sign_link(key_number(8), link_digest(lead_->order().terms, forged.records.signer, 0, 32,
                                           forged.links[0].output));
  signing_stage fresh{{0, 2}, 1, GetParam()};
  fresh.begin(lead_->order());
  fresh.evidence->take(forged, fresh.news);
  const frame_header h{frame_kind::tokens, request, epoch{1}, 0, 32, 1, 0};
  (void)fresh.work(std::make_shared<const std::vector<std::byte>>(
      encode_frame(h, std::as_bytes(std::span{tokens_}.first(32)))));
  fresh.evidence->take(forged, fresh.news);
  EXPECT_TRUE(fresh.news.to_lead.records.statements.empty());
}

// Who sends one thing and signs another, with its own key: a statement that showed this signature
// would have its stage named for it.
TEST_P(signed_request, states_nothing_for_another_window_that_its_sender_signed) {
  signing_stage fresh{{0, 2}, 1, GetParam()};
  fresh.begin(lead_->order());
  std::vector<token_id> others = tokens_;
  others[5] += 1;
  fresh.evidence->take(lead_->sign_tokens(std::span{others}.first(32), 0, 32), fresh.news);
  const evidence_batch honest = lead_->sign_tokens(std::span{tokens_}.first(32), 0, 32);
  for (const auto& [window, positions] : {std::pair{0U, 24U}, {1U, 32U}}) {
    evidence_batch batch = honest; // this window's digest as that of another, or of fewer positions
    link_signature& link = batch.links[0];
    link.window = window;
    link.positions = positions;
    link.proof = sign_link(key_, link_digest(lead_->order().terms, batch.records.signer, window,
                                             positions, link.output));
    fresh.evidence->take(batch, fresh.news);
  }
  const frame_header h{frame_kind::tokens, request, epoch{1}, 0, 32, 1, 0};
  (void)fresh.work(std::make_shared<const std::vector<std::byte>>(
      encode_frame(h, std::as_bytes(std::span{tokens_}.first(32)))));
  EXPECT_TRUE(fresh.news.to_lead.records.statements.empty());
  fresh.evidence->take(honest, fresh.news);
  EXPECT_EQ(fresh.news.to_lead.records.statements.size(), 1U);
}

TEST_P(signed_request, is_told_again_to_a_lead_that_was_not_there) {
  run(30);
  finish();
  frames_.clear();
  for (const auto& stage : stages_) {
    for (const evidence_batch& batch : stage->evidence->all()) {
      frames_.push_back(evidence_frame(request, epoch{2}, batch));
    }
  }
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
}

INSTANTIATE_TEST_SUITE_P(answers, signed_request,
                         ::testing::Values(stage_answers::logits, stage_answers::highest),
                         [](const auto& of) {
                           return of.param == stage_answers::highest ? "choices" : "rows";
                         });

} // namespace
} // namespace ovir::actors
