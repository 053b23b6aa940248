// How a request ends: cancelled, whole or failed.
#include "actors/request/lead_core.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

lead_core::effects lead_core::on_cancel() {
  effects out;
  if (output_.hidden_next) { // half a vector is none
    return fail_with(error{errc::cancelled, "the request was cancelled"});
  }
  if (run_.now == phase::over || output_.ended) {
    return out;
  }
  end_generation(finish_reason::cancelled);
  // What tokens were drawn from is computed, if perhaps only as a draft.
  const bool drawn = run_.sent > 0 && output_count() > 0;
  output_.target =
      drawn ? std::max(run_.sent, static_cast<position>(output_.history.size() - 1)) : run_.sent;
  for (const stage& st : stages_) {
    output_.target = std::max(output_.target, run_.sent > 0 ? st.length : 0);
  }
  drive(out);
  // Before anything was sent there is nothing to wait for, and perhaps no stage to ask.
  if (run_.sent == 0 && run_.now != phase::over) {
    output_.target = 0;
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
  if (run_.now == phase::over || run_.now == phase::gathering) {
    return;
  }
  const bool quiet = std::all_of(stages_.begin(), stages_.end(),
                                 [](const stage& st) { return st.up && !st.dying; });
  if (quiet && kills_.due(output_count(), run_.now == phase::finishing)) {
    const stage_index victim{kills_.choose(shape_.stages)};
    stages_[victim.value].dying = true;
    out.push_back(kill_effect{victim});
  }
}

void lead_core::try_complete(effects& out) {
  const bool whole = std::all_of(stages_.begin(), stages_.end(),
                                 [](const stage& st) { return st.finished && st.up && !st.dying; });
  if (run_.now != phase::finishing || !whole || kills_.pending(output_count())) {
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
  const auto root = transcript_.root(shape_.hashed_layers, output_.target, output_.history);
  if (!root) {
    fail(root.error(), out);
    return;
  }
  report_.transcript = *root;
  report_.positions = output_.target;
  report_.leaves = transcript_.units();
  report_.logits = transcript_.logits();
  run_.now = phase::over;
  out.push_back(end_effect{});
}

lead_core::effects lead_core::fail_with(error reason) {
  effects out;
  fail(std::move(reason), out);
  return out;
}

void lead_core::fail(error reason, effects& out) {
  if (run_.now != phase::over) {
    failure_ = std::move(reason);
    run_.now = phase::over;
    out.push_back(end_effect{});
  }
}

result<generation_report> lead_core::outcome() {
  OVIR_CHECK(run_.now == phase::over);
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
