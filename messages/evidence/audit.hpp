#pragma once

#include "messages/digest.hpp"
#include "messages/evidence/audit_task.hpp"
#include "messages/ids.hpp"
#include "messages/limits/audit.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What verifiers say to one another and to everybody (docs/formats/audit.md): questions about
/// single units, signed verdicts, and convictions, which hold all that is needed to look oneself.
namespace ovir {

enum class audit_part : std::uint8_t {
  unit = 1,  ///< output of a layer over a window
  kv = 4,    ///< K and V of a layer over a window
  draw = 2,  ///< the raw logits of a position
  token = 3, ///< the token that follows from them
};

/// One thing that somebody stated in a receipt.
struct audit_place {
  audit_part part{audit_part::unit};
  std::uint32_t window{0};
  layer_index layer{0}; ///< of a draw or token: the model's last
  position at{0};       ///< of a draw or token; else 0

  /// Of what a layer makes of a window.
  [[nodiscard]] bool of_layer() const noexcept {
    return part == audit_part::unit || part == audit_part::kv;
  }

  friend bool operator==(const audit_place&, const audit_place&) = default;
  friend auto operator<=>(const audit_place&, const audit_place&) = default;
};

/// Which implementation of the arithmetic computed something. Values travel.
/// `neon`: any set of aarch64, which share their float operations and unpack weights alike.
enum class audit_kernels : std::uint8_t { reference = 1, avx2 = 2, avx512 = 3, neon = 4 };
[[nodiscard]] std::string_view to_string(audit_kernels kernels) noexcept;

/// With what a verifier computed: a fault of one instruction set or of one program is not two
/// witnesses.
struct audit_means {
  audit_kernels kernels{audit_kernels::reference};
  std::string software; ///< at most limits::software_bytes_max bytes

  friend bool operator==(const audit_means&, const audit_means&) = default;
};

/// A verifier's word that it computed this, itself, with these means; and that all it was computed
/// from is, as stated in the receipt, what it computed, too.
struct audit_verdict {
  node_id verifier;
  audit_means means;
  signature proof; ///< over `verdict_digest` and the means

  friend bool operator==(const audit_verdict&, const audit_verdict&) = default;
};

/// What is signed by who computed `place` of the receipt with this digest: and got `computed`.
[[nodiscard]] digest verdict_digest(const digest& receipt, const audit_place& place,
                                    const digest& computed);
[[nodiscard]] audit_verdict give_verdict(const secret_key& key, const digest& receipt,
                                         const audit_place& place, const digest& computed,
                                         const audit_means& means);
[[nodiscard]] bool verify_verdict(const audit_verdict& v, const digest& receipt,
                                  const audit_place& place, const digest& computed);

/// Who runs a node: two nodes of one operator are one witness.
using operator_of = std::function<std::string(const node_id&)>;
/// Whether two of these are of different operators, and of different instruction sets or one of the
/// reference. Without `operators` each key is its own.
[[nodiscard]] bool are_two_opinions(std::span<const audit_verdict> verdicts,
                                    const operator_of& operators = {});
/// Whether this pair is one of those.
[[nodiscard]] constexpr bool differ_enough(audit_kernels a, audit_kernels b) noexcept {
  return a != b || a == audit_kernels::reference;
}
/// Names a receipt by its bytes.
[[nodiscard]] digest receipt_digest(std::span<const std::byte> receipt);

enum class conviction_kind : std::uint8_t {
  replay = 1,       ///< one receipt, and what at least two hosts computed instead
  equivocation = 2, ///< two receipts, in which it states different outputs for the same input
  /// One receipt, as of a replay, and a statement about parts (compute/parts/part_statement.hpp):
  /// the unit was computed by a group that its signer leads, and this member of it was wrong.
  parts = 3,
};

/// What a node says made it state something wrong.
enum class audit_fault : std::uint8_t {
  hardware = 1, ///< it computes the right value now
  software = 2, ///< its kernels compute it again, and the reference does not
};

/// The convicted one's own word that it was wrong, given when it was heard.
struct audit_admission {
  audit_fault fault{audit_fault::hardware};
  signature proof; ///< over `accusation_digest` and the fault

  friend bool operator==(const audit_admission&, const audit_admission&) = default;
};

struct conviction {
  conviction_kind kind{conviction_kind::replay};
  node_id guilty;
  audit_place place;
  digest computed; ///< of a replay; else all zero
  std::vector<std::vector<std::byte>> receipts;
  std::vector<audit_verdict> verdicts;
  /// Of a replay, where the guilty one admitted it: it is put out until an operator lets it in
  /// again, and loses no stake.
  std::optional<audit_admission> admission{};

