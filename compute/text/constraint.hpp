#pragma once

#include "compute/text/byte_automaton.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

/// What the text of an answer has to be, as sampling keeps to it (docs/formats/constraint.md).
namespace ovir::compute {

/// What stands before and behind a tool call in a text, and between its parts.
inline constexpr std::string_view tool_call_open = "<tool_call>\n";
inline constexpr std::string_view tool_call_close = "\n</tool_call>";
inline constexpr std::string_view tool_call_trigger = "<tool_call>";

/// A constraint in its written form, ready to be kept to. Immutable.
class constraint {
public:
  /// Reads the one JSON text that a constraint has. `malformed`, `unsupported` (a schema that
  /// cannot be kept, by keyword and place), `over_limit`.
  [[nodiscard]] static result<std::shared_ptr<const constraint>> make(std::string_view text);

  /// Tokens the whole answer may have: it is complete within them.
  [[nodiscard]] std::uint32_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] const byte_automaton& automaton() const noexcept { return automaton_; }

private:
  constraint() = default;
  byte_automaton automaton_;
  std::uint32_t tokens_{0};
};

/// The written form of a constraint within `tokens`. `body`: the members behind "tokens", as JSON
/// members without braces.
[[nodiscard]] std::string constraint_text(std::uint32_t tokens, std::string_view body);

} // namespace ovir::compute
