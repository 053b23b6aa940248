#pragma once

#include "compute/text/byte_automaton.hpp"

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace ovir::compute {

/// Reads bytes by an automaton: all the ways a text can be read at once, as one number that is
/// found again when the same ways are open again. Remembers what it saw; `forget` frees that.
class byte_reader {
public:
  using place = std::uint32_t;
  static constexpr place nowhere = 0xFFFFFFFF;

  /// `automaton` outlives the reader. Bytes that are not `available` may be read, but no way on may
  /// need them.
  byte_reader(const byte_automaton& automaton, const std::array<bool, 256>& available);

  /// `nowhere` where no text can be completed from the beginning.
  [[nodiscard]] place start() const noexcept { return start_; }
  [[nodiscard]] place step(place from, std::uint8_t byte);
  [[nodiscard]] bool is_complete(place at) const { return places_[at].complete; }
  /// The fewest bytes to a complete text.
  [[nodiscard]] std::uint32_t distance(place at) const { return places_[at].distance; }

  [[nodiscard]] bool is_full() const noexcept;
  /// Drops everything but what can be read from `at`; returns its new number.
  [[nodiscard]] place forget(place at);

private:
  using stack = std::uint32_t;
  static constexpr stack bottom = 0xFFFFFFFF;
  struct frame {
    state_index back{0}; ///< where it goes on
    stack below{bottom};
    std::uint32_t distance{0}; ///< of this and those below
  };
  struct way {
    state_index at{0};
    stack on{bottom};
    friend auto operator<=>(const way&, const way&) = default;
  };
  struct known_place {
    std::vector<way> ways; ///< in order; each at a state that reads bytes
    std::uint32_t distance{0};
    bool complete{false};
    std::vector<place> next; ///< by class of byte, once asked for
  };

  [[nodiscard]] place intern(std::vector<way> open);
  [[nodiscard]] stack push(state_index back, stack below);
  [[nodiscard]] std::uint32_t distance_of(const way& w) const;
  void classify();

  const byte_automaton& automaton_;
  std::vector<std::uint32_t> distances_;
  std::array<std::uint8_t, 256> class_of_{};
  std::vector<std::uint8_t> example_; ///< of each class
  std::vector<frame> frames_;
  std::unordered_map<std::uint64_t, stack> frame_of_;
  std::vector<known_place> places_;
  std::unordered_multimap<std::uint64_t, place> place_of_;
  place start_{nowhere};

  static constexpr place unknown = nowhere - 1;
};

} // namespace ovir::compute
