#pragma once

#include <compare>
#include <cstdint>

namespace ovir {

/// A number that means one thing. `Tag` makes two ids of different meaning different types.
template <class Tag, class Rep>
struct strong_id {
  using rep = Rep;
  Rep value{};

  friend bool operator==(strong_id, strong_id) = default;
  friend auto operator<=>(strong_id, strong_id) = default;

  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, strong_id& x) {
    return f(x.value);
  }
};

/// One request, unique within a node's lifetime.
using request_id = strong_id<struct request_id_tag, std::uint64_t>;

/// Driver generation of a request. A shard rejects drivers of a lower epoch than it has seen.
using epoch = strong_id<struct epoch_tag, std::uint32_t>;

/// Index of a stage in its path, 0 being the one that holds the embedding.
using stage_index = strong_id<struct stage_index_tag, std::uint32_t>;

/// Plain numbers, because they are computed with: an index into the vocabulary, a place in the
/// sequence (0 = first token of the prompt), a transformer layer.
using token_id = std::uint32_t;
using position = std::uint32_t;
using layer_index = std::uint32_t;

/// A contiguous range of layers [first, last).
struct layer_range {
  layer_index first{0};
  layer_index last{0};

  [[nodiscard]] constexpr std::uint32_t size() const noexcept { return last - first; }
  friend bool operator==(const layer_range&, const layer_range&) = default;

  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, layer_range& x) {
    return f(x.first, x.last);
  }
};

} // namespace ovir
