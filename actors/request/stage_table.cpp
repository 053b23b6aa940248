#include "actors/request/stage_table.hpp"

#include <utility>

namespace ovir::actors {

void stage_table::replace(const std::vector<bool>& kept) {
  const std::vector<stage_row> old = std::exchange(rows_, std::vector<stage_row>(kept.size()));
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept.size() == old.size()) {
      rows_[i].finished = old[i].finished;
      rows_[i].kv_bytes = old[i].kv_bytes;
    }
    rows_[i].dying = kept[i] && i < old.size() && old[i].dying;
    rows_[i].up = true;
  }
}

position stage_table::done_behind(std::uint32_t edge) const noexcept {
  position done = rows_[edge].length;
  for (std::size_t i = edge; i < rows_.size(); ++i) {
    done = std::min(done, rows_[i].length);
  }
  return done;
}

position stage_table::stated() const noexcept {
  return std::min_element(
             rows_.begin(), rows_.end(),
             [](const stage_row& a, const stage_row& b) { return a.stated < b.stated; })
      ->stated;
}

std::optional<stage_table::gap> stage_table::first_gap() const noexcept {
  std::optional<gap> found;
  for (std::uint32_t i = 1; i < size(); ++i) {
    if (rows_[i].length < rows_[i - 1].replays_from) {
      const position least = found ? std::min(found->length, rows_[i].length) : rows_[i].length;
      found = gap{found ? found->source : stage_index{i - 1}, least};
    }
  }
  return found;
}

bool stage_table::take_length(stage_index s, position length, position cursor,
                              std::uint32_t chunk) {
  stage_row& st = rows_[s.value];
  if (length <= st.length) {
    return false;
  }
  st.length = length;
  const bool moved = length >= cursor || length - st.counted >= chunk;
  st.counted = moved ? length : st.counted;
  return moved;
}

void stage_table::forgive() noexcept {
  for (stage_row& st : rows_) {
    st.complaints -= st.complaints > 0 ? 1 : 0;
  }
}

void stage_table::forget_reuse() {
  for (stage_row& st : rows_) {
    st.reused = {};
    st.told.reset();
  }
}

void stage_table::add_to(generation_report& report) const {
  for (const stage_row& st : rows_) {
    report.reused.memory += st.reused.memory;
    report.reused.disk += st.reused.disk;
    report.reused.peer += st.reused.peer;
    report.kv_bytes.push_back(st.kv_bytes);
    report.explained.push_back(st.told ? std::optional{stage_reuse{st.reused, *st.told}}
                                       : std::nullopt);
  }
}

} // namespace ovir::actors
