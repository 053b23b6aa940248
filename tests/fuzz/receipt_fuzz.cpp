#include "messages/evidence/compact_receipt.hpp"
#include "verify/receipt_check.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

void require_same(const std::vector<std::byte>& written, std::span<const std::byte> bytes) {
  require(std::equal(written.begin(), written.end(), bytes.begin(), bytes.end()));
}

const ovir::compute::signer_policy anybody{ovir::compute::signer_policy::kind::any, {}};

} // namespace

// Reads any bytes as a receipt, a compact one and an opened unit. What is accepted has one
// encoding; checking it ends well, names a signer or nobody, and makes nothing up: a receipt found
// right can be made compact and opened.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto whole = ovir::decode_receipt(bytes);
  require(whole || !whole.error().message.empty());
  if (whole) {
    require_same(encode_receipt(*whole), bytes);
    const auto found = check_receipt(*whole, anybody);
    if (found.empty()) {
      const auto brief = ovir::compact(*whole);
      const auto opened = ovir::open_unit(*whole, 0, 0);
      require(!brief ||
              (check_receipt(*brief, anybody).empty() && opened && check_opening(*brief, *opened)));
      require(ovir::compute::draw_checker::make(*whole).has_value() ||
              whole->asked.sampling != ovir::sampling_params{});
    }
  }
  const auto brief = ovir::decode_compact(bytes);
  require(brief || !brief.error().message.empty());
  if (brief) {
    require_same(encode_compact(*brief), bytes);
    (void)check_receipt(*brief, anybody);
  }
  const auto opened = ovir::decode_opening(bytes);
  require(opened || !opened.error().message.empty());
  if (opened) {
    require_same(encode_opening(*opened), bytes);
  }
  return 0;
}
