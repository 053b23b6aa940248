#include "messages/wire/block_frame.hpp"

#include "messages/limits/blocks.hpp"
#include "messages/wire/block.capnp.h"
#include "messages/wire/framed.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <string>

// payload = filter | name[32]+ | bytes | nothing; docs/formats/blocks.md

namespace ovir {

namespace {

struct block_form {
  using schema = BlockHeader;
  using header = block_header;
  static constexpr std::array<char, 4> magic{'O', 'V', 'B', '1'};
  static constexpr std::uint16_t version = 1;
  static constexpr std::size_t header_words = 4;
  static constexpr std::size_t bytes_max = limits::block_frame_bytes_max;
  static constexpr std::string_view name = "a message about blocks";
  static constexpr std::string_view header_name = "a header about blocks";

  static void write(schema::Builder root, const header& h) {
    root.setNumber(h.number);
    root.setTicket(h.ticket);
  }
  static void read(schema::Reader root, header& h) {
    h.number = root.getNumber();
    h.ticket = root.getTicket();
  }
  static result<void> check(const header& h, std::span<const std::byte> payload,
                            std::uint64_t stated) {
    if (stated != payload.size()) {
      return fail(errc::malformed, "a message about blocks carries {} bytes and states {}",
                  payload.size(), stated);
    }
    return ovir::check(h, payload);
  }
};
static_assert(block_overhead_bytes == framed<block_form>::overhead_bytes);
static_assert(limits::kv_block_bytes_max + block_overhead_bytes <= limits::block_frame_bytes_max);
static_assert(limits::block_filter_bytes_max + block_overhead_bytes <=
              limits::block_claims_bytes_max);

result<void> check_size(std::string_view what, std::size_t bytes, std::size_t least,
                        std::size_t most) {
  if (bytes > most) {
    return fail(errc::over_limit, "{} has {} bytes; at most {} are allowed", what, bytes, most);
  }
  if (bytes < least) {
    return fail(errc::malformed, "{} has {} bytes, which it cannot have", what, bytes);
  }
  return {};
}

result<void> check_claims(const block_header& header, std::size_t bytes) {
  OVIR_TRY(check_size("a filter", bytes, limits::block_filter_bytes_min,
                      limits::block_filter_bytes_max));
  if (!std::has_single_bit(bytes) || header.ticket != 0) {
    return fail(errc::malformed, "a filter of {} bytes with ticket {}", bytes, header.ticket);
  }
  if (header.number > limits::blocks_claimed_max) {
    return fail(errc::over_limit, "{} blocks are claimed; at most {} can be", header.number,
                limits::blocks_claimed_max);
  }
  return {};
}

result<void> check_want(const block_header& header, std::size_t bytes) {
  OVIR_TRY(check_size("a list of wanted blocks", bytes, digest::size,
                      limits::blocks_asked_max * digest::size));
  if (bytes % digest::size != 0 || header.number != 0) {
    return fail(errc::malformed, "a list of wanted blocks has {} bytes and number {}", bytes,
                header.number);
  }
  return {};
}

} // namespace

std::vector<digest> block_view::names() const {
  OVIR_CHECK(header.kind == block_kind::want);
  std::vector<digest> list(payload.size() / digest::size);
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::memcpy(list[i].bytes.data(), payload.data() + i * digest::size, digest::size);
  }
  return list;
}

result<void> check(const block_header& header, std::span<const std::byte> payload) {
  const bool answers = header.kind == block_kind::block || header.kind == block_kind::missing;
  if (answers && header.number >= limits::blocks_asked_max) {
    return fail(errc::over_limit, "block {} of a question about at most {}", header.number,
                limits::blocks_asked_max);
  }
  switch (header.kind) {
  case block_kind::claims: return check_claims(header, payload.size());
  case block_kind::want: return check_want(header, payload.size());
  case block_kind::block:
    return check_size("a block", payload.size(), 1, limits::kv_block_bytes_max);
  case block_kind::missing: return check_size("word of a missing block", payload.size(), 0, 0);
  }
  return fail(errc::unsupported,
              "a message about blocks of kind {}, which this version does not know",
              static_cast<unsigned>(header.kind));
}

std::vector<std::byte> encode_block(const block_header& header,
                                    std::span<const std::byte> payload) {
  const auto right = check(header, payload);
  OVIR_CHECK(right.has_value(), right ? std::string{} : right.error().message);
  return framed<block_form>::encode(header, payload);
}

std::vector<std::byte> encode_want_blocks(std::uint64_t ticket, std::span<const digest> names) {
  static_assert(sizeof(digest) == digest::size);
  return encode_block({block_kind::want, 0, ticket}, std::as_bytes(names));
}

result<block_view> decode_block(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto read, framed<block_form>::decode(bytes));
  return block_view{read.first, read.second};
}

} // namespace ovir
