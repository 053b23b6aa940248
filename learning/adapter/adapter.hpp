#pragma once

#include "compute/model/lora.hpp"
#include "compute/model/model.hpp"
#include "messages/limits/learning.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// LoRA adapters (arXiv:2106.09685): beside a frozen matrix W [out][in] stand A [rank][in] and
/// B [out][rank], and its product becomes W x + (alpha / rank) B (A x).
namespace ovir::learning {

// The matrices that may have a pair, as those have them that compute with adapters; a set of
// targets is a mask of their places.
using target = compute::lora_target;
using target_place = compute::lora_place;
using enum compute::lora_place;
inline constexpr const auto& targets = compute::lora_targets;
inline constexpr std::uint8_t all_targets = (1U << targets.size()) - 1;

/// "q,v" or "attn_q,ffn_down" or "all" to a mask. `invalid_argument` names what is unknown.
[[nodiscard]] result<std::uint8_t> targets_from(std::string_view names);
/// "attn_q,attn_v".
[[nodiscard]] std::string names_of(std::uint8_t targets);

/// Both matrices of a target, row by row; empty where the layer has no pair for it.
struct lora_pair {
  std::vector<float> a; ///< [rank][in]
  std::vector<float> b; ///< [out][rank]

  [[nodiscard]] bool empty() const noexcept { return a.empty(); }
  friend bool operator==(const lora_pair&, const lora_pair&) = default;
};

/// Numbers of every pair: an adapter's own, their gradients or moments.
using lora_numbers = std::vector<std::array<lora_pair, targets.size()>>; // [layers]

/// Calls `f(layer, place, pair)` for each pair there is: by layer, then by place.
template <class Numbers, class F>
void for_each_pair(Numbers& numbers, const F& f) {
  for (std::size_t layer = 0; layer < numbers.size(); ++layer) {
    for (std::size_t place = 0; place < targets.size(); ++place) {
      if (!numbers[layer][place].empty()) {
        f(layer, place, numbers[layer][place]);
      }
    }
  }
}

/// An adapter: a value.
struct adapter {
  std::string architecture; ///< of the base model
  std::uint32_t rank{0};
  float alpha{0};
  lora_numbers numbers;

  /// fl(alpha / rank).
  [[nodiscard]] float scale() const noexcept { return alpha / static_cast<float>(rank); }
  friend bool operator==(const adapter&, const adapter&) = default;
};

/// As many numbers in the same places, all +0.
[[nodiscard]] lora_numbers zeros_like(const lora_numbers& numbers);
[[nodiscard]] std::uint64_t count_of(const lora_numbers& numbers) noexcept;

/// An adapter that changes nothing yet: B is +0, and each element of A is drawn from `seed` evenly
/// within 1 / sqrt(in) (docs/formats/learn-1.md). `invalid_argument` for a rank or alpha out of
/// range or no target.
[[nodiscard]] result<adapter> fresh_adapter(const compute::model& m, std::uint32_t rank,
                                            float alpha, std::uint8_t targets, std::uint64_t seed);

/// Whether every pair has the shape of the model's matrix. `malformed` names the first that has
/// not, `unsupported` another architecture.
[[nodiscard]] result<void> check_fits(const adapter& a, const compute::model& m);

} // namespace ovir::learning
