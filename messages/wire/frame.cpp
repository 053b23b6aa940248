#include "messages/wire/frame.hpp"

#include "messages/limits/draft.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/gather.hpp"
#include "messages/wire/frame.capnp.h"
#include "messages/wire/framed.hpp"

#include <array>
#include <cstring>

// The tensor of a frame: count rows of width elements: u32 for tokens, a u32 and a digest of 32
// bytes for choices, binary32 otherwise.

namespace ovir {

static_assert(sizeof(float) == 4 && sizeof(token_id) == 4);
static_assert(sizeof(token_choice) == choice_width * 4 && alignof(token_choice) <= 8);

namespace {

constexpr std::size_t element_bytes = 4;

std::uint32_t width_max(frame_kind kind) {
  switch (kind) {
  case frame_kind::tokens:
  case frame_kind::drafted_tokens: return 1;
  case frame_kind::boundary:
  case frame_kind::hidden:
  case frame_kind::drafted_boundary: return limits::embedding_max;
  case frame_kind::logits: return limits::vocabulary_max;
  case frame_kind::evidence: return limits::evidence_batch_bytes_max / element_bytes;
  case frame_kind::choice: return choice_width;
  }
  return 0;
}

std::uint64_t tensor_bytes_of(const frame_header& header) {
  return std::uint64_t{header.count} * header.width * element_bytes;
}

struct frame_form {
  using schema = FrameHeader;
  using header = frame_header;
  static constexpr std::array<char, 4> magic{'O', 'V', 'F', '1'};
  static constexpr std::uint16_t version = 1;
  static constexpr std::size_t header_words = 6;
  static constexpr std::size_t bytes_max = limits::frame_bytes_max;
  static constexpr std::string_view name = "a frame";
  static constexpr std::string_view header_name = "a frame's header";

  static void write(schema::Builder root, const header& h) {
    root.setEpoch(h.epoch.value);
    root.setRequest(h.request.value);
    root.setFirst(h.first);
    root.setCount(h.count);
    root.setWidth(h.width);
    root.setLogitRows(static_cast<std::uint16_t>(h.logit_rows));
    root.setSlack(h.slack);
  }
  static void read(schema::Reader root, header& h) {
    h.epoch = epoch{root.getEpoch()};
    h.request = request_id{root.getRequest()};
    h.first = root.getFirst();
    h.count = root.getCount();
    h.width = root.getWidth();
    h.logit_rows = root.getLogitRows();
    h.slack = root.getSlack();
  }
  static result<void> check(const header& h, std::span<const std::byte> tensor,
                            std::uint64_t stated) {
    OVIR_TRY(ovir::check(h));
    if (stated != tensor_bytes_of(h) || tensor.size() != stated) {
      return fail(errc::malformed,
                  "a frame of {} rows of {} elements carries {} bytes and states {}", h.count,
                  h.width, tensor.size(), stated);
    }
    return {};
  }
};
static_assert(frame_overhead_bytes == framed<frame_form>::overhead_bytes);

} // namespace

std::span<const token_id> frame_view::tokens() const {
  OVIR_CHECK(holds_tokens(header.kind));
  return {reinterpret_cast<const token_id*>(tensor.data()), tensor.size() / sizeof(token_id)};
}

std::span<const float> frame_view::floats() const {
  OVIR_CHECK(!holds_tokens(header.kind) && header.kind != frame_kind::choice);
  return {reinterpret_cast<const float*>(tensor.data()), tensor.size() / sizeof(float)};
}

std::span<const token_choice> frame_view::choices() const {
  OVIR_CHECK(header.kind == frame_kind::choice);
  return {reinterpret_cast<const token_choice*>(tensor.data()),
          tensor.size() / sizeof(token_choice)};
}

result<void> check(const frame_header& h) {
  const std::uint32_t widest = width_max(h.kind);
  if (widest == 0) {
    return fail(errc::unsupported, "a frame of kind {}, which this version does not know",
                static_cast<unsigned>(h.kind));
  }
  if (h.count == 0 || h.width == 0) {
    return fail(errc::malformed, "a frame of {} rows of {} elements holds nothing", h.count,
                h.width);
  }
  if (h.count > limits::prefill_chunk_max || h.width > widest) {
    return fail(errc::over_limit, "a frame of {} rows of {} elements; at most {} of {} are allowed",
                h.count, h.width, limits::prefill_chunk_max, widest);
  }
  if (std::uint64_t{h.first} + h.count > limits::context_max) {
    return fail(errc::over_limit, "a frame reaches position {}; at most {} are allowed",
                std::uint64_t{h.first} + h.count, limits::context_max);
  }
  if (h.kind == frame_kind::choice && h.width != choice_width) {
    return fail(errc::malformed, "a frame of choices has rows of {} elements, not {}", h.width,
                choice_width);
  }
  if (h.logit_rows > h.count || (is_answer(h.kind) && h.logit_rows != h.count)) {
    return fail(errc::malformed, "a frame of {} rows asks for logits of {}", h.count, h.logit_rows);
  }
  if (h.kind == frame_kind::evidence && (h.count != 1 || h.first != 0 || h.logit_rows != 0)) {
    return fail(errc::malformed, "a frame of evidence of {} rows from position {} on", h.count,
                h.first);
  }
  const bool computed = !is_answer(h.kind) && h.kind != frame_kind::evidence;
  if (h.slack > (computed ? limits::slack_batch : 0)) {
    return fail(errc::malformed,
                "a frame of kind {} may wait for {} passes; at most {} are allowed",
                static_cast<unsigned>(h.kind), h.slack, computed ? limits::slack_batch : 0);
  }
  // A draft follows a row that is none, and its own logits say whether it was right.
  if (holds_drafts(h.kind) && (h.logit_rows < 2 || h.logit_rows - 1 > limits::draft_tokens_max)) {
    return fail(errc::malformed,
                "a frame of drafts asks for logits of {} rows; 2 to {} are allowed", h.logit_rows,
                limits::draft_tokens_max + 1);
  }
  if (tensor_bytes_of(h) + frame_overhead_bytes > limits::frame_bytes_max) {
    return fail(errc::over_limit, "a frame of {} rows of {} elements exceeds {} bytes", h.count,
                h.width, limits::frame_bytes_max);
  }
  return {};
}

std::vector<std::byte> encode_frame(const frame_header& header, std::span<const std::byte> tensor) {
  OVIR_CHECK(check(header).has_value(), header.count, header.width);
  OVIR_CHECK(tensor.size() == tensor_bytes_of(header), tensor.size());
  return framed<frame_form>::encode(header, tensor);
}

result<frame_view> decode_frame(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto read, framed<frame_form>::decode(bytes));
  return frame_view{read.first, read.second};
}

} // namespace ovir
