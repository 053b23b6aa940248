#include "verify/replay_draws.hpp"

#include "compute/model/transcript.hpp"
#include "verify/receipt_check.hpp"

#include <algorithm>

namespace ovir::compute {

result<void> check_replayable(const receipt& r, const model_config& config) {
  if (r.asked.layers != config.layers || r.positions > config.context) {
    return fail(errc::invalid_argument,
                "the receipt is of {} layers and {} positions, the model has {} and sees {}",
                r.asked.layers, r.positions, config.layers, config.context);
  }
  OVIR_TRY(check(r.asked.sampling));
  for (const std::vector<token_id>* const list : {&r.asked.prompt, &r.output}) {
    const auto unknown = std::find_if(list->begin(), list->end(),
                                      [&](token_id id) { return id >= config.vocabulary; });
    if (unknown != list->end()) {
      return fail(errc::invalid_argument, "token {} is outside the model's vocabulary of {}",
                  *unknown, config.vocabulary);
    }
  }
  return {};
}

replay_draws::replay_draws(const receipt& r, const model_config& config,
                           const tokenizer* vocabulary)
    : receipt_(r), row_(config.vocabulary), tokens_(r.asked.prompt), sampler_(r.asked.sampling) {
  tokens_.insert(tokens_.end(), r.output.begin(), r.output.end());
  if (vocabulary != nullptr && restricts_tokens(r.asked.sampling)) {
    if (auto made = matcher_of(
            r, &vocabulary->words())) { // else its tokens are not judged, but all else is
      matcher_ = std::move(*made);
    }
  }
}

std::uint32_t replay_draws::rows_of(position first, position end) const noexcept {
  const auto first_draw = static_cast<position>(receipt_.asked.prompt.size() - 1);
  return end <= first_draw ? 0 : end - std::max(first, first_draw);
}

void replay_draws::take(position first, std::span<const float> rows, replay_outcome& out) {
  for (position p = first; !rows.empty(); ++p, rows = rows.subspan(row_)) {
    const auto row = rows.first(row_);
    out.draws[p] = logits_digest(p, row);
    if (p + 1 < tokens_.size()) {
      take_token(p, row, out);
    }
  }
}

// After a token that must not have been drawn no token is judged: the fault is that one's alone.
void replay_draws::take_token(position p, std::span<const float> row, replay_outcome& out) {
  const auto before = tokens().first(p + 1);
  const auto output = before.subspan(receipt_.asked.prompt.size());
  token_mask allowed;
  if (matcher_) {
    const auto found = matcher_->allowed(output);
    if (!found) {
      return;
    }
    allowed = *found;
  } else if (restricts_tokens(receipt_.asked.sampling)) {
    return;
  }
  out.follows[p] = sampler_.draw(row, before, p + 1, allowed, output);
}

} // namespace ovir::compute
