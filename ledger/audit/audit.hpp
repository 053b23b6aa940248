#pragma once

#include "ledger/audit/audit_draw.hpp"
#include "ledger/audit/track_record.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

/// An auditor's mind: which units it looks at, and what follows from what it finds. Recomputing is
/// others' business: digests come in, effects go out. No clock, no chance, no files.
namespace ovir::ledger {

/// A unit, or a draw, as somebody stated it. `window` and `layer` name it within its receipt.
struct stated_unit {
  node_id signer;
  std::uint32_t window{0};
  std::uint32_t layer{0};
  digest key;    ///< compute::unit_key, for the draw
  digest stated; ///< its output

  friend bool operator==(const stated_unit&, const stated_unit&) = default;
};

struct audit_settings {
  std::uint64_t least_rate_ppm{100'000}; ///< a_min
  std::uint64_t planted_ppm{50'000};     ///< of drawn windows, how many a known answer is asked of
};

/// A mismatch under way.
struct audit_case_id {
  std::uint64_t value{0};
  friend auto operator<=>(const audit_case_id&, const audit_case_id&) = default;
};

// What the shell must do.
/// Have `host` compute the unit again. It is not told what was computed here.
struct ask_host {
  audit_case_id about;
  node_id host;
};
/// Two hosts agree that `signer` stated something wrong: `hosts` are those. It is not convicted
/// before it was heard (hearing.hpp): then `learn_conviction`.
struct convict_signer {
  audit_case_id about;
  node_id guilty;
  std::vector<node_id> hosts;
};
/// `host` vouched for what others compute differently: its word counts no more.
struct strike_auditor {
  audit_case_id about;
  node_id host;
};
/// Nobody is there who could compute it again: `ask_again`, later.
struct wait_for_host {
  audit_case_id about;
};
/// No conviction: nobody else was there for long, or the others contradict this auditor.
struct leave_open {
  audit_case_id about;
  node_id signer;
  std::string_view reason;
};
using audit_effect =
    std::variant<ask_host, convict_signer, strike_auditor, wait_for_host, leave_open>;

/// From a sampled unit to a conviction. Never convicts on one host's word, nor on the signer's own.
class audit_book {
public:
  /// `self` is this auditor. `records` outlives the book.
  audit_book(node_id self, hash_chain chain, track_records& records, audit_settings how);

  /// Which of `units`, all of one receipt under `head`, are to be computed again. Uses the chain's
  /// next link, for these and no others. Units of who is convicted are not drawn. `over_limit` when
  /// the chain is used up.
  struct drawn_units {
    std::uint32_t index{0}; ///< of the link
    digest link;
    std::vector<std::size_t> units; ///< of those given, in order
  };
  [[nodiscard]] result<drawn_units> draw(const digest& head, std::span<const stated_unit> units);

  /// The units of a receipt in which nothing was found wrong: sampled or not, they count as valid.
  void settle(std::span<const stated_unit> units, std::uint64_t now);

  /// What `node` stated that a window was computed from it does not show.
  void withheld(const node_id& node, std::uint64_t now);

  /// This host computed `unit` from inputs that equal those stated, and got something else. It is
  /// the first unit of `unit.signer` that differs. `hosts` are who may be asked, in order.
  std::vector<audit_effect> differs(const stated_unit& unit, const digest& computed,
                                    std::span<const node_id> hosts, std::uint64_t now);
  /// A unit that was stated as it was computed here: any other answer strikes who gives it, and no
  /// one is convicted. Hosts are asked, in order, just as of one that differs.
  std::vector<audit_effect> plant(const stated_unit& unit, std::span<const node_id> hosts);
  /// What `host` computed. From hosts that were not asked, it is void.
  std::vector<audit_effect> answered(audit_case_id about, const node_id& host,
                                     const digest& computed, std::uint64_t now);
  /// `host` did not answer in time, or is gone.
  std::vector<audit_effect> silent(audit_case_id about, const node_id& host, std::uint64_t now);
  /// Of a case that waits: `hosts` are who may be asked now, in order. After
  /// limits::second_opinion_rounds_max times it is left open.
  std::vector<audit_effect> ask_again(audit_case_id about, std::span<const node_id> hosts);
  /// `node` is convicted, by whoever it was: heard, or checked.
  std::vector<audit_effect> learn_conviction(const node_id& node, std::uint64_t now);

  /// `node` admitted a fault: what waits about it is over, and its standing begins anew.
  std::vector<audit_effect> learn_admission(const node_id& node, std::uint64_t now);

  [[nodiscard]] const stated_unit* unit_of(audit_case_id about) const;
  [[nodiscard]] bool is_planted(audit_case_id about) const;
  [[nodiscard]] std::size_t open_cases() const noexcept { return cases_.size(); }
  [[nodiscard]] std::uint32_t links_used() const noexcept { return used_; }
  /// Goes on behind links that an earlier life used.
  void skip_links(std::uint32_t used) noexcept { used_ = used; }
  /// Everything applied to `records` by this book, in order, since the last call.
  [[nodiscard]] std::vector<track_event> take_events();

private:
  struct open_case {
    stated_unit unit;
    digest computed; ///< here
    bool planted{false};
    std::vector<node_id> left;        ///< to ask, last first
    std::optional<node_id> asked;     ///< waits for it
    std::vector<node_id> contradicts; ///< computed something else
    std::uint32_t rounds{0};          ///< in which nobody answered
  };
  [[nodiscard]] std::size_t planted_cases() const noexcept;
  void choose_hosts(open_case& c, std::span<const node_id> hosts) const;
  std::vector<audit_effect> ask_next(audit_case_id about, open_case& c);
  std::vector<audit_effect> forget(const node_id& node);
  void note(const node_id& node, work_event what, std::uint32_t units, std::uint64_t now);

  node_id self_;
  hash_chain chain_;
  track_records& records_;
  audit_settings how_;
  std::uint32_t used_{0};
  std::uint64_t next_case_{1};
  std::map<audit_case_id, open_case> cases_;
  std::vector<track_event> events_;
};

} // namespace ovir::ledger
