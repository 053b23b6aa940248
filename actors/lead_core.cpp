#include "actors/lead_core.hpp"

#include "messages/check.hpp"
#include "messages/limits.hpp"

#include <algorithm>

namespace ovir::actors {

lead_core::lead_core(generation_request request, path_shape shape,
                     const compute::tokenizer& vocabulary)
    : shape_(shape), prompt_(request.prompt.size()), max_tokens_(request.max_tokens),
      vocabulary_(vocabulary), stream_(vocabulary), stops_(std::move(request.stop)),
      kills_(request.kill_shards, request.kill_seed, request.max_tokens),
      history_(std::move(request.prompt)), stages_(shape.stages) {
  OVIR_CHECK(prompt_ > 0 && prompt_ <= shape.context && shape.stages > 0 &&
             shape.prefill_chunk > 0);
  // The last token drawn is never computed, so one more than the context has room for.
  max_tokens_ = std::min<std::size_t>(max_tokens_, shape.context - prompt_ + 1);
  target_ = static_cast<position>(prompt_);
  positions_max_ = target_ + static_cast<std::uint32_t>(max_tokens_ > 0 ? max_tokens_ - 1 : 0);
  awaiting_logits_ = max_tokens_ > 0;
  ended_ = max_tokens_ == 0;
}

bool lead_core::current(stage_index s, epoch e) const noexcept {
  return s.value < stages_.size() && e == epoch_ && phase_ != phase::gathering &&
         phase_ != phase::over;
}

lead_core::effects lead_core::on_stage_up(stage_index s) {
  effects out;
  if (s.value >= stages_.size() || phase_ == phase::over) {
    return out;
  }
  stage& st = stages_[s.value];
  restarts_ += st.was_up ? 1 : 0;
  const bool finished = st.finished;
  const std::uint64_t kv_bytes = st.kv_bytes;
  st = stage{};
  st.finished = finished;
  st.kv_bytes = kv_bytes;
  st.up = true;
  st.was_up = true;
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
  ++epoch_.value;
  phase_ = phase::opening;
  credit_.reset();
  resend_asked_ = false;
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    stages_[i].opened = false;
    out.push_back(open_effect{stage_index{i}});
  }
}

lead_core::effects lead_core::on_opened(const session_opened& e) {
  effects out;
  if (!current(e.stage, e.driver) || phase_ != phase::opening) {
    return out;
  }
  stages_[e.stage.value].opened = true;
  stages_[e.stage.value].length = e.length;
  if (std::all_of(stages_.begin(), stages_.end(), [](const stage& st) { return st.opened; })) {
    phase_ = phase::driving;
    enter_edge(shape_.stages - 1);
    drive(out);
  }
  drill(out);
  return out;
}

bool lead_core::add_leaves(const std::vector<compute::unit_leaf>& leaves, effects& out) {
  for (const compute::unit_leaf& leaf : leaves) {
    if (const auto added = transcript_.add_unit(leaf); !added) {
      fail(added.error(), out);
      return false;
    }
  }
  return true;
}

// Leaves are taken from any epoch, because a stage states each but once in its life and what it
// states is determined; progress only from the current one.
lead_core::effects lead_core::on_step(const step_done& e) {
  effects out;
  if (phase_ == phase::over || !add_leaves(e.leaves, out)) {
    return out;
  }
  report_.units_computed += e.units;
  if (current(e.stage, e.driver) && phase_ != phase::opening) {
    stage& st = stages_[e.stage.value];
    st.length = std::max(st.length, e.length);
    drive(out);
  }
  drill(out);
  return out;
}

lead_core::effects lead_core::on_finished(const session_finished& e) {
  effects out;
  if (!current(e.stage, e.driver) || phase_ != phase::finishing || e.length != target_) {
    return out;
  }
  if (!add_leaves(e.leaves, out)) {
    return out;
  }
  stage& st = stages_[e.stage.value];
  report_.units_computed += st.finished ? 0 : e.units;
  st.finished = true;
  st.kv_bytes = e.kv_bytes;
  drill(out);
  try_complete(out);
  return out;
}

lead_core::effects lead_core::on_failed(const stage_failed& e) {
  effects out;
  if (!current(e.stage, e.driver)) {
    return out;
  }
  if (e.reason.code == errc::peer_lost && complaints_ < limits::recoveries_max) {
    ++complaints_;
    gather(out);
    return out;
  }
  fail(e.reason, out);
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
    const std::uint32_t rows = awaiting_logits_ && cursor_ + count == target_ ? 1 : 0;
    if (edge_ == 0) {
      out.push_back(tokens_effect{cursor_, count, rows});
    } else {
      out.push_back(replay_effect{stage_index{edge_ - 1}, cursor_, count, rows});
    }
    cursor_ += count;
    credit_.spend(cursor_);
    if (edge_ == 0) {
      sent_ = std::max(sent_, cursor_);
    }
  }
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
  if (!ended_ || drawing_) {
    return;
  }
  phase_ = phase::finishing;
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    if (!stages_[i].finished) {
      out.push_back(finish_effect{stage_index{i}});
    }
  }
  try_complete(out);
}

