#include "templates/expression_parser.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/templates.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ovir::templates {

bool expression_parser::sees(std::string_view sign) const {
  return now().what == token_kind::sign && now().text == sign;
}

bool expression_parser::sees_name(std::string_view name) const {
  return now().what == token_kind::name && now().text == name;
}

bool expression_parser::take(std::string_view sign) {
  const bool there = sees(sign);
  at_ += there ? 1 : 0;
  return there;
}

bool expression_parser::take_name(std::string_view name) {
  const bool there = sees_name(name);
  at_ += there ? 1 : 0;
  return there;
}

void expression_parser::expect(std::string_view sign) {
  if (!take(sign)) {
    wrong(errc::malformed, fmt::format("'{}' is missing", sign));
  }
}

std::string expression_parser::expect_name(std::string_view what) {
  if (now().what != token_kind::name) {
    wrong(errc::malformed, fmt::format("{} is missing", what));
    return {};
  }
  return next().text;
}

token expression_parser::next() {
  token t = now();
  at_ += t.what == token_kind::end ? 0 : 1;
  return t;
}

// The last token is the end, at which every rule stops.
void expression_parser::wrong(errc code, std::string_view what) {
  if (!failed_) {
    failed_ = fail(code, "line {} of the template: {}", now().line, what);
  }
  at_ = tokens_.size() - 1;
}

bool expression_parser::enter() {
  if (depth_ == limits::template_depth_max) {
    wrong(errc::over_limit, fmt::format("blocks and brackets lie more than {} deep in each other",
                                        limits::template_depth_max));
    return false;
  }
  ++depth_;
  return true;
}

node_index expression_parser::add(node n) {
  n.line = n.line == 0 ? now().line : n.line;
  for (const node_index part : n.parts) {
    n.depth = std::max(n.depth, tree_.nodes[part].depth + 1);
  }
  if (n.depth > limits::template_tree_max) {
    wrong(errc::over_limit,
          fmt::format("an expression has more than {} levels", limits::template_tree_max));
    return 0;
  }
  tree_.nodes.push_back(std::move(n));
  return static_cast<node_index>(tree_.nodes.size() - 1);
}

node_index expression_parser::add(node_kind what, std::vector<node_index> parts, std::string name) {
  return add(node{.what = what, .name = std::move(name), .parts = std::move(parts)});
}

result<syntax_tree> expression_parser::finish(node_index root) {
  if (failed_) {
    return *failed_;
  }
  tree_.root = root;
  return std::move(tree_);
}

node_index expression_parser::expression(conditional may) {
  if (!enter()) {
    return 0;
  }
  node_index left = either();
  while (may == conditional::yes && take_name("if")) {
    const node_index when = either();
    const node_index otherwise = take_name("else") ? expression() : 0;
    left = add(node_kind::conditional, {when, left, otherwise});
  }
  leave();
  return left;
}

node_index expression_parser::tuple(conditional may, bool in_brackets) {
  std::vector<node_index> items;
  bool comma = false;
  while (!failed_) {
    const bool ends = now().what == token_kind::block_end || now().what == token_kind::print_end ||
                      sees(")") || sees_name("recursive") || now().what == token_kind::end;
    if (ends && (comma || items.empty())) {
      break;
    }
    items.push_back(expression(may));
    if (!take(",")) {
      break;
    }
    comma = true;
  }
  if (comma || (items.empty() && in_brackets)) {
    return add(node_kind::tuple, std::move(items));
  }
  if (items.empty()) {
    wrong(errc::malformed, "an expression is missing");
    return 0;
  }
  return items.front();
}

node_index expression_parser::either() {
  node_index left = both();
  while (take_name("or")) {
    left = add(node_kind::logic, {left, both()}, "or");
  }
  return left;
}

node_index expression_parser::both() {
  node_index left = negation();
  while (take_name("and")) {
    left = add(node_kind::logic, {left, negation()}, "and");
  }
  return left;
}

