#pragma once

#include "actors/protocol/protocol.hpp"
#include "actors/stage/signing_desk.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/request/path.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ovir::actors {

/// What a lead knows of its own for a receipt.
struct receipt_facts {
  request_facts asked;
  std::vector<token_id> output;
  finish_reason end{finish_reason::length};
  std::uint32_t positions{0};
  digest transcript;
  std::chrono::nanoseconds first_token{0};
  std::chrono::nanoseconds prefill{0};
  std::chrono::nanoseconds decode{0};
  layer_places path;                   ///< a node is empty within one process
  std::vector<attestation> attested{}; ///< of nodes; those of none that signed are left out
};

/// What was asked for, as it enters the request's digest.
[[nodiscard]] request_facts facts_of(const request_log& request, std::uint32_t layers);
/// Whether `more` takes the place of what `known` signed: a stage that took another's place, or one
/// that tells everything again.
[[nodiscard]] bool begins_anew(const evidence_signer& known, const stage_records& more);
/// Adds what came behind what is known, or begins anew with it.
void add_records(stage_records& known, stage_records&& more);

/// A lead's side of evidence: its order, the tokens it signs for, and the receipt. Stateless but
/// for what it is given, so that all of it can run at the signing desk. `desk` outlives it.
class lead_evidence {
public:
  /// `step_us`: as of `evidence_order`.
  lead_evidence(const signing_desk& desk, request_facts asked, std::uint64_t deadline_unix,
                std::uint32_t step_us = 0);

  [[nodiscard]] const evidence_order& order() const noexcept { return order_; }
  [[nodiscard]] const request_facts& asked() const noexcept { return asked_; }
  [[nodiscard]] const signing_desk& desk() const noexcept { return desk_; }

  /// Signatures of the link to the first stage, which was sent tokens [first, end): of each window
  /// that is complete, and of the last up to `end`. `tokens` begin at the start of the window that
  /// `first` is in.
  [[nodiscard]] evidence_batch sign_tokens(std::span<const token_id> tokens, position first,
                                           position end) const;

  /// The receipt from the frames of evidence that came, in order. `timed_out` when statements are
  /// still missing, naming the stage; `digest_mismatch` when what a stage signed is wrong, naming
  /// its signer. No receipt is handed out that does not pass `compute::check_receipt`, in which
  /// signatures that this process made or verified are not verified again.
  [[nodiscard]] result<std::vector<std::byte>> make(const receipt_facts& facts,
                                                    const std::vector<frame_bytes>& frames) const;

  /// A receipt of what all stages of one path have stated by these frames, each its last: for
  /// audits, where that path is left or more does not come, and of no use to a client. It is as
  /// that of a request that was cancelled behind the last window that is whole, and before the
  /// first whose tokens were drawn from other logits than are stated: as where an earlier path
  /// told them. `output`: the tokens drawn so far; `draws`: by position, what each was drawn from.
  /// `not_found` where no window is left, else as `make`.
  [[nodiscard]] result<std::vector<std::byte>>
  make_part(std::span<const token_id> output, std::span<const std::pair<position, digest>> draws,
            const std::vector<frame_bytes>& frames) const;

private:
  /// From whole statements; closed by this lead.
  [[nodiscard]] result<std::vector<std::byte>> close(receipt&& r) const;

  const signing_desk& desk_;
  request_facts asked_;
  evidence_order order_;
  evidence_signer by_;
};

} // namespace ovir::actors