  friend bool operator==(const conviction&, const conviction&) = default;
};

/// What somebody is accused of, whoever gave verdicts.
[[nodiscard]] digest accusation_digest(const conviction& c);
[[nodiscard]] audit_admission admit_fault(const secret_key& key, const conviction& c,
                                          audit_fault fault);
/// Whether it is `c.guilty`'s word about `c`.
[[nodiscard]] bool verify_admission(const audit_admission& a, const conviction& c);

/// A scheduler gives a finished request's receipt to a verifier. `suspect`: another run of the same
/// request came to something else, so all of it is to be looked at. `drawn`: what is to be looked
/// at is what the ledger's log says, and nothing else.
struct audit_offer {
  bool suspect{false};
  std::vector<std::byte> receipt;
  bool drawn{false};

  friend bool operator==(const audit_offer&, const audit_offer&) = default;
};
/// A verifier asks another: compute this, with other kernels than those taken. Neither what was
/// stated nor what it computed itself is in it, so who answers must compute, and cannot tell a
/// question whose answer is known from one about a lie.
struct audit_question {
  std::uint64_t number{0};
  audit_task task;
  std::vector<audit_kernels> taken; ///< ascending, at most limits::audit_taken_max

  friend bool operator==(const audit_question&, const audit_question&) = default;
};
/// What all of the window came to, signed: no verdict yet.
struct audit_answer {
  std::uint64_t number{0};
  digest outcome;  ///< compute::outcome_digest
  signature proof; ///< sign_outcome

  friend bool operator==(const audit_answer&, const audit_answer&) = default;
};
/// Who answered as the asker computed is shown what was stated, and where it differs.
struct audit_reveal {
  std::uint64_t number{0};
  audit_place place;
  std::vector<std::byte> receipt;

  friend bool operator==(const audit_reveal&, const audit_reveal&) = default;
};
/// And gives its verdict.
struct audit_vouch {
  std::uint64_t number{0};
  digest computed; ///< at the place
  audit_verdict verdict;

  friend bool operator==(const audit_vouch&, const audit_vouch&) = default;
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
/// A verifier tells a node what it is about to be convicted of, with what it needs to look itself.
struct audit_accusation {
  std::uint64_t number{0};
  conviction what;
  std::vector<std::byte>
      capsule; ///< its stage's inputs (messages/evidence/capsule.hpp); empty if too large

  friend bool operator==(const audit_accusation&, const audit_accusation&) = default;
};
/// What the accused says: one of the two.
struct audit_defence {
  std::uint64_t number{0};
  std::optional<audit_admission> admission;
  std::optional<audit_verdict> counter; ///< that it computed again what it stated

  friend bool operator==(const audit_defence&, const audit_defence&) = default;
};

/// What came of computing one window of a stage again.
enum class audit_finding : std::uint8_t {
  right = 1,
  wrong = 2,   ///< something else than stated comes out
  missing = 3, ///< what it was computed from was not to be had
};
struct unit_finding {
  std::uint16_t stage{0}; ///< its place in the receipt
  std::uint32_t window{0};
  audit_finding what{audit_finding::right};

  friend bool operator==(const unit_finding&, const unit_finding&) = default;
};
/// A verifier's word about a receipt, beside it: which of its windows it computed again, with what
/// means, and what it found. A "wrong" convicts nobody; it says whom to ask.
struct addendum {
  digest receipt; ///< `receipt_digest`
  node_id verifier;
  audit_means means;
  std::uint64_t unix_seconds{0};   ///< by its own clock: a claim
  std::vector<unit_finding> units; ///< by stage and window, ascending; at least one
  signature proof;                 ///< over `addendum_digest`

  friend bool operator==(const addendum&, const addendum&) = default;
};
/// A verifier tells who closed a receipt what it found in it.
struct audit_addendum {
  addendum what;

  friend bool operator==(const audit_addendum&, const audit_addendum&) = default;
};
using audit_message =
    std::variant<audit_offer, audit_question, audit_answer, conviction, audit_known, audit_standing,
                 audit_accusation, audit_defence, audit_addendum, audit_reveal, audit_vouch>;

/// A Cap'n Proto message of one segment, at a multiple of 8. `over_limit` where it would be larger
/// than limits::audit_message_bytes_max.
[[nodiscard]] result<std::vector<std::byte>> encode_audit(const audit_message& message);
/// One encoding, others are refused: `malformed`, `unsupported` (another version, or a kind or part
/// this one does not know) or `over_limit`. Nothing is allocated by a number that no bytes back.
[[nodiscard]] result<audit_message> decode_audit(std::span<const std::byte> bytes);

} // namespace ovir
