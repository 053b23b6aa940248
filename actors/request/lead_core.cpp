#include "actors/request/lead_core.hpp"

#include "actors/request/reused_windows.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Epochs of one lead count in the lower bits.
constexpr std::uint32_t epoch_bits = 20;

} // namespace

lead_core::lead_core(generation_request request, path_shape shape,
                     const compute::tokenizer& vocabulary)
    : shape_(shape), kills_(request.kill_shards, request.kill_seed, request.max_tokens),
      stages_(shape.stages), output_(request, shape.context, vocabulary),
      stated_(shape.hashed_layers) {
  // Leads of one request never share an epoch, and stages take the latest.
  run_.driver.value = OVIR_MUTANT("leads_share_epochs") ? 0 : request.generation << epoch_bits;
  OVIR_CHECK(shape.stages > 0 && shape.prefill_chunk > 0);
}

bool lead_core::current(stage_index s, epoch e) const noexcept {
  return s.value < stages_.size() && (e == run_.driver || OVIR_MUTANT("lead_takes_old_answers")) &&
         run_.now != phase::gathering && run_.now != phase::over;
}

lead_core::effects lead_core::resume() {
  effects out;
  for (const drawn_token& drawn : std::exchange(output_.earlier, {})) {
    if (output_.ended) {
      break;
    }
    const auto at = static_cast<position>(output_.history.size() - 1);
    if (const auto added = stated_.transcript().add_logits(at, drawn.logits); !added) {
      fail(added.error(), out);
      return out;
    }
    take_drawn(drawn, nullptr, out);
  }
  return out;
}

