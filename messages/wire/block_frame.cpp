#include "messages/wire/block_frame.hpp"

#include "messages/limits/blocks.hpp"
#include "messages/wire/block.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

// message = magic header_bytes payload_bytes header payload
// magic   = "OVB1"                 ; 4 bytes
// header_bytes = u32               ; always 32
// payload_bytes = u64
// header  = Cap'n Proto message of one segment, messages/wire/block.capnp
// payload = filter | name[32]+ | bytes | nothing
// All numbers are little-endian. docs/formats/blocks.md

namespace ovir {

static_assert(std::endian::native == std::endian::little, "numbers are sent in memory order");

namespace {

constexpr std::array<char, 4> magic{'O', 'V', 'B', '1'};
constexpr std::uint16_t block_version = 1;
constexpr std::size_t prefix_bytes = 16;
constexpr std::size_t header_words = 4; // segment table, root pointer, 2 words of data
constexpr std::size_t header_bytes = header_words * 8;
static_assert(block_overhead_bytes == prefix_bytes + header_bytes);
static_assert(limits::kv_block_bytes_max + block_overhead_bytes <= limits::block_frame_bytes_max);
static_assert(limits::block_filter_bytes_max + block_overhead_bytes <=
              limits::block_claims_bytes_max);

using header_array = std::array<capnp::word, header_words>;

void write_header(const block_header& header, std::span<std::byte, header_bytes> out) {
  std::array<capnp::word, 16> scratch{};
  capnp::MallocMessageBuilder builder(kj::arrayPtr(scratch.data(), scratch.size()));
  auto root = builder.initRoot<BlockHeader>();
  root.setVersion(block_version);
  root.setKind(static_cast<std::uint16_t>(header.kind));
  root.setNumber(header.number);
  root.setTicket(header.ticket);
  const auto words = capnp::messageToFlatArray(builder);
  OVIR_CHECK(words.size() == header_words, words.size());
  std::memcpy(out.data(), words.begin(), header_bytes);
}

struct raw_header {
  std::uint16_t version{0};
  std::uint16_t kind{0};
  block_header header;
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
    const auto root = reader.getRoot<BlockHeader>();
    raw.version = root.getVersion();
    raw.kind = root.getKind();
    raw.header.number = root.getNumber();
    raw.header.ticket = root.getTicket();
  });
  KJ_IF_MAYBE (problem, failed) {
    return fail(errc::malformed, "a header about blocks is not a Cap'n Proto message: {}",
                problem->getDescription().cStr());
  }
  return raw;
}

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
  std::vector<std::byte> out;
  out.reserve(block_overhead_bytes + payload.size());
  out.resize(block_overhead_bytes);
  const auto header_size = static_cast<std::uint32_t>(header_bytes);
  const std::uint64_t payload_size = payload.size();
  std::memcpy(out.data(), magic.data(), magic.size());
  std::memcpy(out.data() + 4, &header_size, sizeof(header_size));
  std::memcpy(out.data() + 8, &payload_size, sizeof(payload_size));
  write_header(header, std::span<std::byte, header_bytes>{out.data() + prefix_bytes, header_bytes});
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

std::vector<std::byte> encode_want_blocks(std::uint64_t ticket, std::span<const digest> names) {
  static_assert(sizeof(digest) == digest::size);
  return encode_block({block_kind::want, 0, ticket}, std::as_bytes(names));
}

result<block_view> decode_block(std::span<const std::byte> bytes) {
  OVIR_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0);
  OVIR_TRY(check_size("a message about blocks", bytes.size(), block_overhead_bytes,
                      limits::block_frame_bytes_max));
  std::uint32_t header_size = 0;
  std::uint64_t payload_size = 0;
  std::memcpy(&header_size, bytes.data() + 4, sizeof(header_size));
  std::memcpy(&payload_size, bytes.data() + 8, sizeof(payload_size));
  const std::span<const std::byte> payload = bytes.subspan(block_overhead_bytes);
  if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0 || header_size != header_bytes ||
      payload_size != payload.size()) {
    return fail(errc::malformed, "these bytes do not begin like a message about blocks");
  }
  const std::span<const std::byte, header_bytes> header{bytes.data() + prefix_bytes, header_bytes};
  OVIR_ASSIGN(raw_header raw, read_header(header));
  if (raw.version != block_version) {
    return fail(errc::unsupported,
                "a message about blocks of version {}; this build reads version {}", raw.version,
                block_version);
  }
  raw.header.kind = static_cast<block_kind>(raw.kind);
  OVIR_TRY(check(raw.header, payload));
  std::array<std::byte, header_bytes> canonical{};
  write_header(raw.header, canonical);
  if (!std::equal(canonical.begin(), canonical.end(), header.begin())) {
    return fail(errc::malformed, "a header about blocks is not in its one canonical form");
  }
  return block_view{raw.header, payload};
}

} // namespace ovir
