#pragma once

#include "actors/members/member_table.hpp"
#include "actors/path/planner.hpp"
#include "actors/path/seen_speeds.hpp"
#include "messages/digest.hpp"
#include "messages/request/path.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// Chooses the path of a request among those that may compute it: ranks them, cuts them to as many
/// as a plan takes, plans. Pure: same candidates, same path, in whatever order they come.
/// docs/adr/0009-paths.md.
namespace ovir::actors {

/// A member that can compute stages of a model now: one for each range of layers it holds.
struct path_candidate {
  const member* who{nullptr};
  layer_range held;
  std::uint64_t memory{0}; ///< its share of what the member has free
  double trust{1};         ///< its speed counts as so many times what it is
  double price{1};         ///< and as so many times less
  std::uint32_t faults{0}; ///< its level in the scheduler's memory of faults
  /// Weight bytes per second that neighbours on paths saw, beside this scheduler's requests alone;
  /// none: its word counts.
  std::optional<double> seen{};
  std::uint32_t own_requests{0}; ///< of this scheduler, that have a stage there
  double slower{1};              ///< `seen_speeds::slower`
  double by_word{1};             ///< `seen_speeds::of_word`, where nothing was seen of it
};

/// Adds what was seen of the candidate's node, and the requests of this scheduler that have a stage
/// there, to it.
void add_seen(path_candidate& c, const seen_speeds& speeds, std::uint32_t own_requests,
              seen_speeds::time_point now);

/// What a request wants.
struct path_terms {
  digest model;
  std::string name; ///< of the model, for people
  model_shape shape;
  std::uint32_t positions{1}; ///< promised to the request, at least 1
  node_id self;               ///< where its lead runs
};

/// A plan, and whom its stages' numbers mean.
struct chosen_path {
  plan planned;
  std::vector<path_candidate> among;
};

/// In weight bytes per second: what was seen of it or else its word, shared with the requests it
/// has, times trust, by price.
[[nodiscard]] double decode_speed(const path_candidate& c);
/// Seconds; 0 where it was not measured yet.
[[nodiscard]] double rtt_of(const member& m);
/// Between two members, as far as it is known: both ends' word, or that of one end where that makes
/// the link longer, else the greater of their round trips to this node, which may be one of them.
[[nodiscard]] double rtt_between(const member& a, const member& b);
/// How many times as long a step takes beside so many other requests: stages compute for several in
/// one pass, or for one while another's frame is on its way.
[[nodiscard]] double slowed_by(std::size_t others);
/// In weight bytes per second; of a member that has not measured itself, what is assumed.
[[nodiscard]] double decode_word(const node_advert& advert);
[[nodiscard]] double prefill_word(const node_advert& advert);

/// The best path over candidates with the least level of faults with which there is one: what a
/// node says of itself does not take it past one with fewer faults. Of these, who asks more for a
/// layer than is usual, which is the model's rate or the median of its holders' asks where that is
/// more, counts only where the others make no path (docs/adr/0043-best-replies.md). Errors: those
/// of `make_plan`.
[[nodiscard]] result<chosen_path> choose_path(const path_terms& wanted,
                                              const std::vector<path_candidate>& candidates);
/// Where the few that a plan looks at do not suffice: the fewest stages, of all candidates, some of
/// which may have several.
[[nodiscard]] std::optional<layer_places>
fewest_stages(const path_terms& wanted, const std::vector<path_candidate>& candidates);
/// The layers of `before` whose nodes are no candidates with these layers: runs, in order.
[[nodiscard]] std::vector<layer_range> lost_layers(const std::vector<path_candidate>& candidates,
                                                   const layer_places& before);
/// Keeps those stages of `before` whose nodes are candidates with these layers, and gives the rest
/// to the best of the others (`repair_path`). `before` holds every layer once, in order. Absent
/// where that is impossible.
[[nodiscard]] std::optional<layer_places> mend_path(const path_terms& wanted,
                                                    const std::vector<path_candidate>& candidates,
                                                    const layer_places& before);

/// The nodes of two covers of [0, layers) that have none in common, whatever memory they have; none
/// where there are no two. Wherever each layer is held by two nodes of one range each, there are.
[[nodiscard]] std::vector<std::set<node_id>>
two_covers(const std::vector<path_candidate>& candidates, std::uint32_t layers);

/// Every level of faults there is, the least first; one where there are no candidates.
[[nodiscard]] std::vector<std::uint32_t>
fault_levels(const std::vector<path_candidate>& candidates);

} // namespace ovir::actors
