#pragma once

#include "learning/rounds/letters.hpp"
#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::learning {

/// What a coordinator wrote before it answered: a letter that it took, or the end of a phase.
struct journal_entry {
  std::vector<std::byte> letter; ///< empty: the end of a phase
};

/// The file of a coordinator: its offer, then entries in order (docs/formats/rounds.md). Each lasts
/// when `append` returns. An entry torn by a crash at the end of the file is cut.
class round_journal {
public:
  /// Reads what is there, within limits::round_journal_entries_max. `malformed` where an entry that
  /// is not the last is damaged.
  [[nodiscard]] static result<round_journal> open(std::unique_ptr<durable_file> file);

  /// Gives away what was read.
  [[nodiscard]] std::vector<journal_entry> take_entries() { return std::move(entries_); }
  [[nodiscard]] result<void> append(std::span<const std::byte> entry);

private:
  explicit round_journal(std::unique_ptr<durable_file> file) : file_(std::move(file)) {}

  std::unique_ptr<durable_file> file_;
  std::uint64_t end_{0};
  std::vector<journal_entry> entries_;
};

} // namespace ovir::learning
