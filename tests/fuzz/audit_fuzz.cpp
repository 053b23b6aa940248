#include "ledger/audit/track_record.hpp"
#include "messages/evidence/audit.hpp"
#include "verify/receipt_replay.hpp"
#include "verify/window_task.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Reads any bytes as a message about audits, and as a log of events. What is accepted has one
// encoding; looking whether a conviction holds must end well.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto log = ovir::ledger::replay_track_log(bytes);
  if (log.bytes_used > size || log.events.size() * ovir::ledger::track_event_bytes > size) {
    std::abort();
  }
  const auto message = ovir::decode_audit(bytes);
  if (!message) {
    if (message.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = encode_audit(*message);
  if (!again || !std::equal(again->begin(), again->end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  if (const auto* c = std::get_if<ovir::conviction>(&*message)) {
    (void)ovir::compute::check_conviction(*c);
  } else if (const auto* q = std::get_if<ovir::audit_question>(&*message)) {
    const auto r = ovir::compute::receipt_of(q->task); // of any task that is read
    if (ovir::compute::task_of(r, {0, q->task.window()}) != q->task) {
      std::abort();
    }
  }
  return 0;
}
