#pragma once

#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/limits/parts.hpp"
#include "messages/result.hpp"
#include "messages/wire/group_frame.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace ovir::actors {

/// Where in a group's work an exchange stands. Members go from step to step, and from the last of a
/// pass to the first of the next one.
struct exchange_step {
  std::uint64_t pass{0};
  std::uint32_t step{0};
  layer_index layer{0};
  std::uint32_t block{0}; ///< as `group_header::block`
  group_kind kind{group_kind::maxima};
  friend bool operator==(const exchange_step&, const exchange_step&) = default;
};

/// One member's side of its group's exchanges: what it waits for, from whom, how long, and what it
/// refuses. All members need all of a step before they go on, so one can be ahead of another by one
/// step and no more: that much is kept of each, and nothing else. Pure: events and time in.
class group_exchange {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using bytes = std::shared_ptr<const std::vector<std::byte>>;

  enum class received : std::uint8_t {
    taken,    ///< the step needed it
    kept,     ///< of the next step
    repeated, ///< the same once more: nothing came of it
    late,     ///< of a step that is over: likewise
  };

  /// Member `self` of `members`; a step may take as long as `patience` from when this member needs
  /// it.
  group_exchange(std::uint64_t group, std::uint32_t self, std::size_t members,
                 std::chrono::nanoseconds patience);

  /// This member begins pass `pass`. Numbers of passes rise; steps of an earlier one are over.
  void begin(std::uint64_t pass);
  /// This member's part of the pass's next step is there. `layer`, `block` and `kind` are what
  /// everybody's part of it must be of. Precondition: `begin`, and the step before is complete.
  /// Returns the header under which the others get it; `width` is the sender's own. `malformed`
  /// names a member whose part came early and is of another step than its number says.
  [[nodiscard]] result<group_header> open(const exchange_step& at, std::uint32_t rows,
                                          std::uint32_t width, bytes own, time_point now);

  /// A decoded message of member `from`, who is known by its link; `whole` are the bytes of it.
  /// What is wrong names the member: `malformed` for one that says it is another, is of another
  /// group, of another step than its number, or too far ahead; `digest_mismatch` for a second part
  /// that contradicts the first.
  [[nodiscard]] result<received> receive(std::uint32_t from, const group_view& message,
                                         bytes whole);

  /// Whether everybody's part of the open step is there.
  [[nodiscard]] bool complete() const noexcept;
  /// Then: of each member, in order, what it sent, this one's included. Valid until the next
  /// `open`.
  [[nodiscard]] std::vector<std::span<const std::byte>> all() const;

  /// After which `expired` is worth asking; nothing while no step is open or it is complete.
  [[nodiscard]] std::optional<time_point> deadline() const noexcept;
  /// `timed_out`, with the names of the members whose part is missing.
  [[nodiscard]] std::optional<error> expired(time_point now) const;
  /// Members whose part of the open step is missing.
  [[nodiscard]] std::vector<std::uint32_t> missing() const;

  [[nodiscard]] std::uint64_t group() const noexcept { return group_; }

private:
  struct part {
    bytes whole{};                        ///< null: not there yet
    std::span<const std::byte> payload{}; ///< in it
    group_header header{};
  };
  struct member {
    part previous; ///< of the step before the open one: a late part may contradict it
    part current;
    part next; ///< of the step behind the open one
  };

  [[nodiscard]] error refusal(std::uint32_t from, std::string_view what,
                              const group_header& header) const;
  [[nodiscard]] result<void> check_place(std::uint32_t from, const group_header& header) const;
  [[nodiscard]] bool is_over(const group_header& header) const noexcept;
  [[nodiscard]] error contradiction(std::uint32_t from, const group_header& header) const;
  [[nodiscard]] bool is_next(const group_header& header) const noexcept;
  [[nodiscard]] result<received> put(std::uint32_t from, part& where, const group_view& message,
                                     bytes whole, received as) const;

  std::uint64_t group_;
  std::uint32_t self_;
  std::chrono::nanoseconds patience_;
  std::vector<member> members_;
  std::uint64_t pass_{0};
  bool begun_{false};                   ///< a pass
  std::optional<exchange_step> open_{}; ///< the latest step of the pass
  time_point needed_{};                 ///< since when
};

} // namespace ovir::actors
