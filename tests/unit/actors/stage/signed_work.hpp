#pragma once

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

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>

namespace ovir::actors {
/// What stages sign about real work, and what a lead makes of it: three stages compute a small
/// model, each with a key of its own.
namespace signed_work {

using namespace std::chrono_literals;

inline constexpr request_id request{77};
inline constexpr std::uint32_t layers = 6;

inline const test::loaded_model& model() {
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

inline secret_key key_number(std::uint8_t number) {
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

inline const compute::signer_policy anybody{compute::signer_policy::kind::any, {}};

} // namespace signed_work
} // namespace ovir::actors
