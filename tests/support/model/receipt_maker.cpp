#include "tests/support/model/receipt_maker.hpp"

#include "compute/model/transcript.hpp"
#include "messages/digest_tree.hpp"
#include "verify/receipt_check.hpp"

#include <array>

namespace ovir::test {

namespace {

digest made_up(std::string_view what, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return hasher{"ovir/test/made-up"}
      .update_text(what)
      .update_u64(a)
      .update_u64(b)
      .update_u64(c)
      .finish();
}

secret_key key_number(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{number});
  return secret_key::from_seed(seed);
}

} // namespace

receipt_maker::receipt_maker() {
  for (std::uint8_t i = 0; i <= stranger; ++i) {
    keys_.push_back(key_number(static_cast<std::uint8_t>(i + 1)));
  }
}

receipt receipt_maker::make(const shape& what) const {
  receipt r;
  r.asked.request = request_id{0x0123456789abcdef};
  r.asked.profile = compute::profile_name;
  r.asked.model = made_up("model", 0, 0, 0);
  r.asked.layers = what.stages * what.layers;
  r.asked.prompt.assign(what.prompt, 5);
  r.asked.prompt.front() = what.first;
  r.asked.sampling = {0.75F, 40, 0.95, 0.05, 1.125F, 7};
  if (what.choices) {
    r.asked.sampling.temperature = 0;
    r.asked.sampling.repeat_penalty = 1;
  }
  r.asked.max_tokens = what.output;
  r.asked.stop = {"END"};
  for (token_id i = 0; i < what.output; ++i) {
    r.output.push_back(100 + i + what.first);
  }
  r.positions = what.prompt + what.output - 1;
  r.first_token_us = 1'000;
  r.prefill_us = 900;
  r.decode_us = 20'000;
  r.lead = {{}, id(lead), "ovir test"};
  for (std::uint32_t i = 0; i < what.stages; ++i) {
    r.stages.push_back(work_of(r, what, i));
    sign_link(r, i);
    sign_stage(r, i);
  }
  follow_statements(r);
  close(r);
  return r;
}

stage_records receipt_maker::work_of(const receipt& r, const shape& what, std::uint32_t i) const {
  const layer_index from = what.layers * i;
  const std::uint32_t windows = windows_of(r.positions);
  stage_records stage;
  stage.signer = {{from, from + what.layers}, id(i), "ovir test"};
  stage.commitments = {{0, std::min(2U, windows), 0, 1'800'000'000, {}}};
  for (std::uint32_t w = 2; w < windows; ++w) {
    stage.commitments.push_back({w, 1, w, 1'800'000'000, {}});
  }
  for (std::uint32_t w = 0; w < windows; ++w) {
    statement s;
    s.window = w;
    s.positions = positions_of(w, r.positions);
    for (layer_index l = from; l < from + what.layers; ++l) {
      s.units.push_back(made_up("boundary", w, l, what.first));
      s.kv.push_back(made_up("kv", w, l, what.first));
    }
    for (position p = 32 * w; i + 1 == what.stages && p < 32 * w + s.positions; ++p) {
      if (p + 1 >= what.prompt) {
        s.first_draw = s.logits.empty() ? p : s.first_draw;
        s.logits.push_back(made_up("logits", p, 0, what.first));
        if (what.choices) {
          s.choices.push_back(r.output[p + 1 - what.prompt]);
        }
      }
    }
    s.compute_us = 100 + w;
    s.elapsed_us = 1'000 * (w + 1);
    s.handovers = {{s.positions, 1'000 * w + 10 * i, 1'000 * w + 10 * i + 5}};
    stage.statements.push_back(std::move(s));
  }
  return stage;
}

void receipt_maker::sign_stage(receipt& r, std::size_t which, std::size_t who) const {
  const evidence_terms terms = terms_of(r.asked);
  stage_records& stage = r.stages[which];
  stage.signer.node = id(who);
  growing_tree history;
  std::vector<digest> roots{history.root()};
  std::size_t stated = 0;
  for (commitment& c : stage.commitments) {
    const digest committed = commitment_digest(terms, stage.signer, c, roots[c.statements]);
    c.proof = sign_commitment(key(who), committed);
    for (;
         stated < stage.statements.size() && stage.statements[stated].window < c.window + c.windows;
         ++stated) {
      statement& s = stage.statements[stated];
      const digest value = statement_digest(signed_digest(committed, c.proof),
                                            summary_of(s, stage.signer, history.root()));
      s.proof = sign_statement(key(who), value);
      history.add(signed_digest(value, s.proof));
      roots.push_back(history.root());
    }
  }
}

void receipt_maker::cite(receipt& r, std::size_t which, layer_index layer, std::uint32_t window,
                         std::size_t author) const {
  stage_records& stage = r.stages[which];
  digest earlier;
  for (std::uint32_t w = 0; w < window; ++w) {
    earlier = with_earlier(earlier, stage.statements[w].kv[layer - stage.signer.layers.first]);
  }
  statement& s = stage.statements[window];
  const digest claim =
      claim_digest(r.asked.model, r.asked.profile, claim_of(s, stage.signer, layer, earlier));
  unit_citation cited{layer, id(author), made_up("binding", layer, window, 0), {}};
  cited.proof = sign_unit(key(author), claim, cited.binding);
  s.cited.push_back(cited);
}

void receipt_maker::sign_link(receipt& r, std::size_t which) const {
  const evidence_terms terms = terms_of(r.asked);
  std::vector<token_id> tokens = r.asked.prompt;
  tokens.insert(tokens.end(), r.output.begin(), r.output.end());
  const evidence_signer& sender = which == 0 ? r.lead : r.stages[which - 1].signer;
  for (statement& s : r.stages[which].statements) {
    s.input =
        which == 0
            ? token_window_digest(s.window, std::span{tokens}.subspan(32 * s.window, s.positions))
            : output_of(r.stages[which - 1].statements[s.window], sender, r.asked.layers);
    const digest what = link_digest(terms, sender, s.window, s.positions, s.input);
    s.received = ::ovir::sign_link(key(which == 0 ? lead : which - 1), what);
  }
}

void receipt_maker::close(receipt& r, std::size_t who) const {
  const evidence_terms terms = terms_of(r.asked);
  r.lead.node = id(who);
  r.order = sign_order(key(who), order_digest(terms, r.lead));
  std::vector<digest> last;
  for (const stage_records& stage : r.stages) {
    last.push_back(bind_statements(terms, stage).back().value);
  }
  r.closing = sign_closing(key(who), closing_digest(closing_of(r, last)));
}

void receipt_maker::follow_statements(receipt& r) const {
  if (const auto root = compute::transcript_of(r)) {
    r.transcript = *root;
  }
}

} // namespace ovir::test
