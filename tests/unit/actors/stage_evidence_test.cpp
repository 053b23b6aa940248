// What stages sign about real work, and what a lead makes of it: three stages compute a small
// model, each with a key of its own, and the receipt is checked by tier T0.
#include "actors/stage/lead_evidence.hpp"
#include "actors/stage/stage_evidence.hpp"
#include "compute/forward/kv_block.hpp"
#include "compute/text/sampler.hpp"
#include "messages/limits/known.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kv_blocks.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "verify/receipt_check.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <optional>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

constexpr request_id request{77};
constexpr std::uint32_t layers = 6;

const test::loaded_model& model() {
  static const test::loaded_model m = [] {
    compute::synth_spec spec;
    spec.layers = layers;
    spec.dim = 32;
    spec.ffn_dim = 64;
    spec.heads = 2;
    spec.kv_heads = 1;
    spec.vocabulary = 300;
    spec.quantization = compute::synth_quantization::q8_0;
    return test::loaded_model{test::synthetic_model(spec)};
  }();
  return m;
}

secret_key key_number(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{number});
  return secret_key::from_seed(seed);
}

/// A stage and its side of the evidence, told at once what happens.
class signing_stage {
public:
  signing_stage(layer_range range, std::uint8_t number, stage_answers answers)
      : key_(key_number(number)), desk_{&key_, nullptr, "ovir test"},
        bench_(std::make_shared<stage_bench>()), core_(bench_) {
    bench_->segment =
        compute::segment::make(model().get(), range, compute::kernels_reference(), runner_).value();
    bench_->kv_bytes_max = 1U << 20U;
    bench_->desk = &desk_;
    EXPECT_TRUE(core_.open(request, epoch{1}, 128, 128));
    core_.find(request)->signs = true;
    core_.find(request)->answers = answers;
  }

  void begin(const evidence_order& order) {
    evidence = std::make_unique<stage_evidence>(order, bench_);
    news = evidence->begin();
  }
  /// Computes a frame; what goes out.
  frame_bytes work(const frame_bytes& frame) {
    evidence->commit(decode_frame(*frame)->header.first + 1, news);
    EXPECT_TRUE(core_.accept(frame));
    const auto pass = core_.next_pass(false);
    EXPECT_EQ(pass.size(), 1U);
    shard_outcome out = perform(pass, *bench_, runner_).front();
    EXPECT_TRUE(out.done);
    (void)core_.job_ended(request, out.length);
    origins_.insert(origins_.end(), out.windows.begin(), out.windows.end());
    evidence->add(
        {frame, out.outgoing, out.leaves, out.logits, 10us, pass.front().data, out.windows}, 1ms,
        news);
    return out.outgoing;
  }
  /// What it computed of complete windows, as its node keeps it; signed by `author` where it is
  /// another's.
  units_found kept(std::optional<std::uint8_t> author = std::nullopt) {
    units_found all;
    const session_data& data = *core_.find(request)->data;
    for (const window_origin& origin : origins_) {
      for (std::size_t i = 0; i < range().size(); ++i) {
        const layer_index layer = range().first + static_cast<layer_index>(i);
        compute::kv_block_header h{layer, origin.window, {}, {}, digest{}, {}, {}, {}, {}};
        h.input = i == 0 ? origin.input : leaf(data, origin.window, layer - 1);
        h.earlier = origin.earlier[i];
        h.kv = origin.kv[i];
        h.output = layer + 1 == layers ? h.kv : leaf(data, origin.window, layer);
        std::vector<std::byte> bytes = compute::encode_kv_block(data.state.kv, h);
        if (author) {
          compute::sign_kv_block(bytes, key_number(*author));
        }
        all.blocks.push_back(compute::kv_block::decode(test::share(std::move(bytes))).value());
      }
    }
    return all;
  }
  /// Takes windows from the cache; how far it is then.
  position restore(units_found units) {
    EXPECT_TRUE(core_.restore(request, epoch{1}, std::move(units)));
    const auto pass = core_.next_pass(false);
    shard_outcome out = perform(pass, *bench_, runner_).front();
    EXPECT_TRUE(out.done);
    (void)core_.job_ended(request, out.length);
    evidence->add({nullptr, nullptr, out.leaves, {}, 0us, pass.front().data, out.windows, true},
                  1ms, news);
    return out.length;
  }
  void finish() {
    const shard_core::session& s = *core_.find(request);
    shard_core::drop_drafts(*core_.find(request));
    evidence->finish(s.length, core_.describe(s).leaves, 1ms, news);
  }
  [[nodiscard]] const node_id& id() const { return key_.id(); }
  [[nodiscard]] const secret_key& key() const { return key_; }
  /// What its process knows; that of the lead, where both are of one node.
  std::shared_ptr<known_signatures>& known() { return desk_.known; }
  [[nodiscard]] position length() { return core_.find(request)->length; }
  [[nodiscard]] layer_range range() const { return bench_->segment->layers(); }

private:
  static digest leaf(const session_data& data, std::uint32_t window, layer_index layer) {
    const auto at = std::find_if(data.leaves.begin(), data.leaves.end(), [&](const auto& l) {
      return l.unit == compute::unit_name{window, layer};
    });
    return at == data.leaves.end() ? digest{} : at->boundary;
  }

