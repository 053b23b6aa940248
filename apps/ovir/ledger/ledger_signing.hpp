#pragma once

#include "apps/ovir/base/command.hpp"
#include "ledger/log/head.hpp"
#include "ledger/rules/command.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace ovir::apps {

/// Of a command that an account signs and the keeper's own process enters.
struct signing_options {
  std::string folder;
  std::string key;     ///< of who acts; empty: the state folder's
  std::string keeper;  ///< of who keeps the log; empty: the state folder's
  std::string promise; ///< file for the acknowledgement
  std::uint64_t nonce{0};
  bool as_json{false};
};
/// The given options live as long as the command.
void add_signing(CLI::App& command, signing_options& given);

/// The key in this file; empty: the state folder's.
[[nodiscard]] result<secret_key> key_from(surroundings& around, const std::string& given);

struct signed_entry {
  ledger::command what;
  ledger::acknowledgement promise;
  std::uint64_t nonce{0};
};
using command_maker =
    std::function<result<ledger::command>(const node_id& who, std::uint64_t nonce)>;
/// Signs what `make` makes of the next nonce, and enters it in the ledger's folder.
[[nodiscard]] result<signed_entry> commit_signed(const signing_options& given, surroundings& around,
                                                 const command_maker& make);

} // namespace ovir::apps
