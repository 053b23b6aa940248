#pragma once

#include "messages/result.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::apps {

/// Lines typed at a terminal, with editing, history and completion (libedit). One at a time in a
/// process.
class line_prompt {
public:
  /// `history_path`: where lines are kept between sessions; empty: nowhere. `completions`: the
  /// words that may stand at the end of a line. `interrupted`: Ctrl-C. Both outlive it.
  [[nodiscard]] static result<std::unique_ptr<line_prompt>>
  make(std::string text, std::string history_path,
       std::function<std::vector<std::string>(std::string_view)> completions,
       const std::atomic<bool>& interrupted);
  ~line_prompt();
  line_prompt(const line_prompt&) = delete;
  line_prompt& operator=(const line_prompt&) = delete;

  enum class ended { line, interrupted, end_of_input };
  struct input {
    ended how{ended::end_of_input};
    std::string line; ///< without its line feed
  };
  /// Waits for a line. Keeps it in the history unless it is blank.
  [[nodiscard]] input read();

private:
  struct parts;
  explicit line_prompt(std::unique_ptr<parts> p);

  std::unique_ptr<parts> parts_;
};

} // namespace ovir::apps
