#pragma once

#include "ledger/keeper/message.hpp"
#include "messages/limits/credit.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace ovir::actors {

/// A command on its way to the ledger's keeper. It is sent until it is answered, and each sending
/// has a number of its own: what the keeper refused first it may enter when it comes again, and its
/// answers may come late.
struct sent_command {
  std::uint64_t id{0}; ///< of the last sending
  ledger::command what;
  std::vector<std::byte> entry; ///< with time 0; empty: a question
  std::vector<std::byte> evidence;
  storage::env::time_point at; ///< of the last sending
  /// Numbers of the sendings before, oldest first, at most `limits::sendings_kept_max`.
  std::deque<std::uint64_t> earlier{};

  /// The next sending has this number.
  void number_anew(std::uint64_t next);

  /// Whether `m` settles it: any answer to the last sending does, and a promise for an earlier one.
  /// A refusal of an earlier one does not, for the keeper may have entered a later one.
  [[nodiscard]] bool answered_by(const ledger::message& m) const;
};

} // namespace ovir::actors
