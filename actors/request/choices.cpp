#include "actors/request/choices.hpp"

#include "compute/kernels/reference/block_operations.hpp"
#include "messages/check.hpp"

#include <algorithm>

namespace ovir::actors {

bool can_draw_from(const frame_view& frame, bool highest, std::uint32_t vocabulary) {
  if (!highest) {
    return frame.header.kind == frame_kind::logits && frame.header.width == vocabulary &&
           compute::all_finite(frame.floats());
  }
  if (frame.header.kind != frame_kind::choice) {
    return false;
  }
  const auto choices = frame.choices();
  return std::all_of(choices.begin(), choices.end(),
                     [&](const token_choice& choice) { return choice.token < vocabulary; });
}

bool can_pool(const frame_view& frame, std::uint32_t dim) {
  return frame.header.kind == frame_kind::hidden && frame.header.width == dim &&
         compute::all_finite(frame.floats());
}

tokens_drawn take_choices(const frame_view& frame, position at, std::span<const token_id> drafts) {
  OVIR_CHECK(frame.header.count > drafts.size());
  tokens_drawn out{at, {}};
  for (const token_choice& choice : frame.choices().first(drafts.size() + 1)) {
    const std::size_t row = out.drawn.size();
    out.drawn.push_back({choice.token, choice.logits});
    if (row < drafts.size() && choice.token != drafts[row]) {
      break; // what follows is of another text
    }
  }
  return out;
}

} // namespace ovir::actors
