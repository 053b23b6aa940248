#include "verify/receipt_replay.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/forward/prefix.hpp"
#include "compute/forward/segment.hpp"
#include "compute/parts/head_statement.hpp"
#include "compute/parts/part_statement.hpp"
#include "messages/limits/general.hpp"
#include "verify/receipt_check.hpp"
#include "verify/replay_draws.hpp"

#include <algorithm>
#include <limits>
#include <set>

namespace ovir::compute {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;
constexpr std::uint32_t chunk_positions = 2 * window_size;

std::vector<token_id> tokens_of(const receipt& r) {
  std::vector<token_id> all = r.asked.prompt;
  all.insert(all.end(), r.output.begin(), r.output.end());
  return all;
}

digest token_digest(token_id id) { return output_digest(std::span{&id, 1}); }

const stage_records* stage_with(const receipt& r, layer_index layer) {
  const auto found = std::find_if(r.stages.begin(), r.stages.end(), [&](const stage_records& s) {
    return layer >= s.signer.layers.first && layer < s.signer.layers.last;
  });
  return found == r.stages.end() ? nullptr : &*found;
}

const statement* statement_of(const stage_records& stage, std::uint32_t window) {
  return window < stage.statements.size() ? &stage.statements[window] : nullptr;
}

/// From a statement's list with a digest for each layer.
const digest* stated_in(std::vector<digest> statement::*list, const receipt& r,
                        const unit_name& unit) {
  const stage_records* const stage = stage_with(r, unit.layer);
  const statement* const s = stage == nullptr ? nullptr : statement_of(*stage, unit.window);
  return s == nullptr ? nullptr : &(s->*list)[unit.layer - stage->signer.layers.first];
}

/// What a replay goes through, a chunk after the other.
class walk {
public:
  walk(const receipt& r, const model& m, const replay_bounds& bounds, const tokenizer* vocabulary)
      : config_(m.config), draws_(r, m.config, vocabulary) {
    out_.bounds = bounds;
    last_ = bounds.layers == config_.layers;
    end_ = std::min(r.positions, bounds.windows * window_size);
  }

  [[nodiscard]] position end() const noexcept { return end_; }
  [[nodiscard]] step_input chunk(position first) const {
    step_input in;
    in.first = first;
    in.count = std::min(chunk_positions, end_ - first);
    in.tokens = draws_.tokens().subspan(first, in.count);
    in.logit_rows = last_ ? draws_.rows_of(first, first + in.count) : 0;
    return in;
  }

  void take(const step_input& in, const step_output& step, segment_state& state) {
    for (const unit_leaf& leaf : step.leaves) {
      out_.units[leaf.unit] = leaf.boundary;
    }
    for (position p = in.first; p < in.first + in.count; p += window_size) {
      const std::uint32_t w = p / window_size;
      const std::uint32_t count = std::min(end_ - w * window_size, window_size);
      for (layer_index layer = 0; layer < out_.bounds.layers; ++layer) {
        out_.kv[{w, layer}] = kv_digest(state.kv, layer, w, count);
      }
      if (last_) {
        out_.units[{w, config_.layers - 1}] = out_.kv[{w, config_.layers - 1}];
      }
    }
    if (last_) {
      draws_.take(in.first + in.count - in.logit_rows, step.logits, out_);
    }
  }

  // Windows that the receipt leaves incomplete.
  replay_outcome finish(const segment_state& state) {
    for (const unit_leaf& leaf : state.units.open_leaves()) {
      out_.units[leaf.unit] = leaf.boundary;
    }
    return std::move(out_);
  }

private:
  const model_config& config_;
  replay_draws draws_;
  replay_outcome out_;
  bool last_{false};
  position end_{0};
};

result<void> check_fit(const receipt& r, const model& m, const replay_bounds& bounds) {
  OVIR_TRY(check_replayable(r, m.config));
  if (bounds.layers == 0 || bounds.layers > m.config.layers || bounds.windows == 0 ||
      bounds.windows > windows_of(r.positions)) {
    return fail(errc::invalid_argument, "{} layers over {} windows are not in a receipt of {} x {}",
                bounds.layers, bounds.windows, m.config.layers, windows_of(r.positions));
  }
  return {};
}

} // namespace

replay_bounds bounds_of(const audit_place& place) { return {place.layer + 1, place.window + 1}; }
replay_bounds bounds_of(const receipt& r) { return {r.asked.layers, windows_of(r.positions)}; }