node_index expression_parser::negation() {
  std::size_t count = 0;
  while (take_name("not")) {
    ++count;
  }
  node_index operand = comparison();
  for (; count > 0 && !failed_; --count) {
    operand = add(node_kind::unary, {operand}, "not");
  }
  return operand;
}

node_index expression_parser::comparison() {
  const node_index first = sum();
  node chain{.what = node_kind::comparison, .parts = {first}};
  while (!failed_) {
    std::string op;
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "<", ">"}) {
      op = op.empty() && take(sign) ? std::string{sign} : op;
    }
    if (op.empty() && take_name("in")) {
      op = "in";
    } else if (op.empty() && sees_name("not") && tokens_[at_ + 1].what == token_kind::name &&
               tokens_[at_ + 1].text == "in") {
      at_ += 2;
      op = "not in";
    }
    if (op.empty()) {
      break;
    }
    chain.names.push_back(std::move(op));
    chain.parts.push_back(sum());
  }
  return chain.names.empty() ? first : add(std::move(chain));
}

node_index expression_parser::sum() {
  node_index left = joining();
  while (sees("+") || sees("-")) {
    std::string op = next().text;
    left = add(node_kind::binary, {left, joining()}, std::move(op));
  }
  return left;
}

node_index expression_parser::joining() {
  node_index left = product();
  while (take("~")) {
    left = add(node_kind::binary, {left, product()}, "~");
  }
  return left;
}

node_index expression_parser::product() {
  node_index left = power();
  while (sees("*") || sees("/") || sees("//") || sees("%")) {
    std::string op = next().text;
    left = add(node_kind::binary, {left, power()}, std::move(op));
  }
  return left;
}

node_index expression_parser::power() {
  node_index left = sign();
  while (take("**")) {
    left = add(node_kind::binary, {left, sign()}, "**");
  }
  return left;
}

node_index expression_parser::sign(bool with_filters) {
  node_index of = 0;
  if (sees("-") || sees("+")) {
    if (!enter()) {
      return 0;
    }
    std::string op = next().text;
    of = sign(false);
    of = add(node_kind::unary, {of}, std::move(op));
    leave();
  } else {
    of = primary();
  }
  of = postfix(of);
  return with_filters ? filters(of) : of;
}

node_index expression_parser::primary() {
  const std::uint32_t line = now().line;
  const auto constant = [&](value v) {
    return add(node{.what = node_kind::constant, .line = line, .constant = std::move(v)});
  };
  if (now().what == token_kind::name) {
    std::string name = next().text;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      return constant(value{name.front() == 't' || name.front() == 'T'});
    }
    if (name == "none" || name == "None") {
      return constant(none{});
    }
    return add(node{.what = node_kind::name, .line = line, .name = std::move(name)});
  }
  if (now().what == token_kind::text) {
    std::string text = next().text;
    while (now().what == token_kind::text) {
      text += next().text;
    }
    return constant(value::text(text));
  }
  if (now().what == token_kind::integer) {
    const std::string digits = next().text;
    std::int64_t number = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (read.ec != std::errc{} || (digits.size() > 1 && digits.front() == '0' && number != 0)) {
      wrong(errc::malformed, fmt::format("'{}' is no number that can be held", digits));
    }
    return constant(value{number});
  }
  if (now().what == token_kind::number) {
    const std::string digits = next().text;
    double number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return constant(value{number});
  }
  if (take("(")) {
    const node_index inside = tuple(conditional::yes, true);
    expect(")");
    return inside;
  }
  if (take("[")) {
    return list_literal();
  }
  if (take("{")) {
    return dict_literal();
  }
  wrong(errc::malformed, "an expression is missing");
  return 0;
}

node_index expression_parser::list_literal() {
  std::vector<node_index> items;
  while (!failed_ && !sees("]")) {
    items.push_back(expression());
    if (!take(",")) {
      break;
    }
  }
  expect("]");
  return add(node_kind::list, std::move(items));
}

