#pragma once

#include "ledger/keeper/ledger.hpp"
#include "messages/durable_file.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

/// Looking at a whole log without trusting anything in it: `ovir ledger verify`, and an auditor.
namespace ovir::ledger {

/// One thing that is wrong, with the entry it is about.
struct log_fault {
  std::optional<std::uint64_t> entry;
  std::string what;
};

struct verify_report {
  log_head head;                ///< of what could be read
  std::vector<node_id> keepers; ///< as its first entry names them
  std::uint64_t convictions{0};
  std::uint64_t evidence_replayed{0};
  log_report tail;
  std::optional<log_fault> fault; ///< the first; nothing after it is believed
};

struct verify_options {
  std::uint64_t seed{0};
  bool signatures{true};
  evidence_check evidence{}; ///< none: convictions are counted, their evidence is not replayed
  /// Seen earlier: the log must contain what they promised. Most of its keepers signed them.
  std::vector<signed_head> heads{};
  std::vector<acknowledgement> promises{};
  /// Called with every entry and its movements.
  std::function<void(std::uint64_t index, const entry&, const std::vector<posting>&)> visit{};
  entry_watch watch{}; ///< called behind it
};

/// Reads a log from its first byte to its last: checks, chain and tree, form, signatures, rules,
/// the ten invariants, evidence, and the heads and promises it must keep. Changes nothing. An
/// error means that it could not be read at all, or that a head or promise is not signed by most of
/// its keepers (`invalid_argument`); what is wrong with it is in the report.
[[nodiscard]] result<verify_report> verify_log(durable_file& file, const verify_options& options);

} // namespace ovir::ledger
