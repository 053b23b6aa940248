#pragma once

#include "actors/reuse/wanted_block.hpp"
#include "compute/forward/kv_block.hpp"
#include "messages/digest.hpp"
#include "messages/limits/blocks.hpp"
#include "messages/name_filter.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

/// Why blocks were fetched, or not.
struct fetch_decision {
  digest model;
  std::uint32_t windows{0};     ///< that somebody claims to have, behind those that are here
  std::uint32_t blocks{0};      ///< of these windows
  std::uint64_t fetch_us{0};    ///< as predicted
  std::uint64_t compute_us{0};  ///< likewise; 0: not known
  bool fetched{false};          ///< what was decided
  std::uint64_t took_us{0};     ///< of a fetch that ended
  std::uint32_t windows_got{0}; ///< by it
  bool wrong{false};            ///< the other choice would have been faster, as it turned out

  friend bool operator==(const fetch_decision&, const fetch_decision&) = default;
};

struct block_exchange_counts {
  std::uint64_t fetches{0};
  std::uint64_t declined{0}; ///< fetches that computing was predicted to beat
  std::uint64_t blocks{0};   ///< that came and are right
  std::uint64_t bytes{0};    ///< of these
  std::uint64_t stale{0};    ///< claimed, and not there
  std::uint64_t wrong_blocks{0};
  std::uint64_t authors_refused{0}; ///< right, but by who is no member, or was found wrong
  std::uint64_t stalled{0};         ///< sources that owed blocks and sent nothing
  std::uint64_t wrong_fetch{0};     ///< predictions: computing would have been faster
  std::uint64_t wrong_compute{0};
};

/// Decides whether blocks are fetched from other nodes, which are asked of whom, and whether what
/// comes is right. What a node claims to have is a filter: a claim that does not hold costs a
/// question. Every block is checked to be the one that was asked for, made by who knew its window's
/// name, and signed by its author; who sends another is named and not asked again for
/// limits::block_liar_pause. Its author has to be a member just now, whose blocks were not found
/// wrong: who passes on what another computed need not know better, and is not blamed.
///
/// A value: knows no socket and no clock. The caller performs the effects; `now` never goes back.
class block_exchange_core {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using bytes_pointer = std::shared_ptr<const std::vector<std::byte>>;

  using ask = block_ask;
  struct finished {
    std::uint64_t fetch{0};
    std::vector<fetched_block> blocks; ///< of the first windows wanted, without a gap
    fetch_decision decision;           ///< and what came of it
  };
  struct drop {
    node_id source;
    std::string why;
    bool lied{false}; ///< else it was only slow
  };
  struct effects {
    std::vector<ask> asks;
    std::vector<finished> done;
    std::vector<drop> drops; ///< end the connection: what is on its way is not waited for
    std::optional<fetch_decision> declined; ///< by `begin`; none: nobody has what is wanted
  };

  /// A member: what it computed is taken from any source, until it left. So is this node.
  void joined(const node_id& node);
  /// What `node` may have, from now on: so many names, as it says.
  void claim(const node_id& node, name_filter filter, std::uint32_t names);
  /// It is there no more, or its connection is not.
  [[nodiscard]] effects lost(const node_id& node, time_point now);
  /// It may be asked nothing more, ever: it left.
  [[nodiscard]] effects left(const node_id& node, time_point now);

  /// Decides on the windows of a model, in order. `unit_us`: what computing a block takes; 0: not
  /// known. Where fetching wins, its `finished` comes later, be it with nothing.
  [[nodiscard]] bool begin(std::uint64_t fetch, const digest& model,
                           const std::vector<wanted_window>& windows, std::uint64_t unit_us,
                           time_point now, effects& out);
  [[nodiscard]] effects on_block(const node_id& from, std::uint64_t ticket, std::uint32_t number,
                                 bytes_pointer bytes, time_point now);
  [[nodiscard]] effects on_missing(const node_id& from, std::uint64_t ticket, std::uint32_t number,
                                   time_point now);
  /// Computing its blocks again gave others.
  [[nodiscard]] effects refute(const node_id& author, time_point now);
  /// Often enough for limits::block_stall_wait.
  [[nodiscard]] effects on_tick(time_point now);
  /// A unit of the model was computed and took so long: judges what was declined.
  void computed(const digest& model, std::uint64_t unit_us);