result<replay_outcome> replay(const receipt& r, const model& m, const replay_bounds& bounds,
                              const kernel_set& kernels, parallel_runner& runner,
                              const std::function<bool()>& stop, const tokenizer* vocabulary) {
  OVIR_TRY(check_fit(r, m, bounds));
  OVIR_ASSIGN(const auto layers, segment::make_checked(m, {0, bounds.layers}, kernels));
  walk path{r, m, bounds, vocabulary};
  OVIR_ASSIGN(segment_state state,
              layers->open(path.end(), std::numeric_limits<std::size_t>::max()));
  step_output step;
  for (position first = 0; first < path.end(); first += chunk_positions) {
    if (stop && stop()) {
      return fail(errc::cancelled, "the replay was stopped at position {}", first);
    }
    const step_input in = path.chunk(first);
    OVIR_TRY(layers->forward(state, in, runner, step));
    path.take(in, step, state);
  }
  return path.finish(state);
}

std::optional<stated_value> stated_at(const receipt& r, const audit_place& place) {
  const stage_records* const stage = stage_with(r, place.layer);
  const statement* const s = stage == nullptr ? nullptr : statement_of(*stage, place.window);
  if (s == nullptr) {
    return std::nullopt;
  }
  if (place.of_layer()) {
    const auto& list = place.part == audit_part::kv ? s->kv : s->units;
    const unit_citation* const cited = citation_of(*s, place.layer);
    return place.at != 0
               ? std::nullopt
               : std::optional{stated_value{cited != nullptr ? cited->author : stage->signer.node,
                                            list[place.layer - stage->signer.layers.first]}};
  }
  if (place.layer + 1 != r.asked.layers || place.at / window_size != place.window) {
    return std::nullopt;
  }
  if (place.part == audit_part::draw) {
    if (place.at < s->first_draw || place.at - s->first_draw >= s->logits.size()) {
      return std::nullopt;
    }
    return stated_value{stage->signer.node, s->logits[place.at - s->first_draw]};
  }
  const std::size_t index = std::size_t{place.at} + 1;
  const std::size_t prompt = r.asked.prompt.size();
  if (index < prompt || index - prompt >= r.output.size()) {
    return std::nullopt;
  }
  const std::size_t draw = place.at - s->first_draw;
  const bool chosen = place.at >= s->first_draw && draw < s->choices.size();
  return stated_value{chosen ? stage->signer.node : r.lead.node,
                      token_digest(r.output[index - prompt])};
}

std::optional<digest> computed_at(const replay_outcome& again, const audit_place& place) {
  if (place.of_layer()) {
    const auto& all = place.part == audit_part::kv ? again.kv : again.units;
    const auto found = all.find({place.window, place.layer});
    return found == all.end() ? std::nullopt : std::optional{found->second};
  }
  if (place.part == audit_part::draw) {
    const auto found = again.draws.find(place.at);
    return found == again.draws.end() ? std::nullopt : std::optional{found->second};
  }
  const auto found = again.follows.find(place.at);
  return found == again.follows.end() ? std::nullopt : std::optional{token_digest(found->second)};
}

