#include "messages/wire/fetch_frame.hpp"

#include "messages/limits/fetch.hpp"
#include "messages/limits/general.hpp"
#include "messages/wire/fetch.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

// message = magic header_bytes payload_bytes header payload
// magic   = "OVP1"                 ; 4 bytes
// header_bytes = u32               ; always 64
// payload_bytes = u64
// header  = Cap'n Proto message of one segment, messages/wire/fetch.capnp
// payload = nothing | manifest | (first:u32 last:u32)* | piece:u32+ | bytes | code:u8 text
// All numbers are little-endian.

namespace ovir {

static_assert(std::endian::native == std::endian::little, "lists are sent in memory order");

namespace {

constexpr std::array<char, 4> magic{'O', 'V', 'P', '1'};
constexpr std::uint16_t fetch_version = 1;
constexpr std::size_t prefix_bytes = 16;
constexpr std::size_t header_words = 8; // segment table, root pointer, 6 words of data
constexpr std::size_t header_bytes = header_words * 8;

using header_array = std::array<capnp::word, header_words>;
using digest_words = std::array<std::uint64_t, 4>;
static_assert(sizeof(digest_words) == digest::size && sizeof(piece_range) == 8);

void write_header(const fetch_header& header, std::span<std::byte, header_bytes> out) {
  std::array<capnp::word, 16> scratch{};
  capnp::MallocMessageBuilder builder(kj::arrayPtr(scratch.data(), scratch.size()));
  auto root = builder.initRoot<FetchHeader>();
  root.setVersion(fetch_version);
  root.setKind(static_cast<std::uint16_t>(header.kind));
  root.setPiece(header.piece);
  root.setReceived(header.received);
  const auto model = std::bit_cast<digest_words>(header.model.bytes);
  root.setModel0(model[0]);
  root.setModel1(model[1]);
  root.setModel2(model[2]);
  root.setModel3(model[3]);
  const auto words = capnp::messageToFlatArray(builder);
  OVIR_CHECK(words.size() == header_words, words.size());
  std::memcpy(out.data(), words.begin(), header_bytes);
}

struct raw_header {
  std::uint16_t version{0};
  std::uint16_t kind{0};
  fetch_header header;
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
    const auto root = reader.getRoot<FetchHeader>();
    raw.version = root.getVersion();
    raw.kind = root.getKind();
    raw.header.piece = root.getPiece();
    raw.header.received = root.getReceived();
    const digest_words model{root.getModel0(), root.getModel1(), root.getModel2(),
                             root.getModel3()};
    raw.header.model.bytes = std::bit_cast<decltype(digest::bytes)>(model);
  });
  KJ_IF_MAYBE (problem, failed) {
    return fail(errc::malformed, "a header about weights is not a Cap'n Proto message: {}",
                problem->getDescription().cStr());
  }
  return raw;
}

template <class T>
std::vector<T> list_of(std::span<const std::byte> payload) {
  std::vector<T> list(payload.size() / sizeof(T));
  if (!list.empty()) {
    std::memcpy(list.data(), payload.data(), list.size() * sizeof(T));
  }
  return list;
}

std::string printable(std::string_view text) {
  std::string clean{text.substr(0, limits::error_text_bytes_max)};
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

result<void> check_size(std::string_view what, std::size_t bytes, std::size_t least,
                        std::size_t most, std::size_t step = 1) {
  if (bytes > most) {
    return fail(errc::over_limit, "{} has {} bytes; at most {} are allowed", what, bytes, most);
  }
  if (bytes < least || bytes % step != 0) {
    return fail(errc::malformed, "{} has {} bytes, which it cannot have", what, bytes);
  }
  return {};
}

result<void> check_ranges(std::span<const std::byte> payload) {
  OVIR_TRY(check_size("a list of pieces", payload.size(), 0,
                      limits::fetch_ranges_max * sizeof(piece_range), sizeof(piece_range)));
  std::uint32_t end = 0;
  for (std::size_t at = 0; at < payload.size(); at += sizeof(piece_range)) {
    piece_range range;
    std::memcpy(&range, payload.data() + at, sizeof(range));
    if (range.first >= range.last || (at > 0 && range.first <= end)) {
      return fail(errc::malformed, "the ranges of pieces are empty, touch or are out of order");
    }
    if (range.last > limits::fetch_pieces_max) {
      return fail(errc::over_limit, "a range reaches piece {}; at most {} are allowed", range.last,
                  limits::fetch_pieces_max);
    }
    end = range.last;
  }
  return {};
}

result<void> check_refusal(std::span<const std::byte> payload) {
  OVIR_TRY(check_size("a refusal", payload.size(), 1, 1 + limits::error_text_bytes_max));
  const auto code = static_cast<errc>(std::to_integer<std::uint8_t>(payload[0]));
  if (to_string(code) == "unknown") {
    return fail(errc::unsupported, "a refusal with code {}, which this version does not know",
                static_cast<unsigned>(code));
  }
  const bool clean = std::all_of(payload.begin() + 1, payload.end(), [](std::byte b) {
    return b >= std::byte{' '} && b <= std::byte{'~'};
  });
  if (!clean) {
    return fail(errc::malformed, "the text of a refusal is not printable");
  }
  return {};
}

} // namespace

static_assert(fetch_overhead_bytes == prefix_bytes + header_bytes);
static_assert(limits::fetch_piece_bytes_max + fetch_overhead_bytes <=
              limits::fetch_frame_bytes_max);
