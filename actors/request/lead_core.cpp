#include "actors/request/lead_core.hpp"

#include "compute/text/prompt_lookup.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Epochs of one lead count in the lower bits.
constexpr std::uint32_t epoch_bits = 20;

} // namespace

lead_core::lead_core(generation_request request, path_shape shape,
                     const compute::tokenizer& vocabulary)
    : shape_(shape), prompt_(request.prompt.size()), max_tokens_(request.max_tokens),
      vocabulary_(vocabulary), stream_(vocabulary), stops_(std::move(request.stop)),
      kills_(request.kill_shards, request.kill_seed, request.max_tokens),
      history_(std::move(request.prompt)), logprobs_(request.logprobs.has_value()),
      stages_(shape.stages), signs_(request.receipt), drafting_(request.drafts) {
  // Leads of one request never share an epoch, and stages take the latest.
  epoch_.value = request.generation << epoch_bits;
  OVIR_CHECK(prompt_ > 0 && prompt_ <= shape.context && shape.stages > 0 &&
             shape.prefill_chunk > 0);
  // The last token drawn is never computed, so one more than the context has room for.
  max_tokens_ = std::min<std::size_t>(max_tokens_, shape.context - prompt_ + 1);
  target_ = static_cast<position>(prompt_);
  positions_max_ = target_ + static_cast<std::uint32_t>(max_tokens_ > 0 ? max_tokens_ - 1 : 0);
  awaiting_logits_ = max_tokens_ > 0;
  ended_ = max_tokens_ == 0;
  if (request.embedding) {
    hidden_next_ = *request.embedding == pooling::mean ? 0 : target_ - 1;
  }
  adopt(std::move(request.drawn));
}

bool lead_core::current(stage_index s, epoch e) const noexcept {
  return s.value < stages_.size() && e == epoch_ && phase_ != phase::gathering &&
         phase_ != phase::over;
}

lead_core::effects lead_core::resume() {
  effects out;
  for (const drawn_token& drawn : std::exchange(earlier_, {})) {
    if (ended_) {
      break;
    }
    const auto at = static_cast<position>(history_.size() - 1);
    if (const auto added = transcript_.add_logits(at, drawn.logits); !added) {
      fail(added.error(), out);
      return out;
    }
    take_drawn(drawn, nullptr, out);
  }
  return out;
}

void lead_core::adopt(std::vector<drawn_token> drawn) {
  drawn.resize(std::min(drawn.size(), max_tokens_));
  if (logprobs_ && drawn.size() > expected_.size()) {
    expected_.clear();
    for (const drawn_token& one : drawn) {
      expected_.push_back(one.token);
    }
  } else if (!logprobs_ && drawn.size() > earlier_.size()) {
    earlier_ = std::move(drawn);
  }
}

lead_core::effects lead_core::conclude_with(const answer_record& answer, bool from_disk) {
  earlier_ = answer.drawn;
  effects out = resume();
  const bool same_end = ended_ && report_.tokens.size() == answer.drawn.size() &&
                        report_.end == answer.end && answer.hashed_layers == shape_.hashed_layers;
  if (phase_ == phase::over || !same_end) {
    return out;
  }
  for (const compute::unit_leaf& leaf : leaves_of(answer)) {
    if (const auto added = transcript_.add_unit(leaf); !added) {
      fail(added.error(), out);
      return out;
    }
  }
  target_ = answer.positions;
  const std::uint64_t windows = (target_ + limits::window_positions - 1) / limits::window_positions;
  report_.answer_reused = true;
  (from_disk ? report_.reused.disk : report_.reused.memory) = windows * (shape_.hashed_layers + 1);
  conclude(out);
  return out;
}

