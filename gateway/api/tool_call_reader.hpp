#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ovir::gateway {

/// Finds tool calls in the text of an answer while it comes in, piece by piece. A core. What could
/// still become a part of a call is held back until it is known.
class tool_call_reader {
public:
  struct call_piece {
    std::size_t call{0};   ///< 0, 1, ...
    std::string name;      ///< where the call begins here; else empty
    std::string arguments; ///< what comes of them
  };
  struct pieces {
    std::string content; ///< text outside calls
    std::vector<call_piece> calls;
  };

  [[nodiscard]] pieces add(const std::string& text);
  /// The end of the answer: what was held back.
  [[nodiscard]] pieces finish();
  /// Calls that have begun.
  [[nodiscard]] std::size_t calls() const noexcept { return calls_; }

private:
  enum class place : std::uint8_t { content, head, arguments };
  void read(pieces& out, bool last);

  std::string held_;
  place at_{place::content};
  std::size_t calls_{0};
};

} // namespace ovir::gateway
