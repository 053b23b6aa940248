#pragma once

#include "ledger/audit/log_watch.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

/// Audits that follow from the log. Of who drives requests: their receipts are held
/// (held_receipts.hpp) until their units are drawn, are offered to who has to look at them, and
/// again until the log says that it did. Of a verifier: what it has to look at. Receipts are named
/// by what their requests are about. Pure: knows no actor, no disk and no clock.
namespace ovir::actors {

class drawn_audits {
public:
  using time_point = storage::env::time_point;
  struct offer {
    digest about;
    node_id verifier;
    std::set<node_id> signers; ///< whose units it has to look at
  };
  struct due_receipts {
    std::vector<offer> offers;
    /// No verifier has to look at some of their units: for any verifier that draws by itself.
    std::vector<digest> undrawn;
    std::vector<digest> unentered; ///< of these, those that no entry of the log is about
    std::vector<digest> over;      ///< held no longer, once the others are dealt with
    std::vector<digest> unaudited; ///< of these, given up: no verifier looked at drawn units
  };
  struct duty {
    ledger::audit_unit unit;
    node_id driver; ///< of its request, by the log
  };

  explicit drawn_audits(const node_id& self) : self_(self) {}

  /// Holds a receipt of so many bytes, of a request that this node drove or of a part of it, beside
  /// those that it holds of the same request. The oldest requests make room, within
  /// limits::held_receipts_bytes_max and limits::held_receipts_max: they are `over`, and `undrawn`.
  void hold(const digest& about, std::size_t bytes, time_point now);
  void take(const ledger::audit_news& news);
  /// What is to be done now. Each verifier gets limits::audit_offers_at_once, oldest first, and
  /// more as the log has their audits; an offer again after limits::audit_offer_again, and twice
  /// as late each further time. Says nothing between two looks at very many.
  [[nodiscard]] due_receipts due(time_point now);

  /// This verifier has not the layers of this signer's units, and may fetch them: others look at
  /// them meanwhile, and nothing waits for it longer than limits::audit_lacking_lasts.
  void note_lacking(const digest& about, const node_id& verifier, const node_id& signer);

  /// What this node has to look at, of the request that is about this.
  [[nodiscard]] std::vector<duty> duties_of(const digest& about) const;
  /// It did: in the receipt of this digest, at a stage that begins with `layer`.
  void note_seen(const digest& about, const duty& which, layer_index layer, const digest& receipt);
  /// What the log has to be told, until it has it: anew, or again after limits::audit_say_again. At
  /// most limits::audits_said_at_once.
  [[nodiscard]] std::vector<ledger::compensate> unsaid(time_point now);
  /// Still to be looked at.
  [[nodiscard]] std::size_t duties() const noexcept { return duties_.size() - seen_.size(); }
  [[nodiscard]] std::size_t held() const noexcept { return held_order_.size(); }

private:
  using unit = std::tuple<std::uint32_t, node_id>; ///< window, signer
  /// What the log says of a request that this node drives.
  struct offered {
    time_point last{};
    std::uint32_t times{0};
  };
  struct followed {
    std::optional<std::size_t> bytes; ///< none: it runs still
    time_point since{};
    std::uint64_t accrued{0};
    std::uint64_t drawn{0};
    bool undrawn{false}; ///< units that no verifier has to look at
    bool settled{false};
    std::map<node_id, std::set<unit>> open;          ///< by verifier
    std::set<std::pair<node_id, node_id>> lacking{}; ///< of these: verifier, signer
    std::map<node_id, offered> offers;
  };
  followed& follow(const digest& about);
  void make_room(const digest& newest);
  [[nodiscard]] std::map<node_id, std::size_t> under_way(time_point now) const;
  [[nodiscard]] static bool waits_for_able(const followed& f);
  void close(const digest& about, due_receipts& out);
  void add_duty(const ledger::audit_duty& d);

  node_id self_;
  std::map<digest, followed> followed_; ///< at most limits::audit_duties_max
  std::deque<digest> followed_order_;
  std::deque<digest> held_order_;
  std::size_t held_bytes_{0};
  time_point looked_{};
  due_receipts crowded_out_;
  /// Several requests may be about the same, as where a client asks two schedulers.
  using duty_key = std::tuple<digest, ledger::escrow_id, std::uint32_t, node_id>;
  [[nodiscard]] static duty_key key_of(const digest& about, const ledger::audit_unit& u) {
    return {about, u.request, u.window, u.signer};
  }
  struct seen {
    layer_index layer{0};
    digest receipt;
    time_point said{};
  };
  std::map<duty_key, duty> duties_; ///< at most limits::audit_duties_max
  std::map<duty_key, seen> seen_;   ///< of these, and not in the log yet
};

} // namespace ovir::actors
