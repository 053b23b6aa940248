#pragma once

#include "ledger/rules/account.hpp"
#include "ledger/rules/epochs.hpp"
#include "ledger/rules/voucher_book.hpp"
#include "messages/wire/bytes.hpp"

/// The canonical bytes of what a state consists of (docs/formats/ledger-log.md, "Snapshots"), for
/// snapshots and for the log's index. Reading past the end is remembered by the reader.
namespace ovir::ledger {

void write_account(byte_writer& w, const account& a);
[[nodiscard]] account read_account(byte_reader& r);

void write_request(byte_writer& w, const request_record& q);
/// False for what no request can be; counts are believed as far as there are bytes for them.
[[nodiscard]] bool read_request(byte_reader& r, request_record& q);

void write_voucher(byte_writer& w, const voucher_record& v);
/// False for what cannot be.
[[nodiscard]] bool read_voucher(byte_reader& r, voucher_record& v);

void write_epochs(byte_writer& w, const epoch_state& e);
/// False for what cannot be.
[[nodiscard]] bool read_epochs(byte_reader& r, epoch_state& e);

} // namespace ovir::ledger
