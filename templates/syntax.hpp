#pragma once

#include "templates/value.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::templates {

/// A part of a template's tree; `parts` are indices of others, 0 stands for "none".
enum class node_kind : std::uint8_t {
  nothing,
  // Expressions.
  constant,    ///< constant
  name,        ///< name
  list,        ///< parts: items
  tuple,       ///< parts: items
  dict,        ///< parts: key, value, key, value ...
  attribute,   ///< parts: of what; name
  item,        ///< parts: of what, which
  slice,       ///< parts: of what, from, to, step; each of the last three may be none
  call,        ///< parts: what, arguments; the last names.size() of them by `names`
  filter,      ///< parts: what, arguments as of call; name
  test,        ///< parts: what, arguments; name
  unary,       ///< parts: operand; name: "not", "-" or "+"
  binary,      ///< parts: left, right; name: the operator
  logic,       ///< parts: left, right; name: "and" or "or"
  comparison,  ///< parts: operands; names: the operators between them
  conditional, ///< parts: condition, value, otherwise
  // Statements.
  block,      ///< parts: statements
  data,       ///< constant
  print,      ///< parts: expression
  condition,  ///< parts: condition, block, condition, block ..., last block or none
  loop,       ///< parts: target, of what, condition, block, block where there is nothing
  set,        ///< parts: target, value
  set_block,  ///< parts: target, filter, block
  macro,      ///< name; parts: defaults (of the last parameters), block; names: parameters
  call_block, ///< parts: call, macro
  filtered,   ///< parts: filter, block
  with,       ///< parts: target, value, target, value ..., block
  stop_loop,  ///< break
  next_turn,  ///< continue
};

using node_index = std::uint32_t;

struct node {
  node_kind what{node_kind::nothing};
  std::uint32_t line{0};
  std::uint32_t depth{1};
  std::string name{};
  std::vector<node_index> parts{};
  std::vector<std::string> names{};
  value constant{};
};

struct syntax_tree {
  std::vector<node> nodes{node{}};
  node_index root{0};
};

/// A macro with the variables it sees.
struct scope;
struct macro {
  node_index definition{0};
  std::shared_ptr<scope> home;
  value caller; ///< of the block that called it
};

} // namespace ovir::templates
