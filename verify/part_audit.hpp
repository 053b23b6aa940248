#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/parts/head_statement.hpp"
#include "compute/parts/part_statement.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/result.hpp"
#include "verify/window_replay.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

/// Whose part it is that makes a unit wrong, where a group computed it: its members' parts are
/// computed again from the same inputs as the unit, and the first that is another one is its
/// author's, because all that it was made from was right (docs/formats/parts.md). Precondition of
/// all functions here: `check_receipt` found nothing, and `check_weights` accepted the stage's
/// layers.
namespace ovir::compute {

/// A member that sent something else than its part is.
struct part_author {
  node_id node;
  std::uint32_t member{0};
  layer_index layer{0};
  part_lane lane{part_lane::kv};
  digest part; ///< `part_name`: exact rows, columns and heads
  friend bool operator==(const part_author&, const part_author&) = default;
};

enum class parts_finding : std::uint8_t {
  right,        ///< all that the members state
  wrong,        ///< there is an author
  other_inputs, ///< they computed something else than this window: it says nothing here
};
struct examined_parts {
  parts_finding what{parts_finding::right};
  std::optional<part_author> author{};
};

/// Looks at statements about one window. What it computes for one of them serves the next. All that
/// it is made of outlives it.
class parts_examiner {
public:
  parts_examiner(const receipt& r, const stage_window& at, const model& m,
                 std::span<const input_bytes> inputs, const kernel_set& kernels,
                 parallel_runner& runner);
  ~parts_examiner();
  parts_examiner(const parts_examiner&) = delete;
  parts_examiner& operator=(const parts_examiner&) = delete;

  /// `invalid_argument` where it is no statement about this window by a group that the stage's
  /// signer leads, a member did not sign it, or the model cannot be cut so; and the errors of
  /// `replay_window`. Cost: that of computing the window, once or a few times.
  [[nodiscard]] result<examined_parts> examine(const part_statement& s);

  /// The same of logits of position `at` of the window, whose stage ends the model.
  [[nodiscard]] result<examined_parts> examine(const head_statement& s, position at);
  /// `row_digest` of the last layer's output at this position of the window.
  [[nodiscard]] result<digest> last_row(position at);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// Who answers for a unit that is not what is computed of the inputs that its statement names.
struct unit_author {
  node_id node;
  std::optional<part_author> part; ///< none: the stage's signer, who led the group or had none
  std::string why;                 ///< a sentence
};
/// `shown`: what the signer of the stage shows of its group, as bytes; only the first
/// limits::part_statements_shown_max count. A signer that shows no statement under which a member
/// was wrong is the author itself. Precondition: the window has a `window_fault` in a unit, or in K
/// and V, that the stage's signer states and does not cite.
[[nodiscard]] unit_author author_of_wrong_unit(std::span<const std::vector<std::byte>> shown,
                                               const receipt& r, const stage_window& at,
                                               const model& m, std::span<const input_bytes> inputs,
                                               const kernel_set& kernels, parallel_runner& runner);

} // namespace ovir::compute
