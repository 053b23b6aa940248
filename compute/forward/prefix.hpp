#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <span>
#include <vector>

/// Names of prefixes and of the units computed over them (docs/formats/kv-block.md). They depend on
/// the model, the layer and the token ids alone: not on where the model was cut, nor on who asks.
namespace ovir::compute {

/// Digests of a sequence's windows, each over all ids from the start to the window's end.
class prefix_chain {
public:
  /// Takes the ids that follow those taken so far.
  void add(std::span<const token_id> ids);
  /// Of all complete windows of `limits::window_positions` ids, in order.
  [[nodiscard]] const std::vector<digest>& windows() const noexcept { return windows_; }
  /// Ids taken so far.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

private:
  std::vector<digest> windows_;
  std::vector<token_id> open_; ///< of the window begun
  std::size_t length_{0};
};

/// The name that a prefix goes by among what its owner keeps: what stages are told of it. It says
/// nothing of the salt, nor of the names of other prefixes. Of a salt that is all zero, which is
/// everybody's, the prefix itself.
[[nodiscard]] digest window_name(const digest& salt, const digest& prefix);

/// Name of the unit of `layer` over the window that ends where `prefix` does, in the profile
/// `profile_name`. `model` is the digest of the model's manifest. Of a `window_name` it is where
/// the unit is kept.
[[nodiscard]] digest unit_key(const digest& model, layer_index layer, const digest& prefix);

} // namespace ovir::compute
