#include "messages/wire/frame.hpp"

#include "messages/limits/draft.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/wire/frame.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

// frame   = magic header_bytes tensor_bytes header tensor
// magic   = "OVF1"                 ; 4 bytes
// header_bytes = u32               ; always 48
// tensor_bytes = u64               ; count * width * 4
// header  = Cap'n Proto message of one segment, messages/wire/frame.capnp
// tensor  = count rows of width elements: u32 for tokens, a u32 and a digest of 32 bytes for
// choices,
//           binary32 otherwise
// All numbers are little-endian.

namespace ovir {

static_assert(std::endian::native == std::endian::little, "tensors are sent in memory order");
static_assert(sizeof(float) == 4 && sizeof(token_id) == 4);
static_assert(sizeof(token_choice) == choice_width * 4 && alignof(token_choice) <= 8);

namespace {

constexpr std::array<char, 4> magic{'O', 'V', 'F', '1'};
constexpr std::uint16_t frame_version = 1;
constexpr std::size_t prefix_bytes = 16;
constexpr std::size_t header_words = 6; // segment table, root pointer, 4 words of data
constexpr std::size_t header_bytes = header_words * 8;
constexpr std::size_t element_bytes = 4;

using header_array = std::array<capnp::word, header_words>;

void write_header(const frame_header& header, std::span<std::byte, header_bytes> out) {
  std::array<capnp::word, 16> scratch{};
  capnp::MallocMessageBuilder builder(kj::arrayPtr(scratch.data(), scratch.size()));
  auto root = builder.initRoot<FrameHeader>();
  root.setVersion(frame_version);
  root.setKind(static_cast<std::uint16_t>(header.kind));
  root.setEpoch(header.epoch.value);
  root.setRequest(header.request.value);
  root.setFirst(header.first);
  root.setCount(header.count);
  root.setWidth(header.width);
  root.setLogitRows(header.logit_rows);
  const auto words = capnp::messageToFlatArray(builder);
  OVIR_CHECK(words.size() == header_words, words.size());
  std::memcpy(out.data(), words.begin(), header_bytes);
}

struct raw_header {
  std::uint16_t version{0};
  std::uint16_t kind{0};
  frame_header header;
};

// Cap'n Proto reports malformed bytes by an exception of its own; this is the edge where it ends.
result<raw_header> read_header(std::span<const std::byte, header_bytes> bytes) {
  header_array words;
  std::memcpy(words.data(), bytes.data(), header_bytes);
  raw_header raw;
  const auto failed = kj::runCatchingExceptions([&] {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = 2 * header_words;
    options.nestingLimit = 1;
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()), options);
    const auto root = reader.getRoot<FrameHeader>();
    raw.version = root.getVersion();
    raw.kind = root.getKind();
    raw.header.epoch = epoch{root.getEpoch()};
    raw.header.request = request_id{root.getRequest()};
    raw.header.first = root.getFirst();
    raw.header.count = root.getCount();
    raw.header.width = root.getWidth();
    raw.header.logit_rows = root.getLogitRows();
  });
  KJ_IF_MAYBE (problem, failed) {
    return fail(errc::malformed, "a frame's header is not a Cap'n Proto message: {}",
                problem->getDescription().cStr());
  }
  return raw;
}

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

} // namespace

static_assert(frame_overhead_bytes == prefix_bytes + header_bytes);

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
  std::vector<std::byte> out;
  out.reserve(frame_overhead_bytes + tensor.size());
  out.resize(frame_overhead_bytes);
  const auto header_size = static_cast<std::uint32_t>(header_bytes);
  const std::uint64_t tensor_size = tensor.size();
  std::memcpy(out.data(), magic.data(), magic.size());
  std::memcpy(out.data() + 4, &header_size, sizeof(header_size));
  std::memcpy(out.data() + 8, &tensor_size, sizeof(tensor_size));
  write_header(header, std::span<std::byte, header_bytes>{out.data() + prefix_bytes, header_bytes});
  out.insert(out.end(), tensor.begin(), tensor.end());
  return out;
}

result<frame_view> decode_frame(std::span<const std::byte> bytes) {
  OVIR_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0);
  if (bytes.size() < frame_overhead_bytes) {
    return fail(errc::malformed, "a frame of {} bytes is shorter than its header", bytes.size());
  }
  if (bytes.size() > limits::frame_bytes_max) {
    return fail(errc::over_limit, "a frame of {} bytes; at most {} are allowed", bytes.size(),
                limits::frame_bytes_max);
  }
  std::uint32_t header_size = 0;
  std::uint64_t tensor_size = 0;
  std::memcpy(&header_size, bytes.data() + 4, sizeof(header_size));
  std::memcpy(&tensor_size, bytes.data() + 8, sizeof(tensor_size));
  if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0 || header_size != header_bytes) {
    return fail(errc::malformed, "these bytes do not begin like a frame");
  }
  const std::span<const std::byte, header_bytes> header{bytes.data() + prefix_bytes, header_bytes};
  OVIR_ASSIGN(raw_header raw, read_header(header));
  if (raw.version != frame_version) {
    return fail(errc::unsupported, "a frame of version {}; this build reads version {}",
                raw.version, frame_version);
  }
  raw.header.kind = static_cast<frame_kind>(raw.kind);
  OVIR_TRY(check(raw.header));
  const std::span<const std::byte> tensor = bytes.subspan(frame_overhead_bytes);
  if (tensor_size != tensor_bytes_of(raw.header) || tensor.size() != tensor_size) {
    return fail(errc::malformed, "a frame of {} rows of {} elements carries {} bytes and states {}",
                raw.header.count, raw.header.width, tensor.size(), tensor_size);
  }
  std::array<std::byte, header_bytes> canonical{};
  write_header(raw.header, canonical);
  if (!std::equal(canonical.begin(), canonical.end(), header.begin())) {
    return fail(errc::malformed, "a frame's header is not in its one canonical form");
  }
  return frame_view{raw.header, tensor};
}

} // namespace ovir
