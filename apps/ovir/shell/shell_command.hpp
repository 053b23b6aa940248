#pragma once

#include "apps/console.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The commands of the shell: how they are typed and what they are on the wire
/// (docs/formats/admin.md).
namespace ovir::apps {

enum class value_kind : std::uint8_t {
  text,
  rest,    ///< every word that is left, joined by spaces
  natural, ///< a whole number from 0
  real,
  numbers, ///< 1,2,3
  texts,   ///< may be given several times
  hex,     ///< a request: up to 16 hexadecimal digits
  yes,     ///< no value: true
  no,      ///< no value: false
};

/// One argument. Its name is what is typed: "--temp" or, without dashes, a place in the line.
struct argument_spec {
  std::string_view name;
  std::string_view key; ///< on the wire
  value_kind kind{value_kind::text};
  bool required{false};
  std::string_view help{};
  std::string_view short_name{}; ///< "-n"
};

struct command_spec {
  std::string_view name;
  std::string_view help; ///< one line
  std::vector<argument_spec> arguments{};
  bool looks{true}; ///< changes nothing, so it may be sent again
};

[[nodiscard]] std::span<const command_spec> shell_commands();
/// Null when there is none of this name.
[[nodiscard]] const command_spec* find_command(std::string_view name);

/// A command as sent: its name and arguments.
struct shell_command {
  const command_spec* spec{nullptr};
  json args = json::object();
};

/// Cuts a line into commands at ';' and each into words. Quotes of both kinds hold a word together;
/// a backslash takes the next character as it is, but not within single quotes. Empty commands are
/// left out. `invalid_argument` for an open quote.
[[nodiscard]] result<std::vector<std::vector<std::string>>> split_line(std::string_view line);

/// `invalid_argument` names the command or argument that is unknown, missing or ill-formed.
[[nodiscard]] result<shell_command> parse_command(const std::vector<std::string>& words);

/// The words that may stand where `line` ends and begin as its last word does, for completion.
[[nodiscard]] std::vector<std::string> completions(std::string_view line);

/// All commands, or one with its arguments; `not_found`.
[[nodiscard]] std::string help_text();
[[nodiscard]] result<std::string> help_text(std::string_view command);

} // namespace ovir::apps
