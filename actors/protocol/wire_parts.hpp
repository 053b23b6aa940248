#pragma once

#include "actors/protocol/wire.hpp"
#include "messages/wire/wire.capnp.h"

#include <capnp/common.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

/// The values in messages of `actors/protocol/wire.hpp` that have a form of their own: how each is
/// written, read and checked, and how many words its lists and texts take. For wire.cpp. Readers
/// throw what Cap'n Proto throws.
namespace ovir::actors {

inline constexpr std::size_t wire_word_bytes = sizeof(capnp::word);
inline constexpr std::uint32_t wire_windows_max = limits::context_max / limits::window_positions;
inline constexpr std::uint64_t wire_units_max =
    std::uint64_t{limits::layers_max} * wire_windows_max;

/// The message around a body.
struct wire_envelope {
  request_id request;
  layer_index stage{0};
  std::size_t bytes{0}; ///< of the message, where it is read
};

[[nodiscard]] result<void> at_most(std::string_view what, std::uint64_t value, std::uint64_t most);
[[nodiscard]] result<void> check_layers(layer_range layers, std::string_view what);

using bytes32 = std::array<std::uint8_t, 32>;
static_assert(digest::size == sizeof(bytes32) && node_id::size == sizeof(bytes32));
static_assert(std::endian::native == std::endian::little, "digests are words");

template <class Builder> // Bytes32, Drawn, Leaf
void write_bytes32(Builder to, const bytes32& bytes) {
  const auto words = std::bit_cast<std::array<std::uint64_t, 4>>(bytes);
  to.setW0(words[0]);
  to.setW1(words[1]);
  to.setW2(words[2]);
  to.setW3(words[3]);
}
template <class Reader>
[[nodiscard]] bytes32 read_bytes32(const Reader& from) {
  return std::bit_cast<bytes32>(
      std::array<std::uint64_t, 4>{from.getW0(), from.getW1(), from.getW2(), from.getW3()});
}

void write_drawn(wire_schema::Drawn::Builder to, const drawn_token& drawn);
[[nodiscard]] drawn_token read_drawn(const wire_schema::Drawn::Reader& from);
[[nodiscard]] result<void> check_drawn(const drawn_token& drawn);

void write_reason(wire_schema::Failed::Builder to, const error& reason);
[[nodiscard]] error read_reason(const wire_schema::Failed::Reader& from);
[[nodiscard]] result<void> check_reason(const error& reason);
[[nodiscard]] std::size_t list_words(const error& reason);

void write_names(capnp::List<wire_schema::Bytes32>::Builder to, const std::vector<digest>& names);
[[nodiscard]] result<std::vector<digest>>
read_names(const capnp::List<wire_schema::Bytes32>::Reader& from, const wire_envelope& around);
[[nodiscard]] std::size_t list_words(const std::vector<digest>& names);

void write_leaves(capnp::List<wire_schema::Leaf>::Builder to,
                  const std::vector<compute::unit_leaf>& leaves);
[[nodiscard]] result<std::vector<compute::unit_leaf>>
read_leaves(const capnp::List<wire_schema::Leaf>::Reader& from, const wire_envelope& around);
[[nodiscard]] result<void> check_leaves(const std::vector<compute::unit_leaf>& leaves);
[[nodiscard]] std::size_t list_words(const std::vector<compute::unit_leaf>& leaves);

void write_log(wire_schema::RequestLog::Builder to, const request_log& log);
[[nodiscard]] result<request_log> read_log(const wire_schema::RequestLog::Reader& from,
                                           const wire_envelope& around);
[[nodiscard]] result<void> check_log(const request_log& log, const wire_envelope& around);
[[nodiscard]] std::size_t list_words(const request_log& log);

void write_session_order(wire_schema::Open::Builder to, const session_order& order);
[[nodiscard]] result<session_order> read_session_order(const wire_schema::Open::Reader& from,
                                                       const wire_envelope& around);
[[nodiscard]] result<void> check_session_order(const session_order& order,
                                               const wire_envelope& around);
[[nodiscard]] std::size_t list_words(const session_order& order);

void write_lookup(wire_schema::Lookup::Builder to, const reuse_told& told);
[[nodiscard]] reuse_told read_lookup(const wire_schema::Lookup::Reader& from);
[[nodiscard]] result<void> check_lookup(const reuse_told& told);

void write_opened(wire_schema::Opened::Builder to, const session_opened& m);
[[nodiscard]] result<session_opened> read_opened(const wire_schema::Opened::Reader& from,
                                                 const wire_envelope& around);
/// But for what every progress is checked for.
[[nodiscard]] result<void> check_opened(const session_opened& m);

} // namespace ovir::actors
