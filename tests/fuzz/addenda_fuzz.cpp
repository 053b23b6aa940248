#include "messages/evidence/addendum.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/addendum_check.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Reads any bytes as a file of addenda. What is accepted has one encoding; judging it ends well,
// and each addendum either counts or does not.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ovir::test::receipt_maker cast;
  static const ovir::receipt about = cast.honest();
  static const ovir::digest name = ovir::receipt_digest(ovir::encode_receipt(about));
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto all = ovir::decode_addenda(bytes);
  if (!all) {
    if (all.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = encode_addenda(*all);
  if (!again || !std::equal(again->begin(), again->end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  const auto judged = judge_addenda(ovir::compute::subject_of(about, name), *all);
  if (judged.sound.size() + judged.faults.size() != all->size()) {
    std::abort();
  }
  return 0;
}
