#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/log/log_format.hpp"
#include "tests/support/memory_file.hpp"

#include <cstdint>
#include <cstdlib>
#include <vector>

// Takes any bytes for the batches of a log's file. Reading must end with a log or a sentence; a log
// that opens must take another batch and open again, and looking must change nothing.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::ledger;
  const std::span bytes{reinterpret_cast<const std::byte*>(data), size};
  const auto head = file_head();
  ovir::test::memory_file file;
  file.content.assign(head.begin(), head.end());
  file.content.insert(file.content.end(), bytes.begin(), bytes.end());
  const std::vector<std::byte> before = file.content;
  const auto seen = verify_log(file, {});
  if (!seen || file.content != before) {
    std::abort();
  }
  ledger_options options;
  options.log.step_bytes = 4'096;
  log_report report;
  auto opened = ledger::open(file, options, report);
  if (!opened) {
    if (opened.error().message.empty() || file.content != before) {
      std::abort();
    }
    return 0;
  }
  if (!opened->commit({}, 1)) {
    std::abort();
  }
  log_report unused;
  if (!ledger::open(file, options, unused)) {
    std::abort();
  }
  return 0;
}
