#pragma once

#include "gateway/access/api_keys.hpp"
#include "storage/env/env.hpp"

#include <functional>
#include <string>

namespace ovir::gateway {

/// Keys and what they are hashed with.
struct known_keys {
  api_key_table table;
  hash_key with{};
};

/// Reads the file at `path` and its secret, `path`.secret, which only its owner may have access to.
/// Errors name the file.
[[nodiscard]] result<known_keys> load_api_keys(storage::env& environment, const std::string& path);

/// Changes the file, for one process at a time; it and its secret are made when they are not there
/// and `may_make`. What `change` refuses leaves it as it was.
[[nodiscard]] result<void> change_api_keys(storage::env& environment, const std::string& path,
                                           bool may_make,
                                           const std::function<result<void>(known_keys&)>& change);

} // namespace ovir::gateway
