#pragma once

#include "compute/parts/head_statement.hpp"
#include "compute/parts/part_statement.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace ovir::actors {

/// What the members of a node's groups signed: kept by who leads them, because it states the units
/// and answers for what it cannot show to be a member's. Bounded in bytes; the oldest goes first.
/// Thread-safe.
class part_shelf {
public:
  using statement = std::shared_ptr<const compute::part_statement>;
  using head = std::shared_ptr<const compute::head_statement>;
  /// A request of a group.
  struct request_key {
    std::uint64_t group{0};
    std::uint64_t number{0};
    friend auto operator<=>(const request_key&, const request_key&) = default;
  };

  explicit part_shelf(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// What came of a pass of `request` that began at position `first`: runs up to one or several of
  /// its positions. Of earlier passes what is about positions from `first` on is dropped; of each
  /// run the longest that is left stays, because a request may end before this pass counts.
  void keep(const request_key& request, position first, std::vector<statement> made);

  /// Of this window of these layers, the latest first; at most limits::part_statements_shown_max.
  [[nodiscard]] std::vector<statement> find(const digest& model, layer_range layers,
                                            std::uint32_t window) const;
  /// What came of one row of the model's end.
  void keep_head(head made);
  /// Logits of this row of the last layer's output (`row_digest`), the latest first.
  [[nodiscard]] std::vector<head> find_heads(const digest& model, const digest& row) const;

  [[nodiscard]] std::size_t bytes() const;

private:
  /// Runs of a request that begin at one position.
  struct place {
    request_key request;
    position first{0};
    friend auto operator<=>(const place&, const place&) = default;
  };
  struct ends_of_run {
    std::uint64_t age{0};        ///< a number that rises with each run
    std::vector<statement> ends; ///< ascending
  };
  using runs = std::map<place, ends_of_run>;

  void prune(const request_key& request, position first);
  runs::iterator erase(runs::iterator at);

  const std::size_t bytes_max_;
  mutable std::mutex guard_;
  runs runs_;
  std::map<std::uint64_t, place> by_age_; ///< of each run
  std::uint64_t ages_{0};                 ///< given
  std::size_t bytes_{0};
  std::deque<head> heads_; ///< as they came
  std::size_t head_bytes_{0};
};

} // namespace ovir::actors
