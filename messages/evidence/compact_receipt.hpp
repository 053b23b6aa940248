#pragma once

#include "messages/evidence/receipt.hpp"

#include <cstddef>
#include <span>
#include <vector>

/// The short form of a receipt: what its lead closed and each stage's last statement, which binds
/// all before. Whoever has the receipt can open any unit of it with Merkle proofs.
/// docs/formats/receipt.md, "Compact receipt".
namespace ovir {

struct compact_receipt {
  struct stage {
    digest commitment; ///< `signed_digest` of the one that covers the last window
    statement_summary last;
    signature proof;
    friend bool operator==(const stage&, const stage&) = default;
  };
  closing_facts closed;      ///< its stages are those of `stages`, in order
  std::vector<stage> stages; ///< `closed.stages[i].last_statement` follows from these
  signature closing;

  friend bool operator==(const compact_receipt&, const compact_receipt&) = default;
};

/// One unit, with the way from it to a compact receipt.
struct unit_opening {
  std::uint32_t stage{0}; ///< of the compact receipt
  layer_index layer{0};   ///< of the model
  digest commitment;      ///< `signed_digest` of the one that covers the window
  statement_summary statement;
  signature proof;                    ///< under the statement
  std::vector<digest> statement_path; ///< to the history of the stage's last; empty for that one
  digest output;
  digest kv;
  std::vector<digest> unit_path;

  friend bool operator==(const unit_opening&, const unit_opening&) = default;
};

/// `unsupported` where stages took the place of others: then only the whole receipt tells who sent
/// what. Precondition: `compute::check_receipt` accepts `r`.
[[nodiscard]] result<compact_receipt> compact(const receipt& r);
/// `not_found` where the receipt has no such unit. Precondition as above.
[[nodiscard]] result<unit_opening> open_unit(const receipt& r, std::uint32_t window,
                                             layer_index layer);
/// Whether `o` belongs to `c`; `digest_mismatch` with the first step that does not fit. Says
/// nothing about the signatures of `c`.
[[nodiscard]] result<void> check_opening(const compact_receipt& c, const unit_opening& o);

[[nodiscard]] std::vector<std::byte> encode_compact(const compact_receipt& c);
[[nodiscard]] result<compact_receipt> decode_compact(std::span<const std::byte> bytes);
[[nodiscard]] std::vector<std::byte> encode_opening(const unit_opening& o);
[[nodiscard]] result<unit_opening> decode_opening(std::span<const std::byte> bytes);

/// Which of the formats these bytes begin like.
enum class receipt_kind : std::uint8_t { other, whole, compact, opening };
[[nodiscard]] receipt_kind kind_of(std::span<const std::byte> bytes);

} // namespace ovir
