#include "messages/evidence/evidence.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Reads any bytes as a batch of evidence. What is accepted has one encoding, and looking for faults
// of form in it must end well.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto batch = ovir::decode_evidence(bytes);
  if (!batch) {
    if (batch.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = encode_evidence(*batch);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  for (const std::uint32_t layers : {1U, batch->records.signer.layers.last}) {
    (void)find_form_fault(batch->records, layers);
  }
  return 0;
}