  compute::serial_runner runner_;
  std::vector<window_origin> origins_;
  secret_key key_;
  signing_desk desk_;
  std::shared_ptr<stage_bench> bench_;
  shard_core core_;

public:
  std::unique_ptr<stage_evidence> evidence;
  evidence_news news;
};

/// A request driven by hand: greedy, with wrong and right guesses now and then.
class signed_request : public ::testing::TestWithParam<stage_answers> {
protected:
  signed_request() {
    for (std::uint32_t i = 0; i < 3; ++i) {
      stages_.push_back(std::make_unique<signing_stage>(
          layer_range{2 * i, 2 * i + 2}, static_cast<std::uint8_t>(i + 1), GetParam()));
    }
    asked_.request = request;
    asked_.profile = compute::profile_name;
    asked_.layers = layers;
    asked_.max_tokens = 40;
    for (token_id i = 0; i < 45; ++i) {
      asked_.prompt.push_back(3 + i % 7);
    }
    lead_ = std::make_unique<lead_evidence>(desk_, asked_, 1'900'000'000);
    tokens_ = asked_.prompt;
    for (auto& stage : stages_) {
      stage->begin(lead_->order());
    }
  }

  /// Feeds known tokens [first, first + count) and guesses behind; draws what follows.
  void step(position first, std::uint32_t count, const std::vector<token_id>& guesses,
            std::uint32_t rows) {
    std::vector<token_id> ids{tokens_.begin() + first, tokens_.begin() + first + count};
    ids.insert(ids.end(), guesses.begin(), guesses.end());
    const auto drafts = static_cast<std::uint32_t>(guesses.size());
    const frame_header h{drafts > 0 ? frame_kind::drafted_tokens : frame_kind::tokens,
                         request,
                         epoch{1},
                         first,
                         count + drafts,
                         1,
                         rows + drafts};
    auto frame = std::make_shared<const std::vector<std::byte>>(
        encode_frame(h, std::as_bytes(std::span{ids})));
    sign_tokens(first, first + count);
    for (auto& stage : stages_) {
      frame = stage->work(frame);
      pass_on();
    }
    if (rows > 0) {
      draw(*frame, first + count - 1, guesses);
    }
  }

  void draw(const std::vector<std::byte>& frame, position at,
            const std::vector<token_id>& guesses) {
    const auto view = decode_frame(frame).value();
    compute::sampler sampler{{}};
    for (std::size_t row = 0;; ++row) {
      const auto p = at + static_cast<position>(row);
      if (GetParam() == stage_answers::highest) {
        const token_choice& told = view.choices()[row];
        tokens_.push_back(told.token);
        EXPECT_TRUE(transcript_.add_logits(p, told.logits));
        if (row == guesses.size() || told.token != guesses[row]) {
          return;
        }
        continue;
      }
      const auto logits = view.floats().subspan(row * view.header.width, view.header.width);
      tokens_.push_back(sampler.draw(logits, tokens_, p + 1));
      EXPECT_TRUE(transcript_.add_logits(p, compute::logits_digest(p, logits)));
      if (row == guesses.size() || tokens_.back() != guesses[row]) {
        return;
      }
    }
  }

  void sign_tokens(position first, position end) {
    first = std::min(first, signed_); // guesses that were right lie in between
    signed_ = end;
    const position from = first / 32 * 32;
    const evidence_batch batch =
        lead_->sign_tokens(std::span{tokens_}.subspan(from, end - from), first, end);
    const auto read = decode_evidence(encode_evidence(batch)).value();
    stages_[0]->evidence->take(read, stages_[0]->news);
  }

  /// What each stage has to tell goes where it belongs.
  void pass_on() {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      evidence_news news = std::exchange(stages_[i]->news, stages_[i]->evidence->begin());
      if (says_anything(news.to_lead)) {
        for (const statement& s : news.to_lead.records.statements) {
          for (std::size_t u = 0; u < s.units.size(); ++u) {
            const layer_index layer = stages_[i]->range().first + static_cast<layer_index>(u);
            if (layer + 1 < layers) {
              EXPECT_TRUE(transcript_.add_unit({{s.window, layer}, s.positions, s.units[u]}));
            }
          }
        }
        frames_.push_back(evidence_frame(request, epoch{1}, news.to_lead));
      }
      if (i + 1 < stages_.size() && says_anything(news.to_next)) {
        links_ += news.to_next.links.size();
        stages_[i + 1]->evidence->take(decode_evidence(encode_evidence(news.to_next)).value(),
                                       stages_[i + 1]->news);
      }
    }
  }

