#include "messages/swarm_line.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/invitations.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace ovir {

namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written in memory order");

constexpr std::array<std::uint8_t, 4> line_magic{'O', 'V', 'S', '1'};
constexpr std::array<std::uint8_t, 4> invited_magic{'O', 'V', 'S', '2'};
constexpr std::size_t line_size =
    line_magic.size() + secret_key::seed_size + digest::size + node_id::size + 4;
constexpr std::size_t invited_size = line_size + limits::invitation_bytes;
constexpr int line_alphabet = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
static_assert(invited_size == 250);

/// Room for either form; only `size` bytes count.
struct packed_line {
  std::array<std::uint8_t, invited_size> bytes{};
  std::size_t size{0};

  packed_line() = default;
  packed_line(const packed_line&) = delete;
  packed_line& operator=(const packed_line&) = delete;
  ~packed_line() { ::sodium_memzero(bytes.data(), bytes.size()); }
};

std::string encoded_line(const packed_line& packed) {
  std::string text(sodium_base64_encoded_len(packed.size, line_alphabet), '\0');
  ::sodium_bin2base64(text.data(), text.size(), packed.bytes.data(), packed.size, line_alphabet);
  text.pop_back(); // the library's final zero
  return text;
}

error wrong_line(std::string_view what) {
  return fail(
      errc::malformed,
      "{}; copy the whole line that `ovir up` or `ovir invite` printed, which ends with {} and {} "
      "characters, or with {} and {}",
      what, swarm_line_begin, sodium_base64_ENCODED_LEN(line_size, line_alphabet) - 1,
      invitation_line_begin, sodium_base64_ENCODED_LEN(invited_size, line_alphabet) - 1);
}

result<std::vector<std::string>> members_in_line(std::string_view text) {
  std::vector<std::string> members;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view one = text.substr(0, comma);
    if (one.empty() || one.size() > limits::address_bytes_max ||
        members.size() == limits::seeds_max) {
      return wrong_line("the line names no member, or too many, or one that is too long");
    }
    members.emplace_back(one);
    if (comma == std::string_view::npos) {
      return members;
    }
    text.remove_prefix(comma + 1);
  }
}

} // namespace

std::string to_text(const swarm_line& line) {
  OVIR_CHECK(!line.members.empty() && line.context > 0);
  packed_line packed;
  packed.size = line.by ? invited_size : line_size;
  const auto& magic = line.by ? invited_magic : line_magic;
  auto* at = std::copy(magic.begin(), magic.end(), packed.bytes.data());
  at = std::copy(line.key.seed().begin(), line.key.seed().end(), at);
  at = std::copy(line.model.bytes.begin(), line.model.bytes.end(), at);
  at = std::copy(line.keeper.key.begin(), line.keeper.key.end(), at);
  std::memcpy(at, &line.context, sizeof line.context);
  if (line.by) {
    OVIR_CHECK(line.by->key == line.key.id(), "the secret of another invitation");
    const std::vector<std::byte> leave = to_bytes(*line.by);
    std::memcpy(at + sizeof line.context, leave.data(), leave.size());
  }
  std::string text;
  for (const std::string& member : line.members) {
    text += (text.empty() ? "" : ",") + member;
  }
  return text + "/" + std::string{line.by ? invitation_line_begin : swarm_line_begin} +
         encoded_line(packed);
}

result<swarm_line> swarm_line_from(std::string_view text) {
  const std::size_t split = text.find('/');
  if (split == std::string_view::npos) {
    return wrong_line("this is no line to join a swarm by");
  }
  std::string_view secret = text.substr(split + 1);
  const bool invited = secret.starts_with(invitation_line_begin);
  if (!invited && !secret.starts_with(swarm_line_begin)) {
    return wrong_line("this is no line to join a swarm by");
  }
  OVIR_ASSIGN(auto members, members_in_line(text.substr(0, split)));
  secret.remove_prefix(invited ? invitation_line_begin.size() : swarm_line_begin.size());
  packed_line packed;
  const bool decoded =
      ::sodium_base642bin(packed.bytes.data(), invited ? invited_size : line_size, secret.data(),
                          secret.size(), nullptr, &packed.size, nullptr, line_alphabet) == 0;
  const auto& magic = invited ? invited_magic : line_magic;
  // libsodium takes some bytes above 127 for digits: what it read is written again.
  if (!decoded || packed.size != (invited ? invited_size : line_size) ||
      encoded_line(packed) != secret ||
      !std::equal(magic.begin(), magic.end(), packed.bytes.begin())) {
    return wrong_line("the part of the line behind the last '/' is damaged");
  }
  const std::span all{packed.bytes};
  swarm_line line{std::move(members),
                  secret_key::from_seed(std::as_bytes(all.subspan<line_magic.size(), 32>())),
                  {},
                  {},
                  0};
  std::copy_n(all.begin() + line_magic.size() + 32, digest::size, line.model.bytes.begin());
  std::copy_n(all.begin() + line_magic.size() + 64, node_id::size, line.keeper.key.begin());
  std::memcpy(&line.context, all.data() + line_size - sizeof line.context, sizeof line.context);
  if (line.context == 0 || line.context > limits::context_max) {
    return wrong_line("the line promises requests no positions, or more than there may be");
  }
  if (invited) {
    auto by = invitation_from_bytes(std::as_bytes(all.subspan<line_size>()));
    if (!by || by->key != line.key.id()) {
      return wrong_line("the line's invitation is damaged");
    }
    line.by = *by;
  }
  return line;
}

} // namespace ovir
