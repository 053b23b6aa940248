// Any bytes as an adapter and as a checkpoint of a training: what is accepted is written and read
// again as the same.
#include "learning/adapter/adapter_file.hpp"
#include "learning/training/state_file.hpp"
#include "messages/check.hpp"

#include <cstdint>
#include <span>

namespace {

using namespace ovir::learning;

void check_adapter(std::span<const std::byte> bytes) {
  const auto read = adapter_from(bytes);
  if (!read) {
    OVIR_CHECK(!read.error().message.empty());
    return;
  }
  for_each_pair(read->is.numbers, [&](std::size_t, std::size_t, const lora_pair& pair) {
    OVIR_CHECK(pair.a.size() % read->is.rank == 0 && pair.b.size() % read->is.rank == 0);
  });
  const std::string again = to_file(read->is, read->from);
  const auto second = adapter_from(std::as_bytes(std::span{again}));
  OVIR_CHECK(second.has_value());
  OVIR_CHECK(second->is == read->is && second->from == read->from);
}

void check_state(std::span<const std::byte> bytes) {
  const auto read = state_from(bytes);
  if (!read) {
    OVIR_CHECK(!read.error().message.empty());
    return;
  }
  const std::string again = to_file(*read);
  const auto second = state_from(std::as_bytes(std::span{again}));
  OVIR_CHECK(second.has_value());
  OVIR_CHECK(to_file(*second) == again);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  check_adapter(bytes);
  check_state(bytes);
  return 0;
}
