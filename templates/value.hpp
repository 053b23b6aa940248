#pragma once

#include "templates/marked_text.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// What expressions of a template are worth: Python's values, as far as templates see them.
namespace ovir::templates {

class value;
struct macro;
struct loop_state;

struct undefined {
  std::string name; ///< what was looked for, for errors
};
struct none {};

/// A list, or a tuple.
struct list_value {
  std::vector<value> items;
  bool tuple{false};
};
/// In the order in which keys came. Looked through from its start: dictionaries are small.
struct dict_value {
  std::vector<std::pair<value, value>> items;
  [[nodiscard]] const value* find(const value& key) const;
  [[nodiscard]] const value* find(std::string_view key) const;
  void set(const value& key, value to);
};
/// `namespace()`: the one thing that a template may change.
struct namespace_value {
  dict_value members;
};
/// A function of the environment, or a method of `self`.
struct function_value {
  std::string name;
  std::shared_ptr<const value> self; ///< null: a function
};

class value {
public:
  using state =
      std::variant<undefined, none, bool, std::int64_t, double, std::shared_ptr<const marked_text>,
                   std::shared_ptr<const list_value>, std::shared_ptr<const dict_value>,
                   std::shared_ptr<namespace_value>, std::shared_ptr<const macro>,
                   std::shared_ptr<loop_state>, function_value>;

  value() = default;
  value(none) : state_(none{}) {}
  explicit value(bool b) : state_(b) {}
  explicit value(std::int64_t i) : state_(i) {}
  explicit value(double d) : state_(d) {}
  value(marked_text text)
      : state_(std::make_shared<const marked_text>(std::move(text))),
        weight_(16 + as_text()->size()) {}
  explicit value(state s) : state_(std::move(s)) {}
  /// Text of the model's own, or of this program.
  static value text(std::string_view bytes) { return marked_text{bytes, author::model}; }
  /// Text of somebody who talks to the model.
  static value outside(std::string_view bytes) { return marked_text{bytes, author::outside}; }
  static value list(std::vector<value> items, bool tuple = false);
  static value dict(dict_value members);
  static value missing(std::string_view name) { return value{state{undefined{std::string{name}}}}; }

  template <class T>
  [[nodiscard]] const T* get() const noexcept {
    return std::get_if<T>(&state_);
  }
  [[nodiscard]] bool is_undefined() const noexcept { return get<undefined>() != nullptr; }
  [[nodiscard]] bool is_none() const noexcept { return get<none>() != nullptr; }
  /// Null when it is something else.
  [[nodiscard]] const marked_text* as_text() const noexcept;
  [[nodiscard]] const list_value* as_list() const noexcept;
  [[nodiscard]] const dict_value* as_dict() const noexcept;
  /// Whole numbers, and truth as 0 and 1.
  [[nodiscard]] std::optional<std::int64_t> as_integer() const noexcept;
  /// Numbers of any kind.
  [[nodiscard]] std::optional<double> as_number() const noexcept;

  [[nodiscard]] bool truth() const noexcept;
  /// How deep lists and dictionaries lie in it; 0: it is neither.
  [[nodiscard]] std::size_t depth() const noexcept { return depth_; }
  /// About how many bytes it is written out: what lies in it several times counts each time.
  [[nodiscard]] std::uint64_t weight() const noexcept { return weight_; }
  /// "str", "int" and so on, for errors.
  [[nodiscard]] std::string_view kind() const noexcept;

  /// What `==` says of it.
  friend bool operator==(const value& a, const value& b);

private:
  state state_{undefined{}};
  std::size_t depth_{0};
  std::uint64_t weight_{16};
};

/// Less than 0, 0 or more where two values have an order: numbers, texts, lists of such.
[[nodiscard]] std::optional<int> compare(const value& a, const value& b);

/// What `str()` gives: a text itself, anything else as Python writes it. Empty for what has no
/// such form here (functions, namespaces).
[[nodiscard]] std::optional<marked_text> str_of(const value& v);

struct json_style {
  bool ascii{false};
  bool sort_keys{false};
  std::optional<std::string> indent; ///< of one level
  std::optional<std::string> item_separator;
  std::optional<std::string> key_separator;
};
/// What `json.dumps` gives; empty where it would refuse.
[[nodiscard]] std::optional<marked_text> json_of(const value& v, const json_style& style);

/// As Python's `repr` of a float.
[[nodiscard]] std::string float_text(double d);

} // namespace ovir::templates
