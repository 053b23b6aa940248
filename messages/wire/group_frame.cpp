#include "messages/wire/group_frame.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/framed.hpp"
#include "messages/wire/group.capnp.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

// The grammar of the payloads is on docs/formats/parts.md.

namespace ovir {

namespace {

constexpr std::size_t element = sizeof(float);
constexpr std::size_t half = sizeof(std::uint16_t);
constexpr std::size_t session_bytes = 24;
static_assert(sizeof(group_session) == session_bytes);
static_assert(sizeof(signature) == 64);

struct group_form {
  using schema = GroupHeader;
  using header = group_header;
  static constexpr std::array<char, 4> magic{'O', 'V', 'T', '1'};
  static constexpr std::uint16_t version = 1;
  static constexpr std::size_t header_words = 7;
  static constexpr std::size_t bytes_max = limits::frame_bytes_max;
  static constexpr std::string_view name = "a message of a group";
  static constexpr std::string_view header_name = "the header of a group's message";

  static void write(schema::Builder root, const header& h) {
    root.setMember(h.member);
    root.setRows(h.rows);
    root.setLayer(h.layer);
    root.setStep(h.step);
    root.setWidth(h.width);
    root.setBlock(h.block);
    root.setGroup(h.group);
    root.setPass(h.pass);
  }
  static void read(schema::Reader root, header& h) {
    h.member = root.getMember();
    h.rows = root.getRows();
    h.layer = root.getLayer();
    h.step = root.getStep();
    h.width = root.getWidth();
    h.block = root.getBlock();
    h.group = root.getGroup();
    h.pass = root.getPass();
  }
  static result<void> check(const header& h, std::span<const std::byte> payload,
                            std::uint64_t stated) {
    if (stated != payload.size()) {
      return fail(errc::malformed, "a message of a group carries {} bytes and states {}",
                  payload.size(), stated);
    }
    return ovir::check(h, payload);
  }
};
static_assert(group_overhead_bytes == framed<group_form>::overhead_bytes);

/// Payload bytes that a kind may have.
struct payload_range {
  std::uint64_t least;
  std::uint64_t most;
};

payload_range range_of(const group_header& h) {
  const std::uint64_t rows = h.rows;
  const std::uint64_t floats = rows * h.width * element;
  const auto exactly = [](std::uint64_t bytes) { return payload_range{bytes, bytes}; };
  switch (h.kind) {
  case group_kind::maxima: return exactly(rows * (element + 1));
  case group_kind::floats: return exactly(floats + rows);
  case group_kind::quantised: // of 32 elements a scale of two bytes; of 256 one, and eight factors
    return {rows * h.width, rows * h.width + rows * h.width / 16};
  case group_kind::sums: return {1 + rows * h.width, 1 + rows * h.width * sizeof(std::int64_t)};
  case group_kind::queries_keys:
  case group_kind::rows:
  case group_kind::logits: return exactly(floats);
  case group_kind::begin:
    return {floats + session_bytes, floats + session_bytes * limits::pass_sessions_max};
  case group_kind::head: return exactly(rows * element);
  case group_kind::form: return {1, limits::group_order_bytes_max};
  case group_kind::formed: return {0, limits::group_answer_bytes_max};
  case group_kind::part: break;
  case group_kind::history: return exactly(session_bytes + rows * h.width * half);
  case group_kind::written: return exactly(rows * h.width * half);
  case group_kind::close: return exactly(rows * sizeof(std::uint64_t));
  case group_kind::proofs: return exactly(rows * sizeof(signature));
  }
  return exactly(0);
}

std::uint32_t width_max(group_kind kind) {
  switch (kind) {
  case group_kind::floats:
  case group_kind::quantised: return limits::feed_forward_max;
  case group_kind::queries_keys: return 2 * limits::heads_max * limits::head_dim_max;
  case group_kind::sums:
  case group_kind::rows:
  case group_kind::begin: return limits::embedding_max;
  case group_kind::logits: return limits::vocabulary_max;
  case group_kind::history:
  case group_kind::written: return limits::group_kv_width_max;
  default: return 0;
  }
}

/// Beside those without rows at all.
bool is_of_a_pass(group_kind kind) {
  return kind <= group_kind::head || kind == group_kind::written || kind == group_kind::proofs;
}

bool has_rows(group_kind kind) { return kind <= group_kind::head || kind >= group_kind::history; }

/// Sessions in front of the rest of a payload.
result<void> check_sessions(const group_header& h, std::span<const std::byte> sessions) {
  if (sessions.size() % session_bytes != 0) {
    return fail(errc::malformed, "a group's pass has {} bytes of sessions", sessions.size());
  }
  std::uint64_t rows = 0;
  for (std::size_t at = 0; at < sessions.size(); at += session_bytes) {
    group_session s;
    std::memcpy(&s, sessions.data() + at, session_bytes);
    if (s.count == 0 || s.count > h.rows || s.failed > 1 || s.capacity > limits::context_max ||
        std::uint64_t{s.first} + s.count > s.capacity) {
      return fail(errc::malformed, "a session of a group's pass has {} positions from {} on, of {}",
                  s.count, s.first, s.capacity);
    }
    rows += s.count;
  }
  if (rows != h.rows) {
    return fail(errc::malformed, "the sessions of a group's pass have {} rows of {}", rows, h.rows);
  }
  return {};
}

result<void> check_wanted(std::span<const std::byte> payload) {
  for (std::size_t at = 0; at < payload.size(); at += sizeof(std::uint32_t)) {
    std::uint32_t row = 0;
    std::memcpy(&row, payload.data() + at, sizeof row);
    if (row >= limits::prefill_chunk_max) {
      return fail(errc::over_limit,
                  "logits of row {} of a group's pass are wanted; it has at most "
                  "{}",
                  row, limits::prefill_chunk_max);
    }
  }
  return {};
}

result<void> check_fields(const group_header& h) {
  if (h.kind < group_kind::queries_keys || h.kind > group_kind::proofs) {
    return fail(errc::unsupported,
                "a message of a group of kind {}, which this version does not "
                "know",
                static_cast<unsigned>(h.kind));
  }
  if (h.member >= limits::group_members_max || h.rows > limits::prefill_chunk_max ||
      h.width > width_max(h.kind) || h.layer >= limits::layers_max ||
      h.step >= limits::group_steps_max) {
    return fail(errc::over_limit,
                "a message of member {} of a group, of {} rows of {} in layer {}, step {}",
                h.member, h.rows, h.width, h.layer, h.step);
  }
  const bool within = crosses(h.kind);
  const bool passes = is_of_a_pass(h.kind);
  if (has_rows(h.kind) == (h.rows == 0) || (!passes && h.pass != 0) ||
      (!within && (h.layer != 0 || h.step != 0 || h.block != 0)) ||
      (within && h.block != 1 && h.block != 2) || (h.kind == group_kind::maxima && h.width != 0)) {
    return fail(errc::malformed,
                "a message of a group of kind {} says what that kind does not have",
                static_cast<unsigned>(h.kind));
  }
  return {};
}

} // namespace

std::vector<group_session> group_view::sessions() const {
  const bool begins = header.kind == group_kind::begin;
  OVIR_CHECK(begins || header.kind == group_kind::history);
  const std::size_t rest = std::size_t{header.rows} * header.width * (begins ? element : half);
  std::vector<group_session> list((payload.size() - rest) / session_bytes);
  std::memcpy(list.data(), payload.data(), list.size() * session_bytes);
  return list;
}

std::span<const float> group_view::stream() const {
  OVIR_CHECK(header.kind == group_kind::begin);
  const std::size_t elements = std::size_t{header.rows} * header.width;
  const std::byte* const from = payload.data() + payload.size() - elements * element;
  return {reinterpret_cast<const float*>(from), elements};
}

std::vector<std::uint32_t> group_view::wanted() const {
  OVIR_CHECK(header.kind == group_kind::head);
  std::vector<std::uint32_t> list(payload.size() / sizeof(std::uint32_t));
  std::memcpy(list.data(), payload.data(), payload.size());
  return list;
}

std::vector<std::uint64_t> group_view::closed() const {
  OVIR_CHECK(header.kind == group_kind::close);
  std::vector<std::uint64_t> list(payload.size() / sizeof(std::uint64_t));
  std::memcpy(list.data(), payload.data(), payload.size());
  return list;
}

std::span<const std::uint16_t> group_view::halves() const {
  OVIR_CHECK(header.kind == group_kind::history || header.kind == group_kind::written);
  const std::size_t count = std::size_t{header.rows} * header.width;
  const std::byte* const from = payload.data() + payload.size() - count * half;
  return {reinterpret_cast<const std::uint16_t*>(from), count};
}

std::vector<signature> group_view::proofs() const {
  OVIR_CHECK(header.kind == group_kind::proofs);
  std::vector<signature> list(header.rows);
  std::memcpy(list.data(), payload.data(), payload.size());
  return list;
}

result<void> check(const group_header& header, std::span<const std::byte> payload) {
  OVIR_TRY(check_fields(header));
  const payload_range range = range_of(header);
  if (payload.size() < range.least || payload.size() > range.most) {
    return fail(errc::malformed, "a message of a group of kind {} carries {} bytes; {} to {} fit",
                static_cast<unsigned>(header.kind), payload.size(), range.least, range.most);
  }
  if (payload.size() + group_overhead_bytes > limits::frame_bytes_max) {
    return fail(errc::over_limit, "a message of a group of {} bytes; at most {} are allowed",
                payload.size(), limits::frame_bytes_max);
  }
  switch (header.kind) {
  case group_kind::begin:
    return check_sessions(
        header, payload.first(payload.size() - std::size_t{header.rows} * header.width * element));
  case group_kind::history: return check_sessions(header, payload.first(session_bytes));
  case group_kind::head: return check_wanted(payload);
  default: return {};
  }
}

std::vector<std::byte> encode_group(const group_header& header,
                                    std::span<const std::byte> payload) {
  const auto right = check(header, payload);
  OVIR_CHECK(right.has_value(), right ? std::string{} : right.error().message);
  return framed<group_form>::encode(header, payload);
}

std::vector<std::byte> begin_payload(std::span<const group_session> sessions,
                                     std::span<const float> stream) {
  std::vector<std::byte> out(sessions.size_bytes() + stream.size_bytes());
  std::memcpy(out.data(), sessions.data(), sessions.size_bytes());
  std::memcpy(out.data() + sessions.size_bytes(), stream.data(), stream.size_bytes());
  return out;
}

std::vector<std::byte> history_payload(const group_session& session,
                                       std::span<const std::uint16_t> halves) {
  std::vector<std::byte> out(session_bytes + halves.size_bytes());
  std::memcpy(out.data(), &session, session_bytes);
  std::memcpy(out.data() + session_bytes, halves.data(), halves.size_bytes());
  return out;
}

result<group_view> decode_group(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto read, framed<group_form>::decode(bytes));
  return group_view{read.first, read.second};
}

} // namespace ovir
