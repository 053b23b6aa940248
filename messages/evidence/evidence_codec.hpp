#pragma once

#include "messages/evidence/evidence.capnp.h"
#include "messages/evidence/evidence.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/result.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <vector>

/// What the codecs of evidence, receipts and compact receipts share: one segment, fixed lengths,
/// one encoding. For their source files alone.
namespace ovir::evidence_codec {

inline constexpr std::size_t word_bytes = sizeof(capnp::word);
inline constexpr std::size_t prefix_bytes = 8;
inline constexpr int nesting_max = 6;

[[nodiscard]] inline capnp::Data::Reader data_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline capnp::Data::Reader data_of(std::string_view text) {
  return data_of(std::as_bytes(std::span{text}));
}
[[nodiscard]] inline capnp::Data::Reader data_of(const digest& d) {
  return data_of(std::as_bytes(std::span{d.bytes}));
}
[[nodiscard]] inline capnp::Data::Reader data_of(const signature& s) {
  return data_of(std::as_bytes(std::span{s.bytes}));
}
[[nodiscard]] inline capnp::Data::Reader data_of(std::span<const digest> digests) {
  static_assert(sizeof(digest) == digest::size);
  return data_of(std::as_bytes(digests));
}
[[nodiscard]] inline capnp::Data::Reader data_of(std::span<const signature> signatures) {
  static_assert(sizeof(signature) == 64);
  return data_of(std::as_bytes(signatures));
}

/// `T` is a digest, node_id or signature: bytes of fixed length.
template <class T>
[[nodiscard]] result<T> fixed(capnp::Data::Reader data, std::string_view what) {
  T value;
  if (data.size() != sizeof(T)) {
    return fail(errc::malformed, "{} of {} bytes; it has {}", what, data.size(), sizeof(T));
  }
  std::memcpy(&value, data.begin(), sizeof(T));
  return value;
}

template <class T>
[[nodiscard]] result<std::vector<T>> fixed_list(capnp::Data::Reader data, std::string_view what) {
  if (data.size() % sizeof(T) != 0) {
    return fail(errc::malformed, "{} of {} bytes, which are no multiple of {}", what, data.size(),
                sizeof(T));
  }
  std::vector<T> values(data.size() / sizeof(T));
  if (!values.empty()) {
    std::memcpy(values.data(), data.begin(), data.size());
  }
  return values;
}

[[nodiscard]] inline result<std::string> text(capnp::Data::Reader data, std::size_t most,
                                              std::string_view what) {
  if (data.size() > most) {
    return fail(errc::over_limit, "{} of {} bytes; at most {} are allowed", what, data.size(),
                most);
  }
  return std::string{reinterpret_cast<const char*>(data.begin()), data.size()};
}

/// A list states how long it is; its elements must be there before room is made for them.
template <class List>
[[nodiscard]] result<void> all_there(const List& list, std::size_t element_bytes,
                                     std::size_t bytes_present, std::string_view what) {
  if (list.size() > bytes_present / element_bytes) {
    return fail(errc::malformed, "a list of {} {} in {} bytes", list.size(), what, bytes_present);
  }
  return {};
}

/// `words_max` is at least what the message needs, so that it is one segment.
template <class Root, class Write>
[[nodiscard]] std::vector<std::byte> write_message(std::size_t words_max, const Write& write) {
  capnp::MallocMessageBuilder builder{static_cast<kj::uint>(words_max)};
  write(builder.initRoot<Root>());
  OVIR_CHECK(builder.getSegmentsForOutput().size() == 1, words_max);
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  const auto* const first = reinterpret_cast<const std::byte*>(bytes.begin());
  return {first, first + bytes.size()};
}

/// Cap'n Proto reports malformed bytes by an exception of its own; here it ends. `read` takes a
/// `Root::Reader` and the bytes present, and returns a result of `Value`.
template <class Root, class Value, class Read>
[[nodiscard]] result<Value> read_message(std::span<const std::byte> bytes, std::size_t bytes_max,
                                         std::string_view what, const Read& read) {
  if (bytes.size() > bytes_max) {
    return fail(errc::over_limit, "{} has at most {} bytes, this one {}", what, bytes_max,
                bytes.size());
  }
  std::uint32_t more_segments = 1;
  std::uint32_t words = 0;
  if (bytes.size() >= prefix_bytes + word_bytes) {
    std::memcpy(&more_segments, bytes.data(), sizeof(more_segments));
    std::memcpy(&words, bytes.data() + 4, sizeof(words));
  }
  if (more_segments != 0 || prefix_bytes + std::uint64_t{words} * word_bytes != bytes.size()) {
    return fail(errc::malformed, "these {} bytes are not {}: not one segment of Cap'n Proto",
                bytes.size(), what);
  }
  std::vector<capnp::word> aligned(bytes.size() / word_bytes);
  std::memcpy(static_cast<void*>(aligned.data()), bytes.data(), bytes.size());
  result<Value> value{error{}};
  const auto failed = kj::runCatchingExceptions([&] {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = aligned.size(); // each word once
    options.nestingLimit = nesting_max;
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(aligned.data(), aligned.size()), options);
    value = read(reader.getRoot<Root>(), bytes.size());
  });
  KJ_IF_MAYBE (problem, failed) {
    if (problem->getType() == kj::Exception::Type::OVERLOADED) {
      throw std::bad_alloc{}; // there was no memory: nothing about these bytes
    }
    return fail(errc::malformed, "these bytes are not {}: {}", what,
                problem->getDescription().cStr());
  }
  return value;
}

[[nodiscard]] inline result<void> same_bytes(const std::vector<std::byte>& canonical,
                                             std::span<const std::byte> bytes,
                                             std::string_view what) {
  if (!std::equal(canonical.begin(), canonical.end(), bytes.begin(), bytes.end())) {
    return fail(errc::malformed, "{} is not in its one canonical form", what);
  }
  return {};
}

// Parts that batches and receipts have in common.

/// No more words than these are needed.
[[nodiscard]] std::size_t words_of(const stage_records& records);
void write_signer(evidence_schema::Signer::Builder out, const evidence_signer& by);
void write_stage(evidence_schema::Stage::Builder out, const stage_records& records);
[[nodiscard]] result<evidence_signer> read_signer(evidence_schema::Signer::Reader from);
[[nodiscard]] result<stage_records> read_stage(evidence_schema::Stage::Reader from,
                                               std::size_t present);
[[nodiscard]] result<void> check_signer(const evidence_signer& by, bool lead);

} // namespace ovir::evidence_codec
