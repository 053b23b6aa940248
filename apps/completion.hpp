#pragma once

#include "messages/result.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>

namespace ovir::apps {

/// What shells complete a program's commands and options by, written from what it parses. Where
/// neither fits, names of files. `shell` is bash, zsh or fish; `invalid_argument` for another.
[[nodiscard]] result<std::string> completion_for(const CLI::App& program, std::string_view shell);

} // namespace ovir::apps
