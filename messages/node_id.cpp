#include "messages/node_id.hpp"

#include "messages/digest.hpp"

#include <algorithm>

namespace ovir {

namespace {

struct named_role {
  role value;
  std::string_view name;
};

// In the order of their bits, which is the order of a set's text.
constexpr std::array named_roles{
    named_role{role::worker, "worker"}, named_role{role::scheduler, "scheduler"},
    named_role{role::store, "store"},   named_role{role::verifier, "verifier"},
    named_role{role::ledger, "ledger"}, named_role{role::relay, "relay"},
    named_role{role::reader, "reader"}, named_role{role::operate, "operator"},
};

std::string every_role() {
  std::string text;
  for (const named_role& r : named_roles) {
    text += text.empty() ? "" : ", ";
    text += r.name;
  }
  return text;
}

} // namespace

std::string to_hex(const node_id& id) { return to_hex(digest{id.key}); }

std::string short_name(const node_id& id) { return to_hex(id).substr(0, 8); }

result<node_id> node_id_from_hex(std::string_view text) {
  const auto bytes = digest_from_hex(text);
  if (!bytes) {
    return fail(errc::malformed,
                "a node's name is {} lower-case hexadecimal digits, as ovir keygen prints it; this "
                "is something else with {} characters",
                2 * node_id::size, text.size());
  }
  return node_id{bytes->bytes};
}

result<role> role_from_text(std::string_view text) {
  const auto* const found = std::find_if(named_roles.begin(), named_roles.end(),
                                         [text](const named_role& r) { return r.name == text; });
  if (found == named_roles.end()) {
    return fail(errc::invalid_argument, "'{}' is not a role; the roles are {}", text, every_role());
  }
  return found->value;
}

std::string to_string(role_set roles) {
  std::string text;
  for (const named_role& r : named_roles) {
    if (roles.has(r.value)) {
      text += text.empty() ? "" : ", ";
      text += r.name;
    }
  }
  return text.empty() ? "none" : text;
}

} // namespace ovir
