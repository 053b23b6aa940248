#include "ledger/log/log.hpp"
#include "ledger/raft/journal.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/wire/bytes.hpp"
#include "tests/support/ledger/raft_disk.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

// Takes any records for a keeper's journal: each is a length (u16) and so many bytes. Reading ends
// with a journal or a sentence; a journal takes another entry and opens again as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  test::raft_disk disk;
  auto file = disk.create(1);
  auto log = ledger::entry_log::create(**file, {.step_bytes = 4'096});
  byte_reader r{{reinterpret_cast<const std::byte*>(data), size}};
  while (!r.rest().empty()) {
    const std::size_t length = std::min<std::size_t>(
        {r.number<std::uint16_t>(), r.rest().size(), limits::ledger_entry_bytes_max});
    if (!log->room_for(length)) {
      break;
    }
    log->stage(r.rest().first(length));
    r.skip(length);
  }
  if (!log->flush()) {
    std::abort();
  }
  const raft::group of{{}, 1, 3};
  auto opened = raft::journal::open(disk, of);
  if (!opened) {
    if (opened.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  opened->append({1, raft::entry_kind::command, {std::byte{1}}});
  if (!opened->flush()) {
    std::abort();
  }
  const auto again = raft::journal::open(disk, of);
  if (!again || again->state() != opened->state()) {
    std::abort();
  }
  return 0;
}
