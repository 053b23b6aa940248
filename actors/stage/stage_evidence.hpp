#pragma once

#include "actors/protocol/protocol.hpp"
#include "actors/stage/row_digests.hpp"
#include "actors/stage/shard_core.hpp"
#include "messages/digest_tree.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/wire/frame.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace ovir::actors {

/// A step as its evidence sees it: what came in, what went out. Holds frames, not copies of them.
struct evidence_step {
  frame_bytes received; ///< null: what is sent was sent before
  frame_bytes sent;     ///< null: nothing
  std::vector<compute::unit_leaf> leaves;
  /// Logits that were computed but not sent, of positions that are known.
  std::vector<std::pair<position, stated_draw>> logits;
  std::chrono::nanoseconds time{0};
  std::shared_ptr<session_data> data; ///< for K and V
  std::vector<window_origin> windows; ///< that became complete
  bool restored{false};               ///< they came from the cache: nothing was received or sent
  std::chrono::nanoseconds came{};    ///< the input, since the request's first frame ...
  std::chrono::nanoseconds left{};    ///< ... and what is sent
};

/// What a stage has to tell; both may be empty.
struct evidence_news {
  evidence_batch to_lead;
  evidence_batch to_next; ///< signatures of the link
};

/// What one stage signs about one request: commits to windows, follows what comes in and goes out,
/// states a window when all of it is known, and signs what it sends every
/// `limits::link_signature_positions` positions. A core: no clock, no thread. What it is told may
/// lag behind the work, in the work's order. It signs no statement for an input that whoever sent
/// it did not sign.
class stage_evidence {
public:
  /// Precondition: `bench` has a desk.
  stage_evidence(evidence_order order, std::shared_ptr<const stage_bench> bench);

  /// Nothing yet, from this stage.
  [[nodiscard]] evidence_news begin() const;
  /// The stage is about to compute positions below `end`.
  void commit(position end, evidence_news& news);
  /// `since`: since the request's first frame came.
  void add(const evidence_step& step, std::chrono::nanoseconds since, evidence_news& news);
  /// Link signatures from the stage before, or the lead. Verified is the one that a statement is
  /// about to show; others are kept until then, within `limits::links_unchecked_max`.
  void take(const evidence_batch& links, evidence_news& news);
  /// The request ends after `length` positions; `open` are the leaves of windows begun.
  void finish(position length, const std::vector<compute::unit_leaf>& open,
              std::chrono::nanoseconds since, evidence_news& news);
  /// Everything signed so far, for a lead that was not there, in as many batches as it takes.
  [[nodiscard]] std::vector<evidence_batch> all() const;
  /// The latest signature of each window that was sent on, for a next stage that was not there.
  [[nodiscard]] evidence_batch links() const;
  [[nodiscard]] const evidence_order& order() const noexcept { return order_; }

private:
  struct received_link {
    evidence_signer sender; ///< until it is verified: as it says itself
    link_signature link;
  };

  void sign_links(position before, bool ended, evidence_news& news);
  void resend_links(const frame_header& sent, position before, evidence_news& news);
  void state_windows(evidence_news& news);
  [[nodiscard]] bool state_window(std::uint32_t window, std::uint32_t positions,
                                  evidence_news& news);
  [[nodiscard]] bool fill(statement& s);
  [[nodiscard]] bool cite(statement& s, const window_origin& origin) const;
  [[nodiscard]] const digest& commitment_to(std::uint32_t window) const;
  void note_handover(position first, const evidence_step& step);
  [[nodiscard]] std::vector<handover> handovers_of(position first, std::uint32_t positions) const;
  void take_units(const evidence_step& step);
  void add_restored(const evidence_step& step, evidence_news& news);
  void pay_links(evidence_news& news);
  void add_logits(const evidence_step& step, position certain);
  [[nodiscard]] bool holds(const received_link& received) const;
  void verify_oldest();
  /// The verified signature of who sent a window, over just this input; null: nobody gave one.
  [[nodiscard]] const received_link* sender_of(std::uint32_t window, std::uint32_t positions,
                                               const digest& input);

  std::shared_ptr<const stage_bench> bench_;
  const secret_key& key_;
  evidence_order order_;
  evidence_signer by_;
  bool first_{false};
  bool last_{false};
  row_digests in_;
  row_digests out_; ///< of a stage that is not the last
  std::map<compute::unit_name, compute::unit_leaf> units_;
  std::map<std::uint32_t, window_origin> origins_; ///< of complete windows not stated yet
  std::map<position, stated_draw> draws_;
  std::map<std::uint32_t, std::chrono::nanoseconds> times_; ///< of windows not stated yet
  std::map<position, handover> handovers_;          ///< likewise, by the position behind each step
  std::map<std::uint32_t, received_link> received_; ///< likewise; verified
  std::deque<received_link> unchecked_;             ///< likewise; as they came
  std::map<std::uint32_t, link_signature> sent_;    ///< the latest
  std::vector<link_signature> owed_links_;          ///< of restored windows, not said yet
  std::shared_ptr<session_data> data_;
  std::optional<position> end_;
  std::chrono::nanoseconds since_{0};
  stage_records records_;
  std::vector<digest> commitments_; ///< `signed_digest` of each
  growing_tree history_;
};

/// In a frame for the lead or the next stage.
[[nodiscard]] frame_bytes evidence_frame(request_id request, epoch driver,
                                         const evidence_batch& batch);
/// Whether a batch says anything.
[[nodiscard]] bool says_anything(const evidence_batch& batch);

} // namespace ovir::actors
