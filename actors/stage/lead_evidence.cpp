#include "actors/stage/lead_evidence.hpp"

#include "messages/wire/frame.hpp"
#include "verify/receipt_check.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

namespace ovir::actors {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;

std::uint64_t microseconds(std::chrono::nanoseconds time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

/// Leaves what the receipt needs: no commitment that came to nothing, and of who sent something
/// only those whose place another took.
void trim(stage_records& stage, const evidence_signer& before) {
  while (!stage.commitments.empty() && stage.commitments.back().window >= stage.statements.size()) {
    stage.commitments.pop_back();
  }
  std::erase(stage.senders, before);
}

} // namespace

request_facts facts_of(const request_log& request, std::uint32_t layers) {
  return {request.id,
          std::string{compute::profile_name},
          request.model,
          layers,
          request.prompt,
          request.sampling,
          request.max_tokens,
          request.stop,
          request.ends ? std::optional{request.ends->salt} : std::nullopt};
}

bool begins_anew(const evidence_signer& known, const stage_records& more) {
  return known != more.signer ||
         (!more.commitments.empty() && more.commitments.front().window == 0);
}

void add_records(stage_records& known, stage_records&& more) {
  if (begins_anew(known.signer, more)) {
    known = std::move(more);
    return;
  }
  const auto committed = [&] {
    return known.commitments.empty()
               ? 0
               : known.commitments.back().window + known.commitments.back().windows;
  };
  for (const commitment& c : more.commitments) {
    if (c.window == committed()) {
      known.commitments.push_back(c);
    }
  }
  for (statement& s : more.statements) {
    if (s.window == known.statements.size()) {
      known.statements.push_back(std::move(s));
    }
  }
  if (!more.senders.empty()) {
    known.senders = std::move(more.senders);
  }
}

lead_evidence::lead_evidence(const signing_desk& desk, request_facts asked,
                             std::uint64_t deadline_unix, std::uint32_t step_us)
    : desk_(desk), asked_(std::move(asked)), order_{terms_of(asked_), deadline_unix, step_us},
      by_{{}, desk.key->id(), desk.software} {}

evidence_batch lead_evidence::sign_tokens(std::span<const token_id> tokens, position first,
                                          position end) const {
  evidence_batch batch;
  batch.request = asked_.request;
  batch.records.signer = by_;
  for (std::uint32_t w = first / window_size; w * window_size < end; ++w) {
    const std::uint32_t count = std::min(window_size, end - w * window_size);
    const std::size_t skip = std::size_t{w - first / window_size} * window_size;
    link_signature link{w, count, token_window_digest(w, tokens.subspan(skip, count)), {}};
    link.proof = desk_.known->sign(signed_as::link, *desk_.key,
                                   link_digest(order_.terms, by_, w, count, link.output));
    batch.links.push_back(link);
  }
  return batch;
}

namespace {

/// What stages said last, by their first layers.
result<std::map<layer_index, stage_records>> records_in(const std::vector<frame_bytes>& frames) {
  std::map<layer_index, stage_records> known;
  for (const frame_bytes& frame : frames) {
    OVIR_ASSIGN(const frame_view view, decode_frame(*frame));
    OVIR_ASSIGN(evidence_batch batch, decode_evidence(view.tensor));
    const layer_index first = batch.records.signer.layers.first;
    add_records(known[first], std::move(batch.records));
  }
  return known;
}

result<std::vector<stage_records>> gather(const receipt_facts& facts, const evidence_signer& lead,
                                          const std::vector<frame_bytes>& frames) {
  OVIR_ASSIGN(const auto known, records_in(frames));
  std::vector<stage_records> stages;
  const evidence_signer* before = &lead;
  for (const auto& [node, layers] : facts.path) {
    const auto found = known.find(layers.first);
    if (found == known.end() || found->second.signer.layers != layers ||
        (!node.empty() && found->second.signer.node != node) ||
        found->second.statements.size() < windows_of(facts.positions)) {
      return fail(
          errc::timed_out,
          "the stage of layers {} to {} has not signed all of its work; ask again, or leave "
          "its node out",
          layers.first, layers.last - 1);
    }
    stages.push_back(found->second);
    trim(stages.back(), *before);
    before = &found->second.signer;
  }
  return stages;
}

/// What is attested of nodes that signed or sent something, in the receipt's order.
std::vector<attestation> of_signers(std::vector<attestation> all,
                                    const std::vector<stage_records>& stages) {
  std::erase_if(all, [&stages](const attestation& a) {
    return std::none_of(stages.begin(), stages.end(), [&a](const stage_records& s) {
      return s.signer.node == a.node ||
             std::any_of(s.senders.begin(), s.senders.end(),
                         [&a](const evidence_signer& by) { return by.node == a.node; });
    });
  });
  return all;
}

/// The stages of one path, cut to the first windows, at most so many, that all of them state; none
/// where there are none.
std::vector<stage_records> stated_by_all(const std::map<layer_index, stage_records>& known,
                                         std::uint32_t layers, const evidence_signer& lead,
                                         std::size_t windows) {
  std::vector<stage_records> stages;
  for (layer_index next = 0; next < layers; next = stages.back().signer.layers.last) {
    const auto found = known.find(next);
    if (found == known.end() || found->second.signer.layers.last <= next) {
      return {};
    }
    const auto& all = found->second.statements;
    const auto whole = std::find_if(all.begin(), all.end(),
                                    [](const statement& s) { return s.positions != window_size; });
    windows = std::min(windows, static_cast<std::size_t>(whole - all.begin()));
    stages.push_back(found->second);
  }
  if (windows == 0) {
    return {};
  }
  const evidence_signer* before = &lead;
  for (stage_records& stage : stages) {
    stage.statements.resize(windows);
    trim(stage, *before);
    before = &stage.signer;
  }
  return stages;
}

/// The first position whose stated logits are not those that its token was drawn from.
std::optional<position> first_drawn_otherwise(std::span<const std::pair<position, digest>> draws,
                                              const std::vector<stage_records>& stages) {
  for (const statement& s : stages.back().statements) {
    for (std::size_t i = 0; i < s.logits.size(); ++i) {
      const std::pair stated{s.first_draw + static_cast<position>(i), s.logits[i]};
      if (!std::binary_search(draws.begin(), draws.end(), stated)) {
        return stated.first;
      }
    }
  }
  return std::nullopt;
}

} // namespace

result<std::vector<std::byte>>
lead_evidence::make_part(std::span<const token_id> output,
                         std::span<const std::pair<position, digest>> draws,
                         const std::vector<frame_bytes>& frames) const {
  OVIR_ASSIGN(const auto known, records_in(frames));
  receipt r;
  r.asked = asked_;
  r.end = finish_reason::cancelled;
  r.lead = by_;
  r.stages = stated_by_all(known, asked_.layers, by_, std::numeric_limits<std::size_t>::max());
  if (!r.stages.empty()) {
    if (const auto at = first_drawn_otherwise(draws, r.stages)) {
      r.stages = stated_by_all(known, asked_.layers, by_, *at / window_size);
    }
  }
  if (r.stages.empty()) {
    return fail(errc::not_found, "no window is stated by all stages");
  }
  r.positions = static_cast<std::uint32_t>(r.stages.front().statements.size()) * window_size;
  // A token is drawn from the position before it.
  const std::size_t drawn =
      r.positions < r.asked.prompt.size() ? 0 : r.positions - r.asked.prompt.size() + 1;
  const auto told = output.first(std::min(output.size(), drawn));
  r.output = {told.begin(), told.end()};
  OVIR_ASSIGN(r.transcript, compute::transcript_of(r));
  return close(std::move(r));
}

result<std::vector<std::byte>> lead_evidence::make(const receipt_facts& facts,
                                                   const std::vector<frame_bytes>& frames) const {
  if (facts.positions == 0) {
    return fail(errc::not_found, "nothing was computed, so there is nothing to give a receipt of");
  }
  receipt r;
  r.asked = facts.asked;
  r.output = facts.output;
  r.end = facts.end;
  r.positions = facts.positions;
  r.transcript = facts.transcript;
  r.first_token_us = microseconds(facts.first_token);
  r.prefill_us = microseconds(facts.prefill);
  r.decode_us = microseconds(facts.decode);
  r.lead = by_;
  OVIR_ASSIGN(r.stages, gather(facts, by_, frames));
  r.attested = of_signers(facts.attested, r.stages);
  return close(std::move(r));
}

result<std::vector<std::byte>> lead_evidence::close(receipt&& r) const {
  OVIR_TRY(check(r));
  r.order = desk_.known->sign(signed_as::order, *desk_.key, order_digest(order_.terms, by_));
  std::vector<digest> last;
  for (const stage_records& stage : r.stages) {
    if (const auto fault = find_form_fault(stage, r.asked.layers)) {
      return fail(errc::digest_mismatch, "what {} signed for window {} is out of form: {}",
                  short_name(stage.signer.node), fault->window, fault->what);
    }
    last.push_back(bind_statements(order_.terms, stage).back().value);
  }
  const auto closing = closing_digest(closing_of(r, last));
  const compute::signer_policy anybody{compute::signer_policy::kind::any, {}};
  r.closing = desk_.known->sign(signed_as::closing, *desk_.key, closing);
  if (const auto left = compute::check_receipt(r, anybody, desk_.known.get()); !left.empty()) {
    // While nothing is closed, a signature that does not hold is its stage's fault.
    r.closing = {};
    const auto open = compute::check_receipt(r, anybody);
    if (open.front().unit) {
      return fail(errc::digest_mismatch, "{} signed what does not hold: {}",
                  short_name(*open.front().signer), open.front().what);
    }
    return fail(errc::digest_mismatch, "the receipt does not hold: {} ({})", left.front().what,
                left.front().signer ? short_name(*left.front().signer) : "nobody's");
  }
  return encode_receipt(r);
}

} // namespace ovir::actors
