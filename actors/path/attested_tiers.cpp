#include "actors/path/attested_tiers.hpp"

#include "messages/limits/privacy.hpp"
#include "messages/result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace ovir::actors {

namespace {

using holder_list = std::vector<const attested_holder*>;

/// Holders of this layer.
holder_list holders_of(std::span<const attested_holder> held, layer_index layer) {
  holder_list some;
  for (const attested_holder& one : held) {
    if (one.layers.first <= layer && layer < one.layers.last) {
      some.push_back(&one);
    }
  }
  return some;
}

/// Whether there are some, and none has it.
bool all_lack(const holder_list& holders, const tier_demand& demand) {
  return !holders.empty() &&
         std::all_of(holders.begin(), holders.end(), [&demand](const attested_holder* one) {
           return lacking(demand, one->attested).has_value();
         });
}

/// The first property that none of them has; all of them, where each has some.
std::string property_lacking(const holder_list& holders, const tier_demand& demand) {
  const node_properties& wanted = demand.properties;
  if (wanted.empty()) {
    return "anything";
  }
  for (const node_properties& one :
       {node_properties{wanted.operated_by, {}, {}}, node_properties{{}, wanted.region, {}},
        node_properties{{}, {}, wanted.confidential}}) {
    if (!one.empty() && all_lack(holders, {demand.attestors, one})) {
      return to_string(one);
    }
  }
  return to_string(wanted);
}

} // namespace

std::vector<attestation> attested_tiers::shown_for(const tier_demand& demand, const member& m,
                                                   std::uint64_t now_unix) {
  return counting(demand, m.node, m.advert.attested, now_unix,
                  [this](const attestation& a) { return holds(a); });
}

bool attested_tiers::holds(const attestation& a) {
  const digest name = hash("ovir/known-attestation/v1", to_bytes(a));
  if (recent_.contains(name) || earlier_.contains(name)) {
    return true;
  }
  ++verified_;
  if (!is_genuine(a)) {
    return false;
  }
  if (recent_.size() >= limits::attestations_known_max) {
    earlier_ = std::exchange(recent_, {});
  }
  recent_.insert(name);
  return true;
}

std::optional<error> no_tier(const tier_demand& demand, std::string_view model,
                             std::span<const attested_holder> held, std::uint32_t layers) {
  layer_index first = 0;
  while (first < layers && !all_lack(holders_of(held, first), demand)) {
    ++first;
  }
  if (first == layers) {
    return std::nullopt;
  }
  const std::string what = property_lacking(holders_of(held, first), demand);
  layer_index last = first;
  while (last + 1 < layers) {
    const holder_list next = holders_of(held, last + 1);
    if (!all_lack(next, demand) || property_lacking(next, demand) != what) {
      break;
    }
    ++last;
  }
  return fail(errc::segment_missing,
              "tier: of {}, no node that holds layers {} is attested {} by a key that the request "
              "names; let one hold them that is, or demand less",
              model, first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last),
              what);
}

} // namespace ovir::actors
