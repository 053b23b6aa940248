#pragma once

#include "compute/forward/segment.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace ovir::test {

/// The ways in which a worker of the fault injection lies. All but the last three are about bits.
enum class lie : std::uint8_t {
  none,
  wrong_output,       ///< one value of a layer's output is another
  scaled,             ///< activations times 1.001
  smaller_model,      ///< weights of another model
  lower_quantisation, ///< the same weights with fewer bits
  skipped_layer,      ///< a layer's input goes on as its output
  early_exit,         ///< all layers of the stage but its first are skipped
  stale_kv,           ///< a position is computed from the input of the one before
  swapped_positions,  ///< two neighbours exchange their outputs
  uncomputed_claim,   ///< a unit is stated that was never computed, as if it came from a cache
  wrong_kv,           ///< other K and V are stated than those that were computed with
  wrong_logits,       ///< the last stage states and sends other logits
  wrong_choice,       ///< the last stage chooses another token than that of its highest logit
  wrong_sampling,     ///< the lead, which was sent the logits, takes another token
};

/// Where and how somebody lies. `layer` belongs to the liar's stage.
struct told_lie {
  lie how{lie::none};
  layer_index layer{0};
  position from{0}; ///< the lie begins here, and `swapped_positions`, `wrong_logits` end with it
};

/// A request that three stages really compute, of three layers each, greedy, over three windows,
/// and sign for: everything in the receipt is signed and consistent with what was computed, lies
/// included. The forger knows the format, owns valid keys and recomputes all digests.
class lying_path {
public:
  static constexpr std::uint32_t layers = 9;
  static constexpr std::uint32_t prompt = 40;
  static constexpr std::uint32_t output = 41; ///< 80 positions: windows of 32, 32 and 16
  static constexpr std::uint32_t positions = prompt + output - 1;

  lying_path();

  [[nodiscard]] receipt make(const told_lie& how) const;
  /// Signs everything anew, after a change, in the name of who stated it.
  void sign_all(receipt& r) const;

  [[nodiscard]] const receipt_maker& cast() const { return cast_; }
  /// The weights everybody agreed on, checked.
  [[nodiscard]] const compute::model& weights() const;

private:
  struct models;
  std::shared_ptr<const models> models_;
  receipt_maker cast_;
};

} // namespace ovir::test
