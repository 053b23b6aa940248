#pragma once

#include "ledger/rules/account.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

/// What an auditor knows of others' pasts, as a log of events that anybody can count again
/// (docs/formats/audit.md, "Log"). The formulas are those of standing.hpp.
namespace ovir::ledger {

enum class work_event : std::uint8_t {
  valid = 1,      ///< `units` finished in time and not found wrong
  late = 2,       ///< `units` finished too late: not paid
  missing = 3,    ///< `units` never finished, or not revealed when asked: not paid
  wrong = 4,      ///< `units` that one host computed differently: no verdict yet
  idle_audit = 5, ///< an auditor vouched for what two others compute differently
  convicted = 6,
};

struct track_event {
  std::uint64_t time{0}; ///< seconds since 1970
  node_id node;
  work_event what{work_event::valid};
  std::uint32_t units{0};

  friend bool operator==(const track_event&, const track_event&) = default;
};

inline constexpr std::size_t track_event_bytes = 64;

/// One event as it is kept. `before`: what the event before ended in, or all zero, so that none can
/// be left out or put in between.
[[nodiscard]] std::array<std::byte, track_event_bytes>
encode(const track_event& e, const std::array<std::byte, 16>& before);
/// Inverse. `malformed` for anything else.
[[nodiscard]] result<track_event> decode_track_event(std::span<const std::byte> bytes,
                                                     const std::array<std::byte, 16>& before);

/// Counts of all identities, from events alone: the same events give the same figures.
class track_records {
public:
  /// `rules`: its half-life of silence. Outlives this.
  explicit track_records(policy rules = {}) : rules_(std::move(rules)) {}

  /// Times may not go back by identity: an earlier one counts as the latest known.
  void apply(const track_event& e);
  /// LEDGER.md, section 6; 0 for one that is not known.
  [[nodiscard]] std::uint64_t reputation(const node_id& node, std::uint64_t now) const;
  /// max(least, 1 / consecutive valid units) in ppm; all of one that is not known.
  [[nodiscard]] std::uint64_t audit_rate(const node_id& node, std::uint64_t least_ppm) const;
  [[nodiscard]] bool convicted(const node_id& node) const;
  /// Vouched for something wrong without having computed it: not asked again.
  [[nodiscard]] bool idle_auditor(const node_id& node) const;
  [[nodiscard]] std::vector<node_id> known() const;
  [[nodiscard]] const account* find(const node_id& node) const;

private:
  struct record {
    account counts;
    bool idle{false};
  };
  policy rules_;
  std::map<node_id, record> records_;
};

/// Replays a log: as many whole events as it begins with. `bytes_used` is where the first one that
/// is torn or damaged begins.
struct replayed_log {
  std::vector<track_event> events;
  std::size_t bytes_used{0};
  std::array<std::byte, 16> last{};
};
[[nodiscard]] replayed_log replay_track_log(std::span<const std::byte> bytes);

} // namespace ovir::ledger
