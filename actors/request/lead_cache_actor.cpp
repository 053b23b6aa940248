#include "actors/request/lead_cache_actor.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

caf::actor cache_of(const lead_state& state) {
  const auto& handle = state.environment.cache.handle;
  return handle ? handle->get() : caf::actor{};
}

std::uint64_t microseconds(std::chrono::nanoseconds time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

// The salt stays here: with it a stage could name whatever else its owner asks.
void follow_history(lead_reuse& reuse, std::span<const token_id> history) {
  reuse.chain.add(history.subspan(reuse.chain.length()));
  const std::vector<digest>& prefixes = reuse.chain.windows();
  for (std::size_t w = reuse.names.size(); w < prefixes.size(); ++w) {
    reuse.names.push_back(compute::window_name(reuse.use.salt, prefixes[w]));
  }
}

void answered(lead_pointer self, request_entered* known) {
  lead_reuse& reuse = *self->state.reuse;
  if (const auto go_on = std::exchange(reuse.go_on, nullptr)) {
    self->demonitor(reuse.waits_for);
    go_on(known);
  }
}

} // namespace

bool enter_cache(lead_pointer self, const cache_use& use,
                 std::function<void(request_entered*)> go_on) {
  lead_state& state = self->state;
  const caf::actor cache = cache_of(state);
  if (!use.prefixes || !cache) {
    return false;
  }
  const request_log& log = *state.log;
  lead_reuse& reuse = state.reuse.emplace();
  reuse.use = use;
  reuse.era = state.environment.cache.handle->era();
  reuse.chain.add(log.prompt);
  enter_request question{state.request, use.salt,    reuse.chain.windows(), 0,
                         std::nullopt,  std::nullopt};
  question.model = state.environment.cache.model;
  question.wanted = (log.prompt.size() - 1) / limits::window_positions;
  if (use.answers) {
    reuse.request_name = request_digest(state.environment.cache.model, log.prompt, log.sampling);
    if (state.signing.terms == nullptr) { // else the logits of each token are stated
      question.request_name = reuse.request_name;
    }
    // Else somebody has seen the beginning already; and answers are kept without logprobs.
    if (log.drawn.empty() && !log.logprobs) {
      question.finished_key = finished_key(*reuse.request_name, log.max_tokens, log.stop);
    }
  }
  // A cache that crashes answers nobody, and its successor knows of nothing.
  reuse.waits_for = cache.address();
  reuse.go_on = std::move(go_on);
  self->monitor(cache);
  self->request(cache, state.times.deadline, std::move(question))
      .then([self](request_entered& known) { answered(self, &known); },
            [self](const caf::error&) { answered(self, nullptr); });
  return true;
}

bool cache_down(lead_pointer self, const caf::down_msg& message) {
  const auto& reuse = self->state.reuse;
  if (!reuse || !reuse->go_on || reuse->waits_for != message.source) {
    return false;
  }
  answered(self, nullptr);
  return true;
}

void adopt_draws(lead_core& core, std::vector<drawn_token> drawn, std::uint32_t vocabulary) {
  const auto wrong = std::find_if(drawn.begin(), drawn.end(), [vocabulary](const drawn_token& d) {
    return d.token >= vocabulary;
  });
  drawn.erase(wrong, drawn.end());
  core.adopt(std::move(drawn));
}

std::optional<reuse_order> reuse_now(lead_pointer self) {
  lead_state& state = self->state;
  if (!state.reuse) {
    return std::nullopt;
  }
  lead_reuse& reuse = *state.reuse;
  follow_history(reuse, state.core->history());
  reuse.named = reuse.names.size();
  return reuse_order{std::min(state.core->reuse_windows(), static_cast<std::uint32_t>(reuse.named)),
                     reuse.names, reuse.use.explain, state.core->doubted_from()};
}

