#include "verify/proofs/product_verifier.hpp"

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

// Reads bytes as a statement and as a proof, each of which has one encoding. Where the first four
// bytes are the length of a statement, the rest behind it is verified as its proof.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::proofs;
  const auto bytes = std::as_bytes(std::span{data, size});
  has_one_encoding(decode_statement(bytes), encode_statement, bytes);
  has_one_encoding(decode_proof(bytes), encode_proof, bytes);
  std::uint32_t length = 0;
  if (size < sizeof length) {
    return 0;
  }
  std::memcpy(&length, data, sizeof length);
  const auto rest = bytes.subspan(sizeof length);
  if (length > rest.size()) {
    return 0;
  }
  const auto statement = decode_statement(rest.first(length));
  has_one_encoding(statement, encode_statement, rest.first(length));
  const auto proof = decode_proof(rest.subspan(length));
  has_one_encoding(proof, encode_proof, rest.subspan(length));
  if (statement && proof) {
    const auto verdict = verify_products(*statement, *proof);
    must(verdict || !verdict.error().message.empty());
  }
  return 0;
}
