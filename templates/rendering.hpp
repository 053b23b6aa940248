#pragma once

#include "messages/result.hpp"
#include "templates/value.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::templates {

/// Where a loop is.
struct loop_state {
  std::vector<value> items;
  std::size_t at{0};
  std::int64_t depth{0};
  std::optional<value> last_changed;
};

/// Arguments of a function, a filter or a test.
struct call_values {
  std::vector<value> plain; ///< of a filter or test, the first is what it is applied to
  std::vector<std::pair<std::string, value>> named;
};

/// Arguments in the order of the parameters; undefined where none was passed.
using bound = std::array<value, 4>;

/// What one rendering may still use, and its first error, which ends it. Every operation is counted
/// against limits::template_steps_max, everything made against limits::template_bytes_made_max.
/// After an error all functions return empty values.
class rendering {
public:
  rendering() = default;
  rendering(const rendering&) = delete;
  rendering& operator=(const rendering&) = delete;
  ~rendering();

  void at_line(std::uint32_t line) noexcept { line_ = line; }
  value wrong(errc code, std::string text);
  bool charge(std::uint64_t steps, std::uint64_t bytes = 0);
  [[nodiscard]] bool failed() const noexcept { return failed_.has_value(); }
  [[nodiscard]] const std::optional<error>& failure() const noexcept { return failed_; }

  value made(marked_text text);
  value made_list(std::vector<value> items, bool tuple = false);
  value made_dict(dict_value members);
  value made_namespace(dict_value members);
  marked_text text_of(const value& v);
  std::vector<value> items_of(const value& v);
  std::vector<value> characters_of(const marked_text& text);
  std::optional<bound> bind(std::string_view what, const call_values& with,
                            std::span<const std::string_view> parameters);
  std::int64_t integer_or(const value& v, std::int64_t otherwise);

private:
  std::uint32_t line_{0};
  std::uint64_t steps_{0};
  std::uint64_t bytes_{0};
  std::optional<error> failed_;
  std::vector<std::shared_ptr<namespace_value>> namespaces_; ///< emptied at the end
};

} // namespace ovir::templates
