#include "ledger/keeper/index_records.hpp"
#include "tests/support/memory_index.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

// Takes any bytes for the records of a ledger's index: a key's length (u8), the key, a record's
// length (u16), the record, and so on. Loading ends with a state that adds up, with nothing or with
// a sentence. Each record alone, where it is read, is written as the same bytes again.
namespace {

using namespace ovir::ledger;

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

template <class Value>
void same_again(const std::optional<Value>& read, const std::string& record) {
  require(!read || to_record(*read) == record);
}

void alone(const std::string& record) {
  same_again(index_summary_from(record), record);
  same_again(ids_from(record), record);
  same_again(index_voucher_from(record), record);
  if (const auto a = index_account_from(record)) {
    require(index_account_from(to_record(*a)).has_value());
  }
  const ovir::node_id account{{1}};
  if (const auto lines = history_from(account, record); lines && record.size() <= slice_bytes) {
    std::span<const statement_line> rest = *lines;
    require(history_from(account, history_record(rest)) == lines && rest.empty());
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes{reinterpret_cast<const char*>(data), size};
  alone(bytes);
  ovir::test::memory_index store;
  std::size_t at = 0;
  const auto take = [&](std::size_t count) {
    const std::string part = bytes.substr(at, count);
    at = std::min(bytes.size(), at + count);
    return part;
  };
  while (at + 3 < bytes.size()) {
    const std::string key = take(static_cast<std::uint8_t>(take(1)[0]));
    const std::string length = take(2);
    const std::size_t low = length.empty() ? 0 : static_cast<std::uint8_t>(length[0]);
    const std::size_t high = length.size() < 2 ? 0 : static_cast<std::uint8_t>(length[1]);
    store.records[key] = take(low + 256 * high);
  }
  log_index index{store};
  if (const auto loaded = index.load(1)) {
    require(!*loaded ||
            ((*loaded)->at.entries() == (*loaded)->log.size && (*loaded)->log.size > 0));
  } else {
    require(!loaded.error().message.empty());
  }
  static_cast<void>(index.statement(ovir::node_id{{1}}));
  return 0;
}
