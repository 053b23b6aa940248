#include "verify/proofs/transcript.hpp"

#include "messages/check.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ovir::proofs {

namespace {

std::uint64_t word_at(const std::vector<std::uint8_t>& bytes, std::size_t index) {
  std::uint64_t word{};
  std::memcpy(&word, bytes.data() + index * sizeof word, sizeof word);
  return word;
}

/// 128 uniform bits as an element of the base field; 2^64 = 8.
std::uint64_t base_at(const std::vector<std::uint8_t>& bytes, std::size_t index) {
  return reduce(uint128{word_at(bytes, 2 * index)} + uint128{word_at(bytes, 2 * index + 1)} * 8);
}

} // namespace

std::vector<std::byte> bytes_of(std::span<const element> elements) {
  std::vector<std::byte> bytes;
  bytes.reserve(elements.size() * sizeof(element));
  byte_writer out{bytes};
  for (const element& e : elements) {
    out.number(e.re);
    out.number(e.im);
  }
  return bytes;
}

transcript::transcript() : state_(hasher{"ovir/proof/v1/transcript"}.finish()) {}

void transcript::absorb(std::string_view label, std::span<const std::byte> bytes) {
  state_ = hasher{"ovir/proof/v1/absorb"}
               .update(state_)
               .update_text(label)
               .update_u64(bytes.size())
               .update(bytes)
               .finish();
}

void transcript::absorb(std::string_view label, std::span<const element> elements) {
  absorb(label, std::span<const std::byte>{bytes_of(elements)});
}

std::vector<std::uint8_t> transcript::squeeze(std::string_view label, std::size_t bytes) {
  std::vector<std::uint8_t> out(digest::size + bytes);
  hasher{"ovir/proof/v1/challenge"}.update(state_).update_text(label).update_u64(bytes).finish_into(
      out);
  std::copy_n(out.begin(), digest::size, state_.bytes.begin());
  out.erase(out.begin(), out.begin() + digest::size);
  return out;
}

std::vector<element> transcript::challenges(std::string_view label, std::size_t count) {
  const std::vector<std::uint8_t> bytes = squeeze(label, count * 32);
  std::vector<element> drawn(count);
  for (std::size_t i = 0; i < count; ++i) {
    drawn[i] = {base_at(bytes, 2 * i), base_at(bytes, 2 * i + 1)};
  }
  return drawn;
}

std::vector<std::uint32_t> transcript::positions(std::string_view label, std::size_t count,
                                                 std::uint32_t bound) {
  OVIR_CHECK(std::has_single_bit(bound), bound);
  const std::vector<std::uint8_t> bytes = squeeze(label, count * sizeof(std::uint64_t));
  std::vector<std::uint32_t> drawn(count);
  for (std::size_t i = 0; i < count; ++i) {
    drawn[i] = static_cast<std::uint32_t>(word_at(bytes, i) & (bound - 1));
  }
  return drawn;
}

} // namespace ovir::proofs
