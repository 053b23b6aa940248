#pragma once

#include "actors/protocol/protocol.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::actors {

/// What a lead knows of one stage of its path.
struct stage_row {
  bool up{false};
  bool dying{false}; ///< a drill killed it, its end was not seen yet
  bool opened{false};
  bool finished{false};
  position length{0};
  /// As it said itself, which it does after it handed its units over for reuse. Answers to steps
  /// travel faster.
  position stated{0};
  position replays_from{0};
  std::vector<digest> inputs;  ///< of windows that it reused, from the first on
  position counted{0};         ///< its length when it last counted as a move
  std::uint32_t complaints{0}; ///< that it lacks something; a token takes one back
  bool incomplete{false};      ///< it stated its end and not all of its units
  units_reused reused;
  std::optional<reuse_told> told;
  std::uint64_t kv_bytes{0};
};

/// The stages of a path, first one first; never empty.
class stage_table {
public:
  explicit stage_table(std::uint32_t stages) : rows_(stages) {}

  /// The stages of a new path; `kept[i]`: stage i is the same actor as before. A stage that stated
  /// its end is not counted again where the cut is the same.
  void replace(const std::vector<bool>& kept);

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(rows_.size());
  }
  [[nodiscard]] stage_row& operator[](stage_index s) { return rows_[s.value]; }
  [[nodiscard]] const stage_row& operator[](stage_index s) const { return rows_[s.value]; }
  [[nodiscard]] stage_index last() const noexcept { return stage_index{size() - 1}; }
  [[nodiscard]] auto begin() noexcept { return rows_.begin(); }
  [[nodiscard]] auto end() noexcept { return rows_.end(); }
  [[nodiscard]] auto begin() const noexcept { return rows_.begin(); }
  [[nodiscard]] auto end() const noexcept { return rows_.end(); }

  template <class Predicate>
  [[nodiscard]] bool all(Predicate holds) const {
    return std::all_of(rows_.begin(), rows_.end(), holds);
  }
  /// The first stage from `edge` on of which `holds` is true.
  template <class Predicate>
  [[nodiscard]] std::optional<stage_index> first(Predicate holds, std::uint32_t edge = 0) const {
    const auto at = std::find_if(rows_.begin() + edge, rows_.end(), holds);
    return at == rows_.end()
               ? std::nullopt
               : std::optional{stage_index{static_cast<std::uint32_t>(at - rows_.begin())}};
  }
  /// Positions that all stages from `edge` on hold.
  [[nodiscard]] position done_behind(std::uint32_t edge) const noexcept;
  /// Positions that all stages stated.
  [[nodiscard]] position stated() const noexcept;
  struct gap {
    stage_index source; ///< the first stage that cannot replay what the stage behind it lacks
    position length{0}; ///< the least length of a stage behind a gap
  };
  [[nodiscard]] std::optional<gap> first_gap() const noexcept;

  /// The stage holds `length` positions. True when it counts as a move: a whole frame of `chunk`
  /// positions, or all that was fed up to `cursor`.
  bool take_length(stage_index s, position length, position cursor, std::uint32_t chunk);
  /// A token came: each stage may complain once more.
  void forgive() noexcept;
  void forget_reuse();
  /// What the stages reused and how much memory they held.
  void add_to(generation_report& report) const;

private:
  std::vector<stage_row> rows_;
};

} // namespace ovir::actors
