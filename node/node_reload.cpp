#include "node/node_reload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace ovir::supervision {

std::vector<std::string> restarts_for(const node_options& now, const node_options& fresh) {
  std::vector<std::string> later;
  const auto needs_restart = [&](bool changed, std::string_view key) {
    if (changed) {
      later.push_back(fmt::format("'{}' changed: takes effect when the node is restarted", key));
    }
  };
  needs_restart(fresh.name != now.name, "name");
  needs_restart(fresh.cluster != now.cluster, "cluster");
  needs_restart(fresh.roles != now.roles, "roles");
  needs_restart(fresh.listen != now.listen, "listen");
  needs_restart(fresh.advertise != now.advertise, "advertise");
  needs_restart(fresh.admin_listen != now.admin_listen, "admin_listen");
  needs_restart(fresh.state != now.state, "state");
  needs_restart(fresh.seeds != now.seeds, "seeds");
  needs_restart(fresh.admins != now.admins, "admins");
  needs_restart(fresh.open != now.open, "membership");
  needs_restart(fresh.join_token != now.join_token, "join_token");
  needs_restart(fresh.announce != now.announce, "lan.announce");
  needs_restart(fresh.transport != now.transport, "link.transport");
  needs_restart(fresh.reach != now.reach, "reach");
  needs_restart(fresh.models.size() != now.models.size() ||
                    !std::equal(fresh.models.begin(), fresh.models.end(), now.models.begin(),
                                [](const model_option& a, const model_option& b) {
                                  return a.path == b.path && a.layers == b.layers &&
                                         a.draft == b.draft;
                                }),
                "model");
  needs_restart(fresh.memory_bytes != now.memory_bytes, "limits.memory_mib");
  needs_restart(fresh.threads != now.threads, "limits.threads");
  needs_restart(fresh.fetch_window_bytes != now.fetch_window_bytes, "fetch.window_mib");
  needs_restart(fresh.fetch_bytes_per_second != now.fetch_bytes_per_second, "fetch.mib_s");
  needs_restart(fresh.serve_bytes_per_second != now.serve_bytes_per_second, "fetch.serve_mib_s");
  needs_restart(fresh.fetch_orders != now.fetch_orders, "fetch.orders");
  needs_restart(fresh.spare_bytes != now.spare_bytes, "fetch.spare_mib");
  needs_restart(fresh.audit_least_rate_ppm != now.audit_least_rate_ppm, "audit.least_rate_ppm");
  needs_restart(fresh.audit_every_request != now.audit_every_request, "audit.every_request");
  needs_restart(fresh.audit_twice_tokens != now.audit_twice_tokens, "audit.twice_tokens");
  needs_restart(fresh.audit_reveal != now.audit_reveal, "audit.reveal");
  needs_restart(fresh.privacy != now.privacy, "privacy");
  needs_restart(fresh.gateway != now.gateway, "gateway");
  needs_restart(fresh.metrics != now.metrics, "metrics");
  needs_restart(fresh.log_format != now.log_format, "log.format");
  needs_restart(fresh.cache != now.cache, "cache");
  needs_restart(fresh.link != now.link, "link");
  needs_restart(fresh.group != now.group, "group");
  needs_restart(
      fresh.ledger.folder != now.ledger.folder || fresh.ledger.policy != now.ledger.policy ||
          fresh.ledger.mint_keys != now.ledger.mint_keys ||
          fresh.ledger.keepers != now.ledger.keepers ||
          fresh.ledger.serves_unpaid != now.ledger.serves_unpaid ||
          fresh.ledger.clients_pay != now.ledger.clients_pay ||
          fresh.ledger.ask_ppm != now.ledger.ask_ppm ||
          fresh.ledger.ask_max_ppm != now.ledger.ask_max_ppm ||
          fresh.ledger.rewards != now.ledger.rewards || fresh.ledger.follow != now.ledger.follow ||
          fresh.ledger.stake != now.ledger.stake,
      "ledger");
  needs_restart(fresh.chaos != now.chaos, "chaos.enabled");
  return later;
}

} // namespace ovir::supervision
