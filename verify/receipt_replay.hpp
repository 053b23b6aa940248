#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

/// Tier T2 for auditors: computes again what a receipt states, as far as it is asked, and says who
/// stated the first thing that differs. Judges digests; whether signatures hold is
/// `check_receipt`'s.
namespace ovir::compute {

/// How much is computed again: layers [0, layers) over windows [0, windows), because a unit needs
/// what comes before it. With the model's last layer come the logits of its windows.
struct replay_bounds {
  layer_index layers{0};
  std::uint32_t windows{0};
};
/// As much as `place` needs.
[[nodiscard]] replay_bounds bounds_of(const audit_place& place);
/// All of it.
[[nodiscard]] replay_bounds bounds_of(const receipt& r);

struct replay_outcome {
  replay_bounds bounds;
  std::map<unit_name, digest> units;    ///< as statements name them: K and V of the last layer
  std::map<unit_name, digest> kv;       ///< K and V, of every layer
  std::map<position, digest> draws;     ///< logits
  std::map<position, token_id> follows; ///< the token behind a position, by the receipt's sampling
};

/// Tokens of a constrained answer are judged only with the model's `vocabulary`.
/// `invalid_argument` where the model or the bounds do not fit the receipt, `cancelled` when `stop`
/// says so. Precondition: `check_receipt` found nothing. `m`: of which `check_weights` accepted the
/// layers. Cost: that of computing as much.
[[nodiscard]] result<replay_outcome> replay(const receipt& r, const model& m,
                                            const replay_bounds& bounds, const kernel_set& kernels,
                                            parallel_runner& runner,
                                            const std::function<bool()>& stop = {},
                                            const tokenizer* vocabulary = nullptr);

/// One thing that was stated and is computed differently.
struct stated_fault {
  audit_place place;
  node_id signer;
  digest stated;
  digest computed;

  friend bool operator==(const stated_fault&, const stated_fault&) = default;
};

/// Descends to who is at fault: of each signer the first thing that differs although all it was
/// computed from is as computed again. What follows from another's error is no fault, so an honest
/// stage behind a liar is never named; a liar behind a liar only when the first one's error does
/// not reach it. In order of places.
[[nodiscard]] std::vector<stated_fault> first_faults(const receipt& r, const replay_outcome& again);

/// Whether `place` is for its signer alone to answer for: all that it was computed from is, as
/// stated, what `again` computed, and it is right or its signer's first fault. Only of such a place
/// is a verdict given. `again` reaches `bounds_of(place)` at least.
[[nodiscard]] bool stands_alone(const receipt& r, const replay_outcome& again,
                                const audit_place& place);

/// Who stated this, and what; nothing where the receipt has no such place. Of a token: the lead.
struct stated_value {
  node_id signer;
  digest value;
};
[[nodiscard]] std::optional<stated_value> stated_at(const receipt& r, const audit_place& place);

/// What one host computed for `place`; nothing where `again` does not reach so far.
[[nodiscard]] std::optional<digest> computed_at(const replay_outcome& again,
                                                const audit_place& place);

/// Units for a draw: every unit of every stage, with its key. A window that is not complete is
/// named by its own tokens.
struct keyed_unit {
  unit_name unit;
  node_id signer;
  digest key;
  digest stated;
};
[[nodiscard]] std::vector<keyed_unit> units_of(const receipt& r);

/// Whether `c` holds by itself: receipts whose signatures and chain hold, `guilty` stated `place`,
/// and for a replay at least two verdicts, of different verifiers and not of the guilty one, with
/// two instruction sets or the reference; for an equivocation, the same software and the same input
/// in all windows so far and another output; by parts, verdicts about what the leader of a group
/// stated, and a statement about parts of that window that all of its members signed. Whether the
/// computed value is right only `replay` can tell, whose part is wrong only `parts_examiner`, and
/// which verifiers count only a node. `invalid_argument` says what is wrong.
[[nodiscard]] result<void> check_conviction(const conviction& c);

/// Two receipts that contradict each other, if they do: the first unit in which one stage, with the
/// same software and from inputs that are the same, states different outputs. Preconditions as for
/// `replay`.
[[nodiscard]] std::optional<stated_fault> find_equivocation(const receipt& a, const receipt& b);

} // namespace ovir::compute