namespace {

/// Windows, from the first on, in which the boundary after `layer` is as computed again.
std::uint32_t right_windows(const receipt& r, const replay_outcome& again, layer_index layer) {
  for (std::uint32_t w = 0; w < again.bounds.windows; ++w) {
    const auto computed = again.units.find({w, layer});
    const digest* const stated = stated_in(&statement::units, r, {w, layer});
    if (computed == again.units.end() || stated == nullptr || *stated != computed->second) {
      return w;
    }
  }
  return again.bounds.windows;
}

/// The first window whose K and V of this layer differ although what comes in does not. K and V of
/// a window follow from that window's input alone.
void add_kv_fault(const receipt& r, const replay_outcome& again, layer_index layer,
                  std::uint32_t sound_inputs, std::vector<stated_fault>& faults) {
  for (std::uint32_t w = 0; w < sound_inputs; ++w) {
    const audit_place place{audit_part::kv, w, layer, 0};
    const auto stated = stated_at(r, place);
    const auto computed = computed_at(again, place);
    if (stated && computed && stated->value != *computed) {
      faults.push_back({place, stated->signer, stated->value, *computed});
      return;
    }
  }
}

/// The first window of which K and V of this layer are not as stated: what comes of later windows
/// follows from them, whoever computed it.
std::uint32_t first_wrong_kv(const receipt& r, const replay_outcome& again, layer_index layer) {
  for (std::uint32_t w = 0; w < again.bounds.windows; ++w) {
    const auto computed = again.kv.find({w, layer});
    const digest* const stated = stated_in(&statement::kv, r, {w, layer});
    if (computed != again.kv.end() && stated != nullptr && *stated != computed->second) {
      return w;
    }
  }
  return again.bounds.windows;
}

/// The first draw that differs although its inputs do not, or the first token that does not follow.
void add_draw_fault(const receipt& r, const replay_outcome& again, std::uint32_t sound_inputs,
                    std::vector<stated_fault>& faults) {
  for (const auto& [at, computed] : again.draws) {
    audit_place place{audit_part::draw, at / window_size, r.asked.layers - 1, at};
    auto stated = stated_at(r, place);
    if (place.window >= sound_inputs || !stated) {
      continue;
    }
    std::optional<digest> right{computed};
    if (stated->value == computed) {
      place.part = audit_part::token;
      stated = stated_at(r, place);
      right = computed_at(again, place);
    }
    if (stated && right && stated->value != *right) {
      faults.push_back({place, stated->signer, stated->value, *right});
      return;
    }
  }
}

} // namespace

std::vector<stated_fault> first_faults(const receipt& r, const replay_outcome& again) {
  std::vector<stated_fault> faults;
  std::uint32_t sound = again.bounds.windows; // of the boundary that comes in
  for (layer_index layer = 0; layer < again.bounds.layers; ++layer) {
    const std::uint32_t right = right_windows(r, again, layer);
    const std::uint32_t wrong_kv = first_wrong_kv(r, again, layer);
    if (right < sound && right <= wrong_kv) {
      const audit_place place{audit_part::unit, right, layer, 0};
      const auto stated = stated_at(r, place);
      const auto computed = computed_at(again, place);
      if (stated && computed) {
        faults.push_back({place, stated->signer, stated->value, *computed});
      }
    }
    add_kv_fault(r, again, layer, sound, faults);
    if (layer + 1 == r.asked.layers) {
      add_draw_fault(r, again, std::min(sound, wrong_kv), faults);
    }
    sound = right;
  }
  // One per signer: the first.
  std::sort(faults.begin(), faults.end(), [](const stated_fault& a, const stated_fault& b) {
    return std::tuple{a.place.window, a.place.layer, a.place.part, a.place.at} <
           std::tuple{b.place.window, b.place.layer, b.place.part, b.place.at};
  });
  std::set<node_id> named;
  std::erase_if(faults, [&](const stated_fault& f) { return !named.insert(f.signer).second; });
  return faults;
}

bool stands_alone(const receipt& r, const replay_outcome& again, const audit_place& place) {
  const auto stated = stated_at(r, place);
  const auto computed = computed_at(again, place);
  if (!stated || !computed) {
    return false;
  }
  if (stated->value != *computed) {
    const auto faults = first_faults(r, again);
    return std::any_of(faults.begin(), faults.end(),
                       [&](const stated_fault& f) { return f.place == place; });
  }
  return place.layer == 0 || right_windows(r, again, place.layer - 1) > place.window;
}

std::vector<keyed_unit> units_of(const receipt& r) {
  const std::vector<token_id> tokens = tokens_of(r);
  prefix_chain prefixes;
  prefixes.add(std::span{tokens}.first(r.positions));
  std::vector<keyed_unit> all;
  for (const stage_records& stage : r.stages) {
    for (const statement& s : stage.statements) {
      const std::size_t first = std::size_t{s.window} * window_size;
      const digest prefix =
          s.window < prefixes.windows().size()
              ? prefixes.windows()[s.window]
              : token_window_digest(s.window, std::span{tokens}.subspan(first, s.positions));
      for (std::size_t i = 0; i < s.units.size(); ++i) {
        const layer_index layer = stage.signer.layers.first + static_cast<layer_index>(i);
        const unit_citation* const cited = citation_of(s, layer);
        all.push_back({{s.window, layer},
                       cited != nullptr ? cited->author : stage.signer.node,
                       unit_key(r.asked.model, layer, prefix),
                       s.units[i]});
      }
    }
  }
  return all;
}

