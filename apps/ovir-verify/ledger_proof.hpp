#pragma once

#include "apps/exit_code.hpp"
#include "apps/receipt_report.hpp"
#include "messages/result.hpp"

#include <string>
#include <string_view>

namespace ovir::apps {

/// Whether the bytes of a file begin like a head, promise or proof of a ledger.
[[nodiscard]] bool is_ledger_proof(std::string_view bytes);

/// Checks it against itself, and its signers against who may sign: `--signers` lists the ledger's
/// keepers here, and more than half of these must have signed. `name` is the file's. Prints the
/// verdict.
[[nodiscard]] result<exit_code> verify_ledger_proof(const std::string& name, std::string_view bytes,
                                                    const compute::signer_policy& keepers,
                                                    bool as_json);

} // namespace ovir::apps
