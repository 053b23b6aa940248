#include "ledger/keeper/message.hpp"
#include "ledger/rules/double_charge.hpp"
#include "ledger/rules/equivocation.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

// Reads any bytes as a message about credits, an equivocation and a double charge. What is accepted
// must be written as the same bytes again; what convicts must convict who signed it.
namespace {

using namespace ovir::ledger;

template <class Value>
void round_trip(const ovir::result<Value>& value, std::span<const std::byte> bytes) {
  if (!value) {
    if (value.error().message.empty()) {
      std::abort();
    }
    return;
  }
  const std::vector<std::byte> again = to_bytes(*value);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes{reinterpret_cast<const std::byte*>(data), size};
  round_trip(message_from(bytes), bytes);
  round_trip(double_charge_from(bytes), bytes);
  const auto evidence = equivocation_from(bytes);
  round_trip(evidence, bytes);
  if (evidence) {
    const auto fault = find_fault(*evidence);
    if (fault && fault->guilty != evidence->first.signer.node) {
      std::abort();
    }
  }
  return 0;
}
