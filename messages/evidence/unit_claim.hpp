#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

/// What one unit was computed from and to, by itself: true or false whatever request it was of, so
/// that who reuses it can show whose word it is (docs/formats/receipt.md).
namespace ovir {

/// A unit over a complete window.
struct unit_claim {
  layer_index layer{0};
  std::uint32_t window{0};
  digest input;   ///< the boundary before the layer; of layer 0 `token_window_digest`
  digest earlier; ///< `with_earlier` over K and V of this layer in all windows before
  digest output;  ///< as in a statement: the boundary behind it; of the model's last layer, `kv`
  digest kv;      ///< K and V of the window

  friend bool operator==(const unit_claim&, const unit_claim&) = default;
};

/// Of K and V of one more window; that of no window is all zero.
[[nodiscard]] digest with_earlier(const digest& earlier, const digest& kv);
[[nodiscard]] digest claim_digest(const digest& model, std::string_view profile,
                                  const unit_claim& what);

/// Its author's word for a unit that another states. `binding` is what the author signed beside the
/// claim: under which name it kept the unit, which others need not know.
struct unit_citation {
  layer_index layer{0};
  node_id author;
  digest binding;
  signature proof;

  friend bool operator==(const unit_citation&, const unit_citation&) = default;
};
[[nodiscard]] signature sign_unit(const secret_key& author, const digest& claim,
                                  const digest& binding);
[[nodiscard]] bool verify_unit(const node_id& author, const digest& claim, const digest& binding,
                               const signature& proof);

/// What the units of a complete window of a segment were computed from, and their K and V. Lists
/// are by layer.
struct window_origin {
  std::uint32_t window{0};
  digest input; ///< of the first layer
  std::vector<digest> earlier;
  std::vector<digest> kv;
  std::vector<unit_citation> cited; ///< of units that others computed, in order of layers

  friend bool operator==(const window_origin&, const window_origin&) = default;
};

} // namespace ovir
