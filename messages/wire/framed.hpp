#pragma once

#include "messages/check.hpp"
#include "messages/result.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

/// The skeleton of messages that are a small header and a payload as it lies in memory:
///
///     message       = magic header_bytes:u32 payload_bytes:u64 header payload
///     magic         = 4 bytes
///     header        = Cap'n Proto message of one segment, without pointers
///
/// All numbers are little-endian. A `Form` has: `schema`, `header`, `magic`, `version`,
/// `header_words` (segment table, root pointer, data), `bytes_max`, `name`, `header_name`; `write`
/// and `read` of what is in the header but version and kind; and `check(header, payload, stated
/// size)`, which decides what a header may say.
namespace ovir {

static_assert(std::endian::native == std::endian::little, "numbers are sent in memory order");

inline constexpr std::size_t framed_prefix_bytes = 16;

template <class Form>
struct framed {
  using header = typename Form::header;
  static constexpr std::size_t header_bytes = Form::header_words * sizeof(capnp::word);
  static constexpr std::size_t overhead_bytes = framed_prefix_bytes + header_bytes;
  using header_span = std::span<std::byte, header_bytes>;

  /// Precondition: `Form::check` passes.
  [[nodiscard]] static std::vector<std::byte> encode(const header& h,
                                                     std::span<const std::byte> payload) {
    std::vector<std::byte> out;
    out.reserve(overhead_bytes + payload.size());
    out.resize(overhead_bytes);
    const auto header_size = static_cast<std::uint32_t>(header_bytes);
    const std::uint64_t payload_size = payload.size();
    std::memcpy(out.data(), Form::magic.data(), Form::magic.size());
    std::memcpy(out.data() + 4, &header_size, sizeof(header_size));
    std::memcpy(out.data() + 8, &payload_size, sizeof(payload_size));
    write_header(h, header_span{out.data() + framed_prefix_bytes, header_bytes});
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
  }

  /// Precondition: `bytes` is aligned to 8. Accepts exactly what `encode` writes.
  [[nodiscard]] static result<std::pair<header, std::span<const std::byte>>>
  decode(std::span<const std::byte> bytes) {
    OVIR_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0);
    if (bytes.size() < overhead_bytes) {
      return fail(errc::malformed, "{} of {} bytes is shorter than its header", Form::name,
                  bytes.size());
    }
    if (bytes.size() > Form::bytes_max) {
      return fail(errc::over_limit, "{} has {} bytes; at most {} are allowed", Form::name,
                  bytes.size(), Form::bytes_max);
    }
    std::uint32_t header_size = 0;
    std::uint64_t payload_size = 0;
    std::memcpy(&header_size, bytes.data() + 4, sizeof(header_size));
    std::memcpy(&payload_size, bytes.data() + 8, sizeof(payload_size));
    if (std::memcmp(bytes.data(), Form::magic.data(), Form::magic.size()) != 0 ||
        header_size != header_bytes) {
      return fail(errc::malformed, "these bytes do not begin like {}", Form::name);
    }
    std::array<std::byte, header_bytes> received{};
    std::memcpy(received.data(), bytes.data() + framed_prefix_bytes, header_bytes);
    OVIR_ASSIGN(const header h, read_header(received));
    const std::span<const std::byte> payload = bytes.subspan(overhead_bytes);
    OVIR_TRY(Form::check(h, payload, payload_size));
    std::array<std::byte, header_bytes> canonical{};
    write_header(h, canonical);
    if (canonical != received) {
      return fail(errc::malformed, "{} is not in its one canonical form", Form::header_name);
    }
    return std::pair{h, payload};
  }

private:
  static void write_header(const header& h, header_span out) {
    std::array<capnp::word, 16> scratch{};
    capnp::MallocMessageBuilder builder(kj::arrayPtr(scratch.data(), scratch.size()));
    auto root = builder.initRoot<typename Form::schema>();
    root.setVersion(Form::version);
    root.setKind(static_cast<std::uint16_t>(h.kind));
    Form::write(root, h);
    const auto words = capnp::messageToFlatArray(builder);
    OVIR_CHECK(words.size() == Form::header_words, words.size());
    std::memcpy(out.data(), words.begin(), header_bytes);
  }

  // Cap'n Proto reports malformed bytes by an exception of its own; this is the edge where it ends.
  [[nodiscard]] static result<header>
  read_header(const std::array<std::byte, header_bytes>& bytes) {
    std::array<capnp::word, Form::header_words> words;
    std::memcpy(words.data(), bytes.data(), header_bytes);
    std::uint16_t version = 0;
    header h;
    const auto failed = kj::runCatchingExceptions([&] {
      capnp::ReaderOptions options;
      options.traversalLimitInWords = 2 * Form::header_words;
      options.nestingLimit = 1;
      capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()), options);
      const auto root = reader.getRoot<typename Form::schema>();
      version = root.getVersion();
      h.kind = static_cast<decltype(h.kind)>(root.getKind());
      Form::read(root, h);
    });
    KJ_IF_MAYBE (problem, failed) {
      return fail(errc::malformed, "{} is not a Cap'n Proto message: {}", Form::header_name,
                  problem->getDescription().cStr());
    }
    if (version != Form::version) {
      return fail(errc::unsupported, "{} of version {}; this build reads version {}", Form::name,
                  version, Form::version);
    }
    return h;
  }
};

} // namespace ovir
