#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/digest.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>

namespace ovir::actors {

/// What a stage knows for itself when it is ordered to sign for a request.
struct signing_facts {
  request_id request;
  /// Of the segment that computes; none within one process, which has one model and orders itself.
  std::optional<digest> model;
  std::uint32_t layers{0}; ///< of that model
  /// Of the request as it was told; none behind the first stage, which alone is told it.
  std::optional<digest> content;
  std::optional<std::uint64_t> unix_now; ///< none: it has no clock
};

/// Whether a stage may sign what this order says: each part of it that the stage knows is what it
/// runs, and its deadline is not over. `invalid_argument`, with the first part that is not.
[[nodiscard]] result<void> check_order(const evidence_order& order, const signing_facts& known);

/// The content that a lead signs for, as its first stage is told it.
[[nodiscard]] digest content_of(const request_log& log, std::uint32_t layers);

} // namespace ovir::actors
