#include "messages/swarm_line.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace ovir {

namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written in memory order");

constexpr std::string_view line_prefix = "/ovir-swarm-";
constexpr std::array<std::uint8_t, 4> line_magic{'O', 'V', 'S', '1'};
constexpr std::size_t line_size =
    line_magic.size() + secret_key::seed_size + digest::size + node_id::size + 4;
constexpr int line_alphabet = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

using packed_line = std::array<std::uint8_t, line_size>;

std::string encoded_line(const packed_line& bytes) {
  std::string text(sodium_base64_ENCODED_LEN(line_size, line_alphabet), '\0');
  ::sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), line_alphabet);
  text.pop_back(); // the library's final zero
  return text;
}

error wrong_line(std::string_view what) {
  return fail(
      errc::malformed,
      "{}; copy the whole line that `ovir up` printed, which ends with {} and {} characters", what,
      line_prefix.substr(1), sodium_base64_ENCODED_LEN(line_size, line_alphabet) - 1);
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
  packed_line bytes{};
  auto* at = std::copy(line_magic.begin(), line_magic.end(), bytes.data());
  at = std::copy(line.key.seed().begin(), line.key.seed().end(), at);
  at = std::copy(line.model.bytes.begin(), line.model.bytes.end(), at);
  at = std::copy(line.keeper.key.begin(), line.keeper.key.end(), at);
  std::memcpy(at, &line.context, sizeof line.context);
  std::string text;
  for (const std::string& member : line.members) {
    text += (text.empty() ? "" : ",") + member;
  }
  text += std::string{line_prefix} + encoded_line(bytes);
  ::sodium_memzero(bytes.data(), bytes.size());
  return text;
}

result<swarm_line> swarm_line_from(std::string_view text) {
  const std::size_t split = text.find(line_prefix);
  if (split == std::string_view::npos) {
    return wrong_line("this is no line to join a swarm by");
  }
  OVIR_ASSIGN(auto members, members_in_line(text.substr(0, split)));
  const std::string_view secret = text.substr(split + line_prefix.size());
  packed_line bytes{};
  std::size_t read = 0;
  const bool decoded = ::sodium_base642bin(bytes.data(), bytes.size(), secret.data(), secret.size(),
                                           nullptr, &read, nullptr, line_alphabet) == 0;
  // libsodium takes some bytes above 127 for digits: what it read is written again.
  if (!decoded || read != bytes.size() || encoded_line(bytes) != secret ||
      !std::equal(line_magic.begin(), line_magic.end(), bytes.begin())) {
    return wrong_line("the part of the line behind the last '/' is damaged");
  }
  const std::span all{bytes};
  swarm_line line{std::move(members),
                  secret_key::from_seed(std::as_bytes(all.subspan<line_magic.size(), 32>())),
                  {},
                  {},
                  0};
  std::copy_n(all.begin() + line_magic.size() + 32, digest::size, line.model.bytes.begin());
  std::copy_n(all.begin() + line_magic.size() + 64, node_id::size, line.keeper.key.begin());
  std::memcpy(&line.context, all.data() + line_size - sizeof line.context, sizeof line.context);
  ::sodium_memzero(bytes.data(), bytes.size());
  if (line.context == 0 || line.context > limits::context_max) {
    return wrong_line("the line promises requests no positions, or more than there may be");
  }
  return line;
}

} // namespace ovir
