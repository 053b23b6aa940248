#pragma once

#include "messages/evidence/evidence.hpp"

#include <vector>

namespace ovir::actors {

/// What a stage signed of a request that is over here: as `stage_evidence::all`.
struct claimable_work {
  evidence_terms terms;
  std::vector<evidence_batch> batches;
};

} // namespace ovir::actors
