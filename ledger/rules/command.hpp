#pragma once

#include "ledger/rules/policy.hpp"
#include "ledger/rules/wide.hpp"
#include "messages/digest.hpp"
#include "messages/evidence/stream_count.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

/// What changes a ledger. Each command has a deterministic id and is applied at most once; its
/// canonical bytes, together with the time at which it was applied, are an entry of the log
/// (docs/formats/ledger-log.md).
namespace ovir::ledger {

/// The escrow of a request: H(payer, what is asked for, nonce), see `escrow_of`.
using escrow_id = digest;

/// Values travel and stay for ever.
enum class command_kind : std::uint8_t {
  genesis = 1,
  mint = 2,
  transfer = 3,
  lock = 4,
  unlock = 5,
  unlocked = 6,
  reserve = 7,
  accrue = 8,
  release = 9,
  settle = 10,
  cancel = 11,
  expire = 12,
  convict = 13,
  compensate = 14,
  entrust = 15, ///< a reservation that another than its payer accrues on
  reroute = 16,
  commit = 17, ///< of a verifier, to a hash chain
  link = 18,   ///< of it
  epoch = 19,  ///< its end
  voucher = 20,
  revoke = 21,
  redeem = 22, ///< a reservation that a voucher pays for
  carriage = 23,
};
[[nodiscard]] std::string_view to_string(command_kind kind) noexcept;

/// The first entry of a log, and only there: the rules, who may mint, who keep the log.
struct genesis {
  policy rules;
  std::vector<node_id> mint_keys; ///< 1 to limits::ledger_mint_keys_max, ascending, all different
  /// They sign heads, more than half of them each. An odd number, up to
  /// limits::ledger_keepers_max, ascending, all different.
  std::vector<node_id> keepers;
  digest salt; ///< makes two ledgers with the same rules different
};

/// Where new credits go.
enum class mint_target : std::uint8_t { participant = 1, assurance = 2, treasury = 3 };

// Signed by the account that pays, or by a mint key; `nonce` is above every one it used before.

struct mint {
  node_id by;
  mint_target target{mint_target::participant};
  node_id to; ///< zero unless the target is a participant
  micro_credits amount{0};
  std::uint64_t nonce{0};
};
struct transfer {
  node_id from;
  node_id to;
  micro_credits amount{0};
  std::uint64_t nonce{0};
};
/// free -> stake.
struct lock {
  node_id account;
  micro_credits amount{0};
  std::uint64_t nonce{0};
};
/// Calls stake back: it stays at stake until the delay is over and `unlocked` is applied.
struct unlock {
  node_id account;
  micro_credits amount{0};
  std::uint64_t nonce{0};
};
/// A stage of the path, as planned: what it is paid for.
struct path_stage {
  node_id node;
  std::uint32_t layers{0};
  std::uint64_t ask_ppm{0};
  friend bool operator==(const path_stage&, const path_stage&) = default;
};
/// The quote of a planned path, before any work: free -> escrow.
struct reserve {
  node_id payer;
  /// Who alone may accrue on it and settle it, for a payer that drives no requests itself; such a
  /// payer cannot cancel (ADR 0001). Empty: the payer.
  node_id scheduler{};
  /// Of the payer, who signs nothing then: the scheduler does, under its own nonce, and may be the
  /// payer (docs/adr/0037). Zero: none.
  digest voucher{};
  digest about;                    ///< the request's digest
  micro_credits rate{0};           ///< of the model, per token
  std::uint64_t prompt{0};         ///< tokens
  std::uint64_t completion_max{0}; ///< tokens
  std::uint64_t expires{0};        ///< seconds since 1970
  std::vector<path_stage> stages;  ///< in the order of the path
  std::uint64_t nonce{0};
  friend bool operator==(const reserve&, const reserve&) = default;
};
/// The payer withdraws: what is not accrued comes back, as behind a `settle`.
struct cancel {
  escrow_id request;
  node_id payer;
  std::uint64_t nonce{0};
};

/// Further stages that may be paid from an escrow, once the path of its request changed: by who
/// accrues on it. The price of a token stays.
struct reroute {
  escrow_id request;
  node_id scheduler;
  std::vector<path_stage> stages;
  std::uint64_t nonce{0};
};

/// A verifier's hash chain, by its end (ledger/audit/audit_draw.hpp): from the epoch after the next
/// on it owes one link for each, the first for that one.
struct chain_commit {
  node_id verifier;
  digest anchor;
  std::uint32_t links{0}; ///< 1 to limits::audit_chain_links_max
  std::uint64_t nonce{0};
};

/// A budget for the requests of one API key: what is reserved by it and paid is `limit` at most,
/// over all schedulers together.
struct voucher {
  node_id account;          ///< pays
  digest key;               ///< the API key's name in the ledger; never the key itself
  micro_credits limit{0};   ///< in all
  std::uint64_t expires{0}; ///< seconds since 1970: nothing is reserved by it from then on
  /// Who may reserve by it: 1 to limits::voucher_schedulers_max, ascending, all different.
  std::vector<node_id> schedulers;
  std::uint64_t nonce{0};
};
/// Nothing more is reserved by a voucher; what is goes on.
struct revoke {
  node_id account;
  digest voucher; ///< as of `voucher_id`
  std::uint64_t nonce{0};
};

/// free -> free: of who received a part of a stream, to the relay that carried it (docs/adr/0045).
/// Signed by the relay; the receiver's signature is its promise to pay.
struct carriage {
  carried_part carried;
  std::uint64_t nonce{0};
};

// By the keeper: what follows from evidence, from time, or from work seen by others. The scheduler
// that drives a request signs what it says of it.

/// Its verifier's part of the seed of the epoch that was closed last. Whoever hands it in: it
/// proves itself.
struct chain_link {
  node_id verifier;
  std::uint64_t epoch{0};
  digest link;
};
/// Closes an epoch, makes the one before it final, and fixes who audits the next one.
struct epoch_end {
  std::uint64_t number{0};
};

/// free again, once the delay of the `unlock` with this nonce is over.
struct unlocked {
  node_id account;
  std::uint64_t unlock_nonce{0};
};
/// One participant's part of a window.
struct window_share {
  node_id node;
  std::uint64_t weight{0};
  micro_credits amount{0};
  std::uint32_t units{0};   ///< assigned to it in this window
  std::uint32_t on_time{0}; ///< of these, in time as the next hop saw it
  /// Of its work, how much the stages around it show as late: unpaid (docs/adr/0025).
  std::uint32_t late_ppm{0};
  /// The signed statement that this pays for, which binds those before it; of who served from a
  /// cache, what it served. Never zero, and never that of another share of the same accrual.
  digest statement;
};
/// escrow -> pending of the cohort, the fee and what late work would have got to assurance, the
/// cached part's rest back to the payer.
struct accrue {
  escrow_id request;
  /// Who drives the request, and signs this. Empty, and unsigned: it follows from what stages claim
  /// (docs/adr/0028-claims.md). Its id makes a nonce needless.
  node_id scheduler{};
  std::uint32_t window{0};
  std::uint64_t frontier{0};   ///< completion tokens so far
  std::uint64_t cached_ppm{0}; ///< of this window's work, how much came from a cache
  std::vector<window_share> computed;
  std::vector<window_share> served; ///< who served the cached part
};
/// pending -> free of one window, after the audit window.
struct release {
  escrow_id request;
  std::uint32_t window{0};
};
/// The end of a request: what is left in escrow goes back; where its driver says so, once stages
/// had time to claim what it left out.
struct settle {
  escrow_id request;
  node_id scheduler{}; ///< as of `accrue`
};
/// As `settle`, for one whose time is over, or the time for claims.
struct expire {
  escrow_id request;
};
enum class evidence_kind : std::uint8_t {
  replay = 1,       ///< a unit that two hosts computed differently from what was stated
  equivocation = 2, ///< two statements by one signer that contradict each other
  double_charge = 3 ///< one statement that a scheduler charged to two reservations
};
struct verdict {
  node_id verifier;
  signature proof; ///< over `verdict_bytes`
};
/// Claws back, slashes, compensates and ejects, all in one.
struct convict {
  escrow_id request;
  std::uint32_t window{0}; ///< the first wrong one; 0 where a scheduler is convicted
  node_id guilty;
  node_id finder;
  evidence_kind kind{evidence_kind::replay};
  digest evidence;               ///< of the capsule that replays, or holds both statements
  std::vector<verdict> verdicts; ///< of a replay two at least, of different verifiers
};
/// assurance -> pending of who audited one unit, once for each verifier and unit: `amount`, or what
/// is left of what the request paid for its audits.
struct compensate {
  escrow_id request;
  std::uint32_t window{0}; ///< of positions
  std::uint32_t layer{0};
  digest receipt; ///< in which the audited statement is
  node_id signer; ///< of it: whose work was audited
  node_id to;
  micro_credits amount{0};
};

using command = std::variant<genesis, mint, transfer, lock, unlock, unlocked, reserve, accrue,
                             release, settle, cancel, expire, convict, compensate, reroute,
                             chain_commit, chain_link, epoch_end, voucher, revoke, carriage>;

[[nodiscard]] command_kind kind_of(const command& c) noexcept;
/// Whose signature a command needs; null where it needs none.
[[nodiscard]] const node_id* signer_of(const command& c) noexcept;
/// Whether it is an accrual or an end without a signature: it follows from what stages claim.
[[nodiscard]] bool is_claimed(const command& c) noexcept;
/// What puts the commands of an account in order, at least 1; nothing for kinds that need no order.
[[nodiscard]] std::optional<std::uint64_t> nonce_of(const command& c) noexcept;
/// H(account, nonce): what reservations name it by.
[[nodiscard]] digest voucher_id(const voucher& v);
/// The escrow that a reservation opens.
[[nodiscard]] escrow_id escrow_of(const reserve& r);
/// The id of the reservation that opened an escrow.
[[nodiscard]] digest reservation_id(const escrow_id& request);
/// H(subject, unit, kind, sequence): the id under which a command is applied at most once.
[[nodiscard]] digest id_of(const command& c);

/// A command, the time at which it is applied, and the proof of who asked for it (all zero where
/// none is needed): what an entry of the log says.
struct entry {
  std::uint64_t time{0}; ///< seconds since 1970, never before the entry before it
  command what;
  signature proof;
};

/// What a signer signs: the kind and the fields, without time and proof, for one ledger.
inline constexpr std::string_view action_domain = "ovir/ledger/v1/action";
inline constexpr std::string_view verdict_domain = "ovir/ledger/v1/verdict";
[[nodiscard]] std::vector<std::byte> action_bytes(const digest& ledger, const command& c);
[[nodiscard]] std::vector<std::byte> verdict_bytes(const digest& ledger, const convict& c);

/// Canonical bytes, appended to `out`; at most `limits::ledger_entry_bytes_max`, which `check_form`
/// ensures.
void encode(const entry& e, std::vector<std::byte>& out);
/// Inverse of `encode`. `malformed` for anything else, `over_limit` for counts beyond their bound:
/// nothing is reserved for them.
[[nodiscard]] result<entry> decode_entry(std::span<const std::byte> bytes);

/// What is wrong with a command by itself, whatever the state: empty lists, too many, zero amounts.
[[nodiscard]] result<void> check_form(const command& c);

} // namespace ovir::ledger
