#pragma once

#include "messages/result.hpp"
#include "templates/expression_parser.hpp"
#include "templates/syntax.hpp"

#include <initializer_list>
#include <string_view>
#include <vector>

namespace ovir::templates {

/// Reads a template. `malformed` names the line, `unsupported` what Jinja has and this does not
/// (inclusion, inheritance), `over_limit` what is too long or too deep.
[[nodiscard]] result<syntax_tree> parse_template(std::string_view source);

/// Reads statements; the expressions in them are read by `expression_parser`.
class parser {
public:
  explicit parser(std::vector<token> tokens) : in_(std::move(tokens)) {}
  [[nodiscard]] result<syntax_tree> run();

private:
  node_index block_until(std::initializer_list<std::string_view> ends);
  node_index statement();
  node_index condition_statement();
  node_index loop_statement();
  node_index set_statement();
  node_index macro_statement();
  node_index call_statement();
  node_index filter_statement();
  node_index with_statement();
  void parameters(node& into);
  node_index target(bool members);
  node_index one_target(bool members);
  void end_block();

  expression_parser in_;
};

} // namespace ovir::templates
