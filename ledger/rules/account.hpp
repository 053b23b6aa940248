#pragma once

#include "ledger/rules/command.hpp"
#include "ledger/rules/wide.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

/// What a ledger keeps of participants and requests.
namespace ovir::ledger {

/// Where credits are.
enum class purse : std::uint8_t {
  mint = 1, ///< where credits come from; the only one that may owe
  free = 2,
  pending = 3,
  stake = 4,
  escrow = 5,
  assurance = 6,
  treasury = 7,
  burn = 8,
};
[[nodiscard]] std::string_view to_string(purse p) noexcept;

/// One account of the double entry: a participant's purse, a request's escrow, or one of the
/// ledger's own (`of` all zero).
struct account_ref {
  purse kind{purse::mint};
  digest of; ///< public key, or escrow id
  friend bool operator==(const account_ref&, const account_ref&) = default;
};
[[nodiscard]] inline account_ref purse_of(purse kind, const node_id& node) noexcept {
  account_ref ref;
  ref.kind = kind;
  ref.of.bytes = node.key;
  return ref;
}

/// Why credits moved.
enum class posting_kind : std::uint8_t {
  mint = 1,
  transfer,
  lock,
  unlock,
  reserve,
  accrue,
  fee,
  cache_refund,
  release,
  settle,
  cancel,
  expire,
  clawback,
  slash,
  finder_fee,
  burn,
  compensate,
  withheld,
  carriage,
};
[[nodiscard]] std::string_view to_string(posting_kind kind) noexcept;
/// Why credits moved, for people: what a statement says.
[[nodiscard]] std::string_view reason_of(posting_kind kind) noexcept;

/// One movement: the same amount leaves one account and arrives at another.
struct posting {
  posting_kind kind{posting_kind::transfer};
  account_ref from;
  account_ref to;
  micro_credits amount{0};
  escrow_id request; ///< all zero where it concerns none
  std::uint32_t window{0};
  friend bool operator==(const posting&, const posting&) = default;
};

/// Stake called back, still at stake.
struct unlocking {
  micro_credits amount{0};
  std::uint64_t due{0};
  std::uint64_t nonce{0};
  friend bool operator==(const unlocking&, const unlocking&) = default;
};

/// A hash chain that a verifier committed to: one link for each epoch from `first` on.
struct audit_chain {
  std::uint64_t first{0}; ///< the epoch of link 1
  std::uint32_t links{0};
  std::uint32_t known{0}; ///< number of `last`
  digest last;            ///< the last link that is known; at first the chain's end
  friend bool operator==(const audit_chain&, const audit_chain&) = default;
};

struct account {
  micro_credits free{0};
  micro_credits pending{0};
  micro_credits stake{0};   ///< with what is being unlocked
  micro_credits earned{0};  ///< released in all its life
  std::uint64_t nonce{0};   ///< the highest it used
  std::uint64_t minute{0};  ///< of its last signed action, since 1970
  std::uint64_t actions{0}; ///< in that minute
  std::uint64_t assigned_units{0};
  std::uint64_t valid_units{0}; ///< on time and past their audit window
  std::uint64_t consecutive{0}; ///< valid units in a row
  std::uint64_t last_active{0};
  std::uint64_t pending_windows{0};
  std::uint64_t open_requests{0}; ///< as a payer
  bool ejected{false};
  std::uint64_t missed_links{0}; ///< of hash chains, overdue when their epoch became final
  std::vector<unlocking> unlockings;
  std::vector<audit_chain> chains; ///< by `first`: ending, in use, to come
  friend bool operator==(const account&, const account&) = default;

  /// What counts for influence.
  [[nodiscard]] micro_credits firm_stake() const noexcept {
    micro_credits leaving = 0;
    for (const unlocking& u : unlockings) {
      leaving += u.amount;
    }
    return stake - leaving;
  }
};

enum class window_phase : std::uint8_t { pending = 1, released = 2, voided = 3 };

struct pending_share {
  node_id node;
  micro_credits amount{0};
  std::uint32_t units{0};
  std::uint32_t on_time{0};
  digest statement; ///< that it pays for; zero where nothing was computed
  friend bool operator==(const pending_share&, const pending_share&) = default;
};

/// What was accrued at once, or a compensation.
struct window_record {
  window_phase phase{window_phase::pending};
  std::uint64_t accrued_at{0};
  micro_credits gross{0};    ///< the tokens' price; of a compensation 0
  micro_credits fee{0};      ///< of it, to assurance
  micro_credits refund{0};   ///< of it, back at once because it came from a cache
  micro_credits withheld{0}; ///< of it, to assurance because it was late
  std::vector<pending_share> shares;
  friend bool operator==(const window_record&, const window_record&) = default;
};

struct request_record {
  node_id payer;
  node_id scheduler; ///< who accrues and settles: the payer, or whom it entrusted
  bool open{true};
  bool ended{false}; ///< by who drives it: open for claims alone, until `expires`
  bool prompt_accounted{false};
  micro_credits rate{0}; ///< of the path, per token
  std::uint64_t prompt{0};
  std::uint64_t completion_max{0};
  std::uint64_t accounted{0}; ///< completion tokens
  std::uint64_t expires{0};
  micro_credits reserved{0};
  micro_credits accrued{0}; ///< fee included, cache refunds not
  micro_credits cache_refunded{0};
  micro_credits returned{0};   ///< by settle, cancel or expire
  micro_credits held{0};       ///< in escrow
  std::uint32_t unsettled{0};  ///< windows that are pending, compensations included
  std::uint32_t layers{0};     ///< of the path that was reserved for
  micro_credits audit_fees{0}; ///< paid to verifiers; at most what it paid to assurance
  digest voucher{};            ///< that it was reserved by; zero: none
  std::vector<node_id> path;   ///< who may be paid, ascending, all different
  std::vector<window_record> windows;
  std::vector<window_record> compensations; ///< numbered from `first_compensation`
  friend bool operator==(const request_record&, const request_record&) = default;
};

/// Windows from this number on are compensations.
inline constexpr std::uint32_t first_compensation = std::uint32_t{1} << 31U;

} // namespace ovir::ledger
