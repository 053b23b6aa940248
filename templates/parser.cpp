#include "templates/parser.hpp"

#include "compute/base/printable.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::templates {

namespace {

constexpr std::array<std::string_view, 7> elsewhere{"include", "import", "from",      "extends",
                                                    "block",   "do",     "autoescape"};

} // namespace

result<syntax_tree> parse_template(std::string_view source) {
  OVIR_ASSIGN(std::vector<token> tokens, tokens_of(source));
  return parser{std::move(tokens)}.run();
}

result<syntax_tree> parser::run() { return in_.finish(block_until({})); }

/// Statements up to a tag that begins with one of `ends`, whose name is left to be read; none: to
/// the end of the template.
node_index parser::block_until(std::initializer_list<std::string_view> ends) {
  if (!in_.enter()) {
    return 0;
  }
  std::vector<node_index> parts;
  while (!in_.failed()) {
    const token_kind what = in_.now().what;
    if (what == token_kind::data) {
      const std::uint32_t line = in_.now().line;
      parts.push_back(in_.add(
          node{.what = node_kind::data, .line = line, .constant = value::text(in_.next().text)}));
    } else if (what == token_kind::print_begin) {
      in_.next();
      parts.push_back(in_.add(node_kind::print, {in_.tuple()}));
      if (!in_.failed() && in_.next().what != token_kind::print_end) {
        in_.wrong(errc::malformed, "'}}' is missing");
      }
    } else if (what == token_kind::block_begin) {
      in_.next();
      if (in_.now().what == token_kind::name &&
          std::find(ends.begin(), ends.end(), in_.now().text) != ends.end()) {
        break;
      }
      parts.push_back(statement());
    } else if (ends.size() != 0) {
      in_.wrong(errc::malformed,
                fmt::format("a block that '{}' would end does not end", *(ends.end() - 1)));
    } else {
      break;
    }
  }
  in_.leave();
  return in_.failed() ? 0 : in_.add(node_kind::block, std::move(parts));
}

void parser::end_block() {
  if (in_.now().what != token_kind::block_end) {
    in_.wrong(errc::malformed, "'%}' is missing");
    return;
  }
  in_.next();
}

node_index parser::statement() {
  const std::string name = in_.expect_name("the name of a statement");
  if (name == "if") {
    return condition_statement();
  }
  if (name == "for") {
    return loop_statement();
  }
  if (name == "set") {
    return set_statement();
  }
  if (name == "macro") {
    return macro_statement();
  }
  if (name == "call") {
    return call_statement();
  }
  if (name == "filter") {
    return filter_statement();
  }
  if (name == "with") {
    return with_statement();
  }
  if (name == "generation") { // marks what a model is trained on; nothing to a reader
    end_block();
    const node_index body = block_until({"endgeneration"});
    in_.next();
    end_block();
    return body;
  }
  if (name == "break" || name == "continue") {
    end_block();
    return in_.add(name == "break" ? node_kind::stop_loop : node_kind::next_turn, {});
  }
  const bool known = std::find(elsewhere.begin(), elsewhere.end(), name) != elsewhere.end();
  in_.wrong(known ? errc::unsupported : errc::malformed,
            fmt::format("the statement '{}' is {}", compute::printable(name),
                        known ? "not supported in chat templates" : "unknown"));
  return 0;
}

node_index parser::condition_statement() {
  std::vector<node_index> parts;
  while (!in_.failed()) {
    parts.push_back(in_.tuple(expression_parser::conditional::no));
    end_block();
    parts.push_back(block_until({"elif", "else", "endif"}));
    if (in_.take_name("elif")) {
      continue;
    }
    node_index otherwise = 0;
    if (in_.take_name("else")) {
      end_block();
      otherwise = block_until({"endif"});
    }
    parts.push_back(otherwise);
    in_.next();
    end_block();
    break;
  }
  return in_.failed() ? 0 : in_.add(node_kind::condition, std::move(parts));
}

