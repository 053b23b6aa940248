#pragma once

#include "messages/result.hpp"
#include "templates/syntax.hpp"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::templates {

/// Variables of a block.
struct scope {
  std::vector<std::pair<std::string, value>> variables;
  std::shared_ptr<scope> parent;
};

/// Where a loop is.
struct loop_state {
  std::vector<value> items;
  std::size_t at{0};
  std::int64_t depth{0};
  std::optional<value> last_changed;
};

/// What a function, a filter or a test is called with.
struct call_values {
  std::vector<value> plain; ///< of a filter or test, the first is what it is applied to
  std::vector<std::pair<std::string, value>> named;
};

/// A second of the calendar, for `strftime_now`.
struct civil_time {
  std::int64_t seconds{0}; ///< since 1970-01-01 00:00, in the zone that is meant
};

/// One rendering. Every operation is counted against limits::template_steps_max, everything made
/// against limits::template_bytes_made_max; the first error stays and ends it.
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
  using bound = std::array<value, 4>;
  using filter_function = value (interpreter::*)(const value&, const bound&);
  struct filter_entry {
    std::string_view name;
    std::array<std::string_view, 4> parameters; ///< behind what it is applied to
    filter_function run;
  };

  // Statements (interpreter.cpp).
  flow execute(node_index at);
  flow execute_condition(const node& n);
  flow execute_loop(const node& n);
  flow execute_with(const node& n);
  void execute_print(const node& n);
  void execute_set_block(const node& n);
  void assign(node_index target, const value& to);
  value rendered(node_index block);
  value make_macro(node_index at);

  // Expressions (expressions.cpp).
  value evaluate(node_index at);
  value evaluate_plain(const node& n);
  value evaluate_binary(const node& n);
  value evaluate_comparison(const node& n);
  value evaluate_unary(const node& n);
  value evaluate_slice(const node& n);
  value evaluate_call(const node& n, const value* caller);
  value evaluate_dict(const node& n);
  value lookup(const std::string& name);
  value arithmetic(std::string_view op, const value& a, const value& b);
  value integer_arithmetic(std::string_view op, std::int64_t a, std::int64_t b);
  value repeated(const value& what, std::int64_t times);
  bool holds(const value& a, std::string_view op, const value& b);
  bool contains(const value& all, const value& one);
  call_values values_of(const node& n, std::size_t first);

  // Members, functions, methods (members.cpp, text_methods.cpp).
  value member(const value& of, std::string_view name);
  value item(const value& of, const value& key);
  value loop_member(const loop_state& loop, std::string_view name);
  value call(const value& callee, call_values with);
  value call_macro(const macro& m, call_values with);
  value call_function(std::string_view name, const call_values& with);
  value call_method(const value& self, std::string_view name, const call_values& with);
  value call_dict_method(const dict_value& self, std::string_view name, const bound& with);
  value call_loop_method(loop_state& loop, std::string_view name, const call_values& with);
  value call_text_method(const marked_text& self, std::string_view name, const bound& with);
  value call_text_search(const marked_text& self, std::string_view name, const bound& with);
  value make_range(const bound& with);
  value time_text(const value& format);
  value split(const marked_text& text, const value& by, std::int64_t most, bool from_right);
  value replaced(const marked_text& text, const marked_text& what, const marked_text& by,
                 std::int64_t most);

  // Filters (filters.cpp, filters_lists.cpp) and tests (tests_of_values.cpp).
  value apply_filter(std::string_view name, call_values with);
  value choose(std::string_view name, const call_values& with);
  value map(const call_values& with);
  bool apply_test(std::string_view name, const call_values& with);
  [[nodiscard]] static std::span<const filter_entry> text_filters();
  [[nodiscard]] static std::span<const filter_entry> list_filters();
  value filter_text(const value& v, const bound& with);
  value filter_trim(const value& v, const bound& with);
  value filter_upper(const value& v, const bound& with);
  value filter_lower(const value& v, const bound& with);
  value filter_capitalize(const value& v, const bound& with);
  value filter_title(const value& v, const bound& with);
  value filter_length(const value& v, const bound& with);
  value filter_replace(const value& v, const bound& with);
  value filter_indent(const value& v, const bound& with);
  value filter_tojson(const value& v, const bound& with);
  value filter_escape(const value& v, const bound& with);
  value filter_int(const value& v, const bound& with);
  value filter_float(const value& v, const bound& with);
  value filter_abs(const value& v, const bound& with);
  value filter_round(const value& v, const bound& with);
  value filter_default(const value& v, const bound& with);
  value filter_join(const value& v, const bound& with);
  value filter_first(const value& v, const bound& with);
  value filter_last(const value& v, const bound& with);
  value filter_list(const value& v, const bound& with);
  value filter_reverse(const value& v, const bound& with);
  value filter_sort(const value& v, const bound& with);
  value filter_unique(const value& v, const bound& with);
  value filter_items(const value& v, const bound& with);
  value filter_dictsort(const value& v, const bound& with);
  value filter_min(const value& v, const bound& with);
  value filter_max(const value& v, const bound& with);
  value filter_sum(const value& v, const bound& with);
  value filter_attribute(const value& v, const bound& with);
  value extreme(const value& v, const bound& with, int wanted);

  // What all of them need (interpreter.cpp).
  value wrong(errc code, std::string text);
  bool charge(std::uint64_t steps, std::uint64_t bytes = 0);
  [[nodiscard]] bool failed() const noexcept { return failed_.has_value(); }
  value made(marked_text text);
  value made_list(std::vector<value> items, bool tuple = false);
  value made_dict(dict_value members);
  marked_text text_of(const value& v);
  std::vector<value> items_of(const value& v);
  std::vector<value> characters_of(const marked_text& text);
  std::optional<bound> bind(std::string_view what, const call_values& with,
                            std::span<const std::string_view> parameters);
  std::int64_t integer_or(const value& v, std::int64_t otherwise);
  value path_of(const value& of, const value& path);

  const syntax_tree& tree_;
  const dict_value& variables_;
  std::optional<civil_time> now_;
  marked_text* out_{nullptr};
  std::shared_ptr<scope> scope_;
  std::uint32_t line_{0};
  std::size_t nesting_{0};
  std::int64_t loops_{0};
  std::uint64_t steps_{0};
  std::uint64_t bytes_{0};
  std::optional<error> failed_;
  /// What could hold itself, to be emptied at the end.
  std::vector<std::shared_ptr<namespace_value>> namespaces_;
  std::vector<std::shared_ptr<scope>> homes_;
};

/// Lower case and so on of ASCII letters; false where the text has letters with cases beyond.
[[nodiscard]] bool has_only_ascii_cases(std::string_view text);
[[nodiscard]] char ascii_upper(char c) noexcept;
[[nodiscard]] char ascii_lower(char c) noexcept;
/// Characters of a text.
[[nodiscard]] std::size_t length_of(std::string_view text) noexcept;

} // namespace ovir::templates
