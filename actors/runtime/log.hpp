#pragma once

#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What a node tells its operator. Lines name requests by id and never quote prompts or answers.
namespace ovir::actors {

/// In order of weight: a log of one level also has the lines of those after it.
enum class log_level : std::uint8_t {
  debug = 0, ///< every step of a request
  info = 1,  ///< what changed: members, requests, models
  warn = 2,  ///< what was coped with: a peer refused, a stage replaced
  error = 3, ///< what somebody must look at
};

/// "debug", "info", "warn", "error".
[[nodiscard]] std::string_view to_string(log_level level) noexcept;
/// Inverse of `to_string`; `invalid_argument` for other words, naming those that exist.
[[nodiscard]] result<log_level> log_level_from_text(std::string_view text);

/// Any thread may call any function. A line may wait for the disk, so the paths between two tokens
/// write nothing above `debug`.
class log {
public:
  virtual ~log() = default;

  /// One line. `text` may hold what a peer said: an implementation makes it printable and cuts what
  /// is too long. A line that cannot be written is lost, and the log says so when it can.
  virtual void write(log_level level, std::optional<request_id> request, std::string_view text) = 0;
  /// The same, of a part of the node ("verifier"), which logs with fields name.
  virtual void write_of(std::string_view part, log_level level, std::optional<request_id> request,
                        std::string_view text) {
    (void)part;
    write(level, request, text);
  }

  /// The lightest level that is written.
  [[nodiscard]] virtual log_level level() const noexcept = 0;
  virtual void set_level(log_level level) noexcept = 0;

  [[nodiscard]] bool writes(log_level level) const noexcept { return level >= this->level(); }

  /// Formats only what is written: `journal.say(log_level::info, id, "{} tokens", n);`
  template <class... Args>
  void say(log_level level, std::optional<request_id> request, fmt::format_string<Args...> text,
           Args&&... args) {
    if (writes(level)) {
      write(level, request, fmt::format(text, std::forward<Args>(args)...));
    }
  }
};

/// The log of a node as one part of it writes there. `to` outlives it.
class part_log final : public log {
public:
  part_log(log& to, std::string part) : to_(to), part_(std::move(part)) {}
  void write(log_level level, std::optional<request_id> request, std::string_view text) override {
    to_.write_of(part_, level, request, text);
  }
  [[nodiscard]] log_level level() const noexcept override { return to_.level(); }
  void set_level(log_level level) noexcept override { to_.set_level(level); }

private:
  log& to_;
  const std::string part_;
};

/// Where nobody reads: tools and tests.
class null_log final : public log {
public:
  void write(log_level, std::optional<request_id>, std::string_view) override {}
  [[nodiscard]] log_level level() const noexcept override { return log_level::error; }
  void set_level(log_level) noexcept override {}
};

} // namespace ovir::actors
