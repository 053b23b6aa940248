#include "supervision/tree_json.hpp"

#include <nlohmann/json.hpp>

namespace ovir::supervision {

namespace {

// A supervisor's state is its own, then what it answered; one that did not answer is not up.
nlohmann::json document_of(const tree_node& node, bool is_root) {
  const bool answered = !node.strategy.empty();
  nlohmann::json out{
      {"name", node.name},
      {"kind", answered ? "supervisor" : "worker"},
      {"restarts", node.restarts},
      {"state", node.state},
      {"up", answered ? is_root || node.state.starts_with("running") : node.state == "running"}};
  if (!is_root) {
    out["restart"] = node.restart;
  }
  if (answered) {
    out["strategy"] = node.strategy;
    out["children"] = nlohmann::json::array();
    for (const tree_node& child : node.children) {
      out["children"].push_back(document_of(child, false));
    }
  }
  return out;
}

} // namespace

std::string tree_json(const tree_node& root) { return document_of(root, true).dump(); }

} // namespace ovir::supervision
