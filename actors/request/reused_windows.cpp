#include "actors/request/reused_windows.hpp"

#include "messages/evidence/evidence.hpp"
#include "messages/limits/general.hpp"

namespace ovir::actors {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;

std::optional<digest> digest_of_tokens(std::span<const token_id> history, std::uint32_t window) {
  const std::size_t first = std::size_t{window} * window_size;
  return history.size() < first + window_size
             ? std::nullopt
             : std::optional{token_window_digest(window, history.subspan(first, window_size))};
}

} // namespace

std::optional<strange_window> find_strange_window(const stage_table& stages, stated_units& stated,
                                                  std::span<const token_id> history,
                                                  bool all_known) {
  // The paths of one process have no places.
  const bool has_places = stated.places().size() == stages.size();
  std::optional<strange_window> found;
  for (std::uint32_t i = 0; i < stages.size(); ++i) {
    const std::vector<digest>& inputs = stages[stage_index{i}].inputs;
    for (std::uint32_t w = 0; w < inputs.size() && (!found || w < found->window); ++w) {
      std::optional<digest> expected;
      if (i == 0) {
        expected = digest_of_tokens(history, w);
      } else if (has_places) {
        const layer_index before = stated.places()[i].layers.first - 1;
        const compute::unit_leaf* const leaf = stated.transcript().unit({w, before});
        expected = leaf == nullptr ? std::nullopt : std::optional{leaf->boundary};
      }
      if (expected ? *expected != inputs[w] : all_known && has_places) {
        found = strange_window{stage_index{i}, w, expected.has_value()};
      }
    }
  }
  return found;
}

} // namespace ovir::actors
