#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits_audit.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

/// What verifiers say to one another and to everybody (docs/formats/audit.md): questions about
/// single units, signed verdicts, and convictions, which hold all that is needed to look oneself.
namespace ovir {

enum class audit_part : std::uint8_t {
  unit = 1,  ///< output of a layer over a window
  draw = 2,  ///< the raw logits of a position
  token = 3, ///< the token that follows from them
};

/// One thing that somebody stated in a receipt.
struct audit_place {
  audit_part part{audit_part::unit};
  std::uint32_t window{0};
  layer_index layer{0}; ///< of a draw or token: the model's last
  position at{0};       ///< of a draw or token; of a unit 0

  friend bool operator==(const audit_place&, const audit_place&) = default;
  friend auto operator<=>(const audit_place&, const audit_place&) = default;
};

/// A verifier's word that it computed this, itself.
struct audit_verdict {
  node_id verifier;
  signature proof; ///< over `verdict_digest`

  friend bool operator==(const audit_verdict&, const audit_verdict&) = default;
};

/// What is signed by who computed `place` of the receipt with this digest: and got `computed`.
[[nodiscard]] digest verdict_digest(const digest& receipt, const audit_place& place,
                                    const digest& computed);
[[nodiscard]] audit_verdict give_verdict(const secret_key& key, const digest& receipt,
                                         const audit_place& place, const digest& computed);
[[nodiscard]] bool verify_verdict(const audit_verdict& v, const digest& receipt,
                                  const audit_place& place, const digest& computed);
/// Names a receipt by its bytes.
[[nodiscard]] digest receipt_digest(std::span<const std::byte> receipt);

enum class conviction_kind : std::uint8_t {
  replay = 1,       ///< one receipt, and what at least two hosts computed instead
  equivocation = 2, ///< two receipts, in which it states different outputs for the same input
};

struct conviction {
  conviction_kind kind{conviction_kind::replay};
  node_id guilty;
  audit_place place;
  digest computed; ///< of a replay; else all zero
  std::vector<std::vector<std::byte>> receipts;
  std::vector<audit_verdict> verdicts;

  friend bool operator==(const conviction&, const conviction&) = default;
};

/// A scheduler gives a finished request's receipt to a verifier. `suspect`: another run of the same
/// request came to something else, so all of it is to be looked at.
struct audit_offer {
  bool suspect{false};
  std::vector<std::byte> receipt;

  friend bool operator==(const audit_offer&, const audit_offer&) = default;
};
/// A verifier asks another: compute this. It does not say what it computed itself.
struct audit_question {
  std::uint64_t number{0};
  audit_place place;
  std::vector<std::byte> receipt;

  friend bool operator==(const audit_question&, const audit_question&) = default;
};
struct audit_answer {
  std::uint64_t number{0};
  digest computed;
  audit_verdict verdict;

  friend bool operator==(const audit_answer&, const audit_answer&) = default;
};
/// Whom a node holds for convicted, told to another from time to time: who lacks some is sent them.
struct audit_known {
  bool answer{false};             ///< to such a message: not answered by another
  std::vector<node_id> convicted; ///< ascending, at most limits::audit_convicted_max

  friend bool operator==(const audit_known&, const audit_known&) = default;
};
/// What a verifier's log says of those it audited, told to schedulers: their planners ask.
struct audit_standing {
  std::vector<node_id> nodes;                 ///< ascending, at most limits::audit_convicted_max
  std::vector<std::uint32_t> reputations_ppm; ///< as many, at most 10^6 each

  friend bool operator==(const audit_standing&, const audit_standing&) = default;
};
using audit_message = std::variant<audit_offer, audit_question, audit_answer, conviction,
                                   audit_known, audit_standing>;

/// A Cap'n Proto message of one segment, at a multiple of 8. `over_limit` where it would be larger
/// than limits::audit_message_bytes_max.
[[nodiscard]] result<std::vector<std::byte>> encode_audit(const audit_message& message);
/// One encoding, others are refused: `malformed`, `unsupported` (another version, or a kind or part
/// this one does not know) or `over_limit`. Nothing is allocated by a number that no bytes back.
[[nodiscard]] result<audit_message> decode_audit(std::span<const std::byte> bytes);

} // namespace ovir
