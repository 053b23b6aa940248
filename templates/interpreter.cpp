#include "templates/interpreter.hpp"

#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"

#include <algorithm>
#include <utility>

namespace ovir::templates {

// Namespaces and scopes can hold one another in circles.
interpreter::~interpreter() {
  for (const auto& space : namespaces_) {
    space->members.items.clear();
  }
  for (const auto& home : homes_) {
    home->variables.clear();
  }
}

result<marked_text> interpreter::run() {
  marked_text out;
  out_ = &out;
  scope_ = std::make_shared<scope>();
  execute(tree_.root);
  if (failed_) {
    return *failed_;
  }
  return out;
}

value interpreter::wrong(errc code, std::string text) {
  if (!failed_) {
    failed_ = code == errc::invalid_argument
                  ? error{code, std::move(text)}
                  : fail(code, "line {} of the chat template: {}", line_, text);
  }
  return {};
}

bool interpreter::charge(std::uint64_t steps, std::uint64_t bytes) {
  steps_ += steps;
  bytes_ += bytes;
  if (steps_ > limits::template_steps_max) {
    wrong(errc::over_limit, fmt::format("rendering takes more than {} steps; a template that "
                                        "loops without end, or a very long conversation",
                                        limits::template_steps_max));
  } else if (bytes_ > limits::template_bytes_made_max) {
    wrong(errc::over_limit, fmt::format("rendering makes more than {} bytes of text and lists",
                                        limits::template_bytes_made_max));
  }
  return !failed();
}

value interpreter::made(marked_text text) {
  if (text.size() > limits::template_output_max) {
    return wrong(errc::over_limit,
                 fmt::format("a text becomes longer than {} bytes", limits::template_output_max));
  }
  return charge(0, text.size()) ? value{std::move(text)} : value{};
}

value interpreter::made_list(std::vector<value> items, bool tuple) {
  if (!charge(items.size() / 8, items.size() * sizeof(value))) {
    return {};
  }
  value out = value::list(std::move(items), tuple);
  if (out.depth() > limits::template_value_depth_max ||
      out.weight() > limits::template_value_weight_max) {
    return wrong(errc::over_limit, "a list becomes too deep or too large");
  }
  return out;
}

value interpreter::made_dict(dict_value members) {
  if (!charge(members.items.size() / 8, members.items.size() * 2 * sizeof(value))) {
    return {};
  }
  value out = value::dict(std::move(members));
  if (out.depth() > limits::template_value_depth_max ||
      out.weight() > limits::template_value_weight_max) {
    return wrong(errc::over_limit, "a dictionary becomes too deep or too large");
  }
  return out;
}

marked_text interpreter::text_of(const value& v) {
  if (!charge(v.weight() / 64, v.weight())) {
    return {};
  }
  auto text = str_of(v);
  if (!text) {
    wrong(errc::unsupported, fmt::format("a {} cannot be written as text", v.kind()));
    return {};
  }
  return std::move(*text);
}

std::vector<value> interpreter::characters_of(const marked_text& text) {
  std::vector<value> out;
  if (!charge(text.size() / 4, text.size() * sizeof(value))) {
    return out;
  }
  for (std::size_t at = 0; at < text.size();) {
    const auto step = compute::read_utf8(std::string_view{text.bytes()}.substr(at));
    out.emplace_back(text.part(at, step.bytes));
    at += step.bytes;
  }
  return out;
}

std::vector<value> interpreter::items_of(const value& v) {
  if (const auto* const list = v.as_list()) {
    return charge(list->items.size() / 8, list->items.size() * sizeof(value))
               ? list->items
               : std::vector<value>{};
  }
  if (const auto* const dict = v.as_dict()) {
    std::vector<value> keys;
    if (charge(dict->items.size() / 8, dict->items.size() * sizeof(value))) {
      for (const auto& [key, member] : dict->items) {
        keys.push_back(key);
      }
    }
    return keys;
  }
  if (const auto* const text = v.as_text()) {
    return characters_of(*text);
  }
  if (!v.is_undefined()) {
    wrong(errc::malformed, fmt::format("a {} is nothing to go through", v.kind()));
  }
  return {};
}

std::optional<interpreter::bound> interpreter::bind(std::string_view what, const call_values& with,
                                                    std::span<const std::string_view> parameters) {
  bound out{};
  if (with.plain.size() > parameters.size() ||
      (!with.plain.empty() && parameters[with.plain.size() - 1].empty())) {
    wrong(errc::malformed, fmt::format("'{}' is given too many arguments", what));
    return std::nullopt;
  }
  std::copy(with.plain.begin(), with.plain.end(), out.begin());
  for (const auto& [name, v] : with.named) {
    const auto at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end() ||
        static_cast<std::size_t>(at - parameters.begin()) < with.plain.size()) {
      wrong(errc::malformed, fmt::format("'{}' has no argument '{}' there", what, name));
      return std::nullopt;
    }
    out[static_cast<std::size_t>(at - parameters.begin())] = v;
  }
  return out;
}

