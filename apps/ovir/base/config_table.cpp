#include "apps/ovir/base/config_table.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ovir::apps {

namespace {

/// Two numbers and a dash.
constexpr std::size_t layers_text_max = 16;

} // namespace

error config_reader::refuse_text(const toml::source_region& at, std::string_view text) const {
  return fail(errc::malformed, "{}:{}:{}: {}", path_, at.begin.line, at.begin.column, text);
}

result<toml::table> config_reader::parse(std::string_view text) const {
  if (text.size() > limits::config_file_bytes_max) {
    return fail(errc::over_limit, "{}: the file has {} bytes, more than the {} of a configuration",
                path_, text.size(), limits::config_file_bytes_max);
  }
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    // The parser quotes the file, whose bytes may be anything.
    return refuse(parsed.error().source(), "{}",
                  compute::printable(parsed.error().description(), limits::error_text_bytes_max));
  }
  return std::move(parsed).table();
}

result<void> config_reader::known_keys(const toml::table& table, std::string_view where,
                                       std::span<const std::string_view> known) const {
  for (const auto& [key, value] : table) {
    if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
      return refuse(key.source(), "{} has no key '{}'; its keys are {}", where,
                    compute::printable(key.str(), limits::node_name_bytes_max),
                    fmt::join(known, ", "));
    }
  }
  return {};
}

result<double> config_reader::number(const toml::table& table, std::string_view key,
                                     number_range range, std::optional<double> otherwise) const {
  const toml::node* const node = table.get(key);
  if (node == nullptr) {
    if (otherwise) {
      return *otherwise;
    }
    return refuse(table.source(), "the key '{}' is missing", key);
  }
  if (!node->is_number()) {
    return refuse(node->source(), "'{}' must be a number", key);
  }
  const double value = node->value<double>().value_or(std::nan(""));
  if (!(value >= range.least && value <= range.most)) {
    return refuse(node->source(), "'{}' must be between {} and {}, not {}", key, range.least,
                  range.most, value);
  }
  return value;
}

result<std::uint64_t> config_reader::whole(const toml::table& table, std::string_view key,
                                           whole_range range,
                                           std::optional<std::uint64_t> otherwise) const {
  const toml::node* const node = table.get(key);
  if (node == nullptr) {
    if (otherwise) {
      return *otherwise;
    }
    return refuse(table.source(), "the key '{}' is missing", key);
  }
  const toml::value<std::int64_t>* const value = node->as_integer();
  if (value == nullptr) {
    return refuse(node->source(), "'{}' must be a whole number", key);
  }
  if (value->get() < 0 || static_cast<std::uint64_t>(value->get()) < range.least ||
      static_cast<std::uint64_t>(value->get()) > range.most) {
    return refuse(node->source(), "'{}' must be between {} and {}, not {}", key, range.least,
                  range.most, value->get());
  }
  return static_cast<std::uint64_t>(value->get());
}

result<bool> config_reader::boolean(const toml::table& table, std::string_view key,
                                    bool otherwise) const {
  const toml::node* const node = table.get(key);
  if (node == nullptr) {
    return otherwise;
  }
  const toml::value<bool>* const value = node->as_boolean();
  if (value == nullptr) {
    return refuse(node->source(), "'{}' must be true or false", key);
  }
  return value->get();
}

result<std::string> config_reader::text(const toml::table& table, std::string_view key,
                                        text_rule rule,
                                        std::optional<std::string> otherwise) const {
  const toml::node* const node = table.get(key);
  if (node != nullptr) {
    return text_of(*node, key, rule);
  }
  if (otherwise) {
    return *std::move(otherwise);
  }
  return refuse(table.source(), "the key '{}' is missing", key);
}

result<std::string> config_reader::text_of(const toml::node& value, std::string_view key,
                                           text_rule rule) const {
  const toml::value<std::string>* const text = value.as_string();
  if (text == nullptr || text->get().empty() || text->get().size() > rule.bytes_max ||
      compute::printable(text->get(), rule.bytes_max) != text->get()) {
    return refuse(value.source(), "'{}' must be a printable {} of 1 to {} bytes", key, rule.kind,
                  rule.bytes_max);
  }
  return text->get();
}

result<const toml::array*> config_reader::array(const toml::table& table, std::string_view key,
                                                std::size_t elements_max) const {
  const toml::node* const node = table.get(key);
  if (node == nullptr) {
    return nullptr;
  }
  const toml::array* const array = node->as_array();
  if (array == nullptr) {
    return refuse(node->source(), "'{}' must be a list, such as [\"a\", \"b\"]", key);
  }
  if (array->size() > elements_max) {
    return refuse(node->source(), "'{}' has {} elements, more than the {} there may be", key,
                  array->size(), elements_max);
  }
  return array;
}

result<layer_range> config_reader::layers(const toml::node& value) const {
  OVIR_ASSIGN(const std::string text,
              text_of(value, "layers", {"range of layers", layers_text_max}));
  const auto number = [](std::string_view digits) -> std::optional<layer_index> {
    layer_index n = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, code] = std::from_chars(digits.data(), end, n);
    const bool plain = digits.size() == 1 || (digits.size() > 1 && digits.front() != '0');
    return code == std::errc{} && stop == end && plain ? std::optional{n} : std::nullopt;
  };
  const std::size_t dash = std::min(text.find('-'), text.size());
  const auto first = number(std::string_view{text}.substr(0, dash));
  const auto last = dash == text.size() ? first : number(std::string_view{text}.substr(dash + 1));
  if (!first || !last) {
    return refuse(value.source(), "'layers' must be the first and the last layer, such as "
                                  "\"0-15\" for the first sixteen");
  }
  if (*first > *last || *last >= limits::layers_max) {
    return refuse(value.source(),
                  "'layers' must name a first layer that is not after the last, and none "
                  "above {}; not {}",
                  limits::layers_max - 1, text);
  }
  return layer_range{*first, *last + 1};
}

result<const toml::array*> config_reader::tables(const toml::table& root,
                                                 std::string_view key) const {
  const toml::node* const node = root.get(key);
  if (node == nullptr) {
    return nullptr;
  }
  const toml::array* const array = node->as_array();
  if (array == nullptr || !array->is_homogeneous<toml::table>()) {
    return refuse(node->source(), "'{}' must be tables, each begun by [[{}]]", key, key);
  }
  return array;
}

result<const toml::table*> config_reader::section(const toml::table& root,
                                                  std::string_view key) const {
  const toml::node* const node = root.get(key);
  if (node == nullptr) {
    return nullptr;
  }
  const toml::table* const table = node->as_table();
  if (table == nullptr) {
    return refuse(node->source(), "'{}' must be a section, begun by [{}]", key, key);
  }
  return table;
}

} // namespace ovir::apps
