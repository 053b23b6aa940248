#include "verify/receipt_check.hpp"

#include "messages/digest_tree.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::compute {

namespace {

using failures = std::vector<receipt_failure>;
using bound_stages = std::vector<std::vector<bound_statement>>;

/// By what this process knows, or by Ed25519.
bool holds(known_signatures* known, signed_as kind, const node_id& by, const digest& what,
           const signature& s) {
  return known == nullptr ? verify(kind, by, what, s) : known->holds(kind, by, what, s);
}

unit_name unit_of(const stage_records& stage, std::uint32_t window) {
  return {window, stage.signer.layers.first};
}

receipt_failure by_stage(const stage_records& stage, std::uint32_t window, std::string what) {
  return {std::move(what), stage.signer.node, unit_of(stage, window), std::nullopt};
}

receipt_failure by_lead(const receipt& r, std::string what) {
  return {std::move(what), r.lead.node, std::nullopt, std::nullopt};
}

std::string layers_text(const stage_records& stage) {
  return fmt::format("layers [{}, {})", stage.signer.layers.first, stage.signer.layers.last);
}

/// The first thing of a stage that is not what it signed, in order of windows: what comes after one
/// that is wrong hangs on it.
std::optional<receipt_failure> check_signatures(const evidence_terms& terms,
                                                const stage_records& stage,
                                                const std::vector<bound_statement>& bound,
                                                known_signatures* known) {
  growing_tree history;
  std::vector<digest> roots{history.root()};
  std::size_t stated = 0;
  for (const commitment& c : stage.commitments) {
    if (c.statements >= roots.size()) {
      return by_stage(stage, c.window, "a commitment builds on statements that are not there");
    }
    if (!holds(known, signed_as::commitment, stage.signer.node,
               commitment_digest(terms, stage.signer, c, roots[c.statements]), c.proof)) {
      return by_stage(stage, c.window,
                      fmt::format("the commitment of {} to window {} is not what its signer signed",
                                  layers_text(stage), c.window));
    }
    for (; stated < bound.size() && bound[stated].summary.window < c.window + c.windows; ++stated) {
      const bound_statement& s = bound[stated];
      if (!holds(known, signed_as::statement, stage.signer.node, s.to_sign,
                 stage.statements[stated].proof)) {
        return by_stage(stage, s.summary.window,
                        fmt::format("the statement of {} about window {} is not what its signer "
                                    "signed",
                                    layers_text(stage), s.summary.window));
      }
      history.add(s.value);
      roots.push_back(history.root());
    }
  }
  return std::nullopt;
}

/// Whose form or signatures are wrong, at most one failure per stage.
failures check_stages(const receipt& r, const evidence_terms& terms, bound_stages& bound,
                      known_signatures* known) {
  failures found;
  for (const stage_records& stage : r.stages) {
    if (const auto fault = find_form_fault(stage, r.asked.layers)) {
      found.push_back(by_stage(stage, fault->window, fault->what));
      continue;
    }
    if (stage.statements.empty()) {
      // Nothing here is by its key: whoever wrote the receipt may have left it out.
      found.push_back(by_lead(r, fmt::format("{} state nothing", layers_text(stage))));
      continue;
    }
    bound.push_back(bind_statements(terms, stage));
    if (auto wrong = check_signatures(terms, stage, bound.back(), known)) {
      found.push_back(std::move(*wrong));
    } else if (const auto window = find_void_citation(terms, stage)) {
      found.push_back(by_stage(stage, *window,
                               fmt::format("{} show no word of another for units of window {} that "
                                           "they say are its",
                                           layers_text(stage), *window)));
    }
  }
  return found;
}

/// Those of whom `wrong` says a window; the lead where it is so of all, because then it is the
/// lead's figure that stands alone.
template <class Wrong>
failures odd_ones(const receipt& r, const std::string& what, const Wrong& wrong) {
  failures found;
  for (const stage_records& stage : r.stages) {
    if (const std::optional<std::uint32_t> window = wrong(stage)) {
      found.push_back(by_stage(stage, *window, what));
    }
  }
  if (found.size() == r.stages.size()) {
    return {by_lead(r, what + ", say all of its stages")};
  }
  return found;
}

failures check_coverage(const receipt& r) {
  const std::uint32_t windows = windows_of(r.positions);
  for (const stage_records& stage : r.stages) {
    if (stage.statements.size() != windows) { // who closes knows what was stated
      return {by_lead(r, fmt::format("{} state {} windows, {} positions are {}", layers_text(stage),
                                     stage.statements.size(), r.positions, windows))};
    }
  }
  const std::uint32_t rest = positions_of(windows - 1, r.positions);
  return odd_ones(
      r, fmt::format("the last of {} positions is not the last that is stated", r.positions),
      [&](const stage_records& stage) -> std::optional<std::uint32_t> {
        return stage.statements.back().positions == rest ? std::nullopt
                                                         : std::optional{windows - 1};
      });
}

/// What the lead says of the whole, apart from what its stages say.
failures check_shape(const receipt& r) {
  if (r.asked.profile != profile_name) {
    return {by_lead(r, fmt::format("the profile is \"{}\", this program knows {}", r.asked.profile,
                                   profile_name))};
  }
  layer_index next = 0;
  for (const stage_records& stage : r.stages) {
    if (stage.signer.layers.first != next) {
      return {by_lead(r, fmt::format("the stages do not tile the model: {} where layer {} was next",
                                     layers_text(stage), next))};
    }
    next = stage.signer.layers.last;
  }
  if (next != r.asked.layers) {
    return {by_lead(
        r, fmt::format("the stages end at layer {}, the model at {}", next, r.asked.layers))};
  }
  const std::size_t tokens = r.asked.prompt.size() + r.output.size();
  const bool cancelled = r.end == finish_reason::cancelled;
  const std::size_t undrawn = cancelled ? 0 : tokens; // nothing was to be drawn
  const std::size_t drawn_from = r.output.empty() ? undrawn : tokens - 1;
  const bool possible =
      cancelled ? r.positions >= drawn_from && r.positions <= tokens : r.positions == drawn_from;
  if (!possible) {
    return {by_lead(r, fmt::format("{} positions cannot be what {} tokens in and {} out take",
                                   r.positions, r.asked.prompt.size(), r.output.size()))};
  }
  if (r.output.size() > r.asked.max_tokens) {
    return {by_lead(r, fmt::format("{} tokens were drawn, {} were asked for at most",
                                   r.output.size(), r.asked.max_tokens))};
  }
  return {};
}

std::vector<token_id> tokens_of(const receipt& r) {
  std::vector<token_id> all = r.asked.prompt;
  all.insert(all.end(), r.output.begin(), r.output.end());
  return all;
}

/// Whose signature `s` shows for its input: the stage before in the path, or one whose place that
/// took.
const evidence_signer* sender_of(const evidence_terms& terms, const stage_records& stage,
                                 const statement& s, const evidence_signer& before,
                                 known_signatures* known) {
  const auto sent = [&](const evidence_signer& by) {
    return by.layers.last == before.layers.last &&
           holds(known, signed_as::link, by.node,
                 link_digest(terms, by, s.window, s.positions, s.input), s.received);
  };
  if (sent(before)) {
    return &before;
  }
  const auto found = std::find_if(stage.senders.begin(), stage.senders.end(), sent);
  return found == stage.senders.end() ? nullptr : &*found;
}

/// From boundary to boundary: what a stage took in is what the one before signed that it sent, and
/// what that one states. The first break of the path.
std::optional<receipt_failure> check_chain(const receipt& r, const evidence_terms& terms,
                                           known_signatures* known) {
  const std::vector<token_id> tokens = tokens_of(r);
  for (std::uint32_t w = 0; w < windows_of(r.positions); ++w) {
    const std::size_t first = std::size_t{w} * limits::window_positions;
    digest sent =
        token_window_digest(w, std::span{tokens}.subspan(first, positions_of(w, r.positions)));
    const evidence_signer* before = &r.lead;
    for (const stage_records& stage : r.stages) {
      const statement& s = stage.statements[w];
      const evidence_signer* const sender = sender_of(terms, stage, s, *before, known);
      if (sender == nullptr) {
        return by_stage(stage, w,
                        fmt::format("{} show no valid signature of who sent them the input of "
                                    "window {}",
                                    layers_text(stage), w));
      }
      if (s.input != sent) {
        return receipt_failure{fmt::format("what was sent to {} as input of window {} is not what "
                                           "is stated",
                                           layers_text(stage), w),
                               sender->node, unit_name{w, sender->layers.first}, std::nullopt};
      }
      sent = output_of(s, stage.signer, r.asked.layers);
      before = &stage.signer;
    }
  }
  return std::nullopt;
}

/// A stage that was asked for the tokens of the highest logits signs what it told; the lead passes
/// on just that, and asks for it only where it is what follows.
std::optional<receipt_failure> check_choices(const receipt& r, const stated_draws& stated) {
  const bool highest = sampler{r.asked.sampling}.takes_highest();
  for (std::size_t i = 0; i < stated.choices.size(); ++i) {
    if (!stated.choices[i]) {
      continue;
    }
    receipt_failure wrong = by_lead(r, "");
    wrong.at = stated.first + static_cast<position>(i) + 1;
    if (!highest) {
      wrong.what = fmt::format("the token of position {} was chosen by the last stage, where the "
                               "sampling parameters want a draw",
                               *wrong.at);
      return wrong;
    }
    if (i < r.output.size() && r.output[i] != *stated.choices[i]) {
      wrong.what = fmt::format("the token of position {} is {}, its last stage chose {}", *wrong.at,
                               r.output[i], *stated.choices[i]);
      return wrong;
    }
  }
  return std::nullopt;
}

/// A stage states the logits it was asked for; which these are is the lead's matter.
std::optional<receipt_failure> check_draws(const receipt& r) {
  const stated_draws stated = draws_of(r);
  position next = stated.first;
  for (const statement& s : r.stages.back().statements) {
    for (std::size_t i = 0; i < s.logits.size(); ++i, ++next) {
      if (s.first_draw + i != next) {
        receipt_failure wrong = by_lead(r, fmt::format("logits of position {} are stated where {} "
                                                       "was next",
                                                       s.first_draw + i, next));
        wrong.at = next;
        return wrong;
      }
    }
  }
  const std::size_t most =
      r.end == finish_reason::cancelled ? r.positions - stated.first : r.output.size();
  if (stated.logits.size() < r.output.size() || stated.logits.size() > most) {
    receipt_failure wrong = by_lead(r, fmt::format("{} rows of logits are stated for {} tokens",
                                                   stated.logits.size(), r.output.size()));
    wrong.at = stated.first + static_cast<position>(std::min(stated.logits.size(), most));
    return wrong;
  }
  return check_choices(r, stated);
}

failures check_policy(const std::vector<node_id>& signers, const signer_policy& policy) {
  if (policy.who == signer_policy::kind::any) {
    return {};
  }
  if (policy.who == signer_policy::kind::unknown) {
    return {{"signers unknown: say whose signatures count with --signers FILE or --any-signer",
             std::nullopt, std::nullopt, std::nullopt}};
  }
  failures found;
  std::set<node_id> told;
  for (const node_id& node : signers) {
    if (!policy.listed.contains(node) && told.insert(node).second) {
      found.push_back({"this signer is not among those whose signatures count", node, std::nullopt,
                       std::nullopt});
    }
  }
  return found;
}

failures check_content(const receipt& r, known_signatures* known) {
  const evidence_terms terms = terms_of(r.asked);
  if (!holds(known, signed_as::order, r.lead.node, order_digest(terms, r.lead), r.order)) {
    return {by_lead(r, "what was asked is not what the lead signed")};
  }
  bound_stages bound;
  failures found = check_stages(r, terms, bound, known);
  std::vector<digest> last;
  for (const auto& stage : bound) {
    last.push_back(stage.back().value);
  }
  const bool closed =
      last.size() == r.stages.size() &&
      holds(known, signed_as::closing, r.lead.node, closing_digest(closing_of(r, last)), r.closing);
  if (!found.empty()) {
    // Who closes a receipt has checked every signature in it. One that does not hold in a receipt
    // that is closed convicts nobody but the lead.
    for (receipt_failure& f : found) {
      if (closed) {
        f.signer = r.lead.node;
      }
    }
    return found;
  }
  if (!closed) {
    return {by_lead(r, "the answer is not what the lead signed")};
  }
  if (failures wrong = check_shape(r); !wrong.empty()) {
    return wrong;
  }
  if (failures wrong = check_coverage(r); !wrong.empty()) {
    return wrong;
  }
  if (auto broken = check_chain(r, terms, known)) {
    return {*broken};
  }
  if (auto wrong = check_draws(r)) {
    return {*wrong};
  }
  const auto root = transcript_of(r);
  if (!root || *root != r.transcript) {
    return {
        by_lead(r, fmt::format("the transcript stated is {}, the statements give {}",
                               to_hex(r.transcript), root ? to_hex(*root) : root.error().message))};
  }
  return {};
}

failures check_content(const compact_receipt& c) {
  const closing_facts& f = c.closed;
  const auto by_lead = [&](std::string what) {
    return failures{{std::move(what), f.lead.node, std::nullopt, std::nullopt}};
  };
  failures found;
  for (std::size_t i = 0; i < c.stages.size(); ++i) {
    const evidence_signer& by = f.stages[i].signer;
    if (!verify_statement(by.node, statement_digest(c.stages[i].commitment, c.stages[i].last),
                          c.stages[i].proof)) {
      found.push_back({fmt::format("the last statement of layers [{}, {}) is not what its signer "
                                   "signed",
                                   by.layers.first, by.layers.last),
                       by.node, unit_name{c.stages[i].last.window, by.layers.first}, std::nullopt});
    }
  }
  const bool closed = verify_closing(f.lead.node, closing_digest(f), c.closing);
  if (!found.empty()) {
    for (receipt_failure& wrong : found) {
      if (closed) { // as in a whole receipt
        wrong.signer = f.lead.node;
      }
    }
    return found;
  }
  if (!closed) {
    return by_lead("the answer is not what the lead signed");
  }
  if (f.terms.profile != profile_name) {
    return by_lead(
        fmt::format("the profile is \"{}\", this program knows {}", f.terms.profile, profile_name));
  }
  layer_index next = 0;
  for (std::size_t i = 0; i < c.stages.size(); ++i) {
    const evidence_signer& by = f.stages[i].signer;
    const statement_summary& last = c.stages[i].last;
    const std::uint32_t windows = windows_of(f.positions);
    if (by.layers.first != next || last.units != by.layers.size()) {
      return by_lead(fmt::format("the stages do not tile the model at layer {}", next));
    }
    if (last.window + 1 != windows || last.positions != positions_of(windows - 1, f.positions)) {
      return by_lead(fmt::format("layers [{}, {}) state up to window {}, which is not the last of "
                                 "{} positions",
                                 by.layers.first, by.layers.last, last.window, f.positions));
    }
    next = by.layers.last;
  }
  return next == f.terms.layers ? failures{}
                                : by_lead(fmt::format("the stages end at layer {}, the model at {}",
                                                      next, f.terms.layers));
}

failures joined(failures found, failures more) {
  found.insert(found.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  return found;
}

} // namespace

std::vector<receipt_failure> check_receipt(const receipt& r, const signer_policy& policy,
                                           known_signatures* known) {
  std::vector<node_id> signers{r.lead.node};
  for (const stage_records& stage : r.stages) {
    signers.push_back(stage.signer.node);
    for (const evidence_signer& by : stage.senders) {
      signers.push_back(by.node);
    }
    for (const statement& s : stage.statements) {
      for (const unit_citation& c : s.cited) {
        signers.push_back(c.author);
      }
    }
  }
  return joined(check_content(r, known), check_policy(signers, policy));
}

std::vector<receipt_failure> check_receipt(const compact_receipt& c, const signer_policy& policy) {
  std::vector<node_id> signers{c.closed.lead.node};
  for (const closing_facts::stage& stage : c.closed.stages) {
    signers.push_back(stage.signer.node);
  }
  return joined(check_content(c), check_policy(signers, policy));
}

stated_draws draws_of(const receipt& r) {
  stated_draws all;
  all.first = static_cast<position>(r.asked.prompt.size() - 1);
  for (const statement& s : r.stages.back().statements) {
    all.logits.insert(all.logits.end(), s.logits.begin(), s.logits.end());
    all.choices.insert(all.choices.end(), s.choices.begin(), s.choices.end());
    all.choices.resize(all.logits.size());
  }
  return all;
}

result<digest> transcript_of(const receipt& r) {
  transcript leaves;
  for (const stage_records& stage : r.stages) {
    for (const statement& s : stage.statements) {
      for (std::size_t i = 0; i < s.units.size(); ++i) {
        const layer_index layer = stage.signer.layers.first + static_cast<layer_index>(i);
        if (layer + 1 < r.asked.layers) {
          OVIR_TRY(leaves.add_unit({{s.window, layer}, s.positions, s.units[i]}));
        }
      }
    }
  }
  const stated_draws stated = draws_of(r);
  for (std::size_t i = 0; i < std::min(stated.logits.size(), r.output.size()); ++i) {
    OVIR_TRY(leaves.add_logits(stated.first + static_cast<position>(i), stated.logits[i]));
  }
  return leaves.root(r.asked.layers - 1, r.positions, tokens_of(r));
}

result<std::unique_ptr<token_matcher>> matcher_of(const receipt& r, const token_trie* words) {
  if (!restricts_tokens(r.asked.sampling)) {
    return std::unique_ptr<token_matcher>{};
  }
  if (words == nullptr) {
    return fail(errc::unsupported, "not every token may come at every place; this is checked with "
                                   "the model's vocabulary, which is not here");
  }
  return token_matcher::make(r.asked.sampling, *words);
}

result<draw_checker> draw_checker::make(const receipt& r, const token_trie* words) {
  draw_checker made;
  made.lead_ = r.lead.node;
  made.last_ = r.stages.back().signer.node;
  made.stated_ = draws_of(r);
  made.tokens_ = tokens_of(r);
  made.prompt_ = r.asked.prompt.size();
  made.output_ = r.output.size();
  made.how_ = r.asked.sampling;
  OVIR_TRY(ovir::check(made.how_));
  OVIR_ASSIGN(made.matcher_, matcher_of(r, words));
  return made;
}

std::optional<receipt_failure> draw_checker::check(std::size_t index, std::span<const float> row) {
  OVIR_CHECK(index < output_, index, output_);
  const position at = stated_.first + static_cast<position>(index);
  const bool finite = std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); });
  if (!finite || logits_digest(at, row) != stated_.logits[index]) {
    return receipt_failure{
        fmt::format("the logits revealed for position {} are not those stated", at), std::nullopt,
        std::nullopt, at};
  }
  sampler draw{how_};
  const auto before = std::span{tokens_}.first(at + 1);
  const auto output = before.subspan(prompt_);
  token_mask allowed;
  if (matcher_) {
    const auto found = matcher_->allowed(output);
    if (!found) {
      return receipt_failure{fmt::format("the tokens up to position {} do not keep to the "
                                         "constraint",
                                         at),
                             lead_, std::nullopt, at};
    }
    allowed = *found;
  }
  const token_id token = draw.draw(row, before, at + 1, allowed, output);
  if (token != tokens_[at + 1]) {
    return receipt_failure{fmt::format("the token of position {} is {}, the logits and the "
                                       "sampling parameters give {}",
                                       at + 1, tokens_[at + 1], token),
                           stated_.choices[index] ? last_ : lead_, std::nullopt, at + 1};
  }
  return std::nullopt;
}

} // namespace ovir::compute
