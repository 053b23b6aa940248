// Any bytes as a letter of a federated round, and as a coordinator's journal: what is accepted is
// written as the same bytes.
#include "learning/rounds/journal.hpp"
#include "learning/rounds/letters.hpp"
#include "messages/check.hpp"
#include "tests/support/memory_file.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace {

using namespace ovir::learning;

void check_letter(std::span<const std::byte> bytes) {
  const auto read = letter_from(bytes);
  if (!read) {
    OVIR_CHECK(!read.error().message.empty());
    return;
  }
  const std::vector<std::byte> again = to_bytes(*read);
  OVIR_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  static_cast<void>(task_of(*read));
  if (const auto* const offer = std::get_if<round_offer>(&*read)) {
    if (const auto sound = check_task(offer->task); !sound) {
      OVIR_CHECK(!sound.error().message.empty());
    }
  }
}

void check_journal(std::span<const std::byte> bytes) {
  auto file =
      std::make_unique<ovir::test::memory_file>(std::vector<std::byte>{bytes.begin(), bytes.end()});
  auto read = round_journal::open(std::move(file));
  if (!read) {
    OVIR_CHECK(!read.error().message.empty());
    return;
  }
  OVIR_CHECK(read->append(bytes.first(std::min<std::size_t>(bytes.size(), 16))).has_value());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  check_letter(bytes);
  check_journal(bytes);
  return 0;
}
