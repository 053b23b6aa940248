#pragma once

#include "actors/runtime/log.hpp"
#include "messages/result.hpp"
#include "node/node_options.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ovir::apps {

enum class log_format : std::uint8_t { for_people, as_json };

struct node_log_options {
  std::string file;        ///< empty: standard error
  std::uint64_t bytes_max; ///< of one file; the next line begins a new one
  std::uint32_t files_max; ///< in all, 1 or more; older ones are FILE.1, FILE.2, ... and deleted
  actors::log_level level{actors::log_level::info};
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
  log_format format{log_format::for_people};
  std::string node{}; ///< its name, for lines in JSON
};

[[nodiscard]] result<node_log_options> log_options_of(const supervision::node_options& options);

/// The log of a node, a line per event:
///   2026-03-01T08:30:00.123Z info  00000000000000ab the text
/// or, as JSON,
///   {"time":"2026-03-01T08:30:00.123Z","level":"info","node":"one","part":"paths",
///    "request":"00000000000000ab","message":"the text"}
/// without "part" and "request" where there are none. UTC, level, the request's id or "-", and the
/// text, printable and cut to limits::log_line_bytes_max. Each line is handed to the system at
/// once, so that a killed process loses none. Any thread.
class node_log : public actors::log {
public:
  /// `io_failed` when the file cannot be opened; `invalid_argument` for a level nobody knows. Its
  /// folder is made where it is missing.
  [[nodiscard]] static result<std::unique_ptr<node_log>> open(node_log_options options);

  /// Opens the file anew by its name, for SIGHUP after somebody moved it away. Not for signal
  /// handlers. On failure the open file stays in use.
  [[nodiscard]] virtual result<void> reopen() = 0;

  /// Lines that could not be written since the start: a full disk, a folder removed. The next line
  /// that can be written is preceded by one that says how many are missing.
  [[nodiscard]] virtual std::uint64_t lines_lost() const noexcept = 0;
};

} // namespace ovir::apps
