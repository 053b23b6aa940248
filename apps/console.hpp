#pragma once

#include "messages/result.hpp"

#include <nlohmann/json.hpp>

#include <exception>
#include <string>
#include <string_view>

/// Standard output and error of a program. Results go to standard output; progress, logs and
/// pictures to standard error.
namespace ovir::apps {

/// Keeps the order in which keys were added, so that documents read as they were written.
using json = nlohmann::ordered_json;

/// True when the reader of standard output is gone (`ovir run | head`): reason to stop, not an
/// error worth a message.
[[nodiscard]] bool output_closed() noexcept;

/// Writes and flushes. `io_failed` with the system's reason, also when the reader is gone.
[[nodiscard]] result<void> write_output(std::string_view text);

/// One JSON document and a newline. Bytes that are not UTF-8 come out as U+FFFD.
[[nodiscard]] result<void> write_document(const json& document);

/// `document` as text, as `write_document` prints it.
[[nodiscard]] std::string to_text(const json& document);

/// To standard error, as it is.
void write_note(std::string_view text);

/// "PROGRAM: the sentence" to standard error and, where `as_json`, {"error": {"code", "message"}}
/// to standard output, so that there is one document even then.
void write_error(std::string_view program, const error& e, bool as_json);

/// What the machine refused by throwing (a thread, memory), as an error with its sentence.
[[nodiscard]] error error_from(const std::exception& thrown);

/// True when `--json` is among the arguments, for errors met before or outside their parsing.
[[nodiscard]] bool wants_json(int argc, const char* const* argv);

/// Occupies those of the descriptors 0, 1 and 2 that were closed when the program started, so that
/// no file opened later is taken for standard output or error. Using them still fails.
void reserve_standard_descriptors() noexcept;

/// "1.5 MiB", "12.0 GiB", "512 B".
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

} // namespace ovir::apps
