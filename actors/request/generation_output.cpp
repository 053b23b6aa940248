#include "actors/request/generation_output.hpp"

#include "compute/text/prompt_lookup.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace ovir::actors {

generation_output::generation_output(generation_request& request, std::uint32_t context,
                                     const compute::tokenizer& vocabulary)
    : history(std::move(request.prompt)), sources_(request.drafts), prompt_(history.size()),
      max_tokens_(request.max_tokens), min_tokens_(request.sampling.min_tokens),
      vocabulary_(vocabulary), stream_(vocabulary), stops_(std::move(request.stop)),
      logprobs_(request.logprobs.has_value()), signs_(request.receipt) {
  OVIR_CHECK(prompt_ > 0 && prompt_ <= context, prompt_, context);
  // The last token drawn is never computed, so one more than the context has room for.
  max_tokens_ = std::min<std::size_t>(max_tokens_, context - prompt_ + 1);
  target = static_cast<position>(prompt_);
  positions_max_ = target + static_cast<std::uint32_t>(max_tokens_ > 0 ? max_tokens_ - 1 : 0);
  awaiting_logits = max_tokens_ > 0;
  ended = max_tokens_ == 0;
  if (request.embedding) {
    hidden_next = *request.embedding == pooling::mean ? 0 : target - 1;
  }
  adopt(std::move(request.drawn));
}

void generation_output::adopt(std::vector<drawn_token> drawn) {
  drawn.resize(std::min(drawn.size(), max_tokens_));
  if (logprobs_ && drawn.size() > expected_.size()) {
    expected_.clear();
    for (const drawn_token& one : drawn) {
      expected_.push_back(one.token);
    }
  } else if (!logprobs_ && drawn.size() > earlier.size()) {
    earlier = std::move(drawn);
  }
}

std::string generation_output::take(token_id token) {
  history.push_back(token);
  if (count() <= expected_.size() && expected_[count() - 1] != token) {
    expected_.clear(); // of another text
  }
  const bool ending = vocabulary_.ends_generation(token);
  std::string shown = ending ? std::string{} : stream_.add(token);
  if (!ending && count() > min_tokens_) {
    shown = stops_.add(shown);
  }
  text_ += shown;
  if (ending || stops_.stopped()) {
    end(finish_reason::stop);
  } else if (count() >= max_tokens_) {
    end(finish_reason::length);
  } else {
    target = static_cast<position>(history.size());
    awaiting_logits = true;
  }
  return shown;
}

std::string generation_output::finish_text() {
  std::string rest =
      stops_.stopped() ? std::string{} : stops_.add(stream_.finish()) + stops_.finish();
  text_ += rest;
  return rest;
}

void generation_output::end(finish_reason reason) {
  ended = true;
  awaiting_logits = false;
  sources_.guessing = false;
  end_ = reason;
}

// The last token that may be drawn is never computed, so no draft reaches it.
std::uint32_t generation_output::room_for_drafts() const noexcept {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(max_tokens_ - count() - 1, limits::draft_tokens_max));
}

std::vector<token_id> generation_output::draft() {
  const std::uint32_t room = room_for_drafts();
  if (sources_.guess) {
    return *std::exchange(sources_.guess, std::nullopt);
  }
  if (expects()) {
    const auto rest = std::span{expected_}.subspan(count());
    const auto next = rest.first(std::min<std::size_t>(rest.size(), room));
    return {next.begin(), next.end()};
  }
  if (room == 0 || !sources_.by_lookup.asks()) {
    return {};
  }
  std::vector<token_id> guess = compute::lookup_draft(history, room);
  guess.resize(sources_.by_lookup.choose(static_cast<std::uint32_t>(guess.size())));
  return guess;
}

// A text that repeats itself needs no model, unless the model does better.
std::uint32_t generation_output::ask_model() {
  const std::uint32_t room = room_for_drafts();
  if (!sources_.has_model || sources_.guess || expects() || room == 0) {
    return 0;
  }
  std::vector<token_id> found;
  if (sources_.by_lookup.asks()) {
    found = compute::lookup_draft(history, room);
  }
  const auto length = static_cast<std::uint32_t>(found.size());
  if (length > 0 && sources_.by_lookup.promise(length) >= sources_.by_model.promise(room)) {
    found.resize(sources_.by_lookup.choose(length));
    if (!found.empty()) {
      sources_.guess = std::move(found);
      return 0;
    }
  }
  const std::uint32_t wanted = sources_.by_model.choose(room);
  sources_.guessing = wanted > 0;
  return wanted;
}

void generation_output::take_guess(position at, std::vector<token_id> tokens) {
  if (!sources_.guessing || at != target) {
    return;
  }
  sources_.guessing = false;
  tokens.resize(std::min<std::size_t>(tokens.size(), room_for_drafts()));
  sources_.from_model = !tokens.empty();
  sources_.guess = std::move(tokens);
}

void generation_output::passed(std::uint32_t drafted, std::uint32_t right,
                               std::chrono::nanoseconds time) {
  if (drafted > 0) {
    sources_.used().passed(drafted, right, time);
  } else { // both compare with it
    sources_.by_lookup.passed(0, 0, time);
    sources_.by_model.passed(0, 0, time);
  }
  sources_.from_model = false;
}

void generation_output::drop_drafts() {
  if (!drafts.empty()) {
    drafts.clear();
    sources_.used().lost();
  }
  sources_.guess.reset();
  sources_.guessing = false;
  sources_.from_model = false;
}

// Of a step that is new, those of its last position. Where stages sign, also of what was computed
// before, elsewhere or as a draft: the stage that computes it last states what was drawn from.
std::uint32_t generation_output::rows_wanted(position first, std::uint32_t count) const noexcept {
  const position end = first + count;
  if (hidden_next) {
    return end - std::min(end, std::max(first, *hidden_next));
  }
  const auto first_draw = static_cast<position>(prompt_ - 1);
  if (signs_ && max_tokens_ > 0 && end > first_draw) {
    return end - std::max(first, first_draw);
  }
  return awaiting_logits && end == target ? 1 : 0;
}

} // namespace ovir::actors
