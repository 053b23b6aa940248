#include "verify/units/unit_integers.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

namespace {

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

template <class Value, class Encode>
void has_one_encoding(const ovir::result<Value>& read, Encode encode,
                      std::span<const std::byte> bytes) {
  if (!read) {
    must(!read.error().message.empty());
    return;
  }
  const std::vector<std::byte> again = encode(*read);
  must(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
}

} // namespace

// Reads bytes as roots of a model and as a proof of units, each of which has one encoding. Where
// the first four bytes are the length of roots, the rest behind it is verified with them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::proofs;
  const auto bytes = std::as_bytes(std::span{data, size});
  has_one_encoding(decode_roots(bytes), encode_roots, bytes);
  has_one_encoding(decode_unit_proof(bytes), encode_unit_proof, bytes);
  std::uint32_t length = 0;
  if (size < sizeof length) {
    return 0;
  }
  std::memcpy(&length, data, sizeof length);
  const auto rest = bytes.subspan(sizeof length);
  if (length > rest.size()) {
    return 0;
  }
  const auto roots = decode_roots(rest.first(length));
  has_one_encoding(roots, encode_roots, rest.first(length));
  const auto proof = decode_unit_proof(rest.subspan(length));
  has_one_encoding(proof, encode_unit_proof, rest.subspan(length));
  if (!roots || !proof) {
    return 0;
  }
  if (const auto known = public_model_of(*roots); known) {
    const auto verdict = proven_statement(*proof, *known, proof->receipt, proof->roots);
    must(verdict || !verdict.error().message.empty());
  } else {
    must(!known.error().message.empty());
  }
  return 0;
}
