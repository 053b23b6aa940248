#pragma once

#include "messages/digest.hpp"
#include "messages/evidence/unit_claim.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What the stages of a request sign about what they compute: a commitment before a window, a
/// statement after it, and what they send to the next stage. docs/formats/receipt.md has the
/// grammar of every digest made here; nothing that is signed is written anywhere else.
namespace ovir {

/// What a request is, for all who sign something about it.
struct evidence_terms {
  request_id request;
  digest content; ///< `request_digest`: model, prompt, sampling, limits
  digest model;
  std::string profile;     ///< "exact-1"
  std::uint32_t layers{0}; ///< of the model

  friend bool operator==(const evidence_terms&, const evidence_terms&) = default;
};

/// What a lead asks its stages to sign for, and by when it wants to be done.
struct evidence_order {
  evidence_terms terms;
  std::uint64_t deadline_unix{0}; ///< seconds since 1970
  std::uint32_t step_us{0}; ///< what the deadline leaves for a step of the whole path; 0: unknown

  friend bool operator==(const evidence_order&, const evidence_order&) = default;
};

/// Who signs for which layers, and with what program. A lead signs for no layers, [0, 0).
struct evidence_signer {
  layer_range layers;
  node_id node;
  std::string software; ///< version, instruction set, digest of the kernels' test vectors

  friend bool operator==(const evidence_signer&, const evidence_signer&) = default;
};

/// Signed before the work: this signer will compute windows [window, window + windows) by the
/// deadline, and hold a step of theirs for `step_us` at most. `statements` is how many windows it
/// had stated by then, `history` the root over them, and so over what came in.
struct commitment {
  std::uint32_t window{0};
  std::uint32_t windows{0};
  std::uint32_t statements{0};
  std::uint64_t deadline_unix{0}; ///< seconds since 1970
  std::uint32_t step_us{0};       ///< its part of the order's, by layers; 0: no bound
  signature proof;

  friend bool operator==(const commitment&, const commitment&) = default;
};

/// When the input of a window's positions below `positions` had come, and when what it became was
/// sent on: microseconds since the request's first frame came to this stage, by its own clock. A
/// claim, which the stages before and behind have a say in (messages/evidence/lateness.hpp).
struct handover {
  std::uint32_t positions{0};
  std::uint32_t came_us{0};
  std::uint32_t sent_us{0};

  friend bool operator==(const handover&, const handover&) = default;
};

/// Signed after the work: what came of one window. Roots and the history are not kept, because
/// they follow from what is.
struct statement {
  std::uint32_t window{0};
  std::uint32_t positions{0}; ///< 32, or fewer for the last window of a request
  digest input;               ///< of the boundary, or of the token ids, that came in
  /// Per layer, in order: the digest of its boundary; of the model's last layer, of its K and V.
  std::vector<digest> units;
  std::vector<digest> kv; ///< per layer, in order: the digest of its K and V of this window
  /// Of units that its signer reused and another computed, in order of layers: only of a window of
  /// 32 positions without logits. The claim is that of `claim_of`.
  std::vector<unit_citation> cited;
  /// Raw logits that were asked for: of positions [first_draw, first_draw + logits.size()).
  position first_draw{0};
  std::vector<digest> logits;
  /// Where its lead asked for choices: of each of these rows the token it told it, that of the
  /// highest logit. Else empty.
  std::vector<token_id> choices;
  std::uint64_t compute_us{0}; ///< spent in passes over this window's positions: a claim
  std::uint64_t elapsed_us{0}; ///< since the request's first frame came to this stage: a claim
  /// Of each step, ascending; of positions that came together one. None of what a cache gave.
  std::vector<handover> handovers;
  signature proof;
  signature received; ///< of the one before, over `input`: what it sent of the whole window

  friend bool operator==(const statement&, const statement&) = default;
};

/// A row of logits as its statement has it.
struct stated_draw {
  digest logits;
  std::optional<token_id> choice; ///< none where the lead was sent the row itself

  friend bool operator==(const stated_draw&, const stated_draw&) = default;
};

/// What was sent to the next stage of the positions of `window` below the `positions`th.
struct link_signature {
  std::uint32_t window{0};
  std::uint32_t positions{0};
  digest output;
  signature proof;

  friend bool operator==(const link_signature&, const link_signature&) = default;
};

/// All that one stage signed, or a part of it on its way.
struct stage_records {
  evidence_signer signer;
  std::vector<commitment> commitments; ///< in order of windows, each next to the one before
  std::vector<statement> statements;   ///< likewise
  /// Who else than the stage before in the path sent it something that a statement builds on: those
  /// whose place that one took.
  std::vector<evidence_signer> senders;

  friend bool operator==(const stage_records&, const stage_records&) = default;
};

/// What a statement binds beside its commitment: what a compact receipt keeps of it.
struct statement_summary {
  std::uint32_t window{0};
  std::uint32_t positions{0};
  digest input; ///< `input_digest`: what came in, who signed for it, and when each step passed
  std::uint32_t units{0};
  std::uint32_t cited{0}; ///< citations
  digest units_root;      ///< over units, and behind them citations
  position first_draw{0};
  std::uint32_t draws{0};
  digest draws_root;
  digest history; ///< root over the signed statements of all windows before
  std::uint64_t compute_us{0};
  std::uint64_t elapsed_us{0};

