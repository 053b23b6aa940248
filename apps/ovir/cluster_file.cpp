// Parse errors become results: the parser's own exceptions stay out of this program.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include "apps/ovir/cluster_file.hpp"

#include "compute/printable.hpp"
#include "messages/limits.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace ovir::apps {

namespace {

constexpr double bytes_per_gb = 1e9;
constexpr double bytes_per_mbit = 1e6 / 8;

struct number_range {
  double least;
  double most;
};
constexpr number_range speed_range{0.001, 1e6}; // GB/s
constexpr number_range rtt_range{0, 60'000};    // ms
constexpr number_range bandwidth_range{0.01, 1e6};
constexpr double bandwidth_default = 1'000; // Mbit/s

class reader {
public:
  explicit reader(const std::string& path) : path_(path) {}

  result<cluster_description> read(const toml::table& root);

  template <class... Args>
  [[nodiscard]] error refuse(const toml::source_region& at, fmt::format_string<Args...> text,
                             Args&&... args) const {
    return fail(errc::malformed, "{}:{}:{}: {}", path_, at.begin.line, at.begin.column,
                fmt::format(text, std::forward<Args>(args)...));
  }

private:
  result<void> known_keys(const toml::table& table, std::string_view where,
                          std::initializer_list<std::string_view> known) const;
  result<double> number(const toml::table& table, std::string_view key, number_range range,
                        std::optional<double> otherwise) const;
  result<std::string> text(const toml::node* node, const toml::table& table,
                           std::string_view key) const;
  result<const toml::array*> tables(const toml::table& root, std::string_view key) const;
  result<std::uint32_t> node_named(const toml::node* node, const toml::table& table,
                                   std::string_view key) const;
  result<void> add_node(const toml::table& table);
  result<void> add_link(const toml::table& table);

  const std::string& path_;
  cluster_description cluster_;
};

result<void> reader::known_keys(const toml::table& table, std::string_view where,
                                std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : table) {
    if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
      return refuse(key.source(), "{} has no key '{}'; its keys are {}", where,
                    compute::printable(key.str(), limits::node_name_bytes_max),
                    fmt::join(known, ", "));
    }
  }
  return {};
}