lead_core::effects lead_core::on_path(const std::vector<bool>& kept,
                                      std::vector<stage_place> places) {
  effects out;
  if (phase_ == phase::over || kept.empty()) {
    return out;
  }
  const bool same_cut = kept.size() == stages_.size();
  std::vector<stage> old = std::exchange(stages_, std::vector<stage>(kept.size()));
  shape_.stages = static_cast<std::uint32_t>(kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    restarts_ += had_path_ && !kept[i] ? 1 : 0;
    if (same_cut) { // a stage that stated its end is not counted again
      stages_[i].finished = old[i].finished;
      stages_[i].kv_bytes = old[i].kv_bytes;
    }
    stages_[i].dying = kept[i] && i < old.size() && old[i].dying;
    stages_[i].up = true;
  }
  OVIR_CHECK(places.empty() || places.size() == kept.size(), places.size(), kept.size());
  places_ = std::move(places);
  had_path_ = true;
  gaps_ = 0;
  ++moves_;
  gather(out);
  return out;
}

lead_core::effects lead_core::on_stage_down(stage_index s) {
  if (s.value < stages_.size() && phase_ != phase::over) {
    stages_[s.value].up = false;
    stages_[s.value].dying = false;
    phase_ = phase::gathering;
  }
  return {};
}

// Begins an epoch as soon as every stage is there.
void lead_core::gather(effects& out) {
  phase_ = phase::gathering;
  for (const stage& st : stages_) {
    if (!st.up) {
      return;
    }
  }
  // The last position is always computed: logits are kept by nobody.
  reuse_windows_ = reuse_ && target_ > 0 ? (target_ - 1) / limits::window_positions : 0;
  begin_epoch(out);
}

void lead_core::begin_epoch(effects& out) {
  ++epoch_.value;
  phase_ = phase::opening;
  credit_.reset();
  resend_asked_ = false;
  finish_asked_ = false;
  step_counts_ = false;
  if (!drafts_.empty()) {
    drafts_.clear(); // stages drop them with the epoch
    drafting_.lost();
  }
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    stages_[i].opened = false;
    out.push_back(open_effect{stage_index{i}});
  }
}

lead_core::effects lead_core::on_opened(const from_stage<session_opened>& e) {
  effects out;
  if (!current(e.stage, e.driver) || phase_ != phase::opening) {
    return out;
  }
  if (too_long(e.stage, e.driver, e.length, out) ||
      !add_leaves(e.stage, e.driver, false, e.leaves, out)) {
    return out;
  }
  stage& opened = stages_[e.stage.value];
  moves_ += opened.opened ? 0 : 1;
  opened.opened = true;
  opened.counted = e.length;
  opened.length = e.length;
  opened.stated = e.length;
  opened.replays_from = e.replays_from;
  opened.reused = e.reused;
  opened.told = e.told;
  if (ended_) { // what a stage holds by now is part of the answer
    target_ = std::max(target_, e.length);
  }
  if (std::all_of(stages_.begin(), stages_.end(), [](const stage& st) { return st.opened; })) {
    if (close_gap(out)) {
      return out;
    }
    phase_ = phase::driving;
    enter_edge(shape_.stages - 1);
    drive(out);
  }
  drill(out);
  return out;
}

// What a stage took from the cache it cannot replay to one behind it that lacks it. So nobody takes
// more than that one has; and nothing, if there was a gap again.
bool lead_core::close_gap(effects& out) {
  bool gap = false;
  std::uint32_t windows = reuse_windows_;
  for (std::size_t i = 1; i < stages_.size(); ++i) {
    if (stages_[i].length < stages_[i - 1].replays_from) {
      gap = true;
      windows = std::min(windows, stages_[i].length / limits::window_positions);
      if (gaps_ > 1 && !places_.empty()) { // it was told to take nothing from there
        blame(stage_index{static_cast<std::uint32_t>(i - 1)},
              {errc::malformed, "the stage cannot replay what it computed itself"}, out);
        return true;
      }
    }
  }
  if (gap) {
    reuse_windows_ = gaps_++ == 0 ? windows : 0;
    begin_epoch(out);
  }
  return gap;
}