namespace {

/// What one stage states of a window in two receipts, from the same input.
struct two_statements {
  const evidence_signer& signer;
  const statement& one;
  const statement& other;
};

/// The first unit that differs. Where it is another's, what follows may rightly differ as well:
/// `ends`.
std::optional<stated_fault> find_unit_contradiction(const two_statements& both, bool& ends) {
  const auto& [signer, s, t] = both;
  for (std::size_t i = 0; i < s.units.size(); ++i) {
    const layer_index layer = signer.layers.first + static_cast<layer_index>(i);
    if (s.units[i] == t.units[i] && s.kv[i] == t.kv[i]) {
      continue;
    }
    if (citation_of(s, layer) != nullptr || citation_of(t, layer) != nullptr) {
      ends = true;
      return std::nullopt;
    }
    const bool output = s.units[i] != t.units[i];
    const audit_place place{output ? audit_part::unit : audit_part::kv, s.window, layer, 0};
    return stated_fault{place, signer.node, output ? s.units[i] : s.kv[i],
                        output ? t.units[i] : t.kv[i]};
  }
  return std::nullopt;
}

std::optional<stated_fault> find_draw_contradiction(const two_statements& both) {
  const auto& [signer, s, t] = both;
  for (std::size_t i = 0; i < s.logits.size(); ++i) {
    const position at = s.first_draw + static_cast<position>(i);
    audit_place place{audit_part::draw, s.window, signer.layers.last - 1, at};
    if (at < t.first_draw || at - t.first_draw >= t.logits.size()) {
      continue;
    }
    const std::size_t j = at - t.first_draw;
    if (s.logits[i] != t.logits[j]) {
      return stated_fault{place, signer.node, s.logits[i], t.logits[j]};
    }
    if (i < s.choices.size() && j < t.choices.size() && s.choices[i] != t.choices[j]) {
      place.part = audit_part::token;
      return stated_fault{place, signer.node, token_digest(s.choices[i]),
                          token_digest(t.choices[j])};
    }
  }
  return std::nullopt;
}

} // namespace

std::optional<stated_fault> find_equivocation(const receipt& a, const receipt& b) {
  if (a.asked.model != b.asked.model || a.asked.profile != b.asked.profile) {
    return std::nullopt;
  }
  for (const stage_records& one : a.stages) {
    const auto other = std::find_if(b.stages.begin(), b.stages.end(), [&](const stage_records& s) {
      return s.signer == one.signer; // of other software, a replay must show which one is wrong
    });
    if (other == b.stages.end()) {
      continue;
    }
    const std::size_t windows = std::min(one.statements.size(), other->statements.size());
    bool ends = false;
    for (std::size_t w = 0; w < windows && !ends; ++w) {
      const two_statements both{one.signer, one.statements[w], other->statements[w]};
      if (both.one.input != both.other.input || both.one.positions != both.other.positions) {
        break; // what follows may rightly differ
      }
      auto found = find_unit_contradiction(both, ends);
      if (!found && !ends) {
        found = find_draw_contradiction(both);
      }
      if (found) {
        return found;
      }
    }
  }
  return std::nullopt;
}

