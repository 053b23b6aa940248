#pragma once

#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>

/// Secret keys in files of one line, readable by their owner alone (docs/formats/key-file.md).
namespace ovir::apps {

/// `not_found`; `io_failed` when others than its owner have access to it; `malformed`,
/// `over_limit`, or `unsupported` (a directory) when it is no key file.
[[nodiscard]] result<secret_key> load_key(storage::env& environment, const std::string& path);

/// The key that the bytes of a key file hold; none where they are anything else.
[[nodiscard]] std::optional<secret_key> key_of_text(std::span<const std::byte> text);

/// Makes a new key and keeps it at `path`, together with the folders missing above it. Empty when
/// there is something of this name already, which stays untouched.
[[nodiscard]] result<std::optional<secret_key>> make_key(storage::env& environment,
                                                         const std::string& path);

struct kept_key {
  secret_key key;
  bool made{false}; ///< by this call
};

/// The key at `path`, made now when there was none. Of several that do this at once, one makes it
/// and all get the same.
[[nodiscard]] result<kept_key> keep_key(storage::env& environment, const std::string& path);

/// As `keep_key`, for those who do not mind which.
[[nodiscard]] result<secret_key> load_or_make_key(storage::env& environment,
                                                  const std::string& path);

} // namespace ovir::apps
