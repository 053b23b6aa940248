#include "templates/interpreter.hpp"

#include "messages/limits/templates.hpp"
#include "templates/filters.hpp"
#include "templates/members.hpp"
#include "templates/operators.hpp"
#include "templates/tests_of_values.hpp"

#include <algorithm>
#include <utility>

namespace ovir::templates {

// Scopes can hold one another in circles.
interpreter::~interpreter() {
  for (const auto& home : homes_) {
    home->variables.clear();
  }
}

result<marked_text> interpreter::run() {
  marked_text out;
  out_ = &out;
  scope_ = std::make_shared<scope>();
  execute(tree_.root);
  if (r_.failed()) {
    return *r_.failure();
  }
  return out;
}

interpreter::flow interpreter::execute(node_index at) {
  const node& n = tree_.nodes[at];
  r_.at_line(n.line);
  if (r_.failed() || !r_.charge(1)) {
    return flow::on;
  }
  switch (n.what) {
  case node_kind::block:
    for (const node_index part : n.parts) {
      if (const flow f = execute(part); f != flow::on || r_.failed()) {
        return f;
      }
    }
    return flow::on;
  case node_kind::data:
    if (r_.charge(0, n.constant.as_text()->size())) {
      out_->append(*n.constant.as_text());
    }
    return flow::on;
  case node_kind::print: execute_print(n); return flow::on;
  case node_kind::condition: return execute_condition(n);
  case node_kind::loop: return execute_loop(n);
  case node_kind::set: {
    const value to = evaluate(n.parts[1]);
    assign(n.parts[0], to);
    return flow::on;
  }
  case node_kind::set_block:
  case node_kind::filtered: execute_set_block(n); return flow::on;
  case node_kind::macro: {
    const value m = make_macro(at);
    scope_->variables.emplace_back(n.name, m);
    return flow::on;
  }
  case node_kind::call_block: {
    const value caller = make_macro(n.parts[1]);
    const value out = evaluate_call(tree_.nodes[n.parts[0]], &caller);
    if (!r_.failed()) {
      out_->append(r_.text_of(out));
    }
    return flow::on;
  }
  case node_kind::with: return execute_with(n);
  case node_kind::stop_loop: return flow::stop_loop;
  case node_kind::next_turn: return flow::next_turn;
  default: r_.wrong(errc::internal, "no statement"); return flow::on;
  }
}

void interpreter::execute_print(const node& n) {
  const value v = evaluate(n.parts[0]);
  if (r_.failed()) {
    return;
  }
  out_->append(r_.text_of(v));
  if (out_->size() > limits::template_output_max) {
    r_.wrong(errc::over_limit,
             fmt::format("the prompt becomes longer than {} bytes", limits::template_output_max));
  }
}

interpreter::flow interpreter::execute_condition(const node& n) {
  std::size_t i = 0;
  for (; i + 2 < n.parts.size(); i += 2) {
    if (evaluate(n.parts[i]).truth() && !r_.failed()) {
      return execute(n.parts[i + 1]);
    }
  }
  return n.parts[i] != 0 && !r_.failed() ? execute(n.parts[i]) : flow::on;
}

interpreter::flow interpreter::execute_loop(const node& n) {
  const auto state = std::make_shared<loop_state>();
  const value all = evaluate(n.parts[1]);
  std::vector<value> items = r_.failed() ? std::vector<value>{} : r_.items_of(all);
  const std::shared_ptr<scope> outside = scope_;
  const auto enter = [&](const value& one) {
    scope_ = std::make_shared<scope>(scope{{}, outside});
    assign(n.parts[0], one);
  };
  if (n.parts[2] != 0) {
    std::vector<value> kept;
    for (const value& one : items) {
      enter(one);
      if (evaluate(n.parts[2]).truth()) {
        kept.push_back(one);
      }
      if (r_.failed()) {
        break;
      }
    }
    items = std::move(kept);
  }
  scope_ = outside;
  if (r_.failed()) {
    return flow::on;
  }
  if (items.empty()) {
    return n.parts[4] != 0 ? execute(n.parts[4]) : flow::on;
  }
  state->items = std::move(items);
  state->depth = ++loops_;
  if (++nesting_ > limits::template_nesting_max) {
    r_.wrong(errc::over_limit, "blocks lie too deep in each other");
  }
  for (; state->at < state->items.size() && !r_.failed() && r_.charge(4, sizeof(scope));
       ++state->at) {
    enter(state->items[state->at]);
    scope_->variables.emplace_back("loop", value{value::state{state}});
    if (execute(n.parts[3]) == flow::stop_loop) {
      break;
    }
  }
  --nesting_;
  --loops_;
  scope_ = outside;
  return flow::on;
}

interpreter::flow interpreter::execute_with(const node& n) {
  const auto inside = std::make_shared<scope>(scope{{}, scope_});
  std::vector<value> values;
  for (std::size_t i = 1; i < n.parts.size(); i += 2) {
    values.push_back(evaluate(n.parts[i]));
  }
  const std::shared_ptr<scope> outside = std::exchange(scope_, inside);
  for (std::size_t i = 0; i < values.size(); ++i) {
    assign(n.parts[2 * i], values[i]);
  }
  const flow f = execute(n.parts.back());
  scope_ = outside;
  return f;
}

value interpreter::rendered(node_index block) {
  marked_text text;
  marked_text* const outside_text = std::exchange(out_, &text);
  const std::shared_ptr<scope> outside = scope_;
  scope_ = std::make_shared<scope>(scope{{}, outside});
  if (++nesting_ > limits::template_nesting_max) {
    r_.wrong(errc::over_limit, "calls lie too deep in each other");
  }
  execute(block);
  --nesting_;
  scope_ = outside;
  out_ = outside_text;
  return r_.failed() ? value{} : r_.made(std::move(text));
}

void interpreter::execute_set_block(const node& n) {
  const bool sets = n.what == node_kind::set_block;
  value text = rendered(n.parts.back());
  // The chain of filters, whose innermost has nothing to be applied to but this text.
  std::vector<const node*> chain;
  for (node_index at = n.parts[sets ? 1 : 0]; at != 0; at = tree_.nodes[at].parts[0]) {
    chain.push_back(&tree_.nodes[at]);
  }
  for (auto filter = chain.rbegin(); filter != chain.rend() && !r_.failed(); ++filter) {
    call_values with = values_of(**filter, 1);
    with.plain.insert(with.plain.begin(), text);
    text = apply_filter(r_, (*filter)->name, std::move(with));
  }
  if (r_.failed()) {
    return;
  }
  if (sets) {
    assign(n.parts[0], text);
  } else {
    out_->append(r_.text_of(text));
  }
}

void interpreter::assign(node_index target, const value& to) {
  const node& n = tree_.nodes[target];
  if (r_.failed()) {
    return;
  }
  if (n.what == node_kind::tuple) {
    const std::vector<value> items = r_.items_of(to);
    if (items.size() != n.parts.size()) {
      r_.wrong(errc::malformed,
               fmt::format("{} values for {} names", items.size(), n.parts.size()));
      return;
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      assign(n.parts[i], items[i]);
    }
    return;
  }
  if (n.what == node_kind::attribute) {
    const value space = lookup(tree_.nodes[n.parts[0]].name);
    const auto* const members = space.get<std::shared_ptr<namespace_value>>();
    if (members == nullptr) {
      r_.wrong(errc::malformed, "only members of namespaces can be set");
    } else if (r_.charge(1 + (*members)->members.items.size() / 8, 2 * sizeof(value))) {
      (*members)->members.set(value::text(n.name), to);
    }
    return;
  }
  const auto at = std::find_if(scope_->variables.begin(), scope_->variables.end(),
                               [&](const auto& v) { return v.first == n.name; });
  if (at == scope_->variables.end()) {
    scope_->variables.emplace_back(n.name, to);
  } else {
    at->second = to;
  }
}

value interpreter::make_macro(node_index at) {
  if (!r_.charge(1, sizeof(macro))) {
    return {};
  }
  homes_.push_back(scope_);
  return value{value::state{std::make_shared<const macro>(macro{at, scope_, {}})}};
}

value interpreter::evaluate(node_index at) {
  const node& n = tree_.nodes[at];
  if (r_.failed()) {
    return {};
  }
  r_.at_line(n.line);
  if (!r_.charge(1)) {
    return {};
  }
  if (nesting_ == limits::template_nesting_max) {
    return r_.wrong(errc::over_limit, "expressions and calls lie too deep in each other");
  }
  ++nesting_;
  value out = evaluate_plain(n);
  --nesting_;
  return r_.failed() ? value{} : out;
}

value interpreter::evaluate_plain(const node& n) {
  switch (n.what) {
  case node_kind::constant: return n.constant;
  case node_kind::name: return lookup(n.name);
  case node_kind::list:
  case node_kind::tuple: {
    std::vector<value> items;
    for (const node_index part : n.parts) {
      items.push_back(evaluate(part));
    }
    return r_.made_list(std::move(items), n.what == node_kind::tuple);
  }
  case node_kind::dict: return evaluate_dict(n);
  case node_kind::attribute: return member(r_, evaluate(n.parts[0]), n.name);
  case node_kind::item: {
    const value of = evaluate(n.parts[0]);
    return item(r_, of, evaluate(n.parts[1]));
  }
  case node_kind::slice: return evaluate_slice(n);
  case node_kind::call: return evaluate_call(n, nullptr);
  case node_kind::filter: return apply_filter(r_, n.name, values_of(n, 0));
  case node_kind::test: return value{apply_test(r_, n.name, values_of(n, 0))};
  case node_kind::unary: return signed_value(r_, n.name, evaluate(n.parts[0]));
  case node_kind::binary: {
    const value left = evaluate(n.parts[0]);
    return combined(r_, n.name, left, evaluate(n.parts[1]));
  }
  case node_kind::comparison: return evaluate_comparison(n);
  case node_kind::logic: {
    const value left = evaluate(n.parts[0]);
    return left.truth() == (n.name == "or") ? left : evaluate(n.parts[1]);
  }
  case node_kind::conditional:
    if (evaluate(n.parts[0]).truth()) {
      return evaluate(n.parts[1]);
    }
    return n.parts[2] == 0 ? value::missing("the value of an 'if' without 'else'")
                           : evaluate(n.parts[2]);
  default: return r_.wrong(errc::internal, "no expression");
  }
}

value interpreter::evaluate_dict(const node& n) {
  dict_value members;
  for (std::size_t i = 0; i < n.parts.size() && !r_.failed(); i += 2) {
    const value key = evaluate(n.parts[i]);
    if (key.depth() != 0 || !r_.charge(1 + members.items.size() / 8)) {
      return r_.wrong(errc::malformed, "a list cannot be a key");
    }
    members.set(key, evaluate(n.parts[i + 1]));
  }
  return r_.failed() ? value{} : r_.made_dict(std::move(members));
}

value interpreter::lookup(const std::string& name) {
  for (const scope* s = scope_.get(); s != nullptr; s = s->parent.get()) {
    if (!r_.charge(s->variables.size() / 16)) {
      return {};
    }
    // The last of a name is the newest: macros may be defined again.
    const auto at = std::find_if(s->variables.rbegin(), s->variables.rend(),
                                 [&](const auto& v) { return v.first == name; });
    if (at != s->variables.rend()) {
      return at->second;
    }
  }
  if (const value* const input = variables_.find(name)) {
    return *input;
  }
  if (is_function(name)) {
    return value{value::state{function_value{name, nullptr}}};
  }
  return value::missing(name);
}

call_values interpreter::values_of(const node& n, std::size_t first) {
  call_values with;
  const std::size_t plain = n.parts.size() - n.names.size();
  for (std::size_t i = first; i < n.parts.size() && !r_.failed(); ++i) {
    value v = evaluate(n.parts[i]);
    if (i < plain) {
      with.plain.push_back(std::move(v));
    } else {
      with.named.emplace_back(n.names[i - plain], std::move(v));
    }
  }
  return with;
}

value interpreter::evaluate_call(const node& n, const value* caller) {
  const value callee = evaluate(n.parts[0]);
  call_values with = values_of(n, 1);
  if (r_.failed()) {
    return {};
  }
  if (caller != nullptr) {
    with.named.emplace_back("caller", *caller);
  }
  r_.at_line(n.line);
  return call(callee, std::move(with));
}

value interpreter::evaluate_comparison(const node& n) {
  value left = evaluate(n.parts[0]);
  for (std::size_t i = 0; i < n.names.size() && !r_.failed(); ++i) {
    value right = evaluate(n.parts[i + 1]);
    if (r_.failed() || !holds(r_, left, n.names[i], right)) {
      return value{false};
    }
    left = std::move(right);
  }
  return value{true};
}

value interpreter::evaluate_slice(const node& n) {
  const value of = evaluate(n.parts[0]);
  const auto bound_at = [&](std::size_t i) {
    return n.parts[i] == 0 ? value{none{}} : evaluate(n.parts[i]);
  };
  const value from = bound_at(1);
  const value to = bound_at(2);
  return sliced(r_, of, from, to, bound_at(3));
}

value interpreter::call(const value& callee, call_values with) {
  if (r_.failed()) {
    return {};
  }
  if (const auto* const m = callee.get<std::shared_ptr<const macro>>()) {
    return call_macro(**m, std::move(with));
  }
  if (const auto* const f = callee.get<function_value>()) {
    return f->self == nullptr ? call_function(r_, f->name, with, now_)
                              : call_method(r_, *f->self, f->name, with);
  }
  return callee.is_undefined()
             ? r_.wrong(errc::malformed, fmt::format("'{}' is undefined, so it cannot be called",
                                                     callee.get<undefined>()->name))
             : r_.wrong(errc::malformed, fmt::format("a {} cannot be called", callee.kind()));
}

value interpreter::call_macro(const macro& m, call_values with) {
  const node& n = tree_.nodes[m.definition];
  if (with.plain.size() > n.names.size()) {
    return r_.wrong(errc::malformed, fmt::format("the macro '{}' takes at most {} arguments",
                                                 n.name, n.names.size()));
  }
  const auto inside = std::make_shared<scope>(scope{{}, m.home});
  const std::shared_ptr<scope> outside = std::exchange(scope_, inside);
  const std::size_t defaults = n.parts.size() - 1;
  for (std::size_t i = 0; i < n.names.size() && !r_.failed(); ++i) {
    const auto named = std::find_if(with.named.begin(), with.named.end(),
                                    [&](const auto& v) { return v.first == n.names[i]; });
    value v = value::missing(n.names[i]);
    if (i < with.plain.size()) {
      v = with.plain[i];
    } else if (named != with.named.end()) {
      v = named->second;
      with.named.erase(named);
    } else if (i + defaults >= n.names.size()) {
      v = evaluate(n.parts[i + defaults - n.names.size()]);
    }
    inside->variables.emplace_back(n.names[i], std::move(v));
  }
  const bool has_caller = with.named.size() == 1 && with.named[0].first == "caller";
  if (has_caller) {
    inside->variables.push_back(with.named[0]);
  } else if (!with.named.empty()) {
    r_.wrong(errc::malformed,
             fmt::format("the macro '{}' has no parameter '{}' left", n.name, with.named[0].first));
  }
  value out = r_.failed() || !r_.charge(1, sizeof(scope)) ? value{} : rendered(n.parts.back());
  scope_ = outside;
  return out;
}

} // namespace ovir::templates
