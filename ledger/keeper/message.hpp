#pragma once

#include "ledger/keeper/log_index.hpp"
#include "ledger/log/head.hpp"
#include "ledger/rules/account.hpp"
#include "messages/error.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/node_id.hpp"
#include "messages/request/budget.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

/// What members say to the keeper of their ledger, and what it says (docs/formats/credit.md).
/// Questions go to the keeper, everything else comes from it; nobody believes more of it than its
/// signatures prove.
namespace ovir::ledger {

// Questions

/// Answered by `account_report`.
struct ask_account {
  node_id who;
  friend bool operator==(const ask_account&, const ask_account&) = default;
};
/// An entry with time 0: a command and its signature. Answered by `promise` or `refusal`; sent
/// again, it is answered with the index it has. `evidence`: of a conviction, else empty.
struct submit {
  std::vector<std::byte> entry;
  std::vector<std::byte> evidence;
  friend bool operator==(const submit&, const submit&) = default;
};
/// Answered by `request_report`. `request` is an escrow, or what its reservation is about.
struct ask_request {
  digest request;
  friend bool operator==(const ask_request&, const ask_request&) = default;
};
/// Entries from `first` on. Answered by `entry_run`.
struct ask_entries {
  std::uint64_t first{0};
  friend bool operator==(const ask_entries&, const ask_entries&) = default;
};
/// A page of an account's movements. Answered by `statement_report`.
struct ask_statement {
  node_id who;
  statement_place from;
  friend bool operator==(const ask_statement&, const ask_statement&) = default;
};
/// A verifier's word that a conviction by replay holds, with one verdict: its own. When the keeper
/// has those of two verifiers that say the same, with the same finder, it convicts. Answered by
/// `promise` or `refusal` when it did, to whoever came last, or by an `account_report` where the
/// guilty one is out already; sent again until then.
struct vouch {
  convict what;
  friend bool operator==(const vouch& a, const vouch& b);
};
/// From a stage: a part of what it signed of a request, to be paid by where its scheduler does not
/// see to that (docs/adr/0028-claims.md). Answered by `request_report` or `refusal`.
struct claim {
  evidence_terms terms;
  std::vector<std::byte> evidence; ///< an `evidence_batch`; at most limits::claim_bytes_max
  friend bool operator==(const claim&, const claim&) = default;
};

/// Answered by `budget_report`. Of several vouchers for one API key: of those that the asker may
/// reserve by now, the one with the most left; else any.
struct ask_voucher {
  digest which;
  bool by_key{false}; ///< it is the name of an API key in the ledger; else a voucher's
  friend bool operator==(const ask_voucher&, const ask_voucher&) = default;
};
/// A page of the requests that were reserved by a voucher, from an entry of the log on. Answered by
/// `budget_statement`, which `ask_entries` proves.
struct ask_voucher_statement {
  digest voucher;
  std::uint64_t first{0};
  friend bool operator==(const ask_voucher_statement&, const ask_voucher_statement&) = default;
};

// Answers

/// What the keeper says of an account, beside what anybody needs to act on this ledger: its genesis
/// entry, whose leaf is the ledger's name.
struct account_report {
  node_id who;
  std::vector<std::byte> genesis;
  signed_head head;
  micro_credits free{0};
  micro_credits pending{0};
  micro_credits stake{0};
  micro_credits leaving{0}; ///< of the stake, called back
  micro_credits earned{0};
  std::uint64_t nonce{0}; ///< the highest it used
  std::uint64_t reputation_ppm{0};
  micro_credits influence{0};
  /// Whether it may be planned into a path now (`books::check_admission`).
  bool admitted{true};
  bool newcomer{false};             ///< `is_newcomer`, where nothing else deters
  std::uint64_t pending_windows{0}; ///< whose audit is not over
  std::uint64_t time{0};            ///< of the ledger, now, in seconds since 1970
  std::vector<node_id> ejected;     ///< who was convicted, ascending; the first where too many
  friend bool operator==(const account_report&, const account_report&) = default;
};
/// The command lasts: the keepers' promise of its index, and the time the entry has, so that
/// whoever asked can see that its leaf is the command's.
struct promise {
  std::uint64_t time{0};
  acknowledgement entry;
  friend bool operator==(const promise& a, const promise& b) {
    return a.time == b.time && to_bytes(a.entry) == to_bytes(b.entry);
  }
};
/// Nothing was moved, and why.
struct refusal {
  error reason;
  friend bool operator==(const refusal&, const refusal&) = default;
};
/// How far a request is accounted. Unknown: it is over, or was never reserved. One that is not open
/// and holds credits was ended by who drives it, and waits for claims.
struct request_report {
  escrow_id request; ///< of one that is not known, what was asked for
  bool known{false};
  bool open{false};
  bool prompt_accounted{false};
  std::uint32_t windows{0};
  std::uint64_t accounted{0}; ///< completion tokens
  std::uint64_t prompt{0};    ///< tokens
  micro_credits reserved{0};
  micro_credits accrued{0};
  micro_credits held{0};
  std::uint64_t expires{0};
  node_id scheduler; ///< who drives it; empty of one that is not known
  friend bool operator==(const request_report&, const request_report&) = default;
};
/// Whether stages may still be paid by what they claim.
[[nodiscard]] inline bool takes_claims(const request_report& r) noexcept {
  return r.known && (r.open || r.held > 0);
}
/// Entries [first, first + entries.size()) and a head over at least these. Empty: there is nothing
/// from `first` on.
struct entry_run {
  std::uint64_t first{0};
  std::vector<std::vector<std::byte>> entries;
  signed_head head;
  friend bool operator==(const entry_run&, const entry_run&) = default;
};
/// A head, from the keeper or from whoever heard of it.
struct head_news {
  signed_head head;
  friend bool operator==(const head_news&, const head_news&) = default;
};

/// Of several keepers, the one that leads; empty while none is known. It answers a command of which
/// nothing was entered: send that again, to this one. Without a question, its sender leads now.
struct leader_news {
  node_id keeper;
  friend bool operator==(const leader_news&, const leader_news&) = default;
};

/// At most `limits::statement_lines_max` movements of an account in order, and who pays for the
/// requests in them, ascending by request. What the keeper says: `ask_entries` proves it.
struct statement_report {
  struct payer {
    escrow_id request;
    node_id node;
    friend bool operator==(const payer&, const payer&) = default;
  };
  node_id who;
  std::vector<statement_line> lines;
  bool more{false}; ///< there are others behind them; where the newest were asked for, before
  std::vector<payer> payers;
  friend bool operator==(const statement_report&, const statement_report&) = default;
};

struct message {
  std::uint64_t id{0}; ///< the asker's; an answer has its question's, what nobody asked for 0
  std::variant<ask_account, submit, ask_request, ask_entries, ask_statement, vouch, claim,
               ask_voucher, ask_voucher_statement, account_report, promise, refusal, request_report,
               entry_run, head_news, statement_report, leader_news, budget_report, budget_statement>
      body;
  friend bool operator==(const message&, const message&) = default;
};

/// The first entry of the ledger that an account is of, for who knows of it only `keeper`, a key.
/// The entry gives the ledger its name, `keeper` is one of the keepers in it, and most of these
/// signed the report's head. `digest_mismatch` with what does not fit.
[[nodiscard]] result<genesis> check_report(const account_report& r, const node_id& keeper);

/// Whether `p` is the promise of most of `keepers` (ascending) that this command, an entry with
/// time 0, has its index in the ledger: leaf, path and signatures. `digest_mismatch` with what does
/// not fit.
[[nodiscard]] result<void> check_promise(const promise& p, std::span<const std::byte> entry,
                                         const digest& ledger, std::span<const node_id> keepers);

/// Whether these bytes go to a keeper; of bytes that are no message, anything.
[[nodiscard]] bool is_question(std::span<const std::byte> bytes) noexcept;

/// At most `limits::credit_message_bytes_max`. Precondition: `submit`'s parts and lists are within
/// their bounds. Texts of errors are cut to limits::error_text_bytes_max and made printable.
[[nodiscard]] std::vector<std::byte> to_bytes(const message& m);
/// One encoding each: `malformed`, `unsupported` (another version or kind) or `over_limit`; nothing
/// is allocated by a number that no bytes back.
[[nodiscard]] result<message> message_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
