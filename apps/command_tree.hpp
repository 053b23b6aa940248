#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

/// What a program parses, as `--help` shows it: manual pages and completion are made of this.
namespace ovir::apps {

/// The program, a command, a command of that.
using command_path = std::vector<const CLI::App*>;

[[nodiscard]] std::string joined(const command_path& path, std::string_view between);
[[nodiscard]] std::vector<const CLI::App*> commands_of(const CLI::App& app);
/// Positional ones, or those with names.
[[nodiscard]] std::vector<const CLI::Option*> options_of(const CLI::App& app, bool positional);
/// "-n", "--tokens".
[[nodiscard]] std::vector<std::string> names_of(const CLI::Option& option);
[[nodiscard]] bool takes_value(const CLI::Option& option);

} // namespace ovir::apps
