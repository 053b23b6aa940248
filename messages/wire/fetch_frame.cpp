#include "messages/wire/fetch_frame.hpp"

#include "messages/limits/fetch.hpp"
#include "messages/limits/general.hpp"
#include "messages/wire/fetch.capnp.h"
#include "messages/wire/framed.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

// payload = nothing | manifest | (first:u32 last:u32)* | piece:u32+ | bytes | code:u8 text

namespace ovir {

namespace {

using digest_words = std::array<std::uint64_t, 4>;
static_assert(sizeof(digest_words) == digest::size && sizeof(piece_range) == 8);

struct fetch_form {
  using schema = FetchHeader;
  using header = fetch_header;
  static constexpr std::array<char, 4> magic{'O', 'V', 'P', '1'};
  static constexpr std::uint16_t version = 1;
  static constexpr std::size_t header_words = 8;
  static constexpr std::size_t bytes_max = limits::fetch_frame_bytes_max;
  static constexpr std::string_view name = "a message about weights";
  static constexpr std::string_view header_name = "a header about weights";

  static void write(schema::Builder root, const header& h) {
    root.setPiece(h.piece);
    root.setReceived(h.received);
    const auto model = std::bit_cast<digest_words>(h.model.bytes);
    root.setModel0(model[0]);
    root.setModel1(model[1]);
    root.setModel2(model[2]);
    root.setModel3(model[3]);
  }
  static void read(schema::Reader root, header& h) {
    h.piece = root.getPiece();
    h.received = root.getReceived();
    const digest_words model{root.getModel0(), root.getModel1(), root.getModel2(),
                             root.getModel3()};
    h.model.bytes = std::bit_cast<decltype(digest::bytes)>(model);
  }
  static result<void> check(const header& h, std::span<const std::byte> payload,
                            std::uint64_t stated) {
    if (stated != payload.size()) {
      return fail(errc::malformed, "a message about weights carries {} bytes and states {}",
                  payload.size(), stated);
    }
    return ovir::check(h, payload);
  }
};

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

static_assert(fetch_overhead_bytes == framed<fetch_form>::overhead_bytes);
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
  return framed<fetch_form>::encode(header, payload);
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
  OVIR_ASSIGN(const auto read, framed<fetch_form>::decode(bytes));
  return fetch_view{read.first, read.second};
}

} // namespace ovir
