#pragma once

#include "messages/evidence/audit_task.hpp"
#include "messages/evidence/receipt.hpp"
#include "verify/receipt_replay.hpp"
#include "verify/window_replay.hpp"

#include <optional>

/// A window of a stage as one verifier asks another about it (messages/evidence/audit_task.hpp).
namespace ovir::compute {

/// What `at` is computed from. Nothing else of the receipt goes into it, but for the tokens, which
/// all stages of a request share. Precondition: `window_of` gave `at`.
[[nodiscard]] audit_task task_of(const receipt& r, const stage_window& at);

/// A receipt of this window and those before it, by no node and with nothing stated but the
/// inputs: what `replay` and `replay_window` take. The window is `stage_window{0, task.window()}`.
[[nodiscard]] receipt receipt_of(const audit_task& task);

/// Of `again` what belongs to the window, if all of it is there: units, K and V, and where the
/// model ends logits and tokens.
[[nodiscard]] std::optional<replay_outcome> outcome_for(const audit_task& task,
                                                        const replay_outcome& again);
/// Names what a window came to. Tokens are not in it: they follow from the logits.
[[nodiscard]] digest outcome_digest(const replay_outcome& of_window);

/// Whether what goes into the window is what `again`, a replay from the tokens, computed: else it
/// is for those before to answer for.
[[nodiscard]] bool follows_from_tokens(const audit_task& task, const replay_outcome& again);

} // namespace ovir::compute
