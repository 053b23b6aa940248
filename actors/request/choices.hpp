#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/wire/frame.hpp"

#include <cstdint>
#include <span>

/// What a lead makes of the last stage's frames.
namespace ovir::actors {

/// Whether a frame is what a last stage was asked for: with `highest`, choices among the tokens of
/// the vocabulary, else rows of logits of all of them, which are numbers.
[[nodiscard]] bool can_draw_from(const frame_view& frame, bool highest, std::uint32_t vocabulary);

/// Whether a frame is what a last stage of a request for a vector is asked for: hidden rows of this
/// width, which are numbers.
[[nodiscard]] bool can_pool(const frame_view& frame, std::uint32_t dim);

/// The tokens that a frame of choices draws after position `at`: as long as what was chosen is the
/// next of the drafts, the next choice counts, too. Precondition: `can_draw_from` with `highest`,
/// and more rows than drafts.
[[nodiscard]] tokens_drawn take_choices(const frame_view& frame, position at,
                                        std::span<const token_id> drafts);

} // namespace ovir::actors
