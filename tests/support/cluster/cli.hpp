#pragma once

#include "tests/support/cluster/child_process.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace ovir::test {

/// Standard output as the one JSON document it must be; a failed expectation and null otherwise.
[[nodiscard]] nlohmann::json document_of(const child_result& child);

/// `ovir ARGUMENTS... --json`, which must succeed.
[[nodiscard]] nlohmann::json ovir_json(std::vector<std::string> arguments,
                                       const child_options& options = {});

/// Writes a file, whole.
void write_file(const std::filesystem::path& path, const std::string& content);
void write_file(const std::filesystem::path& path, const std::vector<std::byte>& content);
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// True when `text` is a single line that ends with a newline: one sentence, no dump.
[[nodiscard]] bool is_one_line(const std::string& text);

} // namespace ovir::test
