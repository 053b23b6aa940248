#pragma once

#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <functional>
#include <memory>
#include <string>

namespace ovir::storage {

/// Runs a job elsewhere, soon: a queue of the process, or a thread. It may drop a job, not keep it
/// for ever: who closes the file waits for its job.
using background_runner = std::function<void(std::function<void()> job)>;

/// A file of this machine for a core that keeps its own log. Made with mode 0600 where there is
/// none and `make` says so, its name lasting; else `not_found`. With a `background` the room that
/// a log will need is zeroed there.
[[nodiscard]] result<std::unique_ptr<durable_file>>
open_durable_file(const std::string& path, bool make, background_runner background = {});
/// To look at only: writing and syncing are refused.
[[nodiscard]] result<std::unique_ptr<durable_file>>
open_durable_file_to_read(const std::string& path);

} // namespace ovir::storage
