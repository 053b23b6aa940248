#pragma once

#include "actors/protocol/protocol.hpp"
#include "compute/model/model_config.hpp"
#include "messages/result.hpp"

namespace ovir::actors {

/// Whether a model can run a request: a prompt of at least one token, all known and within the
/// context, stop strings and sampling within their ranges. The error names what is wrong.
[[nodiscard]] result<void> check(const compute::model_config& config,
                                 const generation_request& request);

} // namespace ovir::actors
