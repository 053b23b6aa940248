#pragma once

#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <memory>
#include <string>

namespace ovir::storage {

/// A file of this machine for a core that keeps its own log. Made with mode 0600 where there is
/// none and `make` says so, its name lasting; else `not_found`.
[[nodiscard]] result<std::unique_ptr<durable_file>> open_durable_file(const std::string& path,
                                                                      bool make);
/// To look at only: writing and syncing are refused.
[[nodiscard]] result<std::unique_ptr<durable_file>>
open_durable_file_to_read(const std::string& path);

} // namespace ovir::storage
