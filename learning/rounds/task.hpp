#pragma once

#include "messages/digest.hpp"
#include "messages/limits/rounds.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ovir::learning {

/// What a coordinator may see of updates.
enum class round_mode : std::uint8_t {
  masked = 1, ///< "private": the sum of all and nothing else, with noise; each is paid the same
  open = 2,   ///< each worker's clipped update, without noise; pay may follow what it gains
};

/// "private" or "open"; `invalid_argument`.
[[nodiscard]] result<round_mode> mode_from(std::string_view text);
[[nodiscard]] std::string_view to_string(round_mode mode) noexcept;

/// What a round is about: a value. All sides derive everything else from it.
struct round_task {
  round_mode mode{round_mode::masked};
  std::uint32_t round{1};
  digest nonce; ///< drawn by the coordinator: no two rounds have the same task
  node_id coordinator;
  digest base;    ///< of the model's manifest
  digest adapter; ///< BLAKE3 of the file that the round begins with
  std::uint32_t numbers{0};
  std::uint8_t quantum_bits{20};   ///< a unit is 2^-quantum_bits
  std::uint32_t clip_units{1};     ///< L2 norm of a clipped update at most
  std::uint64_t noise_variance{0}; ///< of one worker's share, in units^2; 0 in the mode open
  std::uint8_t delta_bits{20};     ///< delta is 2^-delta_bits
  std::uint32_t drop_outs{0};      ///< members that may vanish
  std::uint32_t colluders{0};      ///< workers that may tell the coordinator all they know
  std::uint32_t threshold{0};      ///< shares that rebuild a secret; 0 in the mode open
  std::string settings;            ///< of the local training, one line
  std::vector<node_id> members;    ///< sorted, each once

  /// The least cohort: with fewer survivors there is no sum.
  [[nodiscard]] std::uint32_t survivors_min() const noexcept {
    return static_cast<std::uint32_t>(members.size()) - drop_outs;
  }
  /// Survivors whose noise is sure to be unknown to the coordinator.
  [[nodiscard]] std::uint32_t honest_min() const noexcept { return survivors_min() - colluders; }
  [[nodiscard]] std::optional<std::uint32_t> place_of(const node_id& worker) const;

  friend bool operator==(const round_task&, const round_task&) = default;
};

/// `invalid_argument` with what is out of range. In the mode private: 2 threshold > members +
/// colluders (Bonawitz et al. 2017, theorem 6.5: an active coordinator cannot get both secrets of
/// a worker), threshold <= survivors_min, two honest survivors at least, and noise.
[[nodiscard]] result<void> check_task(const round_task& task);

/// The least threshold that `check_task` accepts for so many.
[[nodiscard]] std::uint32_t least_threshold(std::uint32_t members, std::uint32_t colluders);

template <class Io, class T>
requires std::same_as<std::remove_const_t<T>, round_task>
void fields(Io& io, T& t) {
  io(t.mode, t.round, t.nonce, t.coordinator, t.base, t.adapter, t.numbers, t.quantum_bits);
  io(t.clip_units, t.noise_variance, t.delta_bits, t.drop_outs, t.colluders, t.threshold);
  io.template text<std::uint16_t>(t.settings, "settings", limits::round_text_bytes_max);
  io.template list<std::uint32_t>(t.members, "members", limits::round_members_max);
}

/// H(`ovir/rounds-1/task`; its fields): the name of the round.
[[nodiscard]] digest name_of(const round_task& task);

} // namespace ovir::learning
