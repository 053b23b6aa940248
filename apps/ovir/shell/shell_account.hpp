#pragma once

#include "apps/ovir/shell/shell_command.hpp"
#include "ledger/rules/wide.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <string>

/// The account of a shell: its key is the account, and nothing leaves it but what is signed here
/// (docs/adr/0017-payments.md).
namespace ovir::apps {

class shell_account {
public:
  /// `key` outlives it. `clock`: microseconds since 1970; the nonces of what is signed, which only
  /// grow.
  shell_account(const secret_key& key, std::uint64_t (*clock)()) : key_(&key), clock_(clock) {}

  [[nodiscard]] const node_id& id() const noexcept { return key_->id(); }

  /// The answer to `quote` signed, in hexadecimal: what `run` sends as its payment. `args` are
  /// those of the run, `node` who answered, `most` micro-credits. Errors of `ledger::check_offer`;
  /// `malformed` for an answer that is none.
  [[nodiscard]] result<std::string> sign_offer(const json& answer, const json& args,
                                               const node_id& node, ledger::micro_credits most);

  /// A transfer, or stake put down or called back, for the ledger that the answer to `ledger head`
  /// names; likewise. `action` is "transfer", whose `subject` is an account's key, "stake" or
  /// "unstake", whose `subject` is the amount.
  [[nodiscard]] result<std::string> sign_action(const json& head, const std::string& action,
                                                const std::string& subject,
                                                const std::string& amount);

private:
  [[nodiscard]] std::uint64_t next_nonce();

  const secret_key* key_;
  std::uint64_t (*clock_)();
  std::uint64_t nonce_{0};
};

} // namespace ovir::apps