lead_core::effects lead_core::conclude_with(const answer_record& answer, bool from_disk) {
  output_.earlier = answer.drawn;
  effects out = resume();
  const bool same_end = output_.ended && output_.count() == answer.drawn.size() &&
                        output_.end_reason() == answer.end &&
                        answer.hashed_layers == shape_.hashed_layers;
  if (run_.now == phase::over || !same_end) {
    return out;
  }
  for (const compute::unit_leaf& leaf : leaves_of(answer)) {
    if (const auto added = stated_.transcript().add_unit(leaf); !added) {
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
  if (had_path_) {
    restarts_ += static_cast<std::uint32_t>(std::count(kept.begin(), kept.end(), false));
  }
  stages_.replace(kept);
  shape_.stages = stages_.size();
  OVIR_CHECK(places.empty() || places.size() == kept.size(), places.size(), kept.size());
  stated_.set_places(std::move(places));
  had_path_ = true;
  run_.gaps = 0;
  ++moves_;
  gather(out);
  return out;
}

lead_core::effects lead_core::on_stage_down(stage_index s) {
  if (s.value < stages_.size() && run_.now != phase::over) {
    stages_[s].up = false;
    stages_[s].dying = false;
    run_.now = phase::gathering;
  }
  return {};
}

// Begins an epoch as soon as every stage is there.
void lead_core::gather(effects& out) {
  run_.now = phase::gathering;
  if (!stages_.all([](const stage_row& st) { return st.up; })) {
    return;
  }
  reuse_windows_ = reuse_ && output_.target > 0 ? output_.reusable() / limits::window_positions : 0;
  doubted_from_.reset();
  begin_epoch(out);
}

void lead_core::begin_epoch(effects& out) {
  run_.driver.value += OVIR_MUTANT("lead_keeps_its_epoch") ? 0 : 1;
  run_.now = phase::opening;
  credit_.reset();
  run_.resend_asked = false;
  run_.finish_asked = false;
  run_.step_counts = false;
  output_.drop_drafts(); // stages drop them with the epoch
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    stages_[stage_index{i}].opened = false;
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
  stage_row& opened = stages_[e.stage];
  moves_ += opened.opened ? 0 : 1;
  opened.opened = true;
  opened.counted = e.length;
  opened.length = e.length + (OVIR_MUTANT("lead_counts_one_more") && e.length > 0 ? 1 : 0);
  opened.stated = e.length;
  opened.replays_from = e.replays_from;
  opened.inputs = e.inputs;
  opened.reused = e.reused;
  opened.told = e.told;
  if (output_.ended) { // what a stage holds by now is part of the answer
    output_.target = std::max(output_.target, e.length);
  }
  if (stages_.all([](const stage_row& st) { return st.opened; })) {
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

// What a stage took from the cache it cannot replay to one behind it that lacks it. So no stage
// takes more than that one has, or than fits; and nothing, if there was a gap again.
bool lead_core::close_gap(effects& out) {
  const auto gap = stages_.first_gap();
  const auto strange = find_strange_window(stages_, stated_, output_.history, output_.signs());
  if (!gap && !strange) {
    return false;
  }
  if (run_.gaps > 1 && stated_.replaceable()) { // it was told to take nothing from there
    blame(gap ? gap->source : strange->stage,
          {errc::malformed, "the stage cannot replay what it computed itself"}, out);
    return true;
  }
  doubted_from_ = strange && strange->differs ? std::optional{strange->window} : std::nullopt;
  const std::uint32_t there = gap ? gap->length / limits::window_positions : reuse_windows_;
  const std::uint32_t fit = strange ? std::min(there, strange->window) : there;
  reuse_windows_ = run_.gaps++ == 0 ? std::min(reuse_windows_, fit) : 0;
  begin_epoch(out);
  return true;
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
    take_length(e.stage, e.length);
    stages_[e.stage].stated = std::max(stages_[e.stage].stated, e.length);
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
  stage_row& st = stages_[e.stage];
  if (!stated_.all_of(e.stage, output_.target)) { // perhaps it said so while its path was another
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
  } else if (stated_.replaceable()) {
    lacks_something(e.stage, out);
  } else if (run_.complaints < limits::recoveries_max) {
    ++run_.complaints;
    gather(out);
  } else {
    fail(e.reason, out);
  }
  return out;
}

void lead_core::enter_edge(std::uint32_t edge) {
  run_.edge = edge;
  run_.cursor = stages_[stage_index{edge}].length;
  run_.edge_goal = edge == 0 ? 0 : stages_[stage_index{edge - 1}].length;
  credit_.reset();
}

void lead_core::drive(effects& out) {
  if (run_.now != phase::driving) {
    return;
  }
  while (stages_.done_behind(run_.edge) >= goal() && run_.edge > 0) {
    enter_edge(run_.edge - 1);
  }
  credit_.confirm(stages_.done_behind(run_.edge));
  feed(out);
  if (run_.edge == 0 && stages_.done_behind(0) >= output_.target) {
    all_computed(out);
  }
}

void lead_core::feed(effects& out) {
  while (credit_.available() && run_.cursor < goal() && !output_.guessing()) {
    const std::uint32_t count = std::min(shape_.prefill_chunk, goal() - run_.cursor);
    const std::uint32_t rows = output_.rows_wanted(run_.cursor, count);
    if (run_.edge == 0) {
      run_.step_counts = rows == 1 && count == 1 && output_count() > 0;
      if (run_.step_counts) {
        if (const std::uint32_t wanted = output_.ask_model(); wanted > 0) {
          out.push_back(guess_effect{output_.target, wanted});
          return;
        }
        output_.drafts = output_.draft();
        run_.step_counts = !output_.expects(); // those say nothing of how well guesses do
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
      if (output_.awaiting_logits && run_.cursor == output_.positions_max() &&
          output_.drafts.empty()) {
        ask_for_ends(out);
      }
    }
  }
}

void lead_core::all_computed(effects& out) {
  if (output_.awaiting_logits) {
    // The last stage computed them in an earlier epoch, and they were lost on the way.
    if (!run_.resend_asked) {
      run_.resend_asked = true;
      out.push_back(resend_effect{output_.target - (OVIR_MUTANT("lead_resends_another") ? 0 : 1)});
    }
    return;
  }
  if (!output_.ended || output_.drawing || output_.lacks_hidden()) {
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
    if (!stages_[stage_index{i}].finished) {
      out.push_back(finish_effect{stage_index{i}, output_.target});
    }
  }
}

lead_core::effects lead_core::on_logits(epoch driver, position first, std::uint32_t count) {
  effects out;
  if (run_.now == phase::over || driver != run_.driver) {
    return out;
  }
  const stage_index last{static_cast<std::uint32_t>(stages_.size() - 1)};
  if (first >= limits::context_max || too_long(last, driver, first + 1, out)) {
    return out;
  }
  // The last stage says no more than this where it has no more to say.
  take_length(stages_.last(), first + 1);
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
    if (driver == run_.driver) {
      const stage_index last{static_cast<std::uint32_t>(stages_.size() - 1)};
      if (too_long(last, driver, computed, out)) {
        return out;
      }
      take_length(stages_.last(), computed);
    }
    drive(out);
  }
  return out;
}

void lead_core::take_drawn(const drawn_token& drawn, shared_logprobs logprobs, effects& out) {
  const auto index = static_cast<std::uint32_t>(output_count());
  std::string shown = output_.take(drawn.token);
  out.push_back(drawn_effect{index, drawn, std::move(shown), std::move(logprobs)});
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
  run_.complaints = 0; // it goes on
  ++moves_;
  stages_.forgive();
  for (std::size_t i = 0; i < e.drawn.size() && !output_.ended; ++i) {
    const position at = e.at + static_cast<position>(i);
    if (const auto added = stated_.transcript().add_logits(at, e.drawn[i].logits); !added) {
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
    output_.passed(static_cast<std::uint32_t>(drafts.size()), right, step);
  }
  report_.drafted += drafts.size();
  report_.accepted += right;
  drive(out);
  drill(out);
  return out;
}

std::optional<stage_index> lead_core::awaited() const noexcept {
  if (run_.now == phase::opening) {
    return stages_.first([](const stage_row& st) { return !st.opened; });
  }
  if (run_.now == phase::finishing) {
    return stages_.first([](const stage_row& st) { return !st.finished; });
  }
  if (run_.now != phase::driving || output_.drawing || output_.guessing()) {
    return std::nullopt;
  }
  const auto behind =
      stages_.first([&](const stage_row& st) { return st.length < run_.cursor; }, run_.edge);
  const bool rows_owed = output_.awaiting_logits || output_.lacks_hidden();
  return behind || !rows_owed ? behind : std::optional{stages_.last()};
}

// Leaves are taken from any epoch, because what a stage states is determined. It states all of them
// again when it is opened again, so what is passed over here is not lost.
bool lead_core::add_leaves(stage_index s, epoch e, bool ends,
                           const std::vector<compute::unit_leaf>& leaves, effects& out) {
  auto objection = stated_.add(s, current(s, e), {output_.target, length_max(), ends}, leaves);
  if (!objection) {
    return true;
  }
  if (objection->of == stated_units::fault::stage) {
    blame(s, std::move(objection->reason), out);
    return false;
  }
  if (objection->of == stated_units::fault::earlier) {
    out.push_back(accuse_effect{objection->host, objection->reason});
  }
  fail(std::move(objection->reason), out);
  return false;
}

bool lead_core::too_long(stage_index s, epoch e, position length, effects& out) {
  if (!stated_.replaceable() || !current(s, e) || length <= length_max()) {
    return false;
  }
  blame(s,
        {errc::malformed,
         fmt::format("the stage says it holds {} positions of {}", length, length_max())},
        out);
  return true;
}

// A stage that lacks what it was sent gets it again. When that does not help, either it lies or the
// one before it does not send: one is blamed, and the next time the other.
void lead_core::lacks_something(stage_index s, effects& out) {
  stage_row& st = stages_[s];
  if (st.complaints < limits::recoveries_max) {
    ++st.complaints;
    gather(out);
    return;
  }
  const bool source = std::exchange(run_.blames_source, !run_.blames_source) && s.value > 0;
  const stage_index at{source ? s.value - 1 : s.value};
  blame(at,
        {errc::malformed, fmt::format("stage {} lacked what it was sent {} times", s.value,
                                      limits::recoveries_max + 1)},
        out);
}

lead_core::effects lead_core::on_bad_answer(epoch driver, error reason) {
  effects out;
  const stage_index last = stages_.last();
  if (current(last, driver)) {
    blame(last, std::move(reason), out);
  }
  return out;
}

void lead_core::blame(stage_index s, error reason, effects& out) {
  if (!stated_.replaceable()) {
    fail(std::move(reason), out);
    return;
  }
  const std::uint32_t host = stated_.places()[s.value].host;
  stated_.forget(host);
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    if (stated_.places()[i].host == host) {
      stages_[stage_index{i}].finished = false;
    }
  }
  stages_[s].up = false;
  stages_[s].dying = false;
  run_.now = phase::gathering;
  out.push_back(blame_effect{s, std::move(reason)});
}

lead_core::effects lead_core::on_cancel() {
  effects out;
  if (output_.hidden_next) { // half a vector is none
    return fail_with(error{errc::cancelled, "the request was cancelled"});
  }
  if (run_.now == phase::over || output_.ended) {
    return out;
  }
  output_.end(finish_reason::cancelled);
  // What tokens were drawn from is computed, if perhaps only as a draft.
  const bool drawn = run_.sent > 0 && output_count() > 0;
  output_.target =
      drawn ? std::max(run_.sent, static_cast<position>(output_.history.size() - 1)) : run_.sent;
  for (const stage_row& st : stages_) {
    output_.target = std::max(output_.target, run_.sent > 0 ? st.length : 0);
  }
  drive(out);
  // Before anything was sent there is nothing to wait for, and perhaps no stage to ask.
  if (run_.sent == 0 && run_.now != phase::over) {
    output_.target = 0;
    // Stages may have stated windows from the cache that no token was sent for.
    stated_.drop_units();
    stages_.forget_reuse();
    conclude(out);
  }
  return out;
}

// One strike at a time: the next waits until the stage is back.
void lead_core::drill(effects& out) {
  if (run_.now == phase::over || run_.now == phase::gathering) {
    return;
  }
  const bool quiet = stages_.all([](const stage_row& st) { return st.up && !st.dying; });
  if (quiet && kills_.due(output_count(), run_.now == phase::finishing)) {
    const stage_index victim{kills_.choose(shape_.stages)};
    stages_[victim].dying = true;
    out.push_back(kill_effect{victim});
  }
}

void lead_core::try_complete(effects& out) {
  const bool whole =
      stages_.all([](const stage_row& st) { return st.finished && st.up && !st.dying; });
  if (run_.now != phase::finishing || !whole || kills_.pending(output_count())) {
    return;
  }
  conclude(out);
}

void lead_core::conclude(effects& out) {
  if (std::string rest = output_.finish_text(); !rest.empty()) {
    out.push_back(text_effect{std::move(rest)});
  }
  const auto root =
      stated_.transcript().root(shape_.hashed_layers, output_.target, output_.history);
  if (!root) {
    fail(root.error(), out);
    return;
  }
  report_.transcript = *root;
  report_.positions = output_.target;
  report_.leaves = stated_.transcript().units();
  report_.logits = stated_.transcript().logits();
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
  report_.tokens = output_.tokens();
  report_.text = output_.text();
  report_.end = output_.end_reason();
  report_.restarts = restarts_;
  stages_.add_to(report_);
  return std::move(report_);
}

} // namespace ovir::actors
