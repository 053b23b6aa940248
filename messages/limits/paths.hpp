#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of how requests find their paths, beside `plan_states_max` and `repair_states_max` of
/// `messages/limits/general.hpp`.
namespace ovir::limits {

// Nodes among which a path is searched for, and stages tried for a request that waits for it.
inline constexpr std::uint32_t path_nodes_max = 128;
inline constexpr std::uint64_t path_states_max = 20'000;
// Times a search computes its bounds before it begins, and steps taken for that.
inline constexpr std::uint32_t path_bound_rounds_max = 100;
inline constexpr std::uint64_t path_bound_steps_max = 1'000'000;
// Where there are more nodes, a refusal does not say how much memory lacks: finding it takes plans.
inline constexpr std::size_t plan_advice_nodes_max = 16;
// All of so many holders are looked at. Of more, so many of each layer: the cheapest.
inline constexpr std::size_t path_nodes_few = 24;
inline constexpr std::uint32_t path_holders_per_layer = 8;
inline constexpr std::uint32_t path_holders_for_one_layer = 4;
// Ranges of layers of one node that a plan looks at beside those that no other node holds. An
// honest node holds one or two.
inline constexpr std::size_t plan_ranges_per_node_max = 4;
// Round trips of a member's advert that a plan looks at.
inline constexpr std::size_t plan_rtts_per_node_max = 64;

// A request whose tokens are to be computed twice is refused where there are no two paths without a
// common node after so long.
inline constexpr std::chrono::seconds two_paths_wait{5};

// What a scheduler remembers of nodes whose stages were at fault: it plans them behind others.
inline constexpr std::size_t fault_nodes_max = 256;
inline constexpr std::uint32_t fault_level_max = 8;
inline constexpr std::chrono::seconds fault_decay{60}; // a level lower after each
// An answer no honest stage gives; and one that can come of load, of a link, or of another's fault.
inline constexpr std::uint32_t fault_weight = 4;
inline constexpr std::uint32_t doubt_weight = 1;
// Speeds that were seen on paths: so many nodes are remembered, from so many steps on what was seen
// counts instead of the node's word, and unseen it comes twice nearer to that word after each time.
inline constexpr std::size_t speeds_seen_max = 4'096;
inline constexpr std::uint32_t speed_seen_min = 3;
inline constexpr std::chrono::seconds speed_seen_fades{60};
inline constexpr std::uint32_t speed_tries_max = 6; // waits are doubled so often at most
// Each other request makes a step on a node longer by this share of it: measured with one to four
// requests on two nodes (docs/PERFORMANCE.md), 0.1 to 0.3.
inline constexpr double sharing_cost = 0.25;
// Running requests of which a scheduler says anew what it expects of them when another joins them
// on a node, or leaves.
inline constexpr std::size_t forecasts_renewed_max = 64;
// A node of which so many steps were seen comes back to no more than their mean, but for a try:
// that is in vain where it is so many times slower than its word promises.
inline constexpr std::uint32_t speed_usual_steps = 64;
inline constexpr double speed_try_factor = 1.25;
// What a scheduler remembers of nodes on its paths: so many, of each the latest steps that told
// their times, and how long it was there. Before anything was seen of a node, half of so many steps
// were in time, and it was there for so long.
inline constexpr std::size_t reputation_nodes_max = 1'024;
inline constexpr std::uint32_t reputation_steps = 64;
inline constexpr std::uint32_t reputation_steps_before = 8;
inline constexpr std::chrono::seconds reputation_half_life{3'600};
inline constexpr std::chrono::seconds reputation_time_before{600};
inline constexpr std::chrono::seconds reputation_doubts{30};
// A request is in a hurry if its deadline leaves a token less than so many times what is planned.
inline constexpr std::int64_t hurry_factor = 2;
// A step is late above so many times what was planned, and this: machines do other things as well.
inline constexpr double late_factor = 2;
inline constexpr std::chrono::milliseconds late_grace{20};
// A request leaves its slowest stage, if there is a better one, once its deadline could not be met
// at the pace of so many tokens in a row.
inline constexpr std::uint32_t deadline_behind_tokens = 8;
// A deadline is promised if it leaves as much more than the prediction as all but one in so many of
// the latest requests took, of those that ended in this time.
inline constexpr std::size_t margin_requests_max = 256;
inline constexpr std::size_t margin_one_in = 100;
inline constexpr std::chrono::minutes margin_time{10};
// Of fewer than so many nothing follows, and up to margin_one_in of them one in so many may take
// longer. More than so many times its prediction takes only what met a fault, which foretells
// nothing of others.
inline constexpr std::size_t margin_requests_min = 8;
inline constexpr std::size_t margin_one_of_few = 8;
inline constexpr double margin_max = 8;
// The ways between stages are taken off what a stage was seen to take; what leaves less than this
// share of it says nothing of its speed.
inline constexpr double seen_share_min = 0.1;
// A request whose only way leads over a stage at fault waits so long for another, and then ends
// with what that stage said.
inline constexpr std::chrono::seconds fault_patience{5};
// Units of one request over which hosts contradict each other, remembered until two agree.
inline constexpr std::size_t disputes_max = 16;
// Hosts that a lead tells apart, and nodes a pathfinder remembers to have been on a request's path.
inline constexpr std::size_t hosts_per_request_max = 256;

// How long a stage may owe an answer, beside `slack_min`, `slack_steps` and `slack_max`
// (`messages/limits/general.hpp`): this is the most before a stage was complained of. A complaint
// that another path does not follow doubles it.
inline constexpr std::chrono::seconds slack_usual_max{60};
// A step takes at most so many times what the plan expects of it, or the plan counts instead.
inline constexpr std::uint32_t slack_forecast_factor = 8;
// After so many tokens in the usual time, a doubling is taken back.
inline constexpr std::uint32_t slack_calm_tokens = 32;
inline constexpr std::uint32_t slack_doublings_max = 16;

} // namespace ovir::limits
