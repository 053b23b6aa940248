#include "apps/receipt_tier.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace ovir::apps {

namespace {

/// Nodes that computed something, by key: who signed a stage, and who sent it something before
/// another took its place. The lead computes nothing.
std::set<node_id> computing_nodes(const receipt& r) {
  std::set<node_id> nodes;
  for (const stage_records& stage : r.stages) {
    nodes.insert(stage.signer.node);
    for (const evidence_signer& by : stage.senders) {
      if (by.layers.size() > 0) {
        nodes.insert(by.node);
      }
    }
  }
  return nodes;
}

/// What the stages committed to: the request was over by then. 0: they committed to nothing.
std::uint64_t over_by(const receipt& r) {
  std::uint64_t latest = 0;
  for (const stage_records& stage : r.stages) {
    for (const commitment& c : stage.commitments) {
      latest = std::max(latest, c.deadline_unix);
    }
  }
  return latest;
}

/// What counts of what is attested of each node.
std::map<node_id, std::vector<attestation>> counting_of(const receipt& r, std::uint64_t now_unix) {
  std::map<node_id, std::vector<attestation>> all;
  const std::uint64_t over = over_by(r);
  for (const attestation& a : r.attested) {
    const bool held = now_unix < a.expires_unix || (over > 0 && over < a.expires_unix);
    if (held && is_genuine(a)) {
      all[a.node].push_back(a);
    }
  }
  return all;
}

/// What one attestor says of a node, all in all; none: nothing.
std::optional<node_properties> said_by(const node_id& attestor,
                                       const std::vector<attestation>& of_node) {
  std::optional<node_properties> all;
  for (const attestation& a : of_node) {
    if (a.attestor != attestor) {
      continue;
    }
    if (!all) {
      all.emplace();
    }
    const auto take = [](std::string& to, const std::string& from) {
      to = from.empty() ? to : from;
    };
    take(all->operated_by, a.properties.operated_by);
    take(all->region, a.properties.region);
    take(all->confidential, a.properties.confidential);
  }
  return all;
}

} // namespace

std::vector<receipt_tier> tiers_of(const receipt& r, std::uint64_t now_unix) {
  const auto shown = counting_of(r, now_unix);
  const std::set<node_id> nodes = computing_nodes(r);
  std::set<node_id> attestors;
  for (const auto& [node, list] : shown) {
    for (const attestation& a : list) {
      attestors.insert(a.attestor);
    }
  }
  std::vector<receipt_tier> tiers;
  for (const node_id& attestor : attestors) {
    std::optional<node_properties> weakest;
    const bool all = std::all_of(nodes.begin(), nodes.end(), [&](const node_id& node) {
      const auto found = shown.find(node);
      const auto said = found == shown.end() ? std::nullopt : said_by(attestor, found->second);
      if (said) {
        weakest = weakest ? common(*weakest, *said) : *said;
      }
      return said.has_value();
    });
    if (all && weakest) {
      tiers.push_back({attestor, *weakest, nodes.size()});
    }
  }
  return tiers;
}

std::optional<std::string> lacking_tier(const receipt& r, const tier_demand& demand,
                                        std::uint64_t now_unix) {
  const auto shown = counting_of(r, now_unix);
  for (const node_id& node : computing_nodes(r)) {
    std::vector<attestation> by_demanded;
    if (const auto found = shown.find(node); found != shown.end()) {
      std::copy_if(found->second.begin(), found->second.end(), std::back_inserter(by_demanded),
                   [&demand](const attestation& a) {
                     return std::binary_search(demand.attestors.begin(), demand.attestors.end(),
                                               a.attestor);
                   });
    }
    if (const auto what = lacking(demand, by_demanded)) {
      return fmt::format("{} is not shown to be attested {}", to_hex(node), *what);
    }
  }
  return std::nullopt;
}

std::string tiers_text(const receipt& r, std::uint64_t now_unix) {
  if (r.attested.empty()) {
    return {};
  }
  const auto tiers = tiers_of(r, now_unix);
  std::string text;
  for (const receipt_tier& tier : tiers) {
    text += fmt::format("tier       of all {} nodes {} attests: {}\n", tier.nodes,
                        short_name(tier.attestor), to_string(tier.properties));
  }
  return tiers.empty() ? "tier       none: no attestor says something of all nodes\n" : text;
}

json tiers_document(const receipt& r, std::uint64_t now_unix) {
  const auto said = [](const std::string& text) {
    return text.empty() ? json(nullptr) : json(text);
  };
  json list = json::array();
  for (const receipt_tier& tier : tiers_of(r, now_unix)) {
    list.push_back({{"attestor", to_hex(tier.attestor)},
                    {"operator", said(tier.properties.operated_by)},
                    {"region", said(tier.properties.region)},
                    {"confidential", said(tier.properties.confidential)},
                    {"nodes", tier.nodes}});
  }
  return list;
}

} // namespace ovir::apps
