#include "ledger/audit/epoch_draw.hpp"
#include "ledger/rules/command.hpp"
#include "ledger/rules/proof.hpp"
#include "ledger/rules/state.hpp"
#include "messages/wire/bytes.hpp"

#include <cstdint>
#include <cstdlib>
#include <vector>

// Reads any bytes as an entry, a head, an acknowledgement, evidence of a fork, a proof, a snapshot
// and what a reader of epochs keeps. What is accepted must be written as the same bytes again: two
// encodings of one value would be two leaves. An entry is also offered to an empty ledger, which
// must refuse or apply it whole.
namespace {

using namespace ovir::ledger;

template <class Value, class Decode>
void round_trip(std::span<const std::byte> bytes, const Decode& decode) {
  const ovir::result<Value> value = decode(bytes);
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

void as_entry(std::span<const std::byte> bytes) {
  const auto e = decode_entry(bytes);
  if (!e) {
    return;
  }
  std::vector<std::byte> again;
  encode(*e, again);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  state s{1};
  std::vector<posting> effects;
  if (const auto done = s.apply(*e, bytes, 0, effects); !done && !effects.empty()) {
    std::abort();
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes{reinterpret_cast<const std::byte*>(data), size};
  as_entry(bytes);
  round_trip<signed_head>(bytes, signed_head_from);
  round_trip<acknowledgement>(bytes, acknowledgement_from);
  round_trip<fork_evidence>(bytes, fork_evidence_from);
  round_trip<consistency>(bytes, consistency_from);
  round_trip<entry_proof>(bytes, entry_proof_from);
  if (const auto kept = epoch_reader::restore(bytes); kept && kept->snapshot().size() != size) {
    std::abort();
  }
  if (const auto p = proof_from(bytes)) {
    static_cast<void>(check_proof(*p));
  }
  // The digest at a snapshot's end keeps a fuzzer out; so it is put right.
  std::vector<std::byte> image(bytes.begin(), bytes.end());
  ovir::byte_writer{image}.write(ovir::hash("ovir/ledger/v1/snapshot", bytes));
  static_cast<void>(state::restore(image, 1));
  return 0;
}