namespace {

result<receipt> sound_receipt(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(receipt r, decode_receipt(bytes));
  const auto wrong = check_receipt(r, {signer_policy::kind::any, {}});
  if (!wrong.empty()) {
    return fail(errc::invalid_argument, "a receipt in it does not hold: {}", wrong.front().what);
  }
  return r;
}

/// Two hosts' at least, and none of the guilty one or of `stated_by`.
result<void> check_verdicts(const conviction& c, const node_id& stated_by) {
  const digest name = receipt_digest(c.receipts.front());
  std::set<node_id> verifiers;
  for (const audit_verdict& v : c.verdicts) {
    if (v.verifier == c.guilty || v.verifier == stated_by ||
        !verify_verdict(v, name, c.place, c.computed) || !verifiers.insert(v.verifier).second) {
      return fail(errc::invalid_argument, "the verdict of {} does not count",
                  short_name(v.verifier));
    }
  }
  if (verifiers.size() < 2) {
    return fail(errc::invalid_argument, "a conviction by replay needs two hosts, this one has {}",
                verifiers.size());
  }
  if (!are_two_opinions(c.verdicts)) {
    return fail(errc::invalid_argument,
                "its verdicts were all computed with {}; one of another instruction set, or of the "
                "reference, is missing",
                to_string(c.verdicts.front().means.kernels));
  }
  return {};
}

result<void> check_replay(const conviction& c) {
  if (c.receipts.size() != 1) {
    return fail(errc::invalid_argument, "a conviction by replay has one receipt, this one {}",
                c.receipts.size());
  }
  OVIR_ASSIGN(const receipt r, sound_receipt(c.receipts.front()));
  const auto stated = stated_at(r, c.place);
  if (!stated || stated->signer != c.guilty) {
    return fail(errc::invalid_argument, "{} did not state what it is convicted of",
                short_name(c.guilty));
  }
  if (stated->value == c.computed) {
    return fail(errc::invalid_argument, "what was computed again equals what {} stated",
                short_name(c.guilty));
  }
  return check_verdicts(c, c.guilty);
}

/// The group of a statement about parts, or about logits, that is about this place.
result<part_group> group_in(const conviction& c) {
  if (c.place.part == audit_part::draw && is_head(c.receipts.back())) {
    OVIR_ASSIGN(head_statement s, decode_head(c.receipts.back()));
    OVIR_TRY(check_proofs(s));
    return std::move(s.group);
  }
  OVIR_ASSIGN(part_statement s, decode_statement(c.receipts.back()));
  if (!c.place.of_layer() || s.run.window() != c.place.window) {
    return fail(errc::invalid_argument, "the statement about parts in it is about another window");
  }
  OVIR_TRY(check_proofs(s));
  return std::move(s.group);
}

/// Whether a member's statement makes it the author of what its group's leader stated, as far as
/// that shows without computing anything.
result<void> check_parts(const conviction& c) {
  if (c.receipts.size() != 2) {
    return fail(errc::invalid_argument,
                "a conviction by parts has a receipt and a statement about parts, this one has {}",
                c.receipts.size());
  }
  OVIR_ASSIGN(const receipt r, sound_receipt(c.receipts.front()));
  OVIR_ASSIGN(const part_group group, group_in(c));
  const auto stated = stated_at(r, c.place);
  const auto stage = std::find_if(r.stages.begin(), r.stages.end(), [&](const stage_records& one) {
    return c.place.layer >= one.signer.layers.first && c.place.layer < one.signer.layers.last;
  });
  if (!stated || stage == r.stages.end() || stated->value == c.computed ||
      stated->signer != stage->signer.node || group.nodes.empty() ||
      stated->signer != group.nodes.front() || group.model != r.asked.model ||
      group.cut.layers != stage->signer.layers) {
    return fail(errc::invalid_argument,
                "the statement about parts in it is not about what the receipt states");
  }
  if (std::find(group.nodes.begin() + 1, group.nodes.end(), c.guilty) == group.nodes.end()) {
    return fail(errc::invalid_argument, "{} is no member of the group in question",
                short_name(c.guilty));
  }
  return check_verdicts(c, stated->signer);
}

result<void> check_equivocation(const conviction& c) {
  if (c.receipts.size() != 2 || !c.verdicts.empty() || c.computed != digest{}) {
    return fail(errc::invalid_argument,
                "equivocation is two receipts and nothing else, here are {} and {} verdicts",
                c.receipts.size(), c.verdicts.size());
  }
  OVIR_ASSIGN(const receipt a, sound_receipt(c.receipts[0]));
  OVIR_ASSIGN(const receipt b, sound_receipt(c.receipts[1]));
  const auto found = find_equivocation(a, b);
  if (!found || found->signer != c.guilty || found->place != c.place) {
    return fail(errc::invalid_argument, "the two receipts do not show {} contradict itself there",
                short_name(c.guilty));
  }
  return {};
}

} // namespace

result<void> check_conviction(const conviction& c) {
  if (c.admission && !verify_admission(*c.admission, c)) {
    return fail(errc::invalid_argument, "{} did not sign what it is said to admit",
                short_name(c.guilty));
  }
  switch (c.kind) {
  case conviction_kind::replay: return check_replay(c);
  case conviction_kind::equivocation: return check_equivocation(c);
  case conviction_kind::parts: return check_parts(c);
  }
  return fail(errc::unsupported, "a conviction of a kind that this version does not know");
}

} // namespace ovir::compute
