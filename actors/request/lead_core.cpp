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
      logprobs_(request.logprobs.has_value()), stages_(shape.stages), drafting_(request.drafts),
      signs_(request.receipt) {
  output_.history = std::move(request.prompt);
  // Leads of one request never share an epoch, and stages take the latest.
  run_.driver.value = request.generation << epoch_bits;
  OVIR_CHECK(prompt_ > 0 && prompt_ <= shape.context && shape.stages > 0 &&
             shape.prefill_chunk > 0);
  // The last token drawn is never computed, so one more than the context has room for.
  max_tokens_ = std::min<std::size_t>(max_tokens_, shape.context - prompt_ + 1);
  output_.target = static_cast<position>(prompt_);
  positions_max_ =
      output_.target + static_cast<std::uint32_t>(max_tokens_ > 0 ? max_tokens_ - 1 : 0);
  output_.awaiting_logits = max_tokens_ > 0;
  output_.ended = max_tokens_ == 0;
  if (request.embedding) {
    output_.hidden_next = *request.embedding == pooling::mean ? 0 : output_.target - 1;
  }
  adopt(std::move(request.drawn));
}

bool lead_core::current(stage_index s, epoch e) const noexcept {
  return s.value < stages_.size() && e == run_.driver && run_.now != phase::gathering &&
         run_.now != phase::over;
}

