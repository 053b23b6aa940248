#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

/// Languages of byte strings as automata whose edges may call other automata: what a JSON schema
/// becomes (docs/formats/constraint.md).
namespace ovir::compute {

using state_index = std::uint32_t;
using rule_index = std::uint32_t;

struct automaton_edge {
  enum class kind : std::uint8_t {
    bytes, ///< one byte from `low` to `high`
    skip,  ///< nothing
    call,  ///< a text of rule `callee`
  };
  kind what{kind::skip};
  std::uint8_t low{0};
  std::uint8_t high{0};
  rule_index callee{0};
  state_index to{0};
};

/// A rule is the texts that lead from its first state to its last one, from which no edge leaves.
/// No rule but the first has the empty text.
struct byte_automaton {
  struct rule {
    state_index first{0};
    state_index last{0};
  };
  std::vector<std::vector<automaton_edge>> states;
  std::vector<bool> is_last; ///< by state
  std::vector<rule> rules;   ///< the whole is rule 0

  [[nodiscard]] state_index add_state();
  /// A rule whose states are new.
  [[nodiscard]] rule_index add_rule();
  void bytes(state_index from, std::uint8_t low, std::uint8_t high, state_index to);
  void byte(state_index from, char value, state_index to);
  void skip(state_index from, state_index to);
  void call(state_index from, rule_index callee, state_index to);
  /// The texts of `text`; where that ends.
  [[nodiscard]] state_index literal(state_index from, std::string_view text);
  void literal(state_index from, std::string_view text, state_index to);

  static constexpr std::uint32_t unreachable = 0xFFFFFFFF;
  /// The fewest bytes from each state to the end of its rule, of those that are `available`;
  /// `unreachable` where there is no way.
  [[nodiscard]] std::vector<std::uint32_t> distances(const std::array<bool, 256>& available) const;

  /// Whether a rule can begin with itself, before any byte.
  [[nodiscard]] bool is_left_recursive() const;
};

} // namespace ovir::compute
