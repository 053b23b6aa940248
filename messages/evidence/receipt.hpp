#pragma once

#include "messages/evidence/attestation.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/request/finish_reason.hpp"
#include "messages/request/params.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// The receipt of one request: everything its stages signed, the tokens, and the lead's signature
/// over the whole. docs/formats/receipt.md is the format.
namespace ovir {

/// What was asked for.
struct request_facts {
  request_id request;
  std::string profile;     ///< "exact-1"
  digest model;            ///< the model's name: BLAKE3 of its manifest
  std::uint32_t layers{0}; ///< of the model
  std::vector<token_id> prompt;
  sampling_params sampling;
  std::uint32_t max_tokens{0};
  std::vector<std::string> stop;
  std::optional<digest> salt{}; ///< of the content, not zero; none: it is not salted

  friend bool operator==(const request_facts&, const request_facts&) = default;
};

/// The same for the same request, whoever asks and when: `request` is not in it. With a salt it
/// says nothing to whoever lacks that.
[[nodiscard]] digest request_digest(const request_facts& facts);
[[nodiscard]] evidence_terms terms_of(const request_facts& facts);

struct receipt {
  request_facts asked;
  std::vector<token_id> output; ///< the ending token included where one was drawn
  finish_reason end{finish_reason::length};
  std::uint32_t positions{0}; ///< computed
  digest transcript;
  // What the lead measured, in microseconds: claims.
  std::uint64_t first_token_us{0};
  std::uint64_t prefill_us{0};
  std::uint64_t decode_us{0};
  evidence_signer lead;              ///< layers [0, 0)
  std::vector<stage_records> stages; ///< in order of layers
  signature order;                   ///< the lead's, over what was asked
  signature closing;                 ///< the lead's, over all of this
  /// What nodes of the stages are attested, where a tier was demanded; at most
  /// limits::receipt_attestations_max. Their attestors signed it, and nothing else signs it.
  std::vector<attestation> attested{};

  friend bool operator==(const receipt&, const receipt&) = default;
};

/// Windows of `positions` positions; positions of window `w` of them.
[[nodiscard]] constexpr std::uint32_t windows_of(std::uint32_t positions) noexcept {
  return (positions + limits::window_positions - 1) / limits::window_positions;
}
[[nodiscard]] constexpr std::uint32_t positions_of(std::uint32_t window,
                                                   std::uint32_t positions) noexcept {
  const std::uint32_t left = positions - window * limits::window_positions;
  return left < limits::window_positions ? left : limits::window_positions;
}

/// What a lead signs at the end: the answer, and each stage's last statement, which binds those
/// before.
struct closing_facts {
  evidence_terms terms;
  std::uint32_t output{0}; ///< tokens
  digest output_ids;
  finish_reason end{finish_reason::length};
  std::uint32_t positions{0};
  digest transcript;
  std::uint64_t first_token_us{0};
  std::uint64_t prefill_us{0};
  std::uint64_t decode_us{0};
  evidence_signer lead;
  struct stage {
    evidence_signer signer;
    digest last_statement; ///< `bound_statement::value`
    std::vector<evidence_signer> senders;
    friend bool operator==(const stage&, const stage&) = default;
  };
  std::vector<stage> stages;

  friend bool operator==(const closing_facts&, const closing_facts&) = default;
};
[[nodiscard]] digest output_digest(std::span<const token_id> ids);
[[nodiscard]] digest closing_digest(const closing_facts& facts);

/// One commitment or statement of a stage with everything it was signed over.
struct bound_statement {
  digest commitment; ///< `signed_digest` of it
  statement_summary summary;
  digest to_sign; ///< `statement_digest` of both
  digest value;   ///< `signed_digest` of that
};
/// The statements of a stage in order, with the commitments that cover them. Precondition:
/// `find_form_fault` finds nothing.
[[nodiscard]] std::vector<bound_statement> bind_statements(const evidence_terms& terms,
                                                           const stage_records& records);

/// What the lead signs. `last_statements`: of each stage, `bound_statement::value` of its last.
[[nodiscard]] closing_facts closing_of(const receipt& r, std::span<const digest> last_statements);

/// A Cap'n Proto message of one segment. Precondition: `check`.
[[nodiscard]] std::vector<std::byte> encode_receipt(const receipt& r);
/// As `decode_evidence`: one encoding, every count and length checked before memory is taken.
[[nodiscard]] result<receipt> decode_receipt(std::span<const std::byte> bytes);
/// Ranges of a receipt's numbers and texts: what may be written and read. Not whether it is true.
[[nodiscard]] result<void> check(const receipt& r);

} // namespace ovir