std::uint32_t lead_core::windows_computed() const noexcept {
  if (phase_ != phase::driving && phase_ != phase::finishing) {
    return 0;
  }
  const auto least =
      std::min_element(stages_.begin(), stages_.end(),
                       [](const stage& a, const stage& b) { return a.stated < b.stated; });
  return least->stated / limits::window_positions;
}

// Leaves are taken from any epoch, because a stage states each but once in its life and what it
// states is determined; progress only from the current one.
lead_core::effects lead_core::on_step(const from_stage<step_done>& e) {
  effects out;
  if (phase_ == phase::over || too_long(e.stage, e.driver, e.length, out) ||
      !add_leaves(e.stage, e.driver, false, e.leaves, out)) {
    return out;
  }
  report_.units_computed += e.units;
  if (current(e.stage, e.driver) && phase_ != phase::opening) {
    stage& st = stages_[e.stage.value];
    take_length(st, e.length);
    st.stated = std::max(st.stated, e.length);
    drive(out);
  }
  drill(out);
  return out;
}

lead_core::effects lead_core::on_finished(const from_stage<session_finished>& e) {
  effects out;
  if (!current(e.stage, e.driver) || !finish_asked_ || e.length != target_) {
    return out;
  }
  if (!add_leaves(e.stage, e.driver, true, e.leaves, out)) {
    return out;
  }
  stage& st = stages_[e.stage.value];
  if (!stated_all(e.stage)) { // perhaps it said so while its path was another
    if (std::exchange(st.incomplete, true)) {
      blame(e.stage, {errc::malformed, "the stage states its end and not all of its units"}, out);
    } else {
      gather(out);
    }
    return out;
  }
  moves_ += st.finished ? 0 : 1;
  report_.units_computed += st.finished ? 0 : e.units;
  st.finished = true;
  st.kv_bytes = e.kv_bytes;
  drill(out);
  try_complete(out);
  return out;
}

lead_core::effects lead_core::on_failed(const from_stage<stage_failed>& e) {
  effects out;
  if (!current(e.stage, e.driver)) {
    return out;
  }
  if (e.reason.code != errc::peer_lost) {
    blame(e.stage, e.reason, out);
  } else if (!places_.empty()) {
    lacks_something(e.stage, out);
  } else if (complaints_ < limits::recoveries_max) {
    ++complaints_;
    gather(out);
  } else {
    fail(e.reason, out);
  }
  return out;
}

position lead_core::goal() const noexcept { return edge_ == 0 ? target_ : edge_goal_; }

position lead_core::done_behind(std::uint32_t edge) const noexcept {
  position done = stages_[edge].length;
  for (std::size_t i = edge; i < stages_.size(); ++i) {
    done = std::min(done, stages_[i].length);
  }
  return done;
}

void lead_core::enter_edge(std::uint32_t edge) {
  edge_ = edge;
  cursor_ = stages_[edge].length;
  edge_goal_ = edge == 0 ? 0 : stages_[edge - 1].length;
  credit_.reset();
}

void lead_core::drive(effects& out) {
  if (phase_ != phase::driving) {
    return;
  }
  while (done_behind(edge_) >= goal() && edge_ > 0) {
    enter_edge(edge_ - 1);
  }
  credit_.confirm(done_behind(edge_));
  feed(out);
  if (edge_ == 0 && done_behind(0) >= target_) {
    all_computed(out);
  }
}

void lead_core::feed(effects& out) {
  while (credit_.available() && cursor_ < goal()) {
    const std::uint32_t count = std::min(shape_.prefill_chunk, goal() - cursor_);
    const std::uint32_t rows = logit_rows(cursor_, count);
    if (edge_ == 0) {
      step_counts_ = rows == 1 && count == 1 && output_count() > 0;
      if (step_counts_) {
        drafts_ = draft();
      }
      out.push_back(tokens_effect{cursor_, count, rows, drafts_});
    } else {
      out.push_back(replay_effect{stage_index{edge_ - 1}, cursor_, count, rows});
    }
    cursor_ += count;
    credit_.spend(cursor_);
    if (edge_ == 0) {
      sent_ = std::max(sent_, cursor_);
      // Whatever is drawn behind the last position there can be, nothing more is computed: the
      // stages need not be asked a second time, a round trip later.
      if (awaiting_logits_ && cursor_ == positions_max_ && drafts_.empty()) {
        ask_for_ends(out);
      }
    }
  }
}

