#include "actors/nat/punch_datagram.hpp"

#include <cstring>

// datagram = 0e "OVP" kind:u8 token[16]

namespace ovir::actors {

namespace {

constexpr std::array<std::uint8_t, 4> punch_magic{0x0e, 'O', 'V', 'P'};
static_assert(punch_magic.size() + 1 + sizeof(punch_token) == limits::punch_datagram_bytes);
static_assert(punch_magic[0] < 0x40, "a QUIC reset has one of the two highest bits");

} // namespace

std::vector<std::byte> encode(const punch_datagram& what) {
  std::vector<std::byte> out(limits::punch_datagram_bytes);
  std::memcpy(out.data(), punch_magic.data(), punch_magic.size());
  out[punch_magic.size()] = static_cast<std::byte>(what.kind);
  std::memcpy(out.data() + punch_magic.size() + 1, what.token.data(), what.token.size());
  return out;
}

std::optional<punch_datagram> decode_punch_datagram(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() != limits::punch_datagram_bytes ||
      std::memcmp(bytes.data(), punch_magic.data(), punch_magic.size()) != 0) {
    return std::nullopt;
  }
  const auto kind = static_cast<punch_kind>(bytes[punch_magic.size()]);
  if (kind != punch_kind::probe && kind != punch_kind::knock) {
    return std::nullopt;
  }
  punch_datagram what{kind, {}};
  std::memcpy(what.token.data(), bytes.data() + punch_magic.size() + 1, what.token.size());
  return what;
}

} // namespace ovir::actors
