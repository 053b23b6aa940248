#pragma once

#include "templates/functions.hpp"
#include "templates/syntax.hpp"

namespace ovir::templates {

/// Variables of a block.
struct scope {
  std::vector<std::pair<std::string, value>> variables;
  std::shared_ptr<scope> parent;
};

/// Executes the statements of a template and evaluates their expressions, once.
class interpreter {
public:
  /// Both must outlive the rendering.
  interpreter(const syntax_tree& tree, const dict_value& variables, std::optional<civil_time> now)
      : tree_(tree), variables_(variables), now_(now) {}
  interpreter(const interpreter&) = delete;
  interpreter& operator=(const interpreter&) = delete;
  ~interpreter();

  /// `malformed` for what the template does wrong, with its line; `invalid_argument` with the
  /// template's own words where it refuses the messages; `over_limit`; `unsupported`.
  [[nodiscard]] result<marked_text> run();

private:
  enum class flow : std::uint8_t { on, stop_loop, next_turn };

  flow execute(node_index at);
  flow execute_condition(const node& n);
  flow execute_loop(const node& n);
  flow execute_with(const node& n);
  void execute_print(const node& n);
  void execute_set_block(const node& n);
  void assign(node_index target, const value& to);
  value rendered(node_index block);
  value make_macro(node_index at);

  value evaluate(node_index at);
  value evaluate_plain(const node& n);
  value evaluate_comparison(const node& n);
  value evaluate_slice(const node& n);
  value evaluate_call(const node& n, const value* caller);
  value evaluate_dict(const node& n);
  value lookup(const std::string& name);
  call_values values_of(const node& n, std::size_t first);
  value call(const value& callee, call_values with);
  value call_macro(const macro& m, call_values with);

  const syntax_tree& tree_;
  const dict_value& variables_;
  std::optional<civil_time> now_;
  rendering r_;
  marked_text* out_{nullptr};
  std::shared_ptr<scope> scope_;
  std::size_t nesting_{0};
  std::int64_t loops_{0};
  std::vector<std::shared_ptr<scope>> homes_; ///< of macros, emptied at the end
};

} // namespace ovir::templates
