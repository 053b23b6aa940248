#pragma once

#include "actors/protocol/wire.hpp"
#include "compute/model/model.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Between two ticks of a host.
inline constexpr std::chrono::milliseconds host_tick_interval{250};
/// Before another scheduler is asked to go on for one whose link is lost, but who is not dead.
inline constexpr std::chrono::seconds orphan_patience{1};
/// A stage that has had no link to the next one for so long says so to its lead.
inline constexpr std::chrono::seconds hand_over_patience{1};

/// What a node computes for the leads of requests: who drives each, how much memory it was
/// promised, and when it is given up. Events in, answers out; no CAF, no clock.
class host_core {
public:
  using session_key = std::pair<request_id, layer_index>;

  struct session {
    node_id lead;
    epoch driver;
    std::string slot;
    digest model;           ///< may be an adapter's beside the slot's own
    node_id previous;       ///< whose frames it gets, and ...
    node_id next;           ///< ... who gets its
    std::uint64_t bytes{0}; ///< promised: KV cache, kept boundaries, log
    std::optional<request_log> log;
    std::optional<evidence_order> evidence; ///< to sign for
    bool withdrawn{false};                  ///< no other scheduler is asked to go on
    std::size_t drawn_max{0};               ///< tokens the log has room for
    std::uint32_t windows_max{0};           ///< that may be named
    std::uint32_t orphan_ticks{0};          ///< since the lead's node was last there
    std::uint32_t asked{0};                 ///< schedulers asked to adopt it
    std::uint32_t ask_in{0};                ///< ticks until the next is asked
    bool doubtful{false};         ///< the link to its lead was lost, and the lead not heard since
    std::uint32_t doubt_ticks{0}; ///< with the lead's node there again
    std::uint32_t cut_ticks{0};   ///< without a link to `next`
  };

  /// Which nodes are there, as the shell sees it at the moment.
  struct surroundings {
    std::function<bool(const node_id&)> is_there;  ///< an alive member with a link, or this node
    std::function<bool(const node_id&)> is_linked; ///< it has a link, or is this node
    std::function<bool(const node_id&)> is_gone;   ///< dead, left, or no member
  };

  /// Memory for sessions, and whether other schedulers may want some.
  struct room {
    std::uint64_t bytes{0};
    bool has_rivals{false};
  };

  [[nodiscard]] session* find(const session_key& key);
  [[nodiscard]] const std::map<session_key, session>& sessions() const noexcept {
    return sessions_;
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; } ///< promised to all

  /// A scheduler takes a request over only from one that is gone or was lost sight of: while its
  /// lead is there and has spoken since the link was last lost, no other node's higher epoch
  /// counts. Nor does that of a lead without a link: what it said of itself must not shut out those
  /// who have one. `superseded`.
  [[nodiscard]] static result<void> check_driver(const session& known, const node_id& from,
                                                 const wire_message& order,
                                                 const surroundings& around);
  /// An open that a known session cannot go on with.
  [[nodiscard]] static bool begins_anew(const session& known, const node_id& from, epoch driver,
                                        const digest& model, const std::string& slot);
  /// No request of this model is larger, whatever its driver says. `over_limit`.
  [[nodiscard]] static result<void> check_size(const compute::model_config& config,
                                               const wire_open& open);
  /// Of a session of this model, with its log.
  [[nodiscard]] static std::uint64_t bytes_of(const compute::model_config& config,
                                              const wire_open& open);
  /// Whether a session of `bytes` fits in place of the known one. `busy`.
  [[nodiscard]] result<void> check_room(const session_key& key, const node_id& lead,
                                        std::uint64_t bytes, const room& all) const;
  /// Begins the session, or lets its lead go on with it. Takes the log out of `open`.
  session& admit(const session_key& key, const node_id& from, epoch driver, wire_open& open,
                 std::string slot, std::uint64_t bytes);
  void erase(const session_key& key);

  static void keep_drawn(session& s, const log_token& drawn);
  /// An order of its lead is handled. One that is handled after the link was lost was sent before.
  static void note_heard(session& s, const surroundings& around);

  /// What a lead said last may have been lost with the link; if it needs the stage, it says so
  /// again. The sessions that may have lost frames of other stages, of which their lead knows
  /// nothing.
  [[nodiscard]] std::vector<session_key> link_lost(const node_id& node);

  struct tick_result {
    std::vector<session_key> expired;   ///< to be dropped
    std::vector<session_key> forgotten; ///< of these, leads that are there and are to be told
    std::vector<session_key> cut_off;   ///< cannot hand over: their leads need another path
    /// Other schedulers are to be asked to go on with these, in this order.
    std::vector<session_key> orphans;
  };
  [[nodiscard]] tick_result tick(const surroundings& around);

private:
  [[nodiscard]] static bool may_ask(const session& orphan, const surroundings& around);
  [[nodiscard]] std::vector<session_key> first_orphans(std::vector<session_key> due);

  std::map<session_key, session> sessions_;
  std::uint64_t bytes_{0};
};

} // namespace ovir::actors
