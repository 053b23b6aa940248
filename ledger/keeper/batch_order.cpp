#include "ledger/keeper/batch_order.hpp"

#include "messages/limits/credit.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/limits/raft.hpp"
#include "messages/wire/fields.hpp"

// order = tag:u8 version:u8 ledger:digest behind:u64 time:u64 entries:list<u16, block>
// evidence:list<u16, block>

namespace ovir::ledger {

namespace {

constexpr std::uint8_t order_tag = 0x62; // "b"
constexpr std::uint8_t order_version = 2;

} // namespace

template <class Io, of_type<batch_order> T>
void fields(Io& io, T& o) {
  io(o.ledger, o.behind, o.time);
  io.template list<std::uint16_t>(
      o.entries, "entries", limits::ledger_batch_entries_max,
      [&io](auto& bytes) { io.block(bytes, "an entry", limits::ledger_entry_bytes_max); });
  io.template list<std::uint16_t>(
      o.evidence, "pieces of evidence", limits::keepers_order_evidence_max,
      [&io](auto& bytes) { io.block(bytes, "evidence", limits::credit_evidence_bytes_max); });
  io.expect(!o.entries.empty(), "an order without entries");
  io.expect(o.evidence.size() <= o.entries.size(), "more evidence than entries");
  io.expect(o.behind > 0 && o.behind <= limits::ledger_entries_max, "a size out of range");
  io.expect(o.time <= limits::ledger_seconds_max, "a time out of range");
}

std::vector<std::byte> to_bytes(const batch_order& o) {
  return tagged_bytes(order_tag, order_version, o);
}

result<batch_order> batch_order_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::raft_entry_bytes_max) {
    return fail(errc::over_limit, "an order of {} bytes; at most {} are allowed", bytes.size(),
                limits::raft_entry_bytes_max);
  }
  return from_tagged<batch_order>(bytes, order_tag, order_version, "batch order");
}

} // namespace ovir::ledger
