#pragma once

#include "ledger/keeper/log_index.hpp"
#include "messages/wire/bytes.hpp"

#include <optional>
#include <string>
#include <string_view>

/// Keys and records of a ledger's index, byte by byte (docs/formats/ledger-index.md). Reading gives
/// nothing for what no ledger wrote, whatever its size.
namespace ovir::ledger {

enum class index_table : char {
  summary = 'M',
  rules = 'G',
  account = 'A',
  request = 'R', ///< in pieces
  ids = 'I',     ///< of `ids_per_record` entries
  root = 'B',    ///< over `block_leaves` entries
  place = 'P',
  history = 'H',
  epoch = 'E', ///< in pieces
  voucher = 'V',
};

inline constexpr std::size_t ids_per_record = 32;
inline constexpr std::size_t slice_bytes = 1'600; ///< of a request, or of the epochs

struct index_summary {
  digest ledger;
  std::uint64_t time{0}; ///< of the last entry
  totals sums;
  std::uint64_t size{0};
  std::uint64_t end{0};
  std::uint64_t last_batch{0};
  digest chain;
  std::vector<digest> peaks; ///< of the last, incomplete run of leaves
  std::uint64_t accounts{0};
  std::uint64_t requests{0};
  std::uint64_t vouchers{0};
};
struct index_account {
  std::uint64_t history{0}; ///< records
  account what;
};

[[nodiscard]] std::string index_key(index_table table);
[[nodiscard]] std::string index_key(index_table table, std::uint64_t number);
[[nodiscard]] std::string index_key(const node_id& account);
[[nodiscard]] std::string index_key(const node_id& account, std::uint64_t history);
[[nodiscard]] std::string index_key(const escrow_id& request, std::uint64_t slice);
[[nodiscard]] std::string voucher_key(const digest& voucher);

/// The number at a key's end, and the 32 bytes behind the table's letter.
[[nodiscard]] std::optional<std::uint64_t> number_in(std::string_view key);
[[nodiscard]] std::optional<digest> name_in(std::string_view key);

[[nodiscard]] std::string to_record(const index_summary& s);
[[nodiscard]] std::optional<index_summary> index_summary_from(std::string_view record);
[[nodiscard]] std::string to_record(const index_account& a);
[[nodiscard]] std::optional<index_account> index_account_from(std::string_view record);
[[nodiscard]] std::string to_record(const voucher_record& v);
[[nodiscard]] std::optional<voucher_record> index_voucher_from(std::string_view record);
[[nodiscard]] std::string to_record(const std::vector<id_table::record>& ids);
[[nodiscard]] std::optional<std::vector<id_table::record>> ids_from(std::string_view record);
/// One movement of an account, as records and messages have it. Reading: false for what nobody
/// wrote so.
void write_line(byte_writer& w, const statement_line& l);
[[nodiscard]] bool read_line(byte_reader& r, const node_id& account, statement_line& l);
/// Of one account; as many as fit are taken off the front of `lines`.
[[nodiscard]] std::string history_record(std::span<const statement_line>& lines);
[[nodiscard]] std::optional<std::vector<statement_line>> history_from(const node_id& account,
                                                                      std::string_view record);

} // namespace ovir::ledger
