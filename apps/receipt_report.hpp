#pragma once

#include "apps/console.hpp"
#include "apps/exit_code.hpp"
#include "apps/transcript_file.hpp"
#include "messages/evidence/compact_receipt.hpp"
#include "messages/evidence/receipt.hpp"
#include "storage/env/env.hpp"
#include "verify/receipt_check.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <variant>
#include <vector>

/// Receipts as files: reading them, who may sign, and the verdict for people and programs. Shared
/// by `ovir receipt` and `ovir-verify`.
namespace ovir::apps {

/// Whose signatures count, as it was typed.
struct signer_options {
  std::string file; ///< --signers
  bool any{false};  ///< --any-signer
  std::string head; ///< --ledger-head
  std::string log;  ///< --ledger-log; empty: the file `log` beside the head
};
void add_signers(CLI::App& command, signer_options& given);
/// `invalid_argument` where more than one was given. Of a ledger, errors of `participants_at`.
[[nodiscard]] result<compute::signer_policy> policy_of(const signer_options& given,
                                                       storage::env& environment);
/// Likewise, for what a ledger's keepers sign: of a ledger, the keepers that its first entry names,
/// once its whole log checks out and holds the head.
[[nodiscard]] result<compute::signer_policy> keepers_of(const signer_options& given,
                                                        storage::env& environment);
/// A key per line, 64 hexadecimal digits; behind it blanks or # and what people call it.
/// `malformed` names the line.
[[nodiscard]] result<std::set<node_id>> parse_signers(std::string_view text);

using any_receipt = std::variant<receipt, compact_receipt>;
/// What `bytes` are, if they begin like either. `malformed`, `unsupported` (another version) or
/// `over_limit`.
[[nodiscard]] result<any_receipt> parse_receipt(std::string_view bytes);
[[nodiscard]] std::vector<compute::receipt_failure>
check_receipt(const any_receipt& r, const compute::signer_policy& who);

/// What a receipt states about its computation, for `replay`.
[[nodiscard]] transcript_file transcript_in(const receipt& r);
/// A difference found by replay, with who signed what differs.
[[nodiscard]] compute::receipt_failure blame(const receipt& r, const failure& difference);

/// {"ok", "tier", "failures": [{"what", "signer", "unit"}], ...}.
[[nodiscard]] json verdict_document(const any_receipt& r, std::string_view tier,
                                    const std::vector<compute::receipt_failure>& found);
[[nodiscard]] std::string verdict_text(const any_receipt& r, std::string_view tier,
                                       const std::vector<compute::receipt_failure>& found);
/// The receipt for people.
[[nodiscard]] std::string receipt_text(const any_receipt& r);
[[nodiscard]] json receipt_document(const any_receipt& r);

} // namespace ovir::apps
