#pragma once

#include "messages/check.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace ovir::ledger {

/// Chance for hash tables over 32 bytes: keys are chosen by strangers, who must not know which of
/// them meet.
[[nodiscard]] inline std::uint64_t keyed_hash(std::uint64_t seed,
                                              const std::array<std::uint8_t, 32>& k) noexcept {
  __extension__ typedef unsigned __int128 product;
  std::array<std::uint64_t, 4> words{};
  std::memcpy(words.data(), k.data(), k.size());
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    const product p = product{a} * b;
    return static_cast<std::uint64_t>(p) ^ static_cast<std::uint64_t>(p >> 64U);
  };
  const std::uint64_t low = fold(words[0] ^ seed, words[1] ^ 0x9e37'79b9'7f4a'7c15ULL);
  const std::uint64_t high = fold(words[2] ^ seed, words[3] ^ 0xc2b2'ae3d'27d4'eb4fULL);
  return fold(low ^ seed, high ^ 0x1656'67b1'9e37'79f9ULL);
}

/// Whether they are the same 32 bytes; most that meet in a table are, so nothing is gained by
/// looking at one byte after the other.
[[nodiscard]] inline bool same_key(const std::array<std::uint8_t, 32>& a,
                                   const std::array<std::uint8_t, 32>& b) noexcept {
  std::array<std::uint64_t, 4> x{};
  std::array<std::uint64_t, 4> y{};
  std::memcpy(x.data(), a.data(), a.size());
  std::memcpy(y.data(), b.data(), b.size());
  return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

/// A hash table from 32 bytes to `Value`, which only grows: no tombstones, one cache line or two
/// per look-up. `seed` is chance from outside (`keyed_hash`). The order of its entries means
/// nothing.
template <class Value>
class key_table {
public:
  using key = std::array<std::uint8_t, 32>;

  explicit key_table(std::uint64_t seed) : seed_(seed) {}

  [[nodiscard]] Value* find(const key& k) noexcept {
    return const_cast<Value*>(std::as_const(*this).find(k));
  }
  [[nodiscard]] const Value* find(const key& k) const noexcept {
    if (slots_.empty()) {
      return nullptr;
    }
    const slot& s = slots_[place_of(k)];
    return s.used ? &s.value : nullptr;
  }
  /// The value of `k`, made now if there was none. References from before are void.
  Value& operator[](const key& k) {
    if ((size_ + 1) * 8 > slots_.size() * 5) {
      grow();
    }
    slot& s = slots_[place_of(k)];
    if (!s.used) {
      s.used = true;
      s.name = k;
      ++size_;
    }
    return s.value;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// `visit(key, value)` for each, in no order.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const slot& s : slots_) {
      if (s.used) {
        visit(s.name, s.value);
      }
    }
  }

private:
  struct slot {
    key name{};
    Value value{};
    bool used{false};
  };
  static constexpr std::size_t slots_first = 64;

  /// Where `k` is, or the free slot where it would be.
  [[nodiscard]] std::size_t place_of(const key& k) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = static_cast<std::size_t>(keyed_hash(seed_, k)) & mask;
    while (slots_[at].used && !same_key(slots_[at].name, k)) {
      at = (at + 1) & mask;
    }
    return at;
  }
  void grow() {
    std::vector<slot> old(slots_.empty() ? slots_first : slots_.size() * 2);
    old.swap(slots_);
    for (slot& s : old) {
      if (s.used) {
        slots_[place_of(s.name)] = std::move(s);
      }
    }
  }

  std::uint64_t seed_;
  std::size_t size_{0};
  std::vector<slot> slots_;
};

} // namespace ovir::ledger
