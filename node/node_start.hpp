#pragma once

#include "actors/link/access_list.hpp"
#include "actors/link/operator_names.hpp"
#include "actors/payment/kept_ledger.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "node/node_options.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// What follows from a node's options before it starts.
namespace ovir::supervision {

[[nodiscard]] std::uint32_t threads_of(const node_options& options);
/// Who may connect, but this node itself.
[[nodiscard]] std::map<node_id, role_set> keys_of(const node_options& options, const node_id& self);
/// Whose nodes these are, where the configuration says so.
[[nodiscard]] std::map<node_id, std::string> operators_of(const node_options& options);
/// Lets a keeper convict by what this node examined and keeps in `env`, and count verifiers by who
/// runs them.
void judge_by(actors::kept_ledger_options& how, storage::env& env, const std::string& state,
              const actors::operator_names& operators);
/// What the node's access list starts with; `malformed` for a join token that is none.
[[nodiscard]] result<actors::access_list::settings> access_of(const node_options& options,
                                                              const node_id& self);
/// What the node shows of attestations; `invalid_argument` for one of another node, or one that its
/// attestor did not sign. Expired ones are shown, and count for nothing.
[[nodiscard]] result<std::vector<attestation>> own_attestations(const node_options& options,
                                                                const node_id& self);
/// Shells reach this node under the host that members do. `shells_address`: where it listens for
/// them.
[[nodiscard]] result<std::string> admin_address_of(const node_options& options,
                                                   const std::string& member_address,
                                                   const std::string& shells_address);

} // namespace ovir::supervision
