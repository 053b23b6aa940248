#include "compute/text/prompt_lookup.hpp"

#include "messages/limits/draft.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

/// How many tokens before `end` equal those at the end of `text`, as far as it matters.
std::size_t match_at(std::span<const token_id> text, std::size_t end) {
  const std::size_t most = std::min(lookup_match_max, end);
  std::size_t length = 0;
  while (length < most && text[end - 1 - length] == text[text.size() - 1 - length]) {
    ++length;
  }
  return length;
}

} // namespace

std::vector<token_id> lookup_draft(std::span<const token_id> history, std::size_t count) {
  const std::span<const token_id> text =
      history.last(std::min(history.size(), limits::draft_lookback_max));
  std::size_t best = lookup_match_min - 1;
  std::size_t best_end = 0; // of the earlier place
  for (std::size_t end = text.size(); end-- > lookup_match_min && best < lookup_match_max;) {
    if (const std::size_t length = match_at(text, end); length > best) {
      best = length;
      best_end = end;
    }
  }
  std::vector<token_id> draft;
  for (std::size_t i = 0; best_end > 0 && i < count; ++i) {
    const std::size_t at = best_end + i;
    draft.push_back(at < text.size() ? text[at] : draft[at - text.size()]);
  }
  return draft;
}

} // namespace ovir::compute
