#pragma once

#include "actors/link/network_traffic.hpp"
#include "actors/members/membership_actor.hpp"
#include "actors/path/node_meter.hpp"
#include "actors/payment/ledger_keeper_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/request/scheduler_actor.hpp"
#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/reuse/cache_protocol.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/stage/stage_host_actor.hpp"
#include "gateway/http/metrics.hpp"

#include <utility>
#include <vector>

/// What each part of a node says of itself, as Prometheus' metrics; docs/metrics.md names them all.
namespace ovir::actors {

void add_members(gateway::metric_list& to, const members_changed& news);
void add_strangers(gateway::metric_list& to, const stranger_door::counts& strangers);
void add_links(gateway::metric_list& to, const peers::counters& links,
               const network_traffic& traffic);
void add_pools(gateway::metric_list& to,
               const std::vector<std::pair<const char*, compute_executor::load>>& pools);
void add_requests(gateway::metric_list& to, const node_counts& counts);
void add_statements(gateway::metric_list& to, const node_counts& counts);
void add_scheduler(gateway::metric_list& to, const scheduler_report& report);
void add_host(gateway::metric_list& to, const host_report& report);
void add_cache(gateway::metric_list& to, const cache_report& report);
void add_exchange(gateway::metric_list& to, const exchange_report& report);
void add_audits(gateway::metric_list& to, const audit_counts& audits);
void add_keeper(gateway::metric_list& to, const keeper_report& report);
void add_payments(gateway::metric_list& to, const payments_report& report);

} // namespace ovir::actors
