#include "actors/protocol/peers_core.hpp"

#include "messages/mutant.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

peers_core::verdict refuse(std::string_view what) { return {peers_core::receiver::none, {}, what}; }

} // namespace

void peers_core::clear() {
  leads_.clear();
  stages_.clear();
}

bool peers_core::involves(const node_id& node) const {
  const auto on_path = [&node](const auto& lead) {
    return std::any_of(lead.second.begin(), lead.second.end(),
                       [&node](const auto& stage) { return stage.first == node; });
  };
  return std::any_of(leads_.begin(), leads_.end(), on_path) ||
         std::any_of(stages_.begin(), stages_.end(),
                     [&node](const auto& stage) { return stage.second == node; });
}

peers_core::verdict peers_core::judge(const node_id& from, role_set roles,
                                      const wire_message& message) const {
  if (std::visit([]<class Body>(const Body&) { return stage_news::has<Body>; }, message.body)) {
    return judge_answer(from, message);
  }
  if (std::holds_alternative<wire_adopt>(message.body)) {
    return roles.has(role::worker) ? verdict{receiver::jobs} : refuse("a request to adopt");
  }
  if (std::holds_alternative<wire_adopted>(message.body)) {
    return roles.has(role::scheduler) ? verdict{receiver::host} : refuse("an adoption");
  }
  if (std::holds_alternative<wire_load_failed>(message.body)) {
    return roles.has(role::worker) ? verdict{receiver::paths} : refuse("a refusal to fetch");
  }
  if (std::holds_alternative<wire_asked>(message.body)) {
    return roles.has(role::scheduler) ? verdict{receiver::placer} : refuse("what its clients want");
  }
  return roles.has(role::scheduler) ? verdict{receiver::host} : refuse("an order to a stage");
}

peers_core::verdict peers_core::judge_answer(const node_id& from,
                                             const wire_message& message) const {
  const auto found = leads_.find(message.request);
  if (found == leads_.end()) {
    return {receiver::none, {}, "an answer to a request that is over", true};
  }
  const path& nodes = found->second;
  const auto place = std::find(nodes.begin(), nodes.end(), std::pair{from, message.stage});
  if (place == nodes.end() && OVIR_MUTANT("lead_hears_anyone") && !nodes.empty()) {
    return {receiver::lead, stage_index{0}, {}};
  }
  if (place == nodes.end()) {
    return {receiver::none, {}, "an answer for a stage that is not its own", true};
  }
  return {receiver::lead, stage_index{static_cast<std::uint32_t>(place - nodes.begin())}, {}};
}

peers_core::verdict peers_core::judge(const node_id& from, std::uint32_t target,
                                      const frame_header& header) const {
  const bool logits = is_answer(header.kind);
  if (target == frame_to_lead) {
    const auto lead = leads_.find(header.request);
    const bool member =
        lead != leads_.end() && std::any_of(lead->second.begin(), lead->second.end(),
                                            [&](const auto& stage) { return stage.first == from; });
    const bool fits = header.kind == frame_kind::evidence ||
                      (logits && member && lead->second.back().first == from);
    return member && fits ? verdict{receiver::lead}
                          : refuse("logits of a request it has no part in");
  }
  const auto stage = stages_.find({header.request, target});
  return stage != stages_.end() && (stage->second == from || OVIR_MUTANT("stage_hears_anyone")) &&
                 !logits
             ? verdict{receiver::stage}
             : refuse("a frame of a request it has no part in");
}

} // namespace ovir::actors
