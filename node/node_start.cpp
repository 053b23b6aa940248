#include "node/node_start.hpp"

#include "actors/audit/audit_files.hpp"
#include "actors/link/link_format.hpp"
#include "messages/limits/general.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace ovir::supervision {

std::uint32_t threads_of(const node_options& options) {
  const std::uint32_t all = std::max(1U, std::thread::hardware_concurrency());
  return std::min(options.threads == 0 ? all : options.threads, limits::threads_max);
}

std::map<node_id, role_set> keys_of(const node_options& options, const node_id& self) {
  std::map<node_id, role_set> keys;
  for (const access_option& entry : options.access) {
    keys[entry.key] = entry.roles;
  }
  keys.erase(self);
  return keys;
}

std::map<node_id, std::string> operators_of(const node_options& options) {
  std::map<node_id, std::string> operators;
  for (const access_option& entry : options.access) {
    if (!entry.operated_by.empty()) {
      operators[entry.key] = entry.operated_by;
    }
  }
  return operators;
}

void judge_by(actors::kept_ledger_options& how, storage::env& env, const std::string& state,
              const actors::operator_names& operators) {
  how.env = &env;
  how.operators = [&operators](const node_id& who) { return operators.of(who); };
  how.conviction_of = actors::examined_convictions(env, state);
}

result<actors::access_list::settings> access_of(const node_options& options, const node_id& self) {
  actors::access_list::settings access;
  access.keys = keys_of(options, self);
  access.admins = options.admins;
  access.path = options.state + "/admissions";
  access.cluster = options.cluster;
  access.self = self;
  access.open = options.open;
  if (!options.join_token.empty()) {
    OVIR_ASSIGN(const shown_token token, shown_token_from_text(options.join_token));
    access.token = to_bytes(token);
  }
  return access;
}

result<std::vector<attestation>> own_attestations(const node_options& options,
                                                  const node_id& self) {
  for (const attestation& a : options.attestations) {
    if (a.node != self || !is_genuine(a)) {
      return fail(errc::invalid_argument,
                  "attestations: one is {}; this node is {}, ask its attestor for another",
                  a.node != self ? fmt::format("about {}", to_hex(a.node))
                                 : "not signed by the key that it names",
                  to_hex(self));
    }
  }
  return options.attestations;
}

result<std::string> admin_address_of(const node_options& options, const std::string& member_address,
                                     const std::string& shells_address) {
  if (options.admin_listen.empty() || member_address.empty()) {
    return member_address.empty() ? shells_address : member_address;
  }
  OVIR_ASSIGN(const auto members, actors::parse_host_and_port(member_address));
  OVIR_ASSIGN(const auto shells, actors::parse_host_and_port(shells_address));
  return to_string(actors::host_and_port{members.host, shells.port});
}

} // namespace ovir::supervision