std::int64_t interpreter::integer_or(const value& v, std::int64_t otherwise) {
  if (v.is_undefined() || v.is_none()) {
    return otherwise;
  }
  const auto i = v.as_integer();
  if (!i) {
    wrong(errc::malformed, fmt::format("a whole number is needed, this is a {}", v.kind()));
  }
  return i.value_or(otherwise);
}

interpreter::flow interpreter::execute(node_index at) {
  const node& n = tree_.nodes[at];
  line_ = n.line;
  if (failed() || !charge(1)) {
    return flow::on;
  }
  switch (n.what) {
  case node_kind::block:
    for (const node_index part : n.parts) {
      if (const flow f = execute(part); f != flow::on || failed()) {
        return f;
      }
    }
    return flow::on;
  case node_kind::data:
    if (charge(0, n.constant.as_text()->size())) {
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
    if (!failed()) {
      out_->append(text_of(out));
    }
    return flow::on;
  }
  case node_kind::with: return execute_with(n);
  case node_kind::stop_loop: return flow::stop_loop;
  case node_kind::next_turn: return flow::next_turn;
  default: wrong(errc::internal, "no statement"); return flow::on;
  }
}

void interpreter::execute_print(const node& n) {
  const value v = evaluate(n.parts[0]);
  if (failed()) {
    return;
  }
  out_->append(text_of(v));
  if (out_->size() > limits::template_output_max) {
    wrong(errc::over_limit,
          fmt::format("the prompt becomes longer than {} bytes", limits::template_output_max));
  }
}

interpreter::flow interpreter::execute_condition(const node& n) {
  std::size_t i = 0;
  for (; i + 2 < n.parts.size(); i += 2) {
    if (evaluate(n.parts[i]).truth() && !failed()) {
      return execute(n.parts[i + 1]);
    }
  }
  return n.parts[i] != 0 && !failed() ? execute(n.parts[i]) : flow::on;
}

interpreter::flow interpreter::execute_loop(const node& n) {
  const auto state = std::make_shared<loop_state>();
  const value all = evaluate(n.parts[1]);
  std::vector<value> items = failed() ? std::vector<value>{} : items_of(all);
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
      if (failed()) {
        break;
      }
    }
    items = std::move(kept);
  }
  scope_ = outside;
  if (failed()) {
    return flow::on;
  }
  if (items.empty()) {
    return n.parts[4] != 0 ? execute(n.parts[4]) : flow::on;
  }
  state->items = std::move(items);
  state->depth = ++loops_;
  if (++nesting_ > limits::template_nesting_max) {
    wrong(errc::over_limit, "blocks lie too deep in each other");
  }
  for (; state->at < state->items.size() && !failed() && charge(4, sizeof(scope)); ++state->at) {
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
    wrong(errc::over_limit, "calls lie too deep in each other");
  }
  execute(block);
  --nesting_;
  scope_ = outside;
  out_ = outside_text;
  return failed() ? value{} : made(std::move(text));
}

void interpreter::execute_set_block(const node& n) {
  const bool sets = n.what == node_kind::set_block;
  value text = rendered(n.parts.back());
  // The chain of filters, whose innermost has nothing to be applied to but this text.
  std::vector<const node*> chain;
  for (node_index at = n.parts[sets ? 1 : 0]; at != 0; at = tree_.nodes[at].parts[0]) {
    chain.push_back(&tree_.nodes[at]);
  }
  for (auto filter = chain.rbegin(); filter != chain.rend() && !failed(); ++filter) {
    call_values with = values_of(**filter, 1);
    with.plain.insert(with.plain.begin(), text);
    text = apply_filter((*filter)->name, std::move(with));
  }
  if (failed()) {
    return;
  }
  if (sets) {
    assign(n.parts[0], text);
  } else {
    out_->append(text_of(text));
  }
}

void interpreter::assign(node_index target, const value& to) {
  const node& n = tree_.nodes[target];
  if (failed()) {
    return;
  }
  if (n.what == node_kind::tuple) {
    const std::vector<value> items = items_of(to);
    if (items.size() != n.parts.size()) {
      wrong(errc::malformed, fmt::format("{} values for {} names", items.size(), n.parts.size()));
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
      wrong(errc::malformed, "only members of namespaces can be set");
    } else if (charge(1 + (*members)->members.items.size() / 8, 2 * sizeof(value))) {
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
  if (!charge(1, sizeof(macro))) {
    return {};
  }
  homes_.push_back(scope_);
  return value{value::state{std::make_shared<const macro>(macro{at, scope_, {}})}};
}

std::size_t length_of(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  }));
}

} // namespace ovir::templates