result<double> reader::number(const toml::table& table, std::string_view key, number_range range,
                              std::optional<double> otherwise) const {
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

result<std::string> reader::text(const toml::node* node, const toml::table& table,
                                 std::string_view key) const {
  if (node == nullptr) {
    return refuse(table.source(), "the key '{}' is missing", key);
  }
  const toml::value<std::string>* const value = node->as_string();
  if (value == nullptr || value->get().empty() ||
      value->get().size() > limits::node_name_bytes_max ||
      compute::printable(value->get(), limits::node_name_bytes_max) != value->get()) {
    return refuse(node->source(), "'{}' must be a printable name of 1 to {} bytes", key,
                  limits::node_name_bytes_max);
  }
  return value->get();
}

result<const toml::array*> reader::tables(const toml::table& root, std::string_view key) const {
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

result<std::uint32_t> reader::node_named(const toml::node* node, const toml::table& table,
                                         std::string_view key) const {
  OVIR_ASSIGN(const std::string name, text(node, table, key));
  const auto found = std::find_if(cluster_.nodes.begin(), cluster_.nodes.end(),
                                  [&](const actors::plan_node& n) { return n.name == name; });
  if (found == cluster_.nodes.end()) {
    return refuse(node->source(), "'{}' names {}, but no [[node]] has this name", key, name);
  }
  return static_cast<std::uint32_t>(found - cluster_.nodes.begin());
}

result<void> reader::add_node(const toml::table& table) {
  OVIR_TRY(known_keys(table, "[[node]]",
                      {"name", "memory_mib", "decode_gb_per_s", "prefill_gb_per_s", "rtt_ms",
                       "bandwidth_mbit_per_s"}));
  actors::plan_node node;
  OVIR_ASSIGN(node.name, text(table.get("name"), table, "name"));
  if (std::any_of(cluster_.nodes.begin(), cluster_.nodes.end(),
                  [&](const actors::plan_node& n) { return n.name == node.name; })) {
    return refuse(table.get("name")->source(), "a [[node]] called {} came before", node.name);
  }
  OVIR_ASSIGN(const double memory,
              number(table, "memory_mib", {1, static_cast<double>(limits::node_memory_mib_max)},
                     std::nullopt));
  if (memory != std::floor(memory)) {
    return refuse(table.get("memory_mib")->source(), "'memory_mib' must be a whole number");
  }
  node.memory = static_cast<std::uint64_t>(memory) << 20U;
  OVIR_ASSIGN(const double decode, number(table, "decode_gb_per_s", speed_range, std::nullopt));
  node.decode_bytes_per_second = decode * bytes_per_gb;
  OVIR_ASSIGN(const double prefill, number(table, "prefill_gb_per_s", speed_range, std::nullopt));
  node.prefill_bytes_per_second = prefill * bytes_per_gb;
  OVIR_ASSIGN(const double rtt, number(table, "rtt_ms", rtt_range, 0.0));
  node.rtt_seconds = rtt / 1e3;
  OVIR_ASSIGN(const double bandwidth,
              number(table, "bandwidth_mbit_per_s", bandwidth_range, bandwidth_default));
  node.bandwidth_bytes_per_second = bandwidth * bytes_per_mbit;
  cluster_.nodes.push_back(std::move(node));
  return {};
}

result<void> reader::add_link(const toml::table& table) {
  OVIR_TRY(known_keys(table, "[[link]]", {"between", "rtt_ms", "bandwidth_mbit_per_s"}));
  const toml::node* const between = table.get("between");
  const toml::array* const ends = between != nullptr ? between->as_array() : nullptr;
  if (ends == nullptr || ends->size() != 2) {
    return refuse(between != nullptr ? between->source() : table.source(),
                  "'between' must be the names of two nodes, such as [\"a\", \"b\"]");
  }
  actors::plan_link link;
  OVIR_ASSIGN(link.a, node_named(ends->get(0), table, "between"));
  OVIR_ASSIGN(link.b, node_named(ends->get(1), table, "between"));
  if (link.a == link.b) {
    return refuse(between->source(), "'between' must name two different nodes");
  }
  if (std::any_of(cluster_.links.begin(), cluster_.links.end(), [&](const actors::plan_link& l) {
        return std::minmax(l.a, l.b) == std::minmax(link.a, link.b);
      })) {
    return refuse(between->source(), "a [[link]] between these two came before");
  }
  OVIR_ASSIGN(const double rtt, number(table, "rtt_ms", rtt_range, std::nullopt));
  link.rtt_seconds = rtt / 1e3;
  OVIR_ASSIGN(const double bandwidth,
              number(table, "bandwidth_mbit_per_s", bandwidth_range, bandwidth_default));
  link.bandwidth_bytes_per_second = bandwidth * bytes_per_mbit;
  cluster_.links.push_back(link);
  return {};
}

result<cluster_description> reader::read(const toml::table& root) {
  OVIR_TRY(known_keys(root, "the file", {"lead", "node", "link"}));
  OVIR_ASSIGN(const toml::array* const nodes, tables(root, "node"));
  if (nodes == nullptr || nodes->empty() || nodes->size() > limits::plan_nodes_max) {
    return fail(errc::malformed,
                "{}: a cluster has 1 to {} nodes, this one {}; write a [[node]] "
                "for each",
                path_, limits::plan_nodes_max, nodes == nullptr ? 0 : nodes->size());
  }
  for (const toml::node& node : *nodes) {
    OVIR_TRY(add_node(*node.as_table()));
  }
  OVIR_ASSIGN(const toml::array* const links, tables(root, "link"));
  if (links != nullptr) {
    for (const toml::node& link : *links) {
      OVIR_TRY(add_link(*link.as_table()));
    }
  }
  if (const toml::node* const lead = root.get("lead"); lead != nullptr) {
    OVIR_ASSIGN(cluster_.lead, node_named(lead, root, "lead"));
  }
  return std::move(cluster_);
}

} // namespace

result<cluster_description> parse_cluster(const std::string& path, std::string_view text) {
  const toml::parse_result parsed = toml::parse(text);
  reader r{path};
  if (!parsed) {
    return r.refuse(parsed.error().source(), "{}", parsed.error().description());
  }
  return r.read(parsed.table());
}

} // namespace ovir::apps
