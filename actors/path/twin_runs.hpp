#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/ids.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace ovir::actors {

/// The name of a request's second run, which nobody asks for by itself; of that, the request's.
[[nodiscard]] constexpr request_id twin_of(request_id id) noexcept {
  return request_id{id.value ^ (std::uint64_t{1} << 63U)};
}

/// Compares two runs of one request token by token: what both computed is certain, and nothing else
/// may be told. A core.
class twin_runs {
public:
  enum class run : std::uint8_t { first, second };
  struct piece {
    token_id token{0};
    std::string text;
    shared_logprobs logprobs{};

    friend bool operator==(const piece&, const piece&) = default;
  };

  /// The `index`th token of a run; one that is told again must be the same.
  void take(run which, std::uint32_t index, piece told);
  /// What became certain since the last call, in order, with the first run's text.
  [[nodiscard]] std::vector<piece> certain();
  /// How many tokens `certain` has returned.
  [[nodiscard]] std::uint32_t told() const noexcept { return static_cast<std::uint32_t>(told_); }
  /// The runs contradict each other, or one of them itself.
  [[nodiscard]] bool differ() const noexcept { return differ_; }

private:
  std::vector<piece> first_;
  std::vector<piece> second_; ///< without texts
  std::size_t told_{0};
  bool differ_{false};
};

} // namespace ovir::actors
