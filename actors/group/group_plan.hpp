#pragma once

#include "compute/parts/segment_cut.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Whether a segment is faster in the hands of a group, of stages or of one node. Pure, as the
/// planner is: what was measured is handed in (docs/adr/0046-parts.md has the model of time).
namespace ovir::actors {

/// A node that can have any part of the segment, and what was measured on it.
struct group_candidate {
  std::string name;
  std::uint64_t memory{0};              ///< bytes for weights and KV
  double decode_bytes_per_second{0};    ///< weight bytes passed per second, one position at a time
  double prefill_bytes_per_second{0};   ///< weight bytes times positions per second, in chunks
  double delay_seconds{0};              ///< one way between it and the middle of the network
  double bandwidth_bytes_per_second{0}; ///< of its port, either way
};

/// Two nodes whose connection differs from what their own numbers say.
struct group_link {
  std::uint32_t a{0};
  std::uint32_t b{0};
  double delay_seconds{0};
  double bandwidth_bytes_per_second{0};
};

struct group_question {
  const compute::model* model{nullptr};
  layer_range layers;
  std::vector<group_candidate> nodes; ///< 1 to limits::group_candidates_max
  std::vector<group_link> links;
  /// What a message costs beside its way: sending, waking, reading.
  double message_seconds{20e-6};
  std::uint32_t context{1};        ///< positions promised to each request
  std::uint32_t requests{1};       ///< at once
  std::uint32_t prefill_rows{512}; ///< of a chunk of a prompt
  /// The node that leads; nothing: whichever is best.
  std::optional<std::uint32_t> leader{};
  /// Of the best path of several stages over these nodes, per token, without the way to the lead;
  /// nothing: there is none.
  std::optional<double> stages_seconds{};
};

/// Seconds of one pass.
struct group_time {
  double compute{0};  ///< of the member that takes longest
  double delay{0};    ///< of exchanges, one after another
  double transfer{0}; ///< of bytes, through the busiest port
  [[nodiscard]] double total() const noexcept { return compute + delay + transfer; }
};

enum class group_verdict : std::uint8_t { none, one_node, stages, group };

struct group_choice {
  group_verdict what{group_verdict::none}; ///< none: nothing holds the segment
  std::optional<std::uint32_t> node{};     ///< the fastest that holds it alone
  double alone_seconds{0};                 ///< a token on it
  std::vector<std::uint32_t> members;      ///< of the best group; the first leads; empty: none fits
  compute::segment_cut cut;                ///< of that group
  group_time token;                        ///< of it
  group_time prefill;                      ///< of it, a chunk
  std::string why;                         ///< a sentence for a person
};

/// The time that a cut takes on these members for `rows` rows; of one row, logits are wanted where
/// the segment has the head. Precondition: `check_cut`, and as many nodes as members.
[[nodiscard]] group_time time_of(const group_question& q, const compute::segment_cut& cut,
                                 std::span<const std::uint32_t> members, std::uint32_t rows);

/// The cut by which these members compute a token soonest, shares by speed, the first leading;
/// nothing where the segment cannot be cut or one of them has no memory for its part.
/// Precondition: a question that `choose_group` accepts, members of it.
[[nodiscard]] std::optional<compute::segment_cut> best_cut(const group_question& question,
                                                           std::span<const std::uint32_t> members);

/// The fastest for one request's tokens. Groups are tried around each of the fastest nodes, with
/// the nearest and with the fastest others, shares by speed, and every way to cross; what does not
/// fit a member's memory is left out. `invalid_argument` for numbers outside their range.
[[nodiscard]] result<group_choice> choose_group(const group_question& question);

} // namespace ovir::actors
