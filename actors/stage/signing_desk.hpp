#pragma once

#include "actors/path/node_meter.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "messages/evidence/known_signatures.hpp"
#include "messages/signing.hpp"

#include <memory>
#include <string>

namespace ovir::actors {

/// With what the stages and leads of a node sign. The executor is none that computes: signing,
/// hashing and checking run beside the work and hold up no token. Outlives the actor system.
struct signing_desk {
  const secret_key* key{nullptr};
  compute_executor* executor{nullptr};
  std::string software;       ///< as in messages/evidence/evidence.hpp
  node_meter* meter{nullptr}; ///< null: nobody counts
  /// What was signed or verified here; for the executor's jobs alone, which run one by one.
  std::shared_ptr<known_signatures> known{std::make_shared<known_signatures>()};
};

} // namespace ovir::actors
