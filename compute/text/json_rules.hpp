#pragma once

#include "compute/text/byte_automaton.hpp"

#include <optional>
#include <span>
#include <string>

/// The parts of JSON (RFC 8259) as rules of an automaton. What is here is a part of JSON, chosen so
/// that every reader understands it: numbers have at most 15 digits before and behind the point and
/// an exponent of two, strings are UTF-8, half a surrogate pair is never written.
namespace ovir::compute {

class json_rules {
public:
  explicit json_rules(byte_automaton& out) : out_(out) {}

  /// At most one space, or a line's end and 16 spaces: where JSON allows white space.
  void white_space(state_index from, state_index to);
  /// One character of a string, as it is or escaped.
  void character(state_index from, state_index to);
  /// `least` to `most` characters between quotes.
  void string(state_index from, state_index to, std::uint32_t least,
              std::optional<std::uint32_t> most);
  /// A name of a member that is none of `taken`: printable ASCII without escapes.
  void other_name(state_index from, state_index to, std::span<const std::string> taken);
  /// `from` least: 0 any sign, else no "-", and from 1 on no 0.
  void integer(state_index from, state_index to, std::optional<std::uint32_t> least = {});
  void number(state_index from, state_index to, bool may_be_negative = true);

  [[nodiscard]] rule_index any_string();
  /// Any value, object or array, nested at most limits::constraint_free_depth deep.
  [[nodiscard]] rule_index any_value();
  [[nodiscard]] rule_index any_object();
  [[nodiscard]] rule_index any_array();

private:
  void digits(state_index from, state_index to, std::uint32_t most);
  void whole(state_index from, state_index to, bool may_be_zero);
  void make_free();
  void fill_object(rule_index rule, std::optional<rule_index> value);
  void fill_array(rule_index rule, std::optional<rule_index> value);

  byte_automaton& out_;
  std::optional<rule_index> space_;
  std::optional<rule_index> string_;
  std::optional<rule_index> value_;
  rule_index object_{0};
  rule_index array_{0};
};

} // namespace ovir::compute
