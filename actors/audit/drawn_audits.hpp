#pragma once

#include "ledger/audit/log_watch.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

/// Audits that follow from the log. Of who drives requests: receipts wait here until their units
/// are drawn, are offered to who has to look at them, and again until the log says that it did. Of
/// a verifier: what it has to look at. Pure: knows no actor and no clock.
namespace ovir::actors {

class drawn_audits {
public:
  using time_point = storage::env::time_point;
  using receipt_bytes = std::shared_ptr<const std::vector<std::byte>>;
  struct offer {
    digest about;
    node_id verifier;
    std::set<node_id> signers; ///< whose units it has to look at
    receipt_bytes bytes;
  };
  struct due_receipts {
    std::vector<offer> offers;
    /// No verifier has to look at some of their units: for any verifier that draws by itself.
    std::vector<receipt_bytes> undrawn;
    std::uint64_t unaudited{0}; ///< given up with drawn units that no verifier looked at
  };
  struct duty {
    ledger::escrow_id request;
    std::uint32_t window{0}; ///< of positions
    node_id signer;
  };

  explicit drawn_audits(const node_id& self) : self_(self) {}

  /// A receipt of a request that this node drove. The oldest make room, within
  /// limits::held_receipts_bytes_max: they count as `undrawn`.
  void hold(const digest& about, receipt_bytes bytes, time_point now);
  void take(const ledger::audit_news& news);
  /// What is to be done now; offers again after limits::audit_offer_again.
  [[nodiscard]] due_receipts due(time_point now);

  /// This verifier has not the layers of this signer's units: others may.
  void pass_over(const digest& about, const node_id& verifier, const node_id& signer);

  /// What this node has to look at, of the request that is about this.
  [[nodiscard]] std::vector<duty> duties_of(const digest& about) const;
  /// It did.
  void finish(const digest& about, std::uint32_t window, const node_id& signer);
  [[nodiscard]] std::size_t duties() const noexcept { return order_.size(); }
  [[nodiscard]] std::size_t held() const noexcept { return held_order_.size(); }

private:
  using unit = std::tuple<std::uint32_t, node_id>; ///< window, signer
  /// What the log says of a request that this node drives.
  struct followed {
    receipt_bytes bytes; ///< null: it runs still
    time_point since{};
    std::uint64_t accrued{0};
    std::uint64_t drawn{0};
    bool undrawn{false}; ///< units that no verifier has to look at
    bool settled{false};
    std::map<node_id, std::set<unit>> open; ///< by verifier
    std::map<node_id, time_point> offered;
  };
  followed& follow(const digest& about);
  void close(const digest& about, due_receipts& out);
  void add_duty(const ledger::audit_duty& d);

  node_id self_;
  std::map<digest, followed> followed_; ///< at most limits::audit_duties_max
  std::deque<digest> followed_order_;
  std::deque<digest> held_order_;
  std::size_t held_bytes_{0};
  std::vector<receipt_bytes> crowded_out_;
  std::map<std::tuple<digest, std::uint32_t, node_id>, ledger::escrow_id> duties_;
  std::deque<std::tuple<digest, std::uint32_t, node_id>> order_;
};

} // namespace ovir::actors
