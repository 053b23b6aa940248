#include "actors/operator/metrics_pages_actor.hpp"

#include <algorithm>
#include <map>
#include <string>

namespace ovir::actors {

namespace {

template <class Number>
double number(Number n) {
  return static_cast<double>(n);
}

constexpr double from_micro = 1e-6;

} // namespace

void add_members(gateway::metric_list& to, const members_changed& news) {
  const auto count = [&](member_health health) {
    return number(std::count_if(news.members->begin(), news.members->end(),
                                [&](const member& m) { return m.health == health; }));
  };
  to.gauges("ovir_members", "Members of the cluster as this node sees them, itself included",
            "health",
            {{"alive", count(member_health::alive)},
             {"suspect", count(member_health::suspect)},
             {"dead", count(member_health::dead)},
             {"left", count(member_health::left)}});
}

void add_strangers(gateway::metric_list& to, const stranger_door::counts& strangers) {
  to.gauge("ovir_strangers", "Nodes without leave that an open cluster's node has a place for",
           number(strangers.here));
  to.counter("ovir_strangers_refused_total", "Nodes without leave refused for want of a place",
             number(strangers.refused));
  to.counter("ovir_strangers_replaced_total",
             "Nodes without leave put out for one of another network", number(strangers.replaced));
}

void add_links(gateway::metric_list& to, const peers::counters& links,
               const network_traffic& traffic) {
  to.gauge("ovir_links", "Members that this node is linked to", number(links.links));
  to.counter("ovir_link_received_bytes_total", "Bytes received from members and shells, encrypted",
             number(traffic.received.load()));
  to.counter("ovir_link_sent_bytes_total", "Bytes sent to members and shells, encrypted",
             number(traffic.sent.load()));
  to.counter("ovir_link_shared_received_bytes_total",
             "Bytes received through memory from members on this machine",
             number(traffic.shared_received.load()));
  to.counter("ovir_link_shared_sent_bytes_total",
             "Bytes sent through memory to members on this machine",
             number(traffic.shared_sent.load()));
  to.counter("ovir_quic_received_bytes_total", "Of the bytes received those over QUIC",
             number(traffic.quic_received.load()));
  to.counter("ovir_quic_sent_bytes_total", "Of the bytes sent those over QUIC",
             number(traffic.quic_sent.load()));
  to.counter("ovir_quic_datagrams_sent_total", "Datagrams sent by QUIC",
             number(traffic.quic_datagrams.load()));
  to.counter("ovir_quic_datagrams_lost_total",
             "Datagrams whose bytes QUIC sent again, because they seemed lost",
             number(traffic.quic_lost.load()));
  to.gauge("ovir_quic_connections", "Connections to members over QUIC",
           number(traffic.quic_sessions.load()));
  to.gauge("ovir_quic_rtt_seconds", "Mean round trip of the connections over QUIC",
           number(traffic.quic_rtt_us.load()) * from_micro);
}

void add_pools(gateway::metric_list& to,
               const std::vector<std::pair<const char*, compute_executor::load>>& pools) {
  std::map<std::string, std::uint64_t> finished;
  std::map<std::string, std::uint64_t> waiting;
  for (const auto& [pool, load] : pools) {
    finished[pool] = load.finished;
    waiting[pool] = load.waiting;
  }
  to.counters("ovir_pool_jobs_total", "Jobs that compute threads finished, by pool", "pool",
              finished);
  to.gauges("ovir_pool_jobs_waiting", "Jobs that wait for compute threads, by pool", "pool",
            waiting);
}

void add_requests(gateway::metric_list& to, const node_counts& counts) {
  const auto ended = [&](finish_reason end) {
    return number(counts.ended.at(static_cast<std::size_t>(end)));
  };
  to.counters("ovir_requests_total", "Requests that ended, by how", "end",
              {{"stop", ended(finish_reason::stop)},
               {"length", ended(finish_reason::length)},
               {"cancelled", ended(finish_reason::cancelled)},
               {"failed", number(counts.failed)}});
  to.counter("ovir_tokens_drawn_total", "Tokens drawn; its rate is tokens per second",
             number(counts.tokens));
  to.counter("ovir_tokens_drafted_total", "Tokens guessed and computed", number(counts.drafted));
  to.counter("ovir_tokens_accepted_total", "Guessed tokens that were right",
             number(counts.accepted));
  to.times("ovir_step_duration_seconds", "From one draw of a request to the next", counts.step);
  to.times("ovir_step_slack_seconds",
           "What a step left of the time in which it was due; 0 where it took longer",
           counts.slack);
  to.counter("ovir_steps_late_total", "Steps that took longer than their slack",
             number(counts.late));
  to.counter("ovir_recoveries_total", "Paths that took another's place under a request",
             number(counts.recoveries));
  to.counter("ovir_receipts_total", "Receipts made", number(counts.receipts));
}

void add_statements(gateway::metric_list& to, const node_counts& counts) {
  to.counter("ovir_statements_signed_total", "Statements of windows that stages signed",
             number(counts.statements));
}

void add_scheduler(gateway::metric_list& to, const scheduler_report& report) {
  to.gauge("ovir_requests_running", "Requests that have a lead", number(report.running));
  to.gauge("ovir_requests_waiting", "Requests that wait for their turn", number(report.waiting));
  to.counter("ovir_requests_refused_total", "Requests refused because too many waited",
             number(report.refused));
}

void add_host(gateway::metric_list& to, const host_report& report) {
  to.gauge("ovir_sessions", "Requests that have a session in a stage here, by stage",
           number(report.sessions));
  to.gauge("ovir_session_bytes", "Memory promised to sessions", number(report.session_bytes));
  to.gauge("ovir_stages", "Stages that were asked for here", number(report.shards.size()));
  to.counter("ovir_stage_passes_total", "Passes of stages, each for one request or several",
             number(report.work.passes));
  to.counter("ovir_stage_positions_total", "Positions that stages computed",
             number(report.work.positions));
  to.counter("ovir_stage_compute_seconds_total", "Time that passes of stages took",
             report.work.seconds);
}

void add_cache(gateway::metric_list& to, const cache_report& r) {
  to.counters("ovir_cache_hits_total", "Units of K and V that were found, by where", "tier",
              {{"memory", number(r.from_memory)},
               {"disk", number(r.from_disk)},
               {"peers", number(r.from_peer)}});
  to.counter("ovir_cache_misses_total", "Lookups that found nothing", number(r.missed));
  to.counter("ovir_cache_answers_total", "Whole answers that were found", number(r.answers));
  to.counter("ovir_cache_saved_seconds_total", "What computing all that was found would have taken",
             number(r.saved_us) * from_micro);
  to.gauge("ovir_cache_memory_bytes", "Bytes kept in memory", number(r.memory_bytes));
  to.gauge("ovir_cache_memory_entries", "Entries kept in memory", number(r.memory_entries));
  to.counter("ovir_cache_evictions_total", "Entries that made room in memory",
             number(r.memory_evicted));
  to.gauge("ovir_cache_disk_bytes", "Bytes that the store takes of the disk", number(r.disk_bytes));
  to.counter("ovir_cache_kept_total", "New entries", number(r.kept));
  to.counter("ovir_cache_damaged_total", "Entries found and not believed", number(r.damaged));
  to.counter("ovir_cache_served_blocks_total", "Blocks sent to other nodes", number(r.served));
}

void add_exchange(gateway::metric_list& to, const exchange_report& report) {
  to.counter("ovir_cache_fetched_blocks_total", "Blocks that came from other nodes and are right",
             number(report.counts.blocks));
  to.counter("ovir_cache_fetched_bytes_total", "Bytes of these blocks",
             number(report.counts.bytes));
}

void add_audits(gateway::metric_list& to, const audit_counts& audits) {
  to.counter("ovir_audit_receipts_total", "Receipts that were audited here",
             number(audits.receipts));
  to.counter("ovir_audit_units_total", "Units that were computed again", number(audits.units));
  to.counter("ovir_audit_mismatches_total", "Units that came out otherwise than they were stated",
             number(audits.mismatches));
  to.counter("ovir_unaudited_receipts_total",
             "Receipts whose stages were not all audited, for want of a verifier or of inputs",
             number(audits.unaudited));
  to.gauge("ovir_audits_waiting", "Receipts and questions still to be looked at",
           number(audits.waiting));
  to.gauge("ovir_convicted_members", "Members convicted of stating what they did not compute",
           number(audits.convicted));
}

namespace {

void add_group(gateway::metric_list& to, const ledger::group_report& group, std::uint64_t head) {
  to.gauge("ovir_ledger_leads", "1 while this node leads the ledger's keepers",
           group.leads ? 1.0 : 0.0);
  to.gauge("ovir_ledger_term", "Term of the keepers' agreement: it rises with each election",
           number(group.term));
  to.gauge("ovir_ledger_agreed_orders", "Orders that the keepers agreed on", number(group.agreed));
  to.gauge("ovir_ledger_signed_entries", "Entries under the last head that most keepers signed",
           number(head));
  to.counter("ovir_ledger_hand_overs_total", "Other keepers that came to lead",
             number(group.hand_overs));
}

} // namespace

void add_keeper(gateway::metric_list& to, const keeper_report& report) {
  std::map<std::string, std::uint64_t> entries;
  for (const auto& [kind, count] : report.counts.entries) {
    entries[std::string{to_string(kind)}] = count;
  }
  to.counters("ovir_ledger_commands_total", "Commands that became entries, by kind", "kind",
              entries);
  to.counter("ovir_ledger_refusals_total", "Commands that were refused",
             number(report.counts.refused));
  to.times("ovir_ledger_commit_duration_seconds", "What a batch took until it lasts",
           report.commits);
  to.gauge("ovir_ledger_entries", "Entries of the log", number(report.entries));
  to.gauge("ovir_ledger_open_requests", "Requests with a reservation",
           number(report.open_requests));
  to.gauge("ovir_ledger_pending_windows", "Windows that wait for the end of their audit",
           number(report.pending_windows));
  to.gauge("ovir_ledger_clock_ahead_seconds",
           "This machine's clock less the ledger's time; a minute or more needs an operator",
           static_cast<double>(report.wall_ahead_s));
  if (report.group) {
    add_group(to, *report.group, report.head_entries);
  }
}

void add_payments(gateway::metric_list& to, const payments_report& report) {
  to.counter("ovir_payments_unordered_total",
             "Requests to go on with that no scheduler had reserved for", number(report.unordered));
  to.counter("ovir_payments_unentered_total", "Requests that ran and are not in the ledger",
             number(report.unentered));
  to.gauge("ovir_payments_open_requests",
           "Requests of this node that are reserved for or settled for", number(report.requests));
  to.gauge("ovir_payments_head_entries", "Entries under the newest head that this node saw",
           number(report.head_entries));
  to.counter("ovir_payments_refusals_total",
             "Commands for requests that the ledger's keeper refused", number(report.refusals));
}

} // namespace ovir::actors
