#pragma once

#include "ledger/rules/command.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <span>
#include <utility>

/// Who asked for what: the door that every command passes before it reaches a ledger.
namespace ovir::ledger {

/// A command whose signatures were checked. Only this door makes one.
class authentic_command {
public:
  [[nodiscard]] const command& what() const noexcept { return what_; }
  [[nodiscard]] const signature& proof() const noexcept { return proof_; }

  /// Without looking at signatures: to measure a ledger apart from them, and to test its rules.
  [[nodiscard]] static authentic_command unchecked_for_test(command c) {
    return authentic_command{std::move(c), {}};
  }

private:
  authentic_command(command c, const signature& proof) : what_(std::move(c)), proof_(proof) {}
  friend result<authentic_command> authenticate(const digest& ledger, command c,
                                                const signature& proof);
  friend result<authentic_command> by_log_keeper(const digest& ledger, command c);

  command what_;
  signature proof_;
};

/// For commands that somebody signs. `invalid_argument` when the signature is not the signer's, for
/// this ledger and exactly this command. Some 100 microseconds; needs nothing of the state, so it
/// may run on any thread before the batch is put together.
[[nodiscard]] result<authentic_command> authenticate(const digest& ledger, command c,
                                                     const signature& proof);
/// For commands of whoever keeps the log. The verdicts of a conviction are checked here; its
/// evidence is replayed by whoever hands it in, and again by every follower (`verify.hpp`).
[[nodiscard]] result<authentic_command> by_log_keeper(const digest& ledger, command c);

/// The check itself, as a follower repeats it for each entry.
[[nodiscard]] result<void> check_signatures(const digest& ledger, const command& c,
                                            const signature& proof);

[[nodiscard]] signature sign_action(const secret_key& key, const digest& ledger, const command& c);
[[nodiscard]] verdict give_verdict(const secret_key& key, const digest& ledger, const convict& c);

} // namespace ovir::ledger
