#include "apps/key_file.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace ovir::apps {

namespace {

// docs/formats/key-file.md: file = "ovir-key-v1 " seed "\n", seed = 64 lower-case hex digits.
constexpr std::string_view mark = "ovir-key-v1 ";
constexpr std::size_t file_size = mark.size() + 2 * secret_key::seed_size + 1;
static_assert(file_size <= limits::key_file_bytes_max);

/// Bytes that were secret; wiped at the end of scope.
template <std::size_t Size>
struct secret_bytes {
  std::array<std::byte, Size> bytes{};

  secret_bytes() = default;
  ~secret_bytes() { wipe(bytes); }
  secret_bytes(const secret_bytes&) = delete;
  secret_bytes& operator=(const secret_bytes&) = delete;
};

using seed_bytes = secret_bytes<secret_key::seed_size>;

// The digits are handled here, in buffers that are wiped: texts and streams leave copies behind.
std::byte hex_digit(unsigned value) {
  return static_cast<std::byte>(value < 10U ? value + '0' : value - 10U + 'a');
}

/// 0 to 15, or more for what is no digit.
unsigned hex_value(std::byte digit) {
  const auto c = std::to_integer<unsigned>(digit);
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  return c >= 'a' && c <= 'f' ? c - 'a' + 10U : 16U;
}

void write_text(const seed_bytes& seed, std::span<std::byte, file_size> out) {
  std::byte* at = std::transform(mark.begin(), mark.end(), out.data(),
                                 [](char c) { return static_cast<std::byte>(c); });
  for (const std::byte b : seed.bytes) {
    *at++ = hex_digit(std::to_integer<unsigned>(b) >> 4U);
    *at++ = hex_digit(std::to_integer<unsigned>(b) & 15U);
  }
  *at = std::byte{'\n'};
}

/// False when `text` is anything but the one form of a key file.
bool read_text_into(seed_bytes& seed, std::span<const std::byte> text) {
  const bool framed = text.size() == file_size && text.back() == std::byte{'\n'} &&
                      std::equal(mark.begin(), mark.end(), text.begin(), [](char c, std::byte b) {
                        return static_cast<std::byte>(c) == b;
                      });
  if (!framed) {
    return false;
  }
  const auto digits = text.subspan(mark.size());
  for (std::size_t i = 0; i < seed.bytes.size(); ++i) {
    const unsigned high = hex_value(digits[2 * i]);
    const unsigned low = hex_value(digits[2 * i + 1]);
    if (high > 15U || low > 15U) {
      return false;
    }
    seed.bytes[i] = static_cast<std::byte>(high * 16U + low);
  }
  return true;
}

} // namespace

result<secret_key> load_key(storage::env& environment, const std::string& path) {
  secret_bytes<limits::key_file_bytes_max> text;
  const auto size = environment.read_secret_file(path, text.bytes);
  if (!size) {
    // What is wrong with a file is never a usage error: a directory is `unsupported` here.
    error e = size.error();
    e.code = e.code == errc::invalid_argument ? errc::unsupported : e.code;
    return e;
  }
  seed_bytes seed;
  if (!read_text_into(seed, std::span{text.bytes}.first(*size))) {
    return fail(errc::malformed,
                "{}: is not a key file, which is one line of {}and {} lower-case hexadecimal "
                "digits; restore it from a copy, or move it away and make a new key with ovir "
                "keygen",
                path, mark, 2 * secret_key::seed_size);
  }
  return secret_key::from_seed(seed.bytes);
}

std::optional<secret_key> key_of_text(std::span<const std::byte> text) {
  seed_bytes seed;
  if (!read_text_into(seed, text)) {
    return std::nullopt;
  }
  return secret_key::from_seed(seed.bytes);
}

result<std::optional<secret_key>> make_key(storage::env& environment, const std::string& path) {
  seed_bytes seed;
  environment.random(seed.bytes);
  secret_bytes<file_size> text;
  write_text(seed, text.bytes);
  OVIR_ASSIGN(const bool made, environment.make_secret_file(path, text.bytes));
  std::optional<secret_key> key;
  if (made) {
    key = secret_key::from_seed(seed.bytes);
  }
  return key;
}

result<kept_key> keep_key(storage::env& environment, const std::string& path) {
  auto found = load_key(environment, path);
  if (found) {
    return kept_key{std::move(found).value(), false};
  }
  if (found.error().code != errc::not_found) {
    return found.error();
  }
  OVIR_ASSIGN(std::optional<secret_key> fresh, make_key(environment, path));
  if (fresh) {
    return kept_key{std::move(*fresh), true};
  }
  // Somebody else made it in between, and it is as good.
  OVIR_ASSIGN(secret_key theirs, load_key(environment, path));
  return kept_key{std::move(theirs), false};
}

result<secret_key> load_or_make_key(storage::env& environment, const std::string& path) {
  OVIR_ASSIGN(kept_key kept, keep_key(environment, path));
  return std::move(kept.key);
}

} // namespace ovir::apps
