#include "actors/group/group_order.hpp"
#include "compute/parts/crossing.hpp"
#include "messages/check.hpp"
#include "messages/wire/group_frame.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// What a message carries, as a member reads it that has a pass of these sizes.
void read_payload(const ovir::group_header& h, std::span<const std::byte> payload) {
  using namespace ovir::compute;
  const std::size_t rows = h.rows;
  if (rows * h.width > (1U << 20U)) {
    return; // large matrices add time, and nothing that small ones do not show
  }
  joined_rows joined;
  joined.clear(rows);
  const auto block = h.block == 1 ? layer_block::attention : layer_block::feed_forward;
  if (h.kind == ovir::group_kind::maxima) {
    (void)join_maxima(payload, block, joined);
  } else if (h.kind == ovir::group_kind::sums) {
    std::vector<int128> totals(rows * h.width);
    if (add_sums(payload, totals)) {
      const std::vector<std::int64_t> sums(totals.begin(), totals.end());
      OVIR_CHECK(std::ranges::equal(encode_sums(sums), payload));
    }
  } else if (h.kind == ovir::group_kind::quantised && h.width % 256 == 0) {
    for (const auto form : {activation_form::a32, activation_form::a256}) {
      quantized_batch to;
      to.reshape(form, h.rows, h.width);
      if (read_quantised(payload, {0, h.width}, to)) {
        OVIR_CHECK(std::ranges::equal(encode_quantised(to, h.width), payload));
      }
    }
  } else if (h.kind == ovir::group_kind::form) {
    if (const auto order = ovir::actors::decode_order(payload)) {
      OVIR_CHECK(std::ranges::equal(ovir::actors::encode_order(*order), payload));
    }
  }
}

} // namespace

// Decodes any bytes as a message between members of a group. What is accepted must encode to the
// very bytes it came from: a message has one encoding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size); // aligned, as messages are
  if (size > 0) {
    std::memcpy(bytes.data(), data, size);
  }
  const auto view = ovir::decode_group(bytes);
  if (!view) {
    OVIR_CHECK(!view.error().message.empty());
    return 0;
  }
  const ovir::group_header& header = view->header;
  OVIR_CHECK(ovir::encode_group(header, view->payload) == bytes);
  if (header.kind == ovir::group_kind::begin) {
    OVIR_CHECK(
        std::ranges::equal(ovir::begin_payload(view->sessions(), view->stream()), view->payload));
  } else if (header.kind == ovir::group_kind::history) {
    OVIR_CHECK(std::ranges::equal(ovir::history_payload(view->sessions().front(), view->halves()),
                                  view->payload));
  } else if (header.kind == ovir::group_kind::head) {
    OVIR_CHECK(view->wanted().size() == header.rows);
  } else if (header.kind == ovir::group_kind::proofs) {
    OVIR_CHECK(view->proofs().size() == header.rows);
  }
  read_payload(header, view->payload);
  return 0;
}
