#pragma once

#include "messages/evidence/attestation.hpp"

#include <nlohmann/json.hpp>

#include <vector>

namespace ovir::actors {

/// What attestors say of a node, for docs/formats/admin.md; their signatures are not looked at.
[[nodiscard]] nlohmann::json attested_json(const std::vector<attestation>& shown);

} // namespace ovir::actors
