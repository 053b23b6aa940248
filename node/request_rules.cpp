#include "node/request_rules.hpp"

#include <algorithm>
#include <span>

namespace ovir::supervision {

actors::jobs_settings request_rules(const node_options& options, const secret_key& key) {
  actors::jobs_settings rules;
  rules.signs_all = options.audit_every_request;
  rules.twice_tokens = options.audit_twice_tokens;
  rules.reveal = options.audit_reveal;
  rules.privacy.requests = options.privacy.requests;
  rules.privacy.first = options.privacy.first_layers;
  rules.privacy.last = options.privacy.last_layers;
  rules.privacy.secret = hash("ovir/privacy/v1/secret", std::as_bytes(key.seed()));
  std::vector<node_id>& nodes = rules.privacy.nodes;
  nodes = options.privacy.nodes;
  nodes.push_back(key.id());
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return rules;
}

} // namespace ovir::supervision
