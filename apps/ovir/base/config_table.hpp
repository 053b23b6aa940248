#pragma once

#include "apps/ovir/base/toml_library.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// TOML read strictly, for every file of `config/`: a key nobody knows, a value of another type or
/// outside its bounds is an error with its place. Included by the parsers' .cpp files alone,
/// because the TOML library is large.
namespace ovir::apps {

struct number_range {
  double least;
  double most;
};

struct whole_range {
  std::uint64_t least;
  std::uint64_t most;
};

/// Text read from a TOML file that is `printable` and 1 to `bytes_max` bytes long.
struct text_rule {
  std::string_view kind; ///< for the error: "name", "path"
  std::size_t bytes_max;
};

/// Reads values out of tables. Every error is `malformed` and begins "path:line:column: ".
class config_reader {
public:
  explicit config_reader(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// The whole file as a table; `over_limit` beyond limits::config_file_bytes_max.
  [[nodiscard]] result<toml::table> parse(std::string_view text) const;

  template <class... Args>
  [[nodiscard]] error refuse(const toml::source_region& at, fmt::format_string<Args...> text,
                             Args&&... args) const {
    return refuse_text(at, fmt::format(text, std::forward<Args>(args)...));
  }

  /// Refuses keys outside `known`. `where` names the table in the error: "[[node]]".
  [[nodiscard]] result<void> known_keys(const toml::table& table, std::string_view where,
                                        std::span<const std::string_view> known) const;

  /// Whole or with a fraction. Without `otherwise` the key must be there.
  [[nodiscard]] result<double> number(const toml::table& table, std::string_view key,
                                      number_range range, std::optional<double> otherwise) const;
  [[nodiscard]] result<std::uint64_t> whole(const toml::table& table, std::string_view key,
                                            whole_range range,
                                            std::optional<std::uint64_t> otherwise) const;
  [[nodiscard]] result<bool> boolean(const toml::table& table, std::string_view key,
                                     bool otherwise) const;

  /// The value of `table`'s `key`; without `otherwise` it must be there.
  [[nodiscard]] result<std::string> text(const toml::table& table, std::string_view key,
                                         text_rule rule,
                                         std::optional<std::string> otherwise = {}) const;
  /// A value that is already at hand, such as an element of an array; `key` is for the error.
  [[nodiscard]] result<std::string> text_of(const toml::node& value, std::string_view key,
                                            text_rule rule) const;

  /// An array of at most `elements_max` values; null when the key is absent.
  [[nodiscard]] result<const toml::array*> array(const toml::table& table, std::string_view key,
                                                 std::size_t elements_max) const;
  /// "0-15" or "7": layers as people count them, the last one included.
  [[nodiscard]] result<layer_range> layers(const toml::node& value) const;
  /// The tables begun by [[key]]; null when there are none.
  [[nodiscard]] result<const toml::array*> tables(const toml::table& root,
                                                  std::string_view key) const;
  /// The table begun by [key]; null when there is none.
  [[nodiscard]] result<const toml::table*> section(const toml::table& root,
                                                   std::string_view key) const;

private:
  [[nodiscard]] error refuse_text(const toml::source_region& at, std::string_view text) const;

  std::string path_;
};

} // namespace ovir::apps
