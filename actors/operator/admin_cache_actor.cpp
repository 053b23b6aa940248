#include "actors/operator/admin_call_actor.hpp"
#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "messages/caf/errors.hpp"

namespace ovir::actors {

namespace {

json report_json(const cache_report& r, const cache_policy& policy) {
  return {{"enabled", true},
          {"share", policy.share},
          {"memory_bytes", r.memory_bytes},
          {"memory_entries", r.memory_entries},
          {"memory_evicted", r.memory_evicted},
          {"unwritten", r.unwritten},
          {"units", {{"memory", r.from_memory}, {"disk", r.from_disk}, {"peer", r.from_peer}}},
          {"answers", r.answers},
          {"saved_us", r.saved_us},
          {"missed", r.missed},
          {"damaged", r.damaged},
          {"rechecked", r.rechecked},
          {"refuted", r.refuted},
          {"kept", r.kept},
          {"not_kept", r.not_kept},
          {"quarantined", r.quarantined},
          {"tainted", r.tainted},
          {"served", r.served},
          {"waited", r.waited},
          {"gave_up", r.gave_up},
          {"inputs",
           {{"kept", r.inputs_kept},
            {"not_kept", r.inputs_not_kept},
            {"served", r.inputs_served},
            {"memory_bytes", r.inputs_bytes}}},
          {"peers", nullptr}};
}

json decision_json(const fetch_decision& d) {
  return {{"model", to_hex(d.model)},
          {"windows", d.windows},
          {"blocks", d.blocks},
          {"fetch_us", d.fetch_us},
          {"compute_us", d.compute_us == 0 ? json(nullptr) : json(d.compute_us)},
          {"fetched", d.fetched},
          {"windows_got", d.windows_got},
          {"took_us", d.took_us},
          {"wrong", d.wrong}};
}

json exchange_json(const exchange_report& r) {
  const block_exchange_counts& n = r.counts;
  json decisions = json::array();
  for (const fetch_decision& d : r.decisions) {
    decisions.push_back(decision_json(d));
  }
  json claimants = json::array();
  for (const block_exchange_core::claimant& c : r.claimants) {
    claimants.push_back({{"node", to_hex(c.node)},
                         {"filter_bytes", c.filter_bytes},
                         {"names", c.names},
                         {"bytes_per_second", c.bytes_per_second},
                         {"blocks", c.blocks},
                         {"stale", c.stale},
                         {"fault", c.fault.empty() ? json(nullptr) : json(c.fault)}});
  }
  return {{"fetches", n.fetches},
          {"declined", n.declined},
          {"blocks", n.blocks},
          {"bytes", n.bytes},
          {"stale", n.stale},
          {"wrong_blocks", n.wrong_blocks},
          {"authors_refused", n.authors_refused},
          {"stalled", n.stalled},
          {"wrong_fetch", n.wrong_fetch},
          {"wrong_compute", n.wrong_compute},
          {"claims_sent", r.claims_sent},
          {"claims_bytes", r.claims_bytes},
          {"questions_refused", r.questions_refused},
          {"members", std::move(claimants)},
          {"decisions", std::move(decisions)}};
}

void with_exchange(const admin_call& c, json report) {
  const caf::actor exchange = find_actor(c, "blocks");
  if (!exchange) { // the configuration keeps this node's blocks to itself
    return c.done(std::move(report));
  }
  c.self->request(exchange, admin_ask_wait, describe_exchange{})
      .then(
          [c, report = std::move(report)](const exchange_report& r) mutable {
            report["peers"] = exchange_json(r);
            c.done(std::move(report));
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
}

} // namespace

result<void> show_cache(const admin_call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  const cache_policy& policy = c.self->state.environment.cache;
  if (!policy.enabled) {
    c.done({{"enabled", false}});
    return {};
  }
  const caf::actor cache = find_actor(c, "cache");
  if (!cache) {
    return fail(errc::busy, "the node is starting; ask again");
  }
  c.self->request(cache, admin_ask_wait, describe_cache{})
      .then([c,
             policy](const cache_report& report) { with_exchange(c, report_json(report, policy)); },
            [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

} // namespace ovir::actors