node_index expression_parser::dict_literal() {
  std::vector<node_index> items;
  while (!failed_ && !sees("}")) {
    items.push_back(expression());
    expect(":");
    items.push_back(expression());
    if (!take(",")) {
      break;
    }
  }
  expect("}");
  return add(node_kind::dict, std::move(items));
}

node_index expression_parser::postfix(node_index of) {
  while (!failed_) {
    if (take(".")) {
      if (now().what == token_kind::integer) {
        const node_index which = primary();
        of = add(node_kind::item, {of, which});
      } else {
        of = add(node_kind::attribute, {of}, expect_name("the name of a member"));
      }
    } else if (take("[")) {
      of = subscript(of);
    } else if (sees("(")) {
      node call{.what = node_kind::call, .parts = {of}};
      arguments(call);
      of = add(std::move(call));
    } else {
      break;
    }
  }
  return of;
}

node_index expression_parser::subscript(node_index of) {
  node_index bounds[3]{};
  std::size_t colons = 0;
  while (!failed_ && !sees("]")) {
    if (take(":")) {
      if (++colons > 2) {
        wrong(errc::malformed, "a slice has at most two colons");
      }
    } else if (bounds[colons] == 0) {
      bounds[colons] = expression();
    } else {
      wrong(errc::malformed, "']' is missing");
    }
  }
  expect("]");
  if (colons > 0) {
    return add(node_kind::slice, {of, bounds[0], bounds[1], bounds[2]});
  }
  if (bounds[0] == 0) {
    wrong(errc::malformed, "a subscript is missing");
  }
  return add(node_kind::item, {of, bounds[0]});
}

node_index expression_parser::filters(node_index of) {
  while (!failed_) {
    if (take("|")) {
      of = filter_name(of);
    } else if (take_name("is")) {
      of = test(of);
    } else if (sees("(")) {
      node call{.what = node_kind::call, .parts = {of}};
      arguments(call);
      of = add(std::move(call));
    } else {
      break;
    }
  }
  return of;
}

node_index expression_parser::filter_name(node_index of) {
  node n{.what = node_kind::filter, .name = expect_name("the name of a filter"), .parts = {of}};
  if (sees("(")) {
    arguments(n);
  }
  return add(std::move(n));
}

node_index expression_parser::test(node_index of) {
  const bool negated = take_name("not");
  node n{.what = node_kind::test, .name = expect_name("the name of a test"), .parts = {of}};
  const token_kind what = now().what;
  const bool word = what == token_kind::name && !sees_name("else") && !sees_name("or") &&
                    !sees_name("and") && !sees_name("if") && !sees_name("is") && !sees_name("in") &&
                    !sees_name("not");
  if (sees("(")) {
    arguments(n);
  } else if (word || what == token_kind::text || what == token_kind::integer ||
             what == token_kind::number || sees("[") || sees("{")) {
    const node_index argument = primary();
    n.parts.push_back(postfix(argument));
  }
  const node_index tested = add(std::move(n));
  return negated ? add(node_kind::unary, {tested}, "not") : tested;
}

void expression_parser::arguments(node& call) {
  expect("(");
  while (!failed_ && !sees(")")) {
    if (sees("*") || sees("**")) {
      wrong(errc::unsupported, "arguments out of a list ('*') are not supported");
      return;
    }
    if (now().what == token_kind::name && tokens_[at_ + 1].what == token_kind::sign &&
        tokens_[at_ + 1].text == "=") {
      call.names.push_back(next().text);
      expect("=");
    } else if (!call.names.empty()) {
      wrong(errc::malformed, "an argument without a name follows one with a name");
    }
    call.parts.push_back(expression());
    if (!take(",")) {
      break;
    }
  }
  expect(")");
}

} // namespace ovir::templates