lead_core::effects lead_core::on_logits(epoch driver, position at) {
  effects out;
  if (phase_ == phase::over || driver != epoch_ || !awaiting_logits_ || at + 1 != target_) {
    return out;
  }
  awaiting_logits_ = false;
  drawing_ = true;
  out.push_back(draw_effect{at});
  drill(out);
  return out;
}

void lead_core::end_generation(generation_end end) {
  ended_ = true;
  awaiting_logits_ = false;
  report_.end = end;
}

// Appends what `token` adds to the text; true when a stop string was completed.
bool lead_core::take_text(token_id token, effects& out) {
  const std::string shown = stops_.add(stream_.add(token));
  if (!shown.empty()) {
    report_.text += shown;
    out.push_back(text_effect{shown});
  }
  return stops_.stopped();
}

lead_core::effects lead_core::on_drawn(const token_drawn& e) {
  effects out;
  if (phase_ == phase::over || !drawing_) {
    return out;
  }
  drawing_ = false;
  if (ended_) { // cancelled while the draw was under way
    drive(out);
    return out;
  }
  if (const auto added = transcript_.add_logits(e.at, e.logits); !added) {
    fail(added.error(), out);
    return out;
  }
  history_.push_back(e.token);
  report_.tokens.push_back(e.token);
  if (vocabulary_.ends_generation(e.token) || take_text(e.token, out)) {
    end_generation(generation_end::stop);
  } else if (output_count() >= max_tokens_) {
    end_generation(generation_end::length);
  } else {
    target_ = static_cast<position>(history_.size());
    awaiting_logits_ = true;
  }
  drive(out);
  drill(out);
  return out;
}

lead_core::effects lead_core::on_cancel() {
  effects out;
  if (phase_ == phase::over || ended_) {
    return out;
  }
  end_generation(generation_end::cancelled);
  target_ = sent_;
  drive(out);
  // Before anything was sent there is nothing to wait for, and perhaps no stage to ask.
  if (sent_ == 0 && phase_ != phase::over) {
    conclude(out);
  }
  return out;
}

// One strike at a time: the next waits until the stage is back.
void lead_core::drill(effects& out) {
  if (phase_ == phase::over || phase_ == phase::gathering) {
    return;
  }
  const bool quiet = std::all_of(stages_.begin(), stages_.end(),
                                 [](const stage& st) { return st.up && !st.dying; });
  if (quiet && kills_.due(output_count(), phase_ == phase::finishing)) {
    const stage_index victim{kills_.choose(shape_.stages)};
    stages_[victim.value].dying = true;
    out.push_back(kill_effect{victim});
  }
}

void lead_core::try_complete(effects& out) {
  const bool whole = std::all_of(stages_.begin(), stages_.end(),
                                 [](const stage& st) { return st.finished && st.up && !st.dying; });
  if (phase_ != phase::finishing || !whole || kills_.pending(output_count())) {
    return;
  }
  conclude(out);
}

void lead_core::conclude(effects& out) {
  const std::string rest =
      stops_.stopped() ? std::string{} : stops_.add(stream_.finish()) + stops_.finish();
  if (!rest.empty()) {
    report_.text += rest;
    out.push_back(text_effect{rest});
  }
  const auto root = transcript_.root(shape_.hashed_layers, target_, history_);
  if (!root) {
    fail(root.error(), out);
    return;
  }
  report_.transcript = *root;
  report_.positions = target_;
  report_.leaves = transcript_.units();
  report_.logits = transcript_.logits();
  phase_ = phase::over;
  out.push_back(end_effect{});
}

lead_core::effects lead_core::fail_with(error reason) {
  effects out;
  fail(std::move(reason), out);
  return out;
}

void lead_core::fail(error reason, effects& out) {
  if (phase_ != phase::over) {
    failure_ = std::move(reason);
    phase_ = phase::over;
    out.push_back(end_effect{});
  }
}

result<generation_report> lead_core::outcome() {
  OVIR_CHECK(phase_ == phase::over);
  if (failure_) {
    return *failure_;
  }
  report_.restarts = restarts_;
  for (const stage& st : stages_) {
    report_.kv_bytes.push_back(st.kv_bytes);
  }
  return std::move(report_);
}

} // namespace ovir::actors
