#include "actors/request/draft_model.hpp"

#include "messages/check.hpp"
#include "messages/limits/draft.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace ovir::actors {

namespace {

/// Ids the repeat penalty looks at.
constexpr std::size_t recent_ids = 64;

/// The first token that is another one; nothing where all are the same.
std::optional<token_id> first_difference(const compute::tokenizer& a, const compute::tokenizer& b) {
  const std::uint32_t count = std::max(a.vocabulary(), b.vocabulary());
  for (token_id id = 0; id < count; ++id) {
    if (a.piece(id, true) != b.piece(id, true) || a.ends_generation(id) != b.ends_generation(id)) {
      return id;
    }
  }
  return std::nullopt;
}

} // namespace

result<std::shared_ptr<draft_model>> draft_model::make(const compute::model& checked,
                                                       const compute::kernel_set& kernels,
                                                       const compute::tokenizer& own,
                                                       const compute::tokenizer& target,
                                                       std::shared_ptr<const void> keeps) {
  const std::uint32_t rows = checked.config.vocabulary;
  const auto other = first_difference(own, target);
  if (other || rows < target.vocabulary()) {
    return fail(errc::invalid_argument,
                "a model cannot guess for one with another vocabulary: token {} is not the same in "
                "both; take one of the same family",
                other.value_or(rows));
  }
  OVIR_ASSIGN(auto layers,
              compute::segment::make_checked(checked, {0, checked.config.layers}, kernels));
  return std::shared_ptr<draft_model>{
      new draft_model{std::move(layers), own, target.vocabulary(), std::move(keeps)}};
}

std::unique_ptr<draft_run> draft_model::open(const std::shared_ptr<draft_model>& model,
                                             std::uint32_t positions,
                                             const sampling_params& sampling) {
  std::unique_ptr<compute::token_matcher> matcher;
  if (restricts_tokens(sampling)) {
    auto made = compute::token_matcher::make(sampling, model->vocabulary_.words());
    if (!made) {
      return nullptr;
    }
    matcher = std::move(*made);
  }
  // Behind the last position come guesses.
  const std::uint32_t most =
      std::min(positions + limits::draft_tokens_max, model->segment_->config().context);
  auto state = model->segment_->open(most, limits::draft_kv_bytes_max);
  if (!state || model->runs_.fetch_add(1) >= limits::draft_runs_max) {
    if (state) {
      model->runs_.fetch_sub(1);
    }
    return nullptr;
  }
  return std::unique_ptr<draft_run>{
      new draft_run{model, std::move(*state), sampling, std::move(matcher)}};
}

draft_run::draft_run(std::shared_ptr<draft_model> model, compute::segment_state state,
                     const sampling_params& sampling,
                     std::unique_ptr<compute::token_matcher> matcher)
    : model_(std::move(model)), state_(std::move(state)), sampler_(sampling),
      matcher_(std::move(matcher)) {}

draft_run::~draft_run() { model_->runs_.fetch_sub(1); }

/// The next positions that it lacks, a chunk at most. False: it cannot.
bool draft_run::compute_next(std::span<const token_id> history, bool wants_logits,
                             compute::parallel_runner& runner) {
  broken_ = broken_ || history.size() > state_.kv.capacity();
  if (broken_) {
    return false;
  }
  const auto left = static_cast<std::uint32_t>(history.size() - state_.length());
  compute::step_input in;
  in.first = state_.length();
  in.count = std::min(left, limits::draft_chunk);
  in.tokens = history.subspan(in.first, in.count);
  in.logit_rows = wants_logits ? 1 : 0;
  broken_ = !model_->segment_->forward(state_, in, runner, step_);
  return !broken_;
}

bool draft_run::prepare(std::span<const token_id> history, compute::parallel_runner& runner) {
  return state_.length() < history.size() && compute_next(history, false, runner) &&
         state_.length() < history.size();
}

bool draft_run::is_ready(std::size_t tokens) const noexcept {
  return !broken_ && state_.length() < tokens && tokens - state_.length() <= limits::draft_chunk;
}

/// The next token, from the logits of the last position, behind `history`.
bool draft_run::draw(std::vector<token_id>& history, std::size_t output) {
  const std::span<const token_id> all{history};
  compute::token_mask allowed;
  if (matcher_ != nullptr) {
    const auto found = matcher_->allowed(all.last(output));
    if (!found) {
      return false;
    }
    allowed = *found;
  }
  const auto logits = std::span<const float>{step_.logits}.first(model_->tokens_);
  history.push_back(sampler_.draw(logits, all.last(std::min(all.size(), recent_ids)),
                                  static_cast<position>(history.size()), allowed,
                                  all.last(output)));
  return true;
}

std::vector<token_id> draft_run::guess(std::span<const token_id> history, std::size_t output,
                                       std::uint32_t count, compute::parallel_runner& runner) {
  OVIR_CHECK(is_ready(history.size()), history.size(), state_.length());
  if (!compute_next(history, true, runner)) {
    return {};
  }
  // What comes behind the history is taken back: the guesses may be wrong.
  const compute::unit_digests known = state_.units;
  std::vector<token_id> longer{history.begin(), history.end()};
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool computed = i == 0 || compute_next(longer, true, runner);
    if (!computed || !draw(longer, output + i) ||
        model_->vocabulary_.ends_generation(longer.back())) {
      break;
    }
  }
  state_.units = known;
  state_.kv.set_length(static_cast<position>(history.size()));
  return {longer.begin() + static_cast<std::ptrdiff_t>(history.size()), longer.end()};
}

} // namespace ovir::actors