  void finish() {
    for (auto& stage : stages_) {
      stage->finish();
    }
    const auto end = static_cast<position>(tokens_.size() - 1);
    sign_tokens(end - 1, end);
    for (int i = 0; i < 3; ++i) {
      pass_on();
    }
  }

  result<receipt> make() {
    receipt_facts facts;
    facts.asked = asked_;
    facts.output = {tokens_.begin() + 45, tokens_.end()};
    facts.end = finish_reason::stop;
    facts.positions = static_cast<std::uint32_t>(tokens_.size() - 1);
    if (const auto root = transcript_.root(layers - 1, facts.positions, tokens_)) {
      facts.transcript = *root; // else something is missing, which the lead is to find
    }
    for (const auto& stage : stages_) {
      facts.path.emplace_back(stage->id(), stage->range());
    }
    OVIR_ASSIGN(const auto bytes, lead_->make(facts, frames_));
    return decode_receipt(bytes);
  }

  /// All that a stage signed, in one batch and changed: no receipt, and its signer named.
  void expect_refused(std::size_t stage, const std::function<void(stage_records&)>& change,
                      std::size_t which) {
    SCOPED_TRACE(which);
    const std::vector<frame_bytes> honest = frames_;
    for (evidence_batch batch : stages_[stage]->evidence->all()) {
      change(batch.records);
      frames_.push_back(evidence_frame(request, epoch{1}, batch));
    }
    const auto r = make();
    frames_ = honest;
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::digest_mismatch);
    EXPECT_NE(r.error().message.find(short_name(stages_[stage]->id())), std::string::npos)
        << r.error().message;
  }

  /// 45 tokens of prompt in two chunks, then up to 30 drawn.
  void run(std::size_t drawn) {
    step(0, 40, {}, 0);
    step(40, 5, {}, 1);
    while (tokens_.size() < 45 + drawn) {
      step(static_cast<position>(tokens_.size() - 1), 1, {}, 1);
    }
  }

  /// The same request once more, at stages that know nothing of it but what `units` has.
  void again(std::vector<units_found> units) {
    tokens_ = asked_.prompt;
    frames_.clear();
    transcript_ = {};
    signed_ = 0;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const auto number = static_cast<std::uint8_t>(i + 1);
      stages_[i] = std::make_unique<signing_stage>(stages_[i]->range(), number, GetParam());
      stages_[i]->begin(lead_->order());
      EXPECT_EQ(stages_[i]->restore(std::move(units[i])), 32U);
    }
  }
  std::vector<units_found> kept() {
    std::vector<units_found> all;
    for (const auto& stage : stages_) {
      all.push_back(stage->kept());
    }
    return all;
  }

  secret_key key_ = key_number(9);
  signing_desk desk_{&key_, nullptr, "ovir test"};
  request_facts asked_;
  std::unique_ptr<lead_evidence> lead_;
  std::vector<std::unique_ptr<signing_stage>> stages_;
  std::vector<token_id> tokens_;
  std::vector<frame_bytes> frames_;
  compute::transcript transcript_;
  std::size_t links_{0};
  position signed_{0};
};

