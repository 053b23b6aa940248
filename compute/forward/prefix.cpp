#include "compute/forward/prefix.hpp"

#include "compute/model/transcript.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>

// Grammar, also on docs/formats/kv-block.md:
//
//   start  = H("ovir/prefix/v1/start")
//   prefix = H("ovir/prefix/v1/window"; prefix before it (or start), ids u32[32])
//   name   = H("ovir/prefix/v1/name"; salt, prefix), of a salt of zeros prefix
//   unit   = H("ovir/unit/v1/key"; model, profile text, layer u32, prefix)
namespace ovir::compute {

void prefix_chain::add(std::span<const token_id> ids) {
  constexpr std::size_t window = limits::window_positions;
  while (!ids.empty()) {
    const std::size_t taken = std::min(ids.size(), window - open_.size());
    open_.insert(open_.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(taken));
    ids = ids.subspan(taken);
    length_ += taken;
    if (open_.size() == window) {
      const digest before = windows_.empty() ? hash("ovir/prefix/v1/start", {}) : windows_.back();
      windows_.push_back(hasher{"ovir/prefix/v1/window"}
                             .update(before)
                             .update(std::as_bytes(std::span{open_}))
                             .finish());
      open_.clear();
    }
  }
}

digest window_name(const digest& salt, const digest& prefix) {
  if (salt == digest{}) {
    return prefix;
  }
  return hasher{"ovir/prefix/v1/name"}.update(salt).update(prefix).finish();
}

digest unit_key(const digest& model, layer_index layer, const digest& prefix) {
  return hasher{"ovir/unit/v1/key"}
      .update(model)
      .update_text(profile_name)
      .update_u32(layer)
      .update(prefix)
      .finish();
}

} // namespace ovir::compute
