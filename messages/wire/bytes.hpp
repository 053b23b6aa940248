#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

/// Canonical bytes: little-endian, fixed width, no padding; one encoding for each value.
namespace ovir {

static_assert(std::endian::native == std::endian::little, "numbers are copied in memory order");

class byte_writer {
public:
  /// Appends to `out`, which must outlive it.
  explicit byte_writer(std::vector<std::byte>& out) : out_(out) {}

  /// `from` may be null where `size` is 0.
  void bytes(const void* from, std::size_t size) {
    if (size == 0) {
      return;
    }
    const std::size_t at = out_.size();
    out_.resize(at + size);
    std::memcpy(out_.data() + at, from, size);
  }
  template <class Number>
  void number(Number value) {
    static_assert(std::is_unsigned_v<Number>);
    bytes(&value, sizeof(value));
  }
  void write(const digest& d) { bytes(d.bytes.data(), digest::size); }
  void write(const node_id& n) { bytes(n.key.data(), node_id::size); }
  void write(const signature& s) { bytes(s.bytes.data(), s.bytes.size()); }

private:
  std::vector<std::byte>& out_;
};

/// Reads what `byte_writer` wrote. Reading past the end gives zeros and is remembered, so that a
/// decoder asks once, at its end.
class byte_reader {
public:
  explicit byte_reader(std::span<const std::byte> in) : in_(in) {}

  template <class Number>
  [[nodiscard]] Number number() {
    Number value{};
    bytes(&value, sizeof(value));
    return value;
  }
  void read(digest& d) { bytes(d.bytes.data(), digest::size); }
  void read(node_id& n) { bytes(n.key.data(), node_id::size); }
  void read(signature& s) { bytes(s.bytes.data(), s.bytes.size()); }
  /// What is not read yet.
  [[nodiscard]] std::span<const std::byte> rest() const { return in_.subspan(at_); }
  void skip(std::size_t size) {
    if (rest().size() < size) {
      short_ = true;
      at_ = in_.size();
    } else {
      at_ += size;
    }
  }

  /// Nothing was missing, so far.
  [[nodiscard]] bool sound() const noexcept { return !short_; }
  /// Nothing was missing and nothing is left.
  [[nodiscard]] bool finished() const noexcept { return !short_ && at_ == in_.size(); }

private:
  void bytes(void* to, std::size_t size) {
    if (rest().size() < size) {
      short_ = true;
      at_ = in_.size();
    } else {
      std::memcpy(to, in_.data() + at_, size);
      at_ += size;
    }
  }

  std::span<const std::byte> in_;
  std::size_t at_{0};
  bool short_{false};
};

} // namespace ovir
