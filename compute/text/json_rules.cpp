#include "compute/text/json_rules.hpp"

#include "messages/limits/constraint.hpp"

#include <algorithm>
#include <set>

namespace ovir::compute {

namespace {

constexpr std::uint32_t indent_max = 16;
constexpr std::uint32_t digits_max = 15; // a binary64 has so many
constexpr std::uint32_t exponent_digits_max = 2;

} // namespace

void json_rules::white_space(state_index from, state_index to) {
  if (!space_) {
    space_ = out_.add_rule();
    const auto [first, last] = out_.rules[*space_];
    out_.byte(first, ' ', last);
    state_index at = out_.add_state();
    out_.byte(first, '\n', at);
    for (std::uint32_t i = 0; i < indent_max; ++i) {
      const state_index next = out_.add_state();
      out_.skip(at, last);
      out_.byte(at, ' ', next);
      at = next;
    }
    out_.skip(at, last);
  }
  out_.skip(from, to);
  out_.call(from, *space_, to);
}

void json_rules::character(state_index from, state_index to) {
  // As it is: all but quote, backslash and control characters; UTF-8 as of RFC 3629.
  out_.bytes(from, 0x20, 0x21, to);
  out_.bytes(from, 0x23, 0x5B, to);
  out_.bytes(from, 0x5D, 0x7F, to);
  const state_index one = out_.add_state(); // bytes that follow
  const state_index two = out_.add_state();
  const state_index three = out_.add_state();
  out_.bytes(one, 0x80, 0xBF, to);
  out_.bytes(two, 0x80, 0xBF, one);
  out_.bytes(three, 0x80, 0xBF, two);
  out_.bytes(from, 0xC2, 0xDF, one);
  out_.bytes(from, 0xE1, 0xEC, two);
  out_.bytes(from, 0xEE, 0xEF, two);
  out_.bytes(from, 0xF1, 0xF3, three);
  const auto narrowed = [&](std::uint8_t lead, std::uint8_t low, std::uint8_t high,
                            state_index rest) {
    const state_index second = out_.add_state();
    out_.bytes(from, lead, lead, second);
    out_.bytes(second, low, high, rest);
  };
  narrowed(0xE0, 0xA0, 0xBF, one);
  narrowed(0xED, 0x80, 0x9F, one);
  narrowed(0xF0, 0x90, 0xBF, two);
  narrowed(0xF4, 0x80, 0x8F, two);

  // Escaped.
  const state_index escape = out_.add_state();
  out_.byte(from, '\\', escape);
  for (const char c : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) {
    out_.byte(escape, c, to);
  }
  const auto hexadecimal = [&](state_index at, state_index next) {
    out_.bytes(at, '0', '9', next);
    out_.bytes(at, 'a', 'f', next);
    out_.bytes(at, 'A', 'F', next);
  };
  const state_index first = out_.add_state();
  const state_index second = out_.add_state();
  const state_index third = out_.add_state();
  const state_index fourth = out_.add_state();
  const state_index second_of_d = out_.add_state();
  out_.byte(escape, 'u', first);
  out_.bytes(first, '0', '9', second);
  for (const char base : {'a', 'A'}) {
    out_.bytes(first, static_cast<std::uint8_t>(base), static_cast<std::uint8_t>(base + 2), second);
    out_.bytes(first, static_cast<std::uint8_t>(base + 4), static_cast<std::uint8_t>(base + 5),
               second);
    out_.byte(first, static_cast<char>(base + 3), second_of_d);
  }
  hexadecimal(second, third);
  hexadecimal(third, fourth);
  hexadecimal(fourth, to);
  out_.bytes(second_of_d, '0', '7', third); // D800 to DFFF are no characters
}

void json_rules::string(state_index from, state_index to, std::uint32_t least,
                        std::optional<std::uint32_t> most) {
  state_index at = out_.add_state();
  out_.byte(from, '"', at);
  for (std::uint32_t i = 0; i < least; ++i) {
    const state_index next = out_.add_state();
    character(at, next);
    at = next;
  }
  if (!most) {
    const state_index loop = out_.add_state();
    out_.skip(at, loop);
    character(loop, loop);
    out_.byte(loop, '"', to);
    return;
  }
  for (std::uint32_t i = least; i < *most; ++i) {
    const state_index next = out_.add_state();
    out_.byte(at, '"', to);
    character(at, next);
    at = next;
  }
  out_.byte(at, '"', to);
}

void json_rules::other_name(state_index from, state_index to, std::span<const std::string> taken) {
  const auto plain_but = [&](state_index at, const std::set<std::uint8_t>& but, state_index next) {
    std::set<std::uint8_t> left_out = but;
    left_out.insert({'"', '\\'});
    std::uint8_t low = 0x20;
    for (const std::uint8_t gap : left_out) {
      if (gap < low || gap > 0x7E) {
        continue;
      }
      if (low < gap) {
        out_.bytes(at, low, gap - 1, next);
      }
      low = gap + 1;
    }
    if (low <= 0x7E) {
      out_.bytes(at, low, 0x7E, next);
    }
  };
  const state_index free = out_.add_state(); // no longer the beginning of a taken one
  plain_but(free, {}, free);
  out_.byte(free, '"', to);
  // `names` all begin with the `depth` bytes read so far.
  const auto grow = [&](const auto& self, state_index at, std::vector<std::string_view> names,
                        std::size_t depth) -> void {
    std::set<std::uint8_t> branches;
    bool whole = false;
    for (const std::string_view name : names) {
      if (name.size() == depth) {
        whole = true;
      } else {
        branches.insert(static_cast<std::uint8_t>(name[depth]));
      }
    }
    if (!whole) {
      out_.byte(at, '"', to);
    }
    plain_but(at, branches, free);
    for (const std::uint8_t branch : branches) {
      if (branch < 0x20 || branch > 0x7E || branch == '"' || branch == '\\') {
        continue; // cannot be written here, and so not be met
      }
      std::vector<std::string_view> deeper;
      std::copy_if(names.begin(), names.end(), std::back_inserter(deeper), [&](std::string_view n) {
        return n.size() > depth && static_cast<std::uint8_t>(n[depth]) == branch;
      });
      const state_index next = out_.add_state();
      out_.bytes(at, branch, branch, next);
      self(self, next, std::move(deeper), depth + 1);
    }
  };
  const state_index begun = out_.add_state();
  out_.byte(from, '"', begun);
  grow(grow, begun, {taken.begin(), taken.end()}, 0);
}

/// One to `most` digits.
void json_rules::digits(state_index from, state_index to, std::uint32_t most) {
  for (std::uint32_t i = 0; i < most; ++i) {
    const state_index next = out_.add_state();
    out_.bytes(from, '0', '9', next);
    out_.skip(next, to);
    from = next;
  }
}

void json_rules::whole(state_index from, state_index to, bool may_be_zero) {
  if (may_be_zero) {
    out_.byte(from, '0', to);
  }
  const state_index more = out_.add_state();
  out_.bytes(from, '1', '9', more);
  out_.skip(more, to);
  digits(more, to, digits_max - 1);
}

void json_rules::integer(state_index from, state_index to, std::optional<std::uint32_t> least) {
  const state_index sign = out_.add_state();
  out_.skip(from, sign);
  if (!least) {
    out_.byte(from, '-', sign);
  }
  whole(sign, to, !least || *least == 0);
}

void json_rules::number(state_index from, state_index to, bool may_be_negative) {
  const state_index units = out_.add_state();
  const state_index point = out_.add_state();
  const state_index parts = out_.add_state();
  const state_index sign = out_.add_state();
  const state_index exponent = out_.add_state();
  integer(from, units, may_be_negative ? std::nullopt : std::optional{0U});
  out_.byte(units, '.', point);
  digits(point, parts, digits_max);
  out_.skip(units, parts);
  out_.skip(parts, to);
  out_.byte(parts, 'e', sign);
  out_.byte(parts, 'E', sign);
  out_.skip(sign, exponent);
  out_.byte(sign, '+', exponent);
  out_.byte(sign, '-', exponent);
  digits(exponent, to, exponent_digits_max);
}

rule_index json_rules::any_string() {
  if (!string_) {
    string_ = out_.add_rule();
    const auto [first, last] = out_.rules[*string_];
    string(first, last, 0, std::nullopt);
  }
  return *string_;
}

void json_rules::fill_object(rule_index rule, std::optional<rule_index> value) {
  const auto [first, last] = out_.rules[rule];
  const state_index open = out_.add_state();
  const state_index close = out_.add_state();
  out_.byte(first, '{', open);
  white_space(open, close);
  out_.byte(close, '}', last);
  if (!value) {
    return;
  }
  const state_index name = out_.add_state();
  const state_index colon = out_.add_state();
  const state_index before = out_.add_state();
  const state_index behind = out_.add_state();
  const state_index comma = out_.add_state();
  white_space(open, name);
  out_.call(name, any_string(), colon);
  const state_index spaced = out_.add_state();
  out_.byte(colon, ':', spaced);
  white_space(spaced, before);
  out_.call(before, *value, behind);
  white_space(behind, close);
  out_.byte(behind, ',', comma);
  white_space(comma, name);
}

void json_rules::fill_array(rule_index rule, std::optional<rule_index> value) {
  const auto [first, last] = out_.rules[rule];
  const state_index open = out_.add_state();
  const state_index close = out_.add_state();
  out_.byte(first, '[', open);
  white_space(open, close);
  out_.byte(close, ']', last);
  if (!value) {
    return;
  }
  const state_index before = out_.add_state();
  const state_index behind = out_.add_state();
  const state_index comma = out_.add_state();
  white_space(open, before);
  out_.call(before, *value, behind);
  white_space(behind, close);
  out_.byte(behind, ',', comma);
  white_space(comma, before);
}

// A value of each depth has its own rules, from the innermost, which has nothing in it.
void json_rules::make_free() {
  if (value_) {
    return;
  }
  const rule_index scalar = out_.add_rule();
  {
    const auto [first, last] = out_.rules[scalar];
    number(first, last);
    for (const std::string_view word : {"true", "false", "null"}) {
      out_.literal(first, word, last);
    }
  }
  out_.call(out_.rules[scalar].first, any_string(), out_.rules[scalar].last);
  std::optional<rule_index> inner;
  for (std::uint32_t depth = 0; depth < limits::constraint_free_depth; ++depth) {
    object_ = out_.add_rule();
    array_ = out_.add_rule();
    fill_object(object_, inner);
    fill_array(array_, inner);
    inner = out_.add_rule();
    const auto [first, last] = out_.rules[*inner];
    for (const rule_index part : {scalar, object_, array_}) {
      out_.call(first, part, last);
    }
  }
  value_ = inner;
}

rule_index json_rules::any_value() {
  make_free();
  return *value_;
}

rule_index json_rules::any_object() {
  make_free();
  return object_;
}

rule_index json_rules::any_array() {
  make_free();
  return array_;
}

} // namespace ovir::compute
