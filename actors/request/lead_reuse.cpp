// What a lead makes of windows that its stages took from caches.
#include "actors/request/lead_core.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <span>

namespace ovir::actors {

// What a stage took from the cache it cannot replay to one behind it that lacks it. So no stage
// takes more than that one has; and nothing, if there was a gap again.
bool lead_core::close_gap(effects& out) {
  const auto gap = stages_.first_gap();
  const auto strange = first_strange_window();
  if (!gap && !strange) {
    return false;
  }
  if (run_.gaps > 1 && stated_.replaceable()) { // it was told to take nothing from there
    blame(gap ? gap->source : strange->stage,
          {errc::malformed, "the stage cannot replay what it computed itself"}, out);
    return true;
  }
  std::uint32_t fit = gap ? gap->length / limits::window_positions : reuse_windows_;
  if (strange) {
    fit = std::min(fit, strange->window);
    doubted_from_ = strange->differs ? std::optional{strange->window} : std::nullopt;
  }
  reuse_windows_ = run_.gaps++ == 0 ? std::min(reuse_windows_, fit) : 0;
  begin_epoch(out);
  return true;
}

// What a stage took from the cache was computed from just what comes in now: of its first layer
// from these tokens, else from what the stage before states. Of a window that one has yet to
// compute this is not known in time where somebody signs for it.
std::optional<lead_core::strange_window> lead_core::first_strange_window() {
  std::optional<strange_window> found;
  for (std::uint32_t i = 0; i < stages_.size(); ++i) {
    const std::vector<digest>& inputs = stages_[stage_index{i}].inputs;
    for (std::uint32_t w = 0; w < inputs.size() && (!found || w < found->window); ++w) {
      const auto expected = input_of(i, w);
      if (expected ? *expected != inputs[w] : output_.signs() && knows_layers()) {
        found = strange_window{stage_index{i}, w, expected.has_value()};
      }
    }
  }
  return found;
}

std::optional<digest> lead_core::input_of(std::uint32_t stage, std::uint32_t window) {
  constexpr std::uint32_t size = limits::window_positions;
  if (stage == 0) {
    const std::span<const token_id> known{output_.history};
    return known.size() < std::size_t{window + 1} * size
               ? std::nullopt
               : std::optional{
                     token_window_digest(window, known.subspan(std::size_t{window} * size, size))};
  }
  if (!knows_layers()) {
    return std::nullopt;
  }
  const layer_index before = stated_.places()[stage].layers.first - 1;
  const compute::unit_leaf* const leaf = stated_.transcript().unit({window, before});
  return leaf == nullptr ? std::nullopt : std::optional{leaf->boundary};
}

} // namespace ovir::actors