// Of a step that is new, those of its last position. Where stages sign, also of what was computed
// before, elsewhere or as a draft: whoever computes it last states what was drawn from.
std::uint32_t lead_core::logit_rows(position first, std::uint32_t count) const noexcept {
  const position end = first + count;
  if (hidden_next_) {
    return end - std::min(end, std::max(first, *hidden_next_));
  }
  const auto first_draw = static_cast<position>(prompt_ - 1);
  if (signs_ && max_tokens_ > 0 && end > first_draw) {
    return end - std::max(first, first_draw);
  }
  return awaiting_logits_ && end == target_ ? 1 : 0;
}

// The last token that may be drawn is never computed, so no draft reaches it.
std::vector<token_id> lead_core::draft() {
  const std::size_t room = max_tokens_ - output_count() - 1;
  if (output_count() < expected_.size()) {
    step_counts_ = false; // says nothing of how well other guesses do
    const auto rest = std::span{expected_}.subspan(output_count());
    const auto next =
        rest.first(std::min<std::size_t>({rest.size(), room, limits::draft_tokens_max}));
    return {next.begin(), next.end()};
  }
  if (room == 0 || !drafting_.asks()) {
    return {};
  }
  std::vector<token_id> guess =
      compute::lookup_draft(history_, std::min<std::size_t>(room, limits::draft_tokens_max));
  guess.resize(drafting_.choose(static_cast<std::uint32_t>(guess.size())));
  return guess;
}

void lead_core::all_computed(effects& out) {
  if (awaiting_logits_) {
    // The last stage computed them in an earlier epoch, and they were lost on the way.
    if (!resend_asked_) {
      resend_asked_ = true;
      out.push_back(resend_effect{target_ - 1});
    }
    return;
  }
  if (!ended_ || drawing_ || lacks_hidden()) {
    return;
  }
  phase_ = phase::finishing;
  ask_for_ends(out);
  try_complete(out);
}

void lead_core::ask_for_ends(effects& out) {
  if (std::exchange(finish_asked_, true)) {
    return;
  }
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    if (!stages_[i].finished) {
      out.push_back(finish_effect{stage_index{i}, target_});
    }
  }
}

lead_core::effects lead_core::on_logits(epoch driver, position first, std::uint32_t count) {
  effects out;
  if (phase_ == phase::over || driver != epoch_ || stages_.empty()) {
    return out;
  }
  const stage_index last{static_cast<std::uint32_t>(stages_.size() - 1)};
  if (first >= limits::context_max || too_long(last, driver, first + 1, out)) {
    return out;
  }
  // The last stage says no more than this where it has no more to say.
  take_length(stages_.back(), first + 1);
  if (!awaiting_logits_ || first + 1 != target_ || count == 0 || count > drafts_.size() + 1) {
    drive(out);
    return out;
  }
  awaiting_logits_ = false;
  drawing_ = true;
  ++moves_;
  // Fewer than asked for where a draft could not be computed.
  const auto answered = drafts_.begin() + static_cast<std::ptrdiff_t>(count - 1);
  out.push_back(draw_effect{first, {drafts_.begin(), answered}});
  drill(out);
  return out;
}

