#pragma once

#include "apps/console.hpp"
#include "ledger/keeper/ledger.hpp"
#include "messages/derived_index.hpp"
#include "messages/durable_file.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

/// A ledger's folder: `log`, its `index.mdb`, the last signed `head`, and the lock of who has it
/// open.
namespace ovir::apps {

/// Given, or `ledger` in the state folder.
[[nodiscard]] result<std::string> ledger_folder_from(const std::string& given);

/// A ledger open for this process alone.
class ledger_folder {
public:
  /// Makes a new one; `keeper` signs its first head. `invalid_argument` where one is already.
  [[nodiscard]] static result<ledger_folder> create(storage::env& environment,
                                                    const std::string& folder,
                                                    const ledger::genesis& rules,
                                                    const secret_key& keeper);
  /// `not_found` where there is none. A torn end is told on standard error; a log shorter than the
  /// head says is refused.
  [[nodiscard]] static result<ledger_folder> open(storage::env& environment,
                                                  const std::string& folder);

  [[nodiscard]] ledger::ledger& book() noexcept { return *book_; }

  /// Commits one command. A refusal is an error. The answer is the keeper's promise.
  [[nodiscard]] result<ledger::acknowledgement> commit(const ledger::authentic_command& one,
                                                       const secret_key& keeper);
  /// Signs the head as it is now, and keeps it.
  [[nodiscard]] result<ledger::signed_head> sign_head(const secret_key& keeper);

private:
  /// Only what the keeper alone can sign is written here.
  [[nodiscard]] result<void> check_keeper(const secret_key& keeper) const;
  /// The wall clock's, unless it is years away from the last entry's.
  [[nodiscard]] result<std::uint64_t> time_now() const;
  ledger_folder(storage::env& environment, std::string folder,
                std::unique_ptr<storage::held_lock> lock, std::unique_ptr<durable_file> file,
                std::unique_ptr<derived_index> index, ledger::ledger book)
      : environment_(&environment), folder_(std::move(folder)), lock_(std::move(lock)),
        file_(std::move(file)), index_(std::move(index)),
        book_(std::make_unique<ledger::ledger>(std::move(book))) {}

  storage::env* environment_;
  std::string folder_;
  std::unique_ptr<storage::held_lock> lock_;
  std::unique_ptr<durable_file> file_;
  std::unique_ptr<derived_index> index_; ///< null where the disk refused it
  std::unique_ptr<ledger::ledger> book_;
};

/// The log of a folder, to look at.
[[nodiscard]] result<std::unique_ptr<durable_file>> open_ledger_log(const std::string& folder);
/// What a log's first entry says: the ledger's name, its rules and keepers.
struct ledger_origin {
  digest name;
  ledger::genesis rules;
};
/// Reads no more of a log than its first batch.
[[nodiscard]] result<ledger_origin> origin_of(durable_file& log);
/// Reads a ledger's whole log, without opening it for this process alone: every entry with its
/// movements. Damage is `digest_mismatch`; `ovir ledger verify` tells more.
[[nodiscard]] result<void>
walk_ledger(const std::string& given_folder,
            const std::function<void(std::uint64_t index, const ledger::entry&,
                                     const std::vector<ledger::posting>&)>& visit);
/// The head kept in a folder; nothing where there is none.
[[nodiscard]] result<std::optional<ledger::signed_head>> kept_head(storage::env& environment,
                                                                   const std::string& folder);
[[nodiscard]] inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span{text});
}
/// A file of canonical bytes, at most 16 KiB.
[[nodiscard]] result<std::string> read_proof_file(storage::env& environment,
                                                  const std::string& path);
[[nodiscard]] result<void> write_proof_file(storage::env& environment, const std::string& path,
                                            std::span<const std::byte> bytes);

/// "12.5" credits in micro-credits: at most six decimals, no sign.
[[nodiscard]] result<ledger::micro_credits> credits_from(std::string_view text);
/// Micro-credits as credits with six decimals.
[[nodiscard]] std::string credits_text(ledger::micro_credits amount);
/// "free of 1a2b3c4d", "escrow of ...", "assurance".
[[nodiscard]] std::string place_text(const ledger::account_ref& ref);
[[nodiscard]] json posting_json(const ledger::posting& p);
[[nodiscard]] json keys_json(const std::vector<node_id>& keys);
[[nodiscard]] json head_json(const ledger::log_head& head);

} // namespace ovir::apps
