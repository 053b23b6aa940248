#pragma once

#include "messages/result.hpp"
#include "templates/lexer.hpp"
#include "templates/syntax.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::templates {

/// Reads tokens, and the expressions in them, into a tree. The first error stays; parsing then runs
/// to its end without effect.
class expression_parser {
public:
  enum class conditional : bool { no, yes };

  explicit expression_parser(std::vector<token> tokens) : tokens_(std::move(tokens)) {}

  node_index expression(conditional may = conditional::yes);
  node_index tuple(conditional may = conditional::yes, bool in_brackets = false);
  /// A filter with its arguments, applied to `of`; 0: to the text of a block.
  node_index filter_name(node_index of);

  // Tokens and nodes
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
  [[nodiscard]] node_kind what_of(node_index n) const { return tree_.nodes[n].what; }
  void wrong(errc code, std::string_view what);
  [[nodiscard]] bool failed() const noexcept { return failed_.has_value(); }
  /// False, with the error kept, where brackets and blocks lie too deep; else `leave` follows.
  bool enter();
  void leave() noexcept { --depth_; }
  /// The tree, or the first error.
  [[nodiscard]] result<syntax_tree> finish(node_index root);

private:
  // From what binds least
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
  void arguments(node& call);

  std::vector<token> tokens_;
  std::size_t at_{0};
  std::size_t depth_{0};
  syntax_tree tree_;
  std::optional<error> failed_;
};

} // namespace ovir::templates
