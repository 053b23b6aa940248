#pragma once

#include "gateway/http/bounded_json.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// Files and batches, as they are kept (docs/formats/batches.md) and as clients are told of them.
namespace ovir::gateway {

/// A file of a key. Its bytes are kept apart.
struct stored_file {
  std::string id;      ///< "file-" and 32 hexadecimal digits
  std::string owner;   ///< id of the key; empty: everybody, where there are no keys
  std::string name;    ///< as its client calls it
  std::string purpose; ///< "batch" or "batch_output"
  std::uint64_t bytes{0};
  std::uint64_t created{0}; ///< Unix seconds
  std::uint64_t expires{0}; ///< likewise

  friend bool operator==(const stored_file&, const stored_file&) = default;
};

enum class batch_state : std::uint8_t {
  validating,
  in_progress,
  completed,
  failed, ///< its input is no batch
  expired,
  cancelling,
  cancelled
};
[[nodiscard]] std::string_view name_of(batch_state state);
/// Nothing changes any more.
[[nodiscard]] bool is_over(batch_state state);

/// What is wrong with an input.
struct batch_fault {
  std::string code;
  std::string message;
  std::string param{};   ///< of the line; empty: none
  std::uint64_t line{0}; ///< from 1; 0: of no line

  friend bool operator==(const batch_fault&, const batch_fault&) = default;
};

struct batch_counts {
  std::uint64_t total{0};
  std::uint64_t completed{0};
  std::uint64_t failed{0};

  friend bool operator==(const batch_counts&, const batch_counts&) = default;
};

struct batch_record {
  std::string id;       ///< "batch_" and 32 hexadecimal digits
  std::string owner;    ///< as of `stored_file`
  std::string endpoint; ///< "/v1/chat/completions", "/v1/completions" or "/v1/embeddings"
  std::string input;    ///< ids of files: of requests, ...
  std::string output;   ///< ... of answers, ...
  std::string errors;   ///< ... and of errors; the latter two exist when it is over
  batch_state state{batch_state::validating};
  batch_counts counts; ///< lasting only when it is over
  std::uint64_t created{0};
  std::uint64_t expires{0};
  std::uint64_t output_life{0}; ///< seconds
  /// When it came to a state, by its name: "in_progress", "finalizing", "completed", ...
  std::map<std::string, std::uint64_t> times;
  std::map<std::string, std::string> metadata;
  std::vector<batch_fault> faults;

  friend bool operator==(const batch_record&, const batch_record&) = default;
};

[[nodiscard]] bool is_batch_endpoint(std::string_view path);
[[nodiscard]] bool is_file_id(std::string_view text);
[[nodiscard]] bool is_batch_id(std::string_view text);

// On disk

[[nodiscard]] std::string text_of(const stored_file& file);
[[nodiscard]] std::string text_of(const batch_record& batch);
/// Accept exactly what `text_of` writes; `malformed` or `over_limit`.
[[nodiscard]] result<stored_file> stored_file_from(std::string_view text);
[[nodiscard]] result<batch_record> batch_record_from(std::string_view text);

// For clients

[[nodiscard]] json json_of(const stored_file& file);
[[nodiscard]] json json_of(const batch_record& batch);

} // namespace ovir::gateway
