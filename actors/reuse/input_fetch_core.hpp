#pragma once

#include "actors/reuse/wanted_block.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace ovir::actors {

/// An input by the digest that a statement names; how many bytes it has follows from the model.
struct wanted_input {
  digest name;
  std::size_t bytes{0};

  friend bool operator==(const wanted_input&, const wanted_input&) = default;
};

/// Fetches inputs of windows, each from the one node that is to have it: a question at a time to
/// each source, so that it owes no more than limits::block_source_bytes_max, or one input. A source
/// that owes something and says nothing for limits::audit_inputs_wait is not waited for any more.
/// Only the size of what comes is checked; the digest is for who asked, who knows what it is of.
///
/// A value: knows no socket and no clock. The caller performs the effects; `now` never goes back.
class input_fetch_core {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using bytes_pointer = std::shared_ptr<const std::vector<std::byte>>;

  using ask = block_ask;
  struct finished {
    std::uint64_t fetch{0};
    std::vector<bytes_pointer> inputs; ///< in the order wanted; null: missing
    bool reached{true};                ///< else the source may have what is missing
  };
  struct effects {
    std::vector<ask> asks;
    std::vector<finished> done;
  };

  /// Whether a question is of such a core: `block_exchange_core` counts its own from 1.
  [[nodiscard]] static bool is_ticket(std::uint64_t ticket) noexcept {
    return (ticket & ticket_bit) != 0;
  }

  /// Its `finished` comes in these or later effects, once.
  [[nodiscard]] effects begin(std::uint64_t fetch, const node_id& from,
                              std::vector<wanted_input> wanted, time_point now);
  /// Copies the bytes where they are waited for.
  [[nodiscard]] effects on_block(const node_id& from, std::uint64_t ticket, std::uint32_t number,
                                 std::span<const std::byte> bytes, time_point now);
  [[nodiscard]] effects on_missing(const node_id& from, std::uint64_t ticket, std::uint32_t number,
                                   time_point now);
  /// It is there no more, or its connection is not: what is asked of it ends with what came.
  [[nodiscard]] effects lost(const node_id& from);
  [[nodiscard]] effects on_tick(time_point now);

  [[nodiscard]] std::size_t fetches_under_way() const noexcept;
  /// Whether something is still to come from it.
  [[nodiscard]] bool waits_for(const node_id& from) const { return sources_.contains(from); }

private:
  static constexpr std::uint64_t ticket_bit = std::uint64_t{1} << 63U;

  struct fetch {
    std::uint64_t id{0};
    std::vector<wanted_input> wanted;
    std::vector<bytes_pointer> got;
    std::size_t next{0}; ///< the first that was not asked for
  };
  struct source {
    std::deque<fetch> fetches;                 ///< the first one is under way
    std::uint64_t ticket{0};                   ///< of its question
    std::map<std::uint32_t, std::size_t> open; ///< number in the question: index in the fetch
    time_point heard;                          ///< it said something, or was asked
  };
  using source_map = std::map<node_id, source>;

  /// It owed this, and now no longer. Returns the index in its fetch; none: it was not asked.
  [[nodiscard]] std::optional<std::size_t> answered(const node_id& from, std::uint64_t ticket,
                                                    std::uint32_t number, time_point now);
  void go_on(const node_id& from, time_point now, effects& out);
  [[nodiscard]] bool ask_more(const node_id& from, source& s, time_point now, effects& out);
  source_map::iterator give_up(source_map::iterator which, bool reached, effects& out);

  source_map sources_; ///< with a fetch each
  std::uint64_t tickets_{0};
};

} // namespace ovir::actors