  struct claimant {
    node_id node;
    std::size_t filter_bytes{0};
    std::uint32_t names{0};
    std::uint64_t bytes_per_second{0};
    std::uint64_t blocks{0};
    std::uint64_t stale{0};
    std::string fault; ///< why it is not asked at present; empty: it is
  };
  [[nodiscard]] std::vector<claimant> claimants(time_point now) const;
  [[nodiscard]] const block_exchange_counts& counts() const noexcept { return counts_; }
  /// The latest, oldest first.
  [[nodiscard]] const std::vector<fetch_decision>& decisions() const noexcept { return decisions_; }
  [[nodiscard]] std::size_t fetches_under_way() const noexcept { return fetches_.size(); }

private:
  struct source {
    std::optional<name_filter> claims;
    std::uint32_t names{0};
    std::optional<time_point> paused_until;
    bool lied{false}; ///< is why
    std::string fault;
    std::size_t owed_blocks{0};
    std::size_t owed_bytes{0};
    time_point busy_since; ///< owes something since
    time_point heard;      ///< sent something, or was asked while it owed nothing
    std::uint64_t busy_bytes{0};
    double rate{static_cast<double>(limits::block_rate_assumed)};
    std::uint64_t blocks{0};
    std::uint64_t stale{0};
  };
  enum class state : std::uint8_t { open, asked, here };
  struct block {
    wanted_block wanted;
    state is{state::open};
    node_id source;            ///< asked, or who sent it
    std::set<node_id> tried{}; ///< who had not got it
    bytes_pointer bytes{};
    node_id author{};
  };
  struct fetch {
    std::vector<std::vector<block>> windows;
    std::size_t limit{0}; ///< windows that can still come
    time_point begun;
    fetch_decision decision;
    std::uint64_t serial{0}; ///< of its decision
  };
  struct question {
    node_id source;
    std::uint64_t fetch{0};
    std::map<std::uint32_t, std::pair<std::size_t, std::size_t>> open; ///< number: window, block
    std::size_t block_bytes{0};
  };

  [[nodiscard]] bool may_ask(const source& s, time_point now) const;
  [[nodiscard]] bool may_author(const node_id& author, time_point now) const;
  [[nodiscard]] bool claimed(const digest& place, const std::set<node_id>& tried,
                             time_point now) const;
  [[nodiscard]] source* choose(const block& b, time_point now, node_id& who);
  void pump(time_point now, effects& out);
  void ask_for(std::uint64_t id, fetch& f, time_point now, effects& out);
  void settle(time_point now, effects& out);
  void finish(std::uint64_t id, fetch& f, time_point now, effects& out);
  void release(const node_id& node, time_point now, bool tried);
  /// It was asked in vain for what it claims.
  void note_stale(const node_id& from, time_point now, effects& out);
  void punish(const node_id& node, std::string why, bool lied, time_point now, effects& out);
  /// What a message is about: whether it was asked for, and the block where somebody still waits.
  struct answer {
    bool asked{false};
    block* about{nullptr};
  };
  [[nodiscard]] answer answered(const node_id& from, std::uint64_t ticket, std::uint32_t number,
                                time_point now, effects& out);
  void note(fetch_decision decision);
  [[nodiscard]] fetch_decision* decision_of(std::uint64_t serial);

  std::map<node_id, source> sources_;
  std::set<node_id> members_;
  std::map<std::uint64_t, fetch> fetches_;
  std::map<std::uint64_t, question> questions_; ///< by ticket
  std::uint64_t tickets_{0};
  std::vector<fetch_decision> decisions_;
  std::uint64_t decisions_made_{0}; ///< serial of the next
  std::map<digest, std::pair<std::uint64_t, std::uint64_t>>
      declined_; ///< model: us a block, serial
  block_exchange_counts counts_;
};

/// Who computed the block that was wanted; these bytes are it, as far as they tell themselves: of
/// that unit, made by who knew its window's name, and signed by its author.
[[nodiscard]] result<node_id> check_block(const wanted_block& wanted,
                                          const block_exchange_core::bytes_pointer& bytes);

} // namespace ovir::actors
