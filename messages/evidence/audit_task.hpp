#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/node_id.hpp"
#include "messages/request/params.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <vector>

/// What one verifier asks another: a window of a stage, as what it is computed from. Who stated
/// something about it, in which request, and what, is not in it (docs/formats/audit.md).
namespace ovir {

struct audit_task {
  digest model;
  std::uint32_t model_layers{0};
  layer_range layers;           ///< the stage's
  std::uint32_t positions{0};   ///< of the request, to the end of the window
  std::uint32_t prompt{0};      ///< of the tokens, how many were given
  std::vector<token_id> tokens; ///< of these positions, and the one behind where there is one
  sampling_params sampling;
  digest input;           ///< the boundary that comes in; where the model begins, all zero
  std::vector<digest> kv; ///< of each earlier window, in order: K and V of each layer

  /// The one that is computed.
  [[nodiscard]] std::uint32_t window() const noexcept {
    return (positions - 1) / limits::window_positions;
  }

  friend bool operator==(const audit_task&, const audit_task&) = default;
};

/// Whether its parts fit each other: what may be written and read.
[[nodiscard]] result<void> check(const audit_task& task);
/// Names a task by all of it.
[[nodiscard]] digest task_digest(const audit_task& task);

/// A verifier's signature under what a window came to (`outcome_digest`), given before it is shown
/// what was stated.
[[nodiscard]] signature sign_outcome(const secret_key& key, const digest& task,
                                     const digest& outcome);
[[nodiscard]] bool verify_outcome(const node_id& by, const digest& task, const digest& outcome,
                                  const signature& s);

} // namespace ovir
