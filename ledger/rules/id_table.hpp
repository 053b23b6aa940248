#pragma once

#include "ledger/rules/key_table.hpp"
#include "messages/check.hpp"
#include "messages/digest.hpp"
#include "messages/limits/ledger.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::ledger {

/// The ids of a log's entries, in their order: an entry has one id, so the ids themselves lie one
/// behind another, in pieces that never move, and the hash table over them has eight bytes for
/// each. Most look-ups are of ids that are not there and touch one cache line. `seed` is chance
/// from outside: ids are chosen by strangers, who must not know which of them meet. Only grows.
class id_table {
public:
  struct record {
    digest id;
    std::uint64_t content{0}; ///< of what the command says, to tell a retry from a reuse
  };
  struct found {
    std::uint64_t index{0};
    std::uint64_t content{0};
  };

  explicit id_table(std::uint64_t seed) : seed_(seed) {}

  [[nodiscard]] std::optional<found> find(const digest& id) const noexcept {
    if (slots_.empty()) {
      return std::nullopt;
    }
    const slot& s = slots_[place_of(id)];
    return s.tag == 0 ? std::nullopt : std::optional{found{s.index, at(s.index).content}};
  }
  /// `id` will be looked up soon: its place may come into the cache meanwhile.
  void expect(const digest& id) const noexcept {
    if (!slots_.empty()) {
      const auto place = static_cast<std::size_t>(keyed_hash(seed_, id.bytes));
      __builtin_prefetch(&slots_[place & (slots_.size() - 1)], 1);
    }
  }
  /// As the entry `size()`. Precondition: not there.
  void append(const record& r) {
    OVIR_CHECK(size_ < limits::ledger_entries_max, size_);
    if ((size_ + 1) * 4 > slots_.size() * 3) {
      grow();
    }
    slots_[place_of(r.id)] = {tag_of(keyed_hash(seed_, r.id.bytes)),
                              static_cast<std::uint32_t>(size_)};
    if (size_ % piece_records == 0) {
      pieces_.emplace_back();
    }
    if (pieces_.back().capacity() < piece_records) { // new, or copied
      pieces_.back().reserve(piece_records);
    }
    pieces_.back().push_back(r);
    ++size_;
  }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// Of the entry `index`. Precondition: index < size().
  [[nodiscard]] const record& at(std::uint64_t index) const noexcept {
    return pieces_[index / piece_records][index % piece_records];
  }

private:
  struct slot {
    std::uint32_t tag{0}; ///< of the hash; 0: free
    std::uint32_t index{0};
  };
  static_assert(limits::ledger_entries_max <= std::uint64_t{1} << 32U, "an index has 32 bits");
  static constexpr std::size_t slots_first = 64;
  static constexpr std::size_t piece_records = 4'096;

  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t h) noexcept {
    return static_cast<std::uint32_t>(h >> 32U) | 1U;
  }
  /// Where `id` is, or the free slot where it would be.
  [[nodiscard]] std::size_t place_of(const digest& id) const noexcept {
    const std::uint64_t h = keyed_hash(seed_, id.bytes);
    const std::size_t mask = slots_.size() - 1;
    std::size_t place = static_cast<std::size_t>(h) & mask;
    while (slots_[place].tag != 0 && (slots_[place].tag != tag_of(h) ||
                                      !same_key(at(slots_[place].index).id.bytes, id.bytes))) {
      place = (place + 1) & mask;
    }
    return place;
  }
  void grow() {
    slots_ = std::vector<slot>(slots_.empty() ? slots_first : slots_.size() * 2);
    const std::size_t mask = slots_.size() - 1;
    // Places are known a little ahead of their use, so that the cache can fetch them.
    constexpr std::size_t ahead = 16;
    std::array<std::uint64_t, ahead> hashes{};
    for (std::uint64_t next = 0; next < size_ + ahead; ++next) {
      const std::uint64_t h = hashes[next % ahead];
      if (next < size_) {
        hashes[next % ahead] = keyed_hash(seed_, at(next).id.bytes);
        __builtin_prefetch(&slots_[static_cast<std::size_t>(hashes[next % ahead]) & mask], 1);
      }
      if (next < ahead) {
        continue;
      }
      std::size_t place = static_cast<std::size_t>(h) & mask;
      while (slots_[place].tag != 0) {
        place = (place + 1) & mask;
      }
      slots_[place] = {tag_of(h), static_cast<std::uint32_t>(next - ahead)};
    }
  }

  std::uint64_t seed_;
  std::uint64_t size_{0};
  std::vector<std::vector<record>> pieces_;
  std::vector<slot> slots_;
};

} // namespace ovir::ledger
