#pragma once

#include "learning/rounds/mask_crypto.hpp"
#include "learning/rounds/shamir.hpp"
#include "learning/rounds/task.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What coordinator and workers of a round say to each other: docs/formats/rounds.md. Each names
/// its task by digest. What is signed is signed by a node key, over all bytes of the letter before
/// the signature.
namespace ovir::learning {

/// Coordinator to all: the task, signed, and the adapter that it begins with.
struct round_offer {
  round_task task;
  signature proof; ///< of the task
  std::vector<std::byte> adapter;

  friend bool operator==(const round_offer&, const round_offer&) = default;
};

/// Worker: the public keys of this round.
struct key_advert {
  static constexpr std::string_view domain = "ovir/rounds-1/advert";
  digest task;
  node_id worker;
  public_key mask_key;  ///< for pairwise masks
  public_key share_key; ///< for sealed shares
  signature proof;

  friend bool operator==(const key_advert&, const key_advert&) = default;
};

/// Coordinator: the adverts of all who are in, by worker.
struct key_list {
  digest task;
  std::vector<key_advert> adverts;

  friend bool operator==(const key_list&, const key_list&) = default;
};

/// Two shares under a key of two workers alone.
struct sealed_share {
  node_id peer; ///< the other of the two: for whom it is, or from whom it came
  std::array<std::uint8_t, sealed_bytes> bytes{};

  friend bool operator==(const sealed_share&, const sealed_share&) = default;
};

/// Worker: shares for each other worker of the key list.
struct sealed_shares {
  static constexpr std::string_view domain = "ovir/rounds-1/shares";
  digest task;
  node_id worker;
  std::vector<sealed_share> to;
  signature proof;

  friend bool operator==(const sealed_shares&, const sealed_shares&) = default;
};

/// Coordinator: what all others sealed for this worker.
struct share_delivery {
  digest task;
  std::vector<sealed_share> from;

  friend bool operator==(const share_delivery&, const share_delivery&) = default;
};

/// Worker: its update with noise and all masks, modulo 2^64.
struct masked_update {
  static constexpr std::string_view domain = "ovir/rounds-1/masked";
  digest task;
  node_id worker;
  digest commitment; ///< to the seed of its self-mask
  std::vector<std::uint64_t> values;
  signature proof;

  friend bool operator==(const masked_update&, const masked_update&) = default;
};

/// Coordinator: whose masked updates came.
struct survivor_list {
  digest task;
  std::vector<node_id> survivors; ///< sorted

  friend bool operator==(const survivor_list&, const survivor_list&) = default;
};

/// Worker: the one list of survivors that it goes on with.
struct survivor_vote {
  static constexpr std::string_view domain = "ovir/rounds-1/survivors";
  digest task;
  node_id worker;
  digest view; ///< of the key list and the survivors: `view_of`
  signature proof;

  friend bool operator==(const survivor_vote&, const survivor_vote&) = default;
};

/// Coordinator: that a threshold of workers goes on with the same list.
struct vote_list {
  digest task;
  std::vector<survivor_vote> votes; ///< by worker

  friend bool operator==(const vote_list&, const vote_list&) = default;
};

enum class share_kind : std::uint8_t {
  self_mask = 1, ///< of a survivor
  mask_key = 2,  ///< of a worker that vanished
};

struct opened_share {
  node_id of;
  share_kind kind{share_kind::self_mask};
  std::array<std::uint64_t, share_numbers> values{};

  friend bool operator==(const opened_share&, const opened_share&) = default;
};

/// Worker: its share of one secret of each worker.
struct opened_shares {
  static constexpr std::string_view domain = "ovir/rounds-1/opened";
  digest task;
  node_id worker;
  std::vector<opened_share> shares; ///< by worker
  signature proof;

  friend bool operator==(const opened_shares&, const opened_shares&) = default;
};

/// Worker in the mode open: its clipped update as it is.
struct open_update {
  static constexpr std::string_view domain = "ovir/rounds-1/open";
  digest task;
  node_id worker;
  std::vector<std::uint64_t> values;
  signature proof;

  friend bool operator==(const open_update&, const open_update&) = default;
};

/// Coordinator: what became of the round.
struct round_receipt {
  static constexpr std::string_view domain = "ovir/rounds-1/receipt";
  digest task;
  node_id worker; ///< the coordinator, who signs
  std::vector<node_id> survivors;
  digest sum;                    ///< `name_of_sum`
  digest adapter;                ///< BLAKE3 of the new adapter's file: its CID
  std::uint64_t rho_bits{0};     ///< binary64
  std::uint64_t epsilon_bits{0}; ///< binary64
  signature proof;

  friend bool operator==(const round_receipt&, const round_receipt&) = default;
};

/// Coordinator: the round is over for the receiver without a sum.
struct round_end {
  digest task;
  std::string reason;

  friend bool operator==(const round_end&, const round_end&) = default;
};

using letter = std::variant<round_offer, key_advert, key_list, sealed_shares, share_delivery,
                            masked_update, survivor_list, survivor_vote, vote_list, opened_shares,
                            open_update, round_receipt, round_end>;

[[nodiscard]] std::vector<std::byte> to_bytes(const letter& of);
/// `malformed`, `over_limit` or `unsupported`. Lists are sorted where this page says so; signatures
/// are not looked at. Memory in proportion to the bytes that are there.
[[nodiscard]] result<letter> letter_from(std::span<const std::byte> bytes);

/// Which task a letter is of.
[[nodiscard]] digest task_of(const letter& of);

/// H(`ovir/rounds-1/keys`; task, adverts).
[[nodiscard]] digest name_of(const key_list& keys);
/// H(`ovir/rounds-1/view`; key list's name, survivors).
[[nodiscard]] digest view_of(const digest& keys, std::span<const node_id> survivors);
/// H(`ovir/rounds-1/self-mask`; task, worker, seed).
[[nodiscard]] digest commitment_to(const digest& task, const node_id& worker,
                                   const secret32& self_mask);

[[nodiscard]] signature sign_task(const secret_key& key, const round_task& task);
[[nodiscard]] bool signed_by_its_coordinator(const round_offer& offer);

/// The bytes of a letter before its signature.
template <class Letter>
[[nodiscard]] std::vector<std::byte> signed_bytes(const Letter& of) {
  std::vector<std::byte> bytes = to_bytes(letter{of});
  bytes.resize(bytes.size() - sizeof(signature::bytes));
  return bytes;
}

/// Fills in who signs and the signature.
template <class Letter>
void sign(Letter& of, const secret_key& key) {
  of.worker = key.id();
  of.proof = key.sign(Letter::domain, signed_bytes(of));
}

/// Whether the one it names signed it.
template <class Letter>
[[nodiscard]] bool is_signed(const Letter& of) {
  return verify(of.worker, Letter::domain, signed_bytes(of), of.proof);
}

} // namespace ovir::learning
