#pragma once

#include <nlohmann/json.hpp>

#include <random>

namespace ovir::test {

using ordered_json = nlohmann::ordered_json;

/// A schema of all that can be kept to, nested at most `depth` deep.
[[nodiscard]] ordered_json random_schema(std::mt19937_64& random, int depth);

/// Whether `value` fits, as RFC drafts of JSON Schema say; of the keywords of `random_schema`.
[[nodiscard]] bool fits(const ordered_json& schema, const ordered_json& root,
                        const nlohmann::json& value);

} // namespace ovir::test
