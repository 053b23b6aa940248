#pragma once

#include "ledger/rules/command.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The beginning of a ledger that several nodes keep: all of them begin with the same first entry,
/// which one of them made.
namespace ovir::actors {

/// Why a keeper's folder is made.
enum class joint_use : std::uint8_t {
  begin,   ///< of a new ledger, once, before any of its keepers runs
  replace, ///< its keeper lost its disk: it has voted, and forgot that
};

/// The first entry that a joint ledger of these rules has. `salt` of them is drawn already.
[[nodiscard]] std::vector<std::byte> first_entry_of(const ledger::genesis& rules,
                                                    std::uint64_t unix_s);
/// `malformed` where it is none.
[[nodiscard]] result<ledger::genesis> rules_in(std::span<const std::byte> first_entry);

/// The file in a keeper's folder that has it, to hand to the others.
inline constexpr std::string_view first_entry_name = "first";

/// Makes the ledger's folder of the keeper `key`, with the first entry and nothing else.
/// `invalid_argument` where there is a ledger already, where `key` is none of its keepers', or
/// where it has one keeper.
[[nodiscard]] result<void> make_joint_ledger(storage::env& environment, const std::string& folder,
                                             std::span<const std::byte> first_entry,
                                             const secret_key& key, joint_use use);

} // namespace ovir::actors
