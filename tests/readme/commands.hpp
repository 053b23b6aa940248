#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ovir::test {

/// Lines of the `sh` blocks of a Markdown page that stand directly after the comment
/// `<!-- executed -->`, without prompts, comments and empty lines.
[[nodiscard]] std::vector<std::string> executed_commands(std::string_view page);

/// What the test runs for a command of the manual: programs of build/release are taken from
/// `binary_folder` instead, and `scripts/test` becomes `scripts/test --list`, because this test is
/// run by it.
[[nodiscard]] std::string runnable(const std::string& command, const std::string& binary_folder);

} // namespace ovir::test