static_assert(limits::fetch_manifest_bytes_max + fetch_overhead_bytes <=
              limits::fetch_frame_bytes_max);

std::vector<std::uint32_t> fetch_view::pieces() const {
  OVIR_CHECK(header.kind == fetch_kind::want_pieces);
  return list_of<std::uint32_t>(payload);
}

std::vector<piece_range> fetch_view::ranges() const {
  OVIR_CHECK(header.kind == fetch_kind::holdings);
  return list_of<piece_range>(payload);
}

error fetch_view::reason() const {
  OVIR_CHECK(header.kind == fetch_kind::refusal);
  const auto* const text = reinterpret_cast<const char*>(payload.data());
  return {static_cast<errc>(std::to_integer<std::uint8_t>(payload[0])),
          std::string{text + 1, payload.size() - 1}};
}

result<void> check(const fetch_header& header, std::span<const std::byte> payload) {
  const bool names_piece = header.kind == fetch_kind::piece || header.kind == fetch_kind::refusal;
  if ((!names_piece && header.piece != 0) ||
      (header.kind != fetch_kind::want_pieces && header.received != 0)) {
    return fail(errc::malformed, "a message about weights of kind {} says what it cannot say",
                static_cast<unsigned>(header.kind));
  }
  switch (header.kind) {
  case fetch_kind::want_manifest:
  case fetch_kind::want_holdings: return check_size("a question", payload.size(), 0, 0);
  case fetch_kind::manifest:
    return check_size("a manifest", payload.size(), 1, limits::fetch_manifest_bytes_max);
  case fetch_kind::holdings: return check_ranges(payload);
  case fetch_kind::want_pieces:
    return check_size("a list of wanted pieces", payload.size(), sizeof(std::uint32_t),
                      limits::fetch_asked_max * sizeof(std::uint32_t), sizeof(std::uint32_t));
  case fetch_kind::piece:
    return check_size("a piece", payload.size(), 1, limits::fetch_piece_bytes_max);
  case fetch_kind::refusal: return check_refusal(payload);
  }
  return fail(errc::unsupported,
              "a message about weights of kind {}, which this version does not "
              "know",
              static_cast<unsigned>(header.kind));
}

std::vector<std::byte> encode_fetch(const fetch_header& header,
                                    std::span<const std::byte> payload) {
  const auto right = check(header, payload);
  OVIR_CHECK(right.has_value(), right ? std::string{} : right.error().message);
  std::vector<std::byte> out;
  out.reserve(fetch_overhead_bytes + payload.size());
  out.resize(fetch_overhead_bytes);
  const auto header_size = static_cast<std::uint32_t>(header_bytes);
  const std::uint64_t payload_size = payload.size();
  std::memcpy(out.data(), magic.data(), magic.size());
  std::memcpy(out.data() + 4, &header_size, sizeof(header_size));
  std::memcpy(out.data() + 8, &payload_size, sizeof(payload_size));
  write_header(header, std::span<std::byte, header_bytes>{out.data() + prefix_bytes, header_bytes});
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

std::vector<std::byte> encode_want_pieces(const digest& model,
                                          std::span<const std::uint32_t> pieces,
                                          std::uint64_t received) {
  return encode_fetch({fetch_kind::want_pieces, model, 0, received}, std::as_bytes(pieces));
}

std::vector<std::byte> encode_holdings(const digest& model, std::span<const piece_range> ranges) {
  return encode_fetch({fetch_kind::holdings, model, 0, 0}, std::as_bytes(ranges));
}

std::vector<std::byte> encode_refusal(const digest& model, std::uint32_t piece,
                                      const error& reason) {
  const std::string text =
      std::string(1, static_cast<char>(reason.code)) + printable(reason.message);
  return encode_fetch({fetch_kind::refusal, model, piece, 0}, std::as_bytes(std::span{text}));
}

result<fetch_view> decode_fetch(std::span<const std::byte> bytes) {
  OVIR_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0);
  OVIR_TRY(check_size("a message about weights", bytes.size(), fetch_overhead_bytes,
                      limits::fetch_frame_bytes_max));
  std::uint32_t header_size = 0;
  std::uint64_t payload_size = 0;
  std::memcpy(&header_size, bytes.data() + 4, sizeof(header_size));
  std::memcpy(&payload_size, bytes.data() + 8, sizeof(payload_size));
  const std::span<const std::byte> payload = bytes.subspan(fetch_overhead_bytes);
  if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0 || header_size != header_bytes ||
      payload_size != payload.size()) {
    return fail(errc::malformed, "these bytes do not begin like a message about weights");
  }
  const std::span<const std::byte, header_bytes> header{bytes.data() + prefix_bytes, header_bytes};
  OVIR_ASSIGN(raw_header raw, read_header(header));
  if (raw.version != fetch_version) {
    return fail(errc::unsupported,
                "a message about weights of version {}; this build reads version {}", raw.version,
                fetch_version);
  }
  raw.header.kind = static_cast<fetch_kind>(raw.kind);
  OVIR_TRY(check(raw.header, payload));
  std::array<std::byte, header_bytes> canonical{};
  write_header(raw.header, canonical);
  if (!std::equal(canonical.begin(), canonical.end(), header.begin())) {
    return fail(errc::malformed, "a header about weights is not in its one canonical form");
  }
  return fetch_view{raw.header, payload};
}

} // namespace ovir
