// How a request ends: cancelled, whole or failed.
#include "actors/request/lead_core.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

lead_core::effects lead_core::on_cancel() {
  effects out;
  if (hidden_next_) { // half a vector is none
    return fail_with(error{errc::cancelled, "the request was cancelled"});
  }
  if (phase_ == phase::over || ended_) {
    return out;
  }
  end_generation(finish_reason::cancelled);
  // What tokens were drawn from is computed, if perhaps only as a draft.
  const bool drawn = sent_ > 0 && output_count() > 0;
  target_ = drawn ? std::max(sent_, static_cast<position>(history_.size() - 1)) : sent_;
  for (const stage& st : stages_) {
    target_ = std::max(target_, sent_ > 0 ? st.length : 0);
  }
  drive(out);
  // Before anything was sent there is nothing to wait for, and perhaps no stage to ask.
  if (sent_ == 0 && phase_ != phase::over) {
    target_ = 0;
    // Stages may have stated windows from the cache, for which nobody asked.
    for (const auto& [at, logits] : std::exchange(transcript_, {}).logits()) {
      static_cast<void>(transcript_.add_logits(at, logits));
    }
    for (stage& st : stages_) {
      st.reused = {};
      st.told.reset();
    }
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
    report_.reused.memory += st.reused.memory;
    report_.reused.disk += st.reused.disk;
    report_.reused.peer += st.reused.peer;
    report_.kv_bytes.push_back(st.kv_bytes);
    report_.explained.push_back(st.told ? std::optional{stage_reuse{st.reused, *st.told}}
                                        : std::nullopt);
  }
  return std::move(report_);
}

} // namespace ovir::actors