const compute::signer_policy anybody{compute::signer_policy::kind::any, {}};

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

// A stage states again what it computed for an earlier request.
TEST_P(signed_request, that_reuses_windows_has_them_stated_too) {
  run(9);
  finish();
  const auto first = make();
  ASSERT_TRUE(first) << first.error().message;
  again(kept());
  step(32, 13, {}, 1);
  while (tokens_.size() < 45 + 9) {
    step(static_cast<position>(tokens_.size() - 1), 1, {}, 1);
  }
  finish();
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(check_receipt(*r, anybody).empty());
  EXPECT_EQ(r->transcript, first->transcript);
  for (std::size_t i = 0; i < 3; ++i) {
    const statement& reused = r->stages[i].statements.front();
    EXPECT_EQ(reused.units, first->stages[i].statements.front().units);
    EXPECT_EQ(reused.kv, first->stages[i].statements.front().kv);
    EXPECT_EQ(reused.compute_us, 0U);
    EXPECT_GT(r->stages[i].statements.back().compute_us, 0U);
  }
}

// What another computed is stated with that one's word, and is for it to answer for.
TEST_P(signed_request, that_reuses_windows_of_another_cites_it) {
  run(9);
  std::vector<units_found> units = kept();
  units[1] = stages_[1]->kept(7);
  again(std::move(units));
  step(32, 13, {}, 1);
  finish();
  const auto r = make();
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(check_receipt(*r, anybody).empty());
  EXPECT_TRUE(r->stages[0].statements.front().cited.empty());
  const statement& s = r->stages[1].statements.front();
  ASSERT_EQ(s.cited.size(), 2U);
  for (const unit_citation& c : s.cited) {
    EXPECT_EQ(c.author, key_number(7).id());
  }
  EXPECT_TRUE(r->stages[1].statements.back().cited.empty());
}

TEST_P(signed_request, states_no_window_that_was_computed_from_something_else) {
  run(1);
  auto units = kept();
  asked_.prompt[3] = 9; // but the first stage believes what it is given
  lead_ = std::make_unique<lead_evidence>(desk_, asked_, 1'900'000'000);
  again(std::move(units));
  step(32, 13, {}, 1);
  finish();
  const auto r = make();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::timed_out);
}

TEST_P(signed_request, takes_no_units_that_do_not_belong_together) {
  run(1);
  auto units = kept();
  std::swap(units[1].blocks[0], units[2].blocks[0]);
  const auto restored = [&](std::size_t i) {
    signing_stage fresh{stages_[i]->range(), 9, GetParam()};
    fresh.begin(lead_->order());
    return fresh.restore(units[i]);
  };
  EXPECT_EQ(restored(0), 32U);
  EXPECT_EQ(restored(1), 0U) << "its first layer put something else out";
}

TEST_P(signed_request, has_no_receipt_while_a_statement_is_missing) {
  run(10);
  const auto r = make();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::timed_out);
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