lead_core::effects lead_core::resume() {
  effects out;
  for (const drawn_token& drawn : std::exchange(output_.earlier, {})) {
    if (output_.ended) {
      break;
    }
    const auto at = static_cast<position>(output_.history.size() - 1);
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
  if (logprobs_ && drawn.size() > output_.expected.size()) {
    output_.expected.clear();
    for (const drawn_token& one : drawn) {
      output_.expected.push_back(one.token);
    }
  } else if (!logprobs_ && drawn.size() > output_.earlier.size()) {
    output_.earlier = std::move(drawn);
  }
}

lead_core::effects lead_core::conclude_with(const answer_record& answer, bool from_disk) {
  output_.earlier = answer.drawn;
  effects out = resume();
  const bool same_end = output_.ended && report_.tokens.size() == answer.drawn.size() &&
                        report_.end == answer.end && answer.hashed_layers == shape_.hashed_layers;
  if (run_.now == phase::over || !same_end) {
    return out;
  }
  for (const compute::unit_leaf& leaf : leaves_of(answer)) {
    if (const auto added = transcript_.add_unit(leaf); !added) {
      fail(added.error(), out);
      return out;
    }
  }
  output_.target = answer.positions;
  const std::uint64_t windows =
      (output_.target + limits::window_positions - 1) / limits::window_positions;
  report_.answer_reused = true;
  (from_disk ? report_.reused.disk : report_.reused.memory) = windows * (shape_.hashed_layers + 1);
  conclude(out);
  return out;
}

lead_core::effects lead_core::on_path(const std::vector<bool>& kept,
                                      std::vector<stage_place> places) {
  effects out;
  if (run_.now == phase::over || kept.empty()) {
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
  trust_.places = std::move(places);
  had_path_ = true;
  trust_.gaps = 0;
  ++moves_;
  gather(out);
  return out;
}

lead_core::effects lead_core::on_stage_down(stage_index s) {
  if (s.value < stages_.size() && run_.now != phase::over) {
    stages_[s.value].up = false;
    stages_[s.value].dying = false;
    run_.now = phase::gathering;
  }
  return {};
}

// Begins an epoch as soon as every stage is there.
void lead_core::gather(effects& out) {
  run_.now = phase::gathering;
  for (const stage& st : stages_) {
    if (!st.up) {
      return;
    }
  }
  // The last position is always computed: logits are kept by nobody.
  reuse_windows_ =
      reuse_ && output_.target > 0 ? (output_.target - 1) / limits::window_positions : 0;
  begin_epoch(out);
}

void lead_core::begin_epoch(effects& out) {
  ++run_.driver.value;
  run_.now = phase::opening;
  credit_.reset();
  run_.resend_asked = false;
  run_.finish_asked = false;
  run_.step_counts = false;
  if (!output_.drafts.empty()) {
    output_.drafts.clear(); // stages drop them with the epoch
    drafting_.lost();
  }
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    stages_[i].opened = false;
    out.push_back(open_effect{stage_index{i}});
  }
}

lead_core::effects lead_core::on_opened(const from_stage<session_opened>& e) {
  effects out;
  if (!current(e.stage, e.driver) || run_.now != phase::opening) {
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
  if (output_.ended) { // what a stage holds by now is part of the answer
    output_.target = std::max(output_.target, e.length);
  }
  if (std::all_of(stages_.begin(), stages_.end(), [](const stage& st) { return st.opened; })) {
    if (close_gap(out)) {
      return out;
    }
    run_.now = phase::driving;
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
      if (trust_.gaps > 1 && !trust_.places.empty()) { // it was told to take nothing from there
        blame(stage_index{static_cast<std::uint32_t>(i - 1)},
              {errc::malformed, "the stage cannot replay what it computed itself"}, out);
        return true;
      }
    }
  }
  if (gap) {
    reuse_windows_ = trust_.gaps++ == 0 ? windows : 0;
    begin_epoch(out);
  }
  return gap;
}

std::uint32_t lead_core::windows_computed() const noexcept {
  if (run_.now != phase::driving && run_.now != phase::finishing) {
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
  if (run_.now == phase::over || too_long(e.stage, e.driver, e.length, out) ||
      !add_leaves(e.stage, e.driver, false, e.leaves, out)) {
    return out;
  }
  report_.units_computed += e.units;
  if (current(e.stage, e.driver) && run_.now != phase::opening) {
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
  if (!current(e.stage, e.driver) || !run_.finish_asked || e.length != output_.target) {
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
  } else if (!trust_.places.empty()) {
    lacks_something(e.stage, out);
  } else if (trust_.complaints < limits::recoveries_max) {
    ++trust_.complaints;
    gather(out);
  } else {
    fail(e.reason, out);
  }
  return out;
}

position lead_core::goal() const noexcept {
  return run_.edge == 0 ? output_.target : run_.edge_goal;
}

position lead_core::done_behind(std::uint32_t edge) const noexcept {
  position done = stages_[edge].length;
  for (std::size_t i = edge; i < stages_.size(); ++i) {
    done = std::min(done, stages_[i].length);
  }
  return done;
}

void lead_core::enter_edge(std::uint32_t edge) {
  run_.edge = edge;
  run_.cursor = stages_[edge].length;
  run_.edge_goal = edge == 0 ? 0 : stages_[edge - 1].length;
  credit_.reset();
}

void lead_core::drive(effects& out) {
  if (run_.now != phase::driving) {
    return;
  }
  while (done_behind(run_.edge) >= goal() && run_.edge > 0) {
    enter_edge(run_.edge - 1);
  }
  credit_.confirm(done_behind(run_.edge));
  feed(out);
  if (run_.edge == 0 && done_behind(0) >= output_.target) {
    all_computed(out);
  }
}

void lead_core::feed(effects& out) {
  while (credit_.available() && run_.cursor < goal()) {
    const std::uint32_t count = std::min(shape_.prefill_chunk, goal() - run_.cursor);
    const std::uint32_t rows = logit_rows(run_.cursor, count);
    if (run_.edge == 0) {
      run_.step_counts = rows == 1 && count == 1 && output_count() > 0;
      if (run_.step_counts) {
        output_.drafts = draft();
      }
      out.push_back(tokens_effect{run_.cursor, count, rows, output_.drafts});
    } else {
      out.push_back(replay_effect{stage_index{run_.edge - 1}, run_.cursor, count, rows});
    }
    run_.cursor += count;
    credit_.spend(run_.cursor);
    if (run_.edge == 0) {
      run_.sent = std::max(run_.sent, run_.cursor);
      // Whatever is drawn behind the last position there can be, nothing more is computed: the
      // stages need not be asked a second time, a round trip later.
      if (output_.awaiting_logits && run_.cursor == positions_max_ && output_.drafts.empty()) {
        ask_for_ends(out);
      }
    }
  }
}

// Of a step that is new, those of its last position. Where stages sign, also of what was computed
// before, elsewhere or as a draft: whoever computes it last states what was drawn from.
std::uint32_t lead_core::logit_rows(position first, std::uint32_t count) const noexcept {
  const position end = first + count;
  if (output_.hidden_next) {
    return end - std::min(end, std::max(first, *output_.hidden_next));
  }
  const auto first_draw = static_cast<position>(prompt_ - 1);
  if (signs_ && max_tokens_ > 0 && end > first_draw) {
    return end - std::max(first, first_draw);
  }
  return output_.awaiting_logits && end == output_.target ? 1 : 0;
}

// The last token that may be drawn is never computed, so no draft reaches it.
std::vector<token_id> lead_core::draft() {
  const std::size_t room = max_tokens_ - output_count() - 1;
  if (output_count() < output_.expected.size()) {
    run_.step_counts = false; // says nothing of how well other guesses do
    const auto rest = std::span{output_.expected}.subspan(output_count());
    const auto next =
        rest.first(std::min<std::size_t>({rest.size(), room, limits::draft_tokens_max}));
    return {next.begin(), next.end()};
  }
  if (room == 0 || !drafting_.asks()) {
    return {};
  }
  std::vector<token_id> guess =
      compute::lookup_draft(output_.history, std::min<std::size_t>(room, limits::draft_tokens_max));
  guess.resize(drafting_.choose(static_cast<std::uint32_t>(guess.size())));
  return guess;
}

void lead_core::all_computed(effects& out) {
  if (output_.awaiting_logits) {
    // The last stage computed them in an earlier epoch, and they were lost on the way.
    if (!run_.resend_asked) {
      run_.resend_asked = true;
      out.push_back(resend_effect{output_.target - 1});
    }
    return;
  }
  if (!output_.ended || output_.drawing || lacks_hidden()) {
    return;
  }
  run_.now = phase::finishing;
  ask_for_ends(out);
  try_complete(out);
}

void lead_core::ask_for_ends(effects& out) {
  if (std::exchange(run_.finish_asked, true)) {
    return;
  }
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    if (!stages_[i].finished) {
      out.push_back(finish_effect{stage_index{i}, output_.target});
    }
  }
}

lead_core::effects lead_core::on_logits(epoch driver, position first, std::uint32_t count) {
  effects out;
  if (run_.now == phase::over || driver != run_.driver || stages_.empty()) {
    return out;
  }
  const stage_index last{static_cast<std::uint32_t>(stages_.size() - 1)};
  if (first >= limits::context_max || too_long(last, driver, first + 1, out)) {
    return out;
  }
  // The last stage says no more than this where it has no more to say.
  take_length(stages_.back(), first + 1);
  if (!output_.awaiting_logits || first + 1 != output_.target || count == 0 ||
      count > output_.drafts.size() + 1) {
    drive(out);
    return out;
  }
  output_.awaiting_logits = false;
  output_.drawing = true;
  ++moves_;
  // Fewer than asked for where a draft could not be computed.
  const auto answered = output_.drafts.begin() + static_cast<std::ptrdiff_t>(count - 1);
  out.push_back(draw_effect{first, {output_.drafts.begin(), answered}});
  drill(out);
  return out;
}

lead_core::effects lead_core::on_hidden(epoch driver, position computed, position next) {
  effects out;
  if (run_.now != phase::over && output_.hidden_next) {
    moves_ += next > *output_.hidden_next ? 1 : 0;
    output_.hidden_next = next;
    if (driver == run_.driver && !stages_.empty()) {
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
  output_.ended = true;
  output_.awaiting_logits = false;
  report_.end = end;
}

void lead_core::take_drawn(const drawn_token& drawn, shared_logprobs logprobs, effects& out) {
  output_.history.push_back(drawn.token);
  if (output_count() <= output_.expected.size() &&
      output_.expected[output_count() - 1] != drawn.token) {
    output_.expected.clear(); // of another text
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
    output_.target = static_cast<position>(output_.history.size());
    output_.awaiting_logits = true;
  }
}

lead_core::effects lead_core::on_drawn(const tokens_drawn& e, std::chrono::nanoseconds step) {
  effects out;
  if (run_.now == phase::over || !output_.drawing) {
    return out;
  }
  output_.drawing = false;
  const std::vector<token_id> drafts = std::exchange(output_.drafts, {});
  if (output_.ended) { // cancelled while the draw was under way
    drive(out);
    return out;
  }
  trust_.complaints = 0; // it goes on
  ++moves_;
  for (stage& st : stages_) {
    st.complaints -= st.complaints > 0 ? 1 : 0;
  }
  for (std::size_t i = 0; i < e.drawn.size() && !output_.ended; ++i) {
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
  if (!output_.ended && !drafts.empty()) { // else also those of an epoch that is over
    run_.cursor = output_.target - 1;
  }
  if (std::exchange(run_.step_counts, false)) {
    drafting_.passed(static_cast<std::uint32_t>(drafts.size()), right, step);
  }
  report_.drafted += drafts.size();
  report_.accepted += right;
  drive(out);
  drill(out);
  return out;
}

std::optional<stage_index> lead_core::awaited() const noexcept {
  if (run_.now == phase::opening) {
    for (std::uint32_t i = 0; i < stages_.size(); ++i) {
      if (!stages_[i].opened) {
        return stage_index{i};
      }
    }
  }
  if (run_.now == phase::finishing) {
    for (std::uint32_t i = 0; i < stages_.size(); ++i) {
      if (!stages_[i].finished) {
        return stage_index{i};
      }
    }
  }
  if (run_.now == phase::driving && !output_.drawing) {
    for (std::uint32_t i = run_.edge; i < stages_.size(); ++i) {
      if (stages_[i].length < run_.cursor) {
        return stage_index{i};
      }
    }
    if (output_.awaiting_logits || lacks_hidden()) {
      return stage_index{static_cast<std::uint32_t>(stages_.size() - 1)};
    }
  }
  return std::nullopt;
}

} // namespace ovir::actors