node_index parser::loop_statement() {
  const node_index what = target(false);
  if (!in_.take_name("in")) {
    in_.wrong(errc::malformed, "'for' lacks its 'in'");
  }
  const node_index of = in_.tuple(expression_parser::conditional::no);
  const node_index when = in_.take_name("if") ? in_.expression() : 0;
  if (in_.sees_name("recursive")) {
    in_.wrong(errc::unsupported, "recursive loops are not supported");
  }
  end_block();
  const node_index body = block_until({"else", "endfor"});
  node_index otherwise = 0;
  if (in_.take_name("else")) {
    end_block();
    otherwise = block_until({"endfor"});
  }
  in_.next();
  end_block();
  return in_.failed() ? 0 : in_.add(node_kind::loop, {what, of, when, body, otherwise});
}

node_index parser::set_statement() {
  const node_index what = target(true);
  if (in_.take("=")) {
    const node_index to = in_.tuple();
    end_block();
    return in_.add(node_kind::set, {what, to});
  }
  // The text of a block, through filters: their chain begins at "nothing", which is that text.
  node_index through = 0;
  while (in_.take("|")) {
    through = in_.filter_name(through);
  }
  end_block();
  const node_index body = block_until({"endset"});
  in_.next();
  end_block();
  return in_.failed() ? 0 : in_.add(node_kind::set_block, {what, through, body});
}

void parser::parameters(node& into) {
  in_.expect("(");
  while (!in_.failed() && !in_.sees(")")) {
    into.names.push_back(in_.expect_name("the name of a parameter"));
    if (in_.take("=")) {
      into.parts.push_back(in_.expression());
    } else if (!into.parts.empty()) {
      in_.wrong(errc::malformed, "a parameter without a default follows one with a default");
    }
    if (!in_.take(",")) {
      break;
    }
  }
  in_.expect(")");
}

node_index parser::macro_statement() {
  node n{.what = node_kind::macro, .name = in_.expect_name("the name of a macro")};
  parameters(n);
  end_block();
  n.parts.push_back(block_until({"endmacro"}));
  in_.next();
  end_block();
  return in_.failed() ? 0 : in_.add(std::move(n));
}

node_index parser::call_statement() {
  node body{.what = node_kind::macro, .name = "caller"};
  if (in_.sees("(")) {
    parameters(body);
  }
  const node_index call = in_.expression();
  if (!in_.failed() && in_.what_of(call) != node_kind::call) {
    in_.wrong(errc::malformed, "'call' needs a call");
  }
  end_block();
  body.parts.push_back(block_until({"endcall"}));
  in_.next();
  end_block();
  if (in_.failed()) {
    return 0;
  }
  const node_index caller = in_.add(std::move(body));
  return in_.add(node_kind::call_block, {call, caller});
}

node_index parser::filter_statement() {
  node_index through = in_.filter_name(0);
  while (in_.take("|")) {
    through = in_.filter_name(through);
  }
  end_block();
  const node_index body = block_until({"endfilter"});
  in_.next();
  end_block();
  return in_.failed() ? 0 : in_.add(node_kind::filtered, {through, body});
}

node_index parser::with_statement() {
  std::vector<node_index> parts;
  while (!in_.failed() && in_.now().what != token_kind::block_end) {
    parts.push_back(target(false));
    in_.expect("=");
    parts.push_back(in_.expression());
    if (!in_.take(",")) {
      break;
    }
  }
  end_block();
  parts.push_back(block_until({"endwith"}));
  in_.next();
  end_block();
  return in_.failed() ? 0 : in_.add(node_kind::with, std::move(parts));
}

/// Where a value goes: a name, names separated by commas, or a member of a namespace.
node_index parser::target(bool members) {
  if (!in_.enter()) {
    return 0;
  }
  std::vector<node_index> parts{one_target(members)};
  bool comma = false;
  while (!in_.failed() && in_.take(",")) {
    comma = true;
    if (in_.now().what != token_kind::name && !in_.sees("(")) {
      break;
    }
    parts.push_back(one_target(members));
  }
  in_.leave();
  return comma ? in_.add(node_kind::tuple, std::move(parts)) : parts.front();
}

node_index parser::one_target(bool members) {
  if (in_.take("(")) {
    const node_index inside = target(members);
    in_.expect(")");
    return inside;
  }
  const std::string name = in_.expect_name("a name to set");
  const node_index n = in_.add(node_kind::name, {}, name);
  if (members && in_.take(".")) {
    return in_.add(node_kind::attribute, {n}, in_.expect_name("the name of a member"));
  }
  return n;
}

} // namespace ovir::templates
