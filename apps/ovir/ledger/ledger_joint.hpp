#pragma once

#include "actors/payment/joint_ledger.hpp"
#include "apps/ovir/base/command.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <span>
#include <string>
#include <vector>

/// The beginning of a ledger that several nodes keep.
namespace ovir::apps {

/// What a keeper's folder has, and the file for the others.
struct joint_beginning {
  digest ledger;
  std::string folder;
  std::string first; ///< file with the first entry
};

/// Makes the folder of the keeper whose key this is, and the ledger with it. `with`: public keys of
/// the others. `rules` names this keeper alone yet.
[[nodiscard]] result<joint_beginning>
begin_joint_ledger(storage::env& environment, const std::string& folder, ledger::genesis rules,
                   std::span<const std::string> with, const secret_key& key);
[[nodiscard]] result<exit_code> tell_joint_ledger(const joint_beginning& made, bool as_json);

/// A ledger with the rules "free" whose keepers are the nodes of these state folders, and may mint.
/// All of them or none have one already; then nothing is done.
[[nodiscard]] result<void> make_free_joint_ledger(storage::env& environment,
                                                  std::span<const std::string> states);

} // namespace ovir::apps
