#include "compute/base/printable.hpp"
#include "templates/parser.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::templates {

namespace {

constexpr std::array<std::string_view, 7> elsewhere{"include", "import", "from",      "extends",
                                                    "block",   "do",     "autoescape"};

} // namespace

/// Statements up to a tag that begins with one of `ends`, whose name is left to be read; none: to
/// the end of the template.
node_index parser::block_until(std::initializer_list<std::string_view> ends) {
  if (!enter()) {
    return 0;
  }
  std::vector<node_index> parts;
  while (!failed_) {
    const token_kind what = now().what;
    if (what == token_kind::data) {
      const std::uint32_t line = now().line;
      parts.push_back(
          add(node{.what = node_kind::data, .line = line, .constant = value::text(next().text)}));
    } else if (what == token_kind::print_begin) {
      next();
      parts.push_back(add(node_kind::print, {tuple()}));
      if (!failed_ && next().what != token_kind::print_end) {
        wrong(errc::malformed, "'}}' is missing");
      }
    } else if (what == token_kind::block_begin) {
      next();
      if (now().what == token_kind::name &&
          std::find(ends.begin(), ends.end(), now().text) != ends.end()) {
        break;
      }
      parts.push_back(statement());
    } else if (ends.size() != 0) {
      wrong(errc::malformed,
            fmt::format("a block that '{}' would end does not end", *(ends.end() - 1)));
    } else {
      break;
    }
  }
  --depth_;
  return failed_ ? 0 : add(node_kind::block, std::move(parts));
}

void parser::end_block() {
  if (now().what != token_kind::block_end) {
    wrong(errc::malformed, "'%}' is missing");
    return;
  }
  next();
}

node_index parser::statement() {
  const std::string name = expect_name("the name of a statement");
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
    next();
    end_block();
    return body;
  }
  if (name == "break" || name == "continue") {
    end_block();
    return add(name == "break" ? node_kind::stop_loop : node_kind::next_turn, {});
  }
  const bool known = std::find(elsewhere.begin(), elsewhere.end(), name) != elsewhere.end();
  wrong(known ? errc::unsupported : errc::malformed,
        fmt::format("the statement '{}' is {}", compute::printable(name),
                    known ? "not supported in chat templates" : "unknown"));
  return 0;
}

node_index parser::condition_statement() {
  std::vector<node_index> parts;
  while (!failed_) {
    parts.push_back(tuple(conditional::no));
    end_block();
    parts.push_back(block_until({"elif", "else", "endif"}));
    if (take_name("elif")) {
      continue;
    }
    node_index otherwise = 0;
    if (take_name("else")) {
      end_block();
      otherwise = block_until({"endif"});
    }
    parts.push_back(otherwise);
    next();
    end_block();
    break;
  }
  return failed_ ? 0 : add(node_kind::condition, std::move(parts));
}

node_index parser::loop_statement() {
  const node_index what = target(false);
  if (!take_name("in")) {
    wrong(errc::malformed, "'for' lacks its 'in'");
  }
  const node_index of = tuple(conditional::no);
  const node_index when = take_name("if") ? expression() : 0;
  if (sees_name("recursive")) {
    wrong(errc::unsupported, "recursive loops are not supported");
  }
  end_block();
  const node_index body = block_until({"else", "endfor"});
  node_index otherwise = 0;
  if (take_name("else")) {
    end_block();
    otherwise = block_until({"endfor"});
  }
  next();
  end_block();
  return failed_ ? 0 : add(node_kind::loop, {what, of, when, body, otherwise});
}

node_index parser::set_statement() {
  const node_index what = target(true);
  if (take("=")) {
    const node_index to = tuple();
    end_block();
    return add(node_kind::set, {what, to});
  }
  // The text of a block, through filters: their chain begins at "nothing", which is that text.
  node_index through = 0;
  while (take("|")) {
    through = filter_name(through);
  }
  end_block();
  const node_index body = block_until({"endset"});
  next();
  end_block();
  return failed_ ? 0 : add(node_kind::set_block, {what, through, body});
}

void parser::parameters(node& into) {
  expect("(");
  while (!failed_ && !sees(")")) {
    into.names.push_back(expect_name("the name of a parameter"));
    if (take("=")) {
      into.parts.push_back(expression());
    } else if (!into.parts.empty()) {
      wrong(errc::malformed, "a parameter without a default follows one with a default");
    }
    if (!take(",")) {
      break;
    }
  }
  expect(")");
}

node_index parser::macro_statement() {
  node n{.what = node_kind::macro, .name = expect_name("the name of a macro")};
  parameters(n);
  end_block();
  n.parts.push_back(block_until({"endmacro"}));
  next();
  end_block();
  return failed_ ? 0 : add(std::move(n));
}

node_index parser::call_statement() {
  node body{.what = node_kind::macro, .name = "caller"};
  if (sees("(")) {
    parameters(body);
  }
  const node_index call = expression();
  if (!failed_ && tree_.nodes[call].what != node_kind::call) {
    wrong(errc::malformed, "'call' needs a call");
  }
  end_block();
  body.parts.push_back(block_until({"endcall"}));
  next();
  end_block();
  if (failed_) {
    return 0;
  }
  const node_index caller = add(std::move(body));
  return add(node_kind::call_block, {call, caller});
}

node_index parser::filter_statement() {
  node_index through = filter_name(0);
  while (take("|")) {
    through = filter_name(through);
  }
  end_block();
  const node_index body = block_until({"endfilter"});
  next();
  end_block();
  return failed_ ? 0 : add(node_kind::filtered, {through, body});
}

node_index parser::with_statement() {
  std::vector<node_index> parts;
  while (!failed_ && now().what != token_kind::block_end) {
    parts.push_back(target(false));
    expect("=");
    parts.push_back(expression());
    if (!take(",")) {
      break;
    }
  }
  end_block();
  parts.push_back(block_until({"endwith"}));
  next();
  end_block();
  return failed_ ? 0 : add(node_kind::with, std::move(parts));
}

/// Where a value goes: a name, names separated by commas, or a member of a namespace.
node_index parser::target(bool members) {
  if (!enter()) {
    return 0;
  }
  std::vector<node_index> parts{one_target(members)};
  bool comma = false;
  while (!failed_ && take(",")) {
    comma = true;
    if (now().what != token_kind::name && !sees("(")) {
      break;
    }
    parts.push_back(one_target(members));
  }
  --depth_;
  return comma ? add(node_kind::tuple, std::move(parts)) : parts.front();
}

node_index parser::one_target(bool members) {
  if (take("(")) {
    const node_index inside = target(members);
    expect(")");
    return inside;
  }
  const std::string name = expect_name("a name to set");
  const node_index n = add(node_kind::name, {}, name);
  if (members && take(".")) {
    return add(node_kind::attribute, {n}, expect_name("the name of a member"));
  }
  return n;
}

} // namespace ovir::templates
