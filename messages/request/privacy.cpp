#include "messages/request/privacy.hpp"

#include <algorithm>

namespace ovir {

result<privacy_mode> privacy_from(std::string_view name) {
  if (name == "none") {
    return privacy_mode::none;
  }
  if (name == "ends") {
    return privacy_mode::ends;
  }
  return fail(errc::invalid_argument, "privacy '{}' is not none or ends", name.substr(0, 32));
}

std::string_view to_string(privacy_mode mode) noexcept {
  return mode == privacy_mode::ends ? "ends" : "none";
}

result<void> check(const ends_rule& rule) {
  if (rule.nodes.size() > limits::ends_nodes_max) {
    return fail(errc::over_limit, "{} nodes for the ends of a request; at most {} are allowed",
                rule.nodes.size(), limits::ends_nodes_max);
  }
  if (rule.first > limits::ends_layers_max || rule.last > limits::ends_layers_max) {
    return fail(errc::over_limit, "ends of {} and {} layers; each has at most {}", rule.first,
                rule.last, limits::ends_layers_max);
  }
  const auto wrong = [](const node_id& a, const node_id& b) { return !(a < b); };
  if (rule.nodes.empty() || rule.nodes.front().empty() ||
      std::adjacent_find(rule.nodes.begin(), rule.nodes.end(), wrong) != rule.nodes.end()) {
    return fail(errc::malformed, "the nodes for the ends of a request are none, or do not ascend");
  }
  if (rule.first == 0 || rule.last == 0 || rule.salt == digest{}) {
    return fail(errc::malformed, "the ends of a request have no layers, or it has no salt");
  }
  return {};
}

bool is_named(const ends_rule& rule, const node_id& node) noexcept {
  return std::binary_search(rule.nodes.begin(), rule.nodes.end(), node);
}

digest request_salt(const digest& secret, request_id request) {
  return hasher{"ovir/privacy/v1/salt"}.update(secret).update_u64(request.value).finish();
}

digest salted_content(const digest& salt, const digest& content) {
  return hasher{"ovir/request/v1/salted"}.update(salt).update(content).finish();
}

digest names_salt(const digest& salt) {
  return hasher{"ovir/privacy/v1/names"}.update(salt).finish();
}

} // namespace ovir
