#include "apps/ovir/run/cluster_file.hpp"

#include "apps/ovir/base/config_table.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <array>

namespace ovir::apps {

namespace {

constexpr double bytes_per_gb = 1e9;
constexpr double bytes_per_mbit = 1e6 / 8;

constexpr number_range speed_range{0.001, 1e6}; // GB/s
constexpr number_range rtt_range{0, 60'000};    // ms
constexpr number_range bandwidth_range{0.01, 1e6};
constexpr double bandwidth_default = 1'000; // Mbit/s

constexpr text_rule name_rule{"name", limits::node_name_bytes_max};

constexpr std::array<std::string_view, 3> file_keys{"lead", "node", "link"};
constexpr std::array<std::string_view, 7> node_keys{
    "name",   "memory_mib",           "decode_gb_per_s", "prefill_gb_per_s",
    "rtt_ms", "bandwidth_mbit_per_s", "layers"};
constexpr std::array<std::string_view, 3> link_keys{"between", "rtt_ms", "bandwidth_mbit_per_s"};

class reader {
public:
  explicit reader(const std::string& path) : in_(path) {}

  result<cluster_description> read(std::string_view text);

private:
  result<std::uint32_t> node_named(const toml::node& node, std::string_view key) const;
  result<void> add_node(const toml::table& table);
  result<void> add_link(const toml::table& table);

  config_reader in_;
  cluster_description cluster_;
};

result<std::uint32_t> reader::node_named(const toml::node& node, std::string_view key) const {
  OVIR_ASSIGN(const std::string name, in_.text_of(node, key, name_rule));
  const auto found = std::find_if(cluster_.nodes.begin(), cluster_.nodes.end(),
                                  [&](const actors::plan_node& n) { return n.name == name; });
  if (found == cluster_.nodes.end()) {
    return in_.refuse(node.source(), "'{}' names {}, but no [[node]] has this name", key, name);
  }
  return static_cast<std::uint32_t>(found - cluster_.nodes.begin());
}

result<void> reader::add_node(const toml::table& table) {
  OVIR_TRY(in_.known_keys(table, "[[node]]", node_keys));
  actors::plan_node node;
  OVIR_ASSIGN(node.name, in_.text(table, "name", name_rule));
  if (std::any_of(cluster_.nodes.begin(), cluster_.nodes.end(),
                  [&](const actors::plan_node& n) { return n.name == node.name; })) {
    return in_.refuse(table.get("name")->source(), "a [[node]] called {} came before", node.name);
  }
  OVIR_ASSIGN(const std::uint64_t memory,
              in_.whole(table, "memory_mib", {1, limits::node_memory_mib_max}, std::nullopt));
  node.memory = memory << 20U;
  OVIR_ASSIGN(const double decode, in_.number(table, "decode_gb_per_s", speed_range, std::nullopt));
  node.decode_bytes_per_second = decode * bytes_per_gb;
  OVIR_ASSIGN(const double prefill,
              in_.number(table, "prefill_gb_per_s", speed_range, std::nullopt));
  node.prefill_bytes_per_second = prefill * bytes_per_gb;
  OVIR_ASSIGN(const double rtt, in_.number(table, "rtt_ms", rtt_range, 0.0));
  node.rtt_seconds = rtt / 1e3;
  OVIR_ASSIGN(const double bandwidth,
              in_.number(table, "bandwidth_mbit_per_s", bandwidth_range, bandwidth_default));
  node.bandwidth_bytes_per_second = bandwidth * bytes_per_mbit;
  if (const toml::node* const layers = table.get("layers"); layers != nullptr) {
    OVIR_ASSIGN(node.holds, in_.layers(*layers));
  }
  cluster_.nodes.push_back(std::move(node));
  return {};
}

result<void> reader::add_link(const toml::table& table) {
  OVIR_TRY(in_.known_keys(table, "[[link]]", link_keys));
  const toml::node* const between = table.get("between");
  const toml::array* const ends = between != nullptr ? between->as_array() : nullptr;
  if (ends == nullptr || ends->size() != 2) {
    return in_.refuse(between != nullptr ? between->source() : table.source(),
                      "'between' must be the names of two nodes, such as [\"a\", \"b\"]");
  }
  actors::plan_link link;
  OVIR_ASSIGN(link.a, node_named((*ends)[0], "between"));
  OVIR_ASSIGN(link.b, node_named((*ends)[1], "between"));
  if (link.a == link.b) {
    return in_.refuse(between->source(), "'between' must name two different nodes");
  }
  if (std::any_of(cluster_.links.begin(), cluster_.links.end(), [&](const actors::plan_link& l) {
        return std::minmax(l.a, l.b) == std::minmax(link.a, link.b);
      })) {
    return in_.refuse(between->source(), "a [[link]] between these two came before");
  }
  OVIR_ASSIGN(const double rtt, in_.number(table, "rtt_ms", rtt_range, std::nullopt));
  link.rtt_seconds = rtt / 1e3;
  OVIR_ASSIGN(const double bandwidth,
              in_.number(table, "bandwidth_mbit_per_s", bandwidth_range, bandwidth_default));
  link.bandwidth_bytes_per_second = bandwidth * bytes_per_mbit;
  cluster_.links.push_back(link);
  return {};
}

result<cluster_description> reader::read(std::string_view text) {
  OVIR_ASSIGN(const toml::table root, in_.parse(text));
  OVIR_TRY(in_.known_keys(root, "the file", file_keys));
  OVIR_ASSIGN(const toml::array* const nodes, in_.tables(root, "node"));
  if (nodes == nullptr || nodes->empty() || nodes->size() > limits::path_nodes_max) {
    return fail(errc::malformed,
                "{}: a cluster has 1 to {} nodes, this one {}; write a [[node]] "
                "for each",
                in_.path(), limits::path_nodes_max, nodes == nullptr ? 0 : nodes->size());
  }
  for (const toml::node& node : *nodes) {
    OVIR_TRY(add_node(*node.as_table()));
  }
  OVIR_ASSIGN(const toml::array* const links, in_.tables(root, "link"));
  if (links != nullptr) {
    for (const toml::node& link : *links) {
      OVIR_TRY(add_link(*link.as_table()));
    }
  }
  if (const toml::node* const lead = root.get("lead"); lead != nullptr) {
    OVIR_ASSIGN(cluster_.lead, node_named(*lead, "lead"));
  }
  return std::move(cluster_);
}

} // namespace

result<cluster_description> parse_cluster(const std::string& path, std::string_view text) {
  return reader{path}.read(text);
}

} // namespace ovir::apps
