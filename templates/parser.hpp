#pragma once

#include "messages/result.hpp"
#include "templates/lexer.hpp"
#include "templates/syntax.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace ovir::templates {

/// Reads a template. `malformed` names the line, `unsupported` what Jinja has and this does not
/// (inclusion, inheritance), `over_limit` what is too long or too deep.
[[nodiscard]] result<syntax_tree> parse_template(std::string_view source);

/// Builds the tree. The first error stays; parsing then runs to its end without effect.
class parser {
public:
  explicit parser(std::vector<token> tokens) : tokens_(std::move(tokens)) {}
  [[nodiscard]] result<syntax_tree> run();

private:
  enum class conditional : bool { no, yes };

  // Statements (parser_statements.cpp).
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

  // Expressions (parser.cpp), from what binds least.
  node_index expression(conditional may = conditional::yes);
  node_index tuple(conditional may = conditional::yes, bool in_brackets = false);
  node_index either();
  node_index both();
  node_index negation();
  node_index comparison();
  node_index sum();
  node_index joining();
  node_index product();
  node_index power();
  node_index sign(bool filters = true);
  node_index primary();
  node_index list_literal();
  node_index dict_literal();
  node_index postfix(node_index of);
  node_index filters(node_index of);
  node_index subscript(node_index of);
  node_index test(node_index of);
  node_index filter_name(node_index of);
  void arguments(node& call);

  // Tokens and nodes.
  [[nodiscard]] const token& now() const { return tokens_[at_]; }
  [[nodiscard]] bool sees(std::string_view sign) const;
  [[nodiscard]] bool sees_name(std::string_view name) const;
  bool take(std::string_view sign);
  bool take_name(std::string_view name);
  void expect(std::string_view sign);
  std::string expect_name(std::string_view what);
  token next();
  node_index add(node n);
  node_index add(node_kind what, std::vector<node_index> parts, std::string name = {});
  void wrong(errc code, std::string_view what);
  /// False, with the error kept, where brackets and blocks lie too deep.
  bool enter();

  std::vector<token> tokens_;
  std::size_t at_{0};
  std::size_t depth_{0};
  syntax_tree tree_;
  std::optional<error> failed_;
};

} // namespace ovir::templates