void tell_windows(lead_pointer self) {
  lead_state& state = self->state;
  if (!state.reuse) {
    return;
  }
  lead_reuse& reuse = *state.reuse;
  const auto history = state.core->history();
  if (history.size() / limits::window_positions > reuse.named) {
    follow_history(reuse, history);
    const auto& windows = reuse.names;
    for (const path_stage& stage : state.path) {
      if (stage.handle) {
        tell_stage(self, stage.handle,
                   name_windows{static_cast<std::uint32_t>(reuse.named),
                                {windows.begin() + static_cast<std::ptrdiff_t>(reuse.named),
                                 windows.end()}});
      }
    }
    reuse.named = windows.size();
  }
  if (const std::uint32_t computed = state.core->windows_computed();
      computed > reuse.computed_told) {
    reuse.computed_told = computed;
    if (const caf::actor cache = cache_of(state)) {
      caf::anon_send(cache, windows_computed{state.request, computed});
    }
  }
}

void keep_draws(lead_pointer self, std::uint32_t index) {
  lead_state& state = self->state;
  constexpr std::uint32_t size = limits::window_positions;
  const caf::actor cache = cache_of(state);
  const auto& drawn = state.log->drawn;
  if (!state.reuse || !state.reuse->request_name || state.signing.terms != nullptr ||
      (index + 1) % size != 0 || !cache || index >= drawn.size()) {
    return;
  }
  answer_record record;
  record.key = draws_key(*state.reuse->request_name, index / size);
  const auto end = drawn.begin() + index + 1;
  record.drawn.assign(end - size, end);
  caf::anon_send(cache, keep_answer{state.reuse->use.salt, std::move(record),
                                    microseconds(size * state.watch.patience.smoothed()),
                                    state.reuse->era});
}

bool may_tell(lead_pointer self, answer_record& finished, std::uint32_t vocabulary) {
  lead_state& state = self->state;
  if (!agrees(finished, state.log->prompt, state.log->max_tokens, vocabulary)) {
    return false;
  }
  if (state.signing.terms == nullptr) {
    return true;
  }
  const auto made = decode_receipt(finished.receipt);
  const auto same_token = [](token_id a, const drawn_token& b) { return a == b.token; };
  // But for a seed that nothing is drawn with.
  const auto same_request = [&](const request_facts& asked) {
    return state.reuse->request_name == request_digest(asked.model, asked.prompt, asked.sampling) &&
           asked.max_tokens == state.log->max_tokens && asked.stop == state.log->stop;
  };
  if (!made || !same_request(made->asked) ||
      !std::equal(made->output.begin(), made->output.end(), finished.drawn.begin(),
                  finished.drawn.end(), same_token)) {
    return false;
  }
  state.reuse->receipt =
      std::make_shared<const result<std::vector<std::byte>>>(std::move(finished.receipt));
  return true;
}

void keep_finished(lead_pointer self, const generation_report& report,
                   const result<std::vector<std::byte>>* receipt) {
  lead_state& state = self->state;
  const caf::actor cache = cache_of(state);
  if (!state.reuse || !cache) {
    return;
  }
  const bool whole = report.end != finish_reason::cancelled && !report.tokens.empty() &&
                     report.logits.size() == report.tokens.size() &&
                     (receipt != nullptr ? receipt->has_value() : state.signing.terms == nullptr);
  if (state.reuse->request_name && whole && !report.answer_reused) {
    answer_record record;
    record.key = finished_key(*state.reuse->request_name, state.log->max_tokens, state.log->stop);
    for (std::size_t i = 0; i < report.tokens.size(); ++i) {
      record.drawn.push_back({report.tokens[i], report.logits[i].second});
    }
    record.finished = true;
    record.end = report.end;
    record.positions = report.positions;
    record.hashed_layers = state.environment.shape.hashed_layers;
    for (const compute::unit_leaf& leaf : report.leaves) {
      record.leaves.push_back(leaf.boundary);
    }
    record.transcript = report.transcript;
    if (receipt != nullptr) {
      record.receipt = **receipt;
    }
    if (agrees(record, state.log->prompt, state.log->max_tokens,
               state.environment.vocabulary->vocabulary())) {
      caf::anon_send(cache, keep_answer{state.reuse->use.salt, std::move(record),
                                        microseconds(report.prefill_time + report.decode_time),
                                        state.reuse->era});
    }
  }
  caf::anon_send(cache, leave_request{state.request});
}

} // namespace ovir::actors