  friend bool operator==(const statement_summary&, const statement_summary&) = default;
};

/// What a signer of these layers may hold a step for: its part of the order's, by layers, rounded
/// up; 0: no bound.
[[nodiscard]] std::uint32_t part_of_step(const evidence_order& order, layer_range layers);

// Digests. H(domain; fields) as on docs/formats/digest.md.

/// Token ids of a window, as the first stage takes them in.
[[nodiscard]] digest token_window_digest(std::uint32_t window, std::span<const token_id> ids);
/// `output` and `kv`: those of a statement's lists.
[[nodiscard]] digest unit_leaf_digest(std::uint32_t window, layer_index layer,
                                      std::uint32_t positions, const digest& output,
                                      const digest& kv);
[[nodiscard]] digest cited_leaf_digest(const unit_citation& cited);
[[nodiscard]] digest draw_leaf_digest(position at, const digest& logits);
[[nodiscard]] digest choice_leaf_digest(position at, const digest& logits, token_id choice);
[[nodiscard]] digest commitment_digest(const evidence_terms& terms, const evidence_signer& by,
                                       const commitment& what, const digest& history);
/// What others build on: `what` and the signature under it.
[[nodiscard]] digest signed_digest(const digest& what, const signature& proof);
[[nodiscard]] digest input_digest(const digest& input, const signature& received,
                                  std::span<const handover> handovers);
/// `commitment`: the `signed_digest` of the commitment that covers the window.
[[nodiscard]] digest statement_digest(const digest& commitment, const statement_summary& what);
/// What a lead signs before it asks anybody: that this is its request.
[[nodiscard]] digest order_digest(const evidence_terms& terms, const evidence_signer& lead);
[[nodiscard]] digest link_digest(const evidence_terms& terms, const evidence_signer& by,
                                 std::uint32_t window, std::uint32_t positions,
                                 const digest& output);
/// `history`: the root over this signer's statements of the windows before.
[[nodiscard]] statement_summary summary_of(const statement& what, const evidence_signer& by,
                                           const digest& history);
/// What a signer sent of a window: its last boundary, or the root over its logits where the
/// model ends. Precondition: the statement has a unit for each of the signer's layers.
[[nodiscard]] digest output_of(const statement& what, const evidence_signer& by,
                               std::uint32_t model_layers);

/// Who vouches for a unit of `what` instead of its signer; null: the signer does. Precondition: as
/// of `output_of`.
[[nodiscard]] const unit_citation* citation_of(const statement& what, layer_index layer);
/// What `what` claims of one of its units. `earlier`: of this layer in the windows before, as
/// `with_earlier` makes it. Precondition: as of `output_of`; the layer is one of the signer's.
[[nodiscard]] unit_claim claim_of(const statement& what, const evidence_signer& by,
                                  layer_index layer, const digest& earlier);
/// The first window of which a citation does not hold: its author did not sign that claim.
/// Precondition: `find_form_fault` finds nothing.
[[nodiscard]] std::optional<std::uint32_t> find_void_citation(const evidence_terms& terms,
                                                              const stage_records& records);

// Signatures, each with a domain of its own.

[[nodiscard]] signature sign_order(const secret_key& key, const digest& what);
[[nodiscard]] signature sign_commitment(const secret_key& key, const digest& what);
[[nodiscard]] signature sign_statement(const secret_key& key, const digest& what);
[[nodiscard]] signature sign_link(const secret_key& key, const digest& what);
[[nodiscard]] signature sign_closing(const secret_key& key, const digest& what);
[[nodiscard]] bool verify_order(const node_id& by, const digest& what, const signature& s);
[[nodiscard]] bool verify_commitment(const node_id& by, const digest& what, const signature& s);
[[nodiscard]] bool verify_statement(const node_id& by, const digest& what, const signature& s);
[[nodiscard]] bool verify_link(const node_id& by, const digest& what, const signature& s);
[[nodiscard]] bool verify_closing(const node_id& by, const digest& what, const signature& s);

// On its way

/// Commitments and statements to the lead, or signatures of a link to the next stage.
struct evidence_batch {
  request_id request;
  stage_records records;
  std::vector<link_signature> links;

  friend bool operator==(const evidence_batch&, const evidence_batch&) = default;
};

/// A Cap'n Proto message of one segment, at a multiple of 8. Precondition: `check_records`.
[[nodiscard]] std::vector<std::byte> encode_evidence(const evidence_batch& batch);
/// A batch has one encoding; others are refused. `malformed`, `unsupported` (another version) or
/// `over_limit`. Nothing is allocated by a number that no bytes back. `bytes` may lie anywhere.
[[nodiscard]] result<evidence_batch> decode_evidence(std::span<const std::byte> bytes);
/// Ranges of the numbers in what one stage signed: what may be written and read.
[[nodiscard]] result<void> check_records(const stage_records& records);

/// What does not fit in what one stage signed, and in which window.
struct form_fault {
  std::string what;
  std::uint32_t window{0};
};
/// Order and shape: commitments and statements follow one another from window 0 on, each statement
/// is covered by a commitment and has a unit per layer, its logits lie in its window and only where
/// the model ends. Nothing about signatures.
[[nodiscard]] std::optional<form_fault> find_form_fault(const stage_records& records,
                                                        std::uint32_t model_layers);

} // namespace ovir