lead_core::effects lead_core::on_hidden(epoch driver, position computed, position next) {
  effects out;
  if (phase_ != phase::over && hidden_next_) {
    moves_ += next > *hidden_next_ ? 1 : 0;
    hidden_next_ = next;
    if (driver == epoch_ && !stages_.empty()) {
      const stage_index last{static_cast<std::uint32_t>(stages_.size() - 1)};
      if (too_long(last, driver, computed, out)) {
        return out;
      }
      take_length(stages_.back(), computed);
    }
    drive(out);
  }
  return out;
}

void lead_core::end_generation(finish_reason end) {
  ended_ = true;
  awaiting_logits_ = false;
  report_.end = end;
}

void lead_core::take_drawn(const drawn_token& drawn, shared_logprobs logprobs, effects& out) {
  history_.push_back(drawn.token);
  if (output_count() <= expected_.size() && expected_[output_count() - 1] != drawn.token) {
    expected_.clear(); // of another text
  }
  report_.tokens.push_back(drawn.token);
  const bool ending = vocabulary_.ends_generation(drawn.token);
  std::string shown = ending ? std::string{} : stops_.add(stream_.add(drawn.token));
  report_.text += shown;
  const auto index = static_cast<std::uint32_t>(report_.tokens.size() - 1);
  out.push_back(drawn_effect{index, drawn, std::move(shown), std::move(logprobs)});
  if (ending || stops_.stopped()) {
    end_generation(finish_reason::stop);
  } else if (output_count() >= max_tokens_) {
    end_generation(finish_reason::length);
  } else {
    target_ = static_cast<position>(history_.size());
    awaiting_logits_ = true;
  }
}

lead_core::effects lead_core::on_drawn(const tokens_drawn& e, std::chrono::nanoseconds step) {
  effects out;
  if (phase_ == phase::over || !drawing_) {
    return out;
  }
  drawing_ = false;
  const std::vector<token_id> drafts = std::exchange(drafts_, {});
  if (ended_) { // cancelled while the draw was under way
    drive(out);
    return out;
  }
  complaints_ = 0; // it goes on
  ++moves_;
  for (stage& st : stages_) {
    st.complaints -= st.complaints > 0 ? 1 : 0;
  }
  for (std::size_t i = 0; i < e.drawn.size() && !ended_; ++i) {
    const position at = e.at + static_cast<position>(i);
    if (const auto added = transcript_.add_logits(at, e.drawn[i].logits); !added) {
      fail(added.error(), out);
      return out;
    }
    take_drawn(e.drawn[i], i < e.logprobs.size() ? e.logprobs[i] : nullptr, out);
  }
  // Of the tokens drawn, all but the last are computed. Stages learn this from the next frame. When
  // there is none, because the request ends, they compute them once more.
  const auto right = static_cast<std::uint32_t>(e.drawn.size() - 1);
  if (!ended_ && !drafts.empty()) { // else also those of an epoch that is over
    cursor_ = target_ - 1;
  }
  if (std::exchange(step_counts_, false)) {
    drafting_.passed(static_cast<std::uint32_t>(drafts.size()), right, step);
  }
  report_.drafted += drafts.size();
  report_.accepted += right;
  drive(out);
  drill(out);
  return out;
}

std::optional<stage_index> lead_core::awaited() const noexcept {
  if (phase_ == phase::opening) {
    for (std::uint32_t i = 0; i < stages_.size(); ++i) {
      if (!stages_[i].opened) {
        return stage_index{i};
      }
    }
  }
  if (phase_ == phase::finishing) {
    for (std::uint32_t i = 0; i < stages_.size(); ++i) {
      if (!stages_[i].finished) {
        return stage_index{i};
      }
    }
  }
  if (phase_ == phase::driving && !drawing_) {
    for (std::uint32_t i = edge_; i < stages_.size(); ++i) {
      if (stages_[i].length < cursor_) {
        return stage_index{i};
      }
    }
    if (awaiting_logits_ || lacks_hidden()) {
      return stage_index{static_cast<std::uint32_t>(stages_.size() - 1)};
    }
  }
  return std::nullopt;
}

} // namespace ovir::actors
