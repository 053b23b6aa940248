#pragma once

#include "apps/console.hpp"

#include <string>
#include <string_view>
#include <vector>

/// How the shell shows data of docs/formats/admin.md to people. What a node says is made safe to
/// print; what it leaves out or gets wrong is a dash.
namespace ovir::apps {

/// Columns as wide as what they hold, two spaces apart. Numbers are to be aligned to the right.
class text_table {
public:
  /// A title that begins with '>' is that of a column aligned to the right.
  explicit text_table(std::vector<std::string> titles);
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::string text() const;

private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_; ///< titles first
};

/// The last reply of a command, as lines.
[[nodiscard]] std::string render(std::string_view command, const json& data);

/// Text a model wrote: control characters other than line feed and tab become U+FFFD.
[[nodiscard]] std::string for_terminal(std::string_view text);

} // namespace ovir::apps
