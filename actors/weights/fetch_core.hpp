#pragma once

#include "actors/runtime/byte_rate.hpp"
#include "messages/digest.hpp"
#include "messages/limits/fetch.hpp"
#include "messages/node_id.hpp"
#include "messages/wire/fetch_frame.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace ovir::actors {

/// A piece that is not here yet.
struct wanted_piece {
  std::uint32_t index{0}; ///< in the model's list of pieces
  std::uint64_t bytes{0}; ///< at least 1
  digest content;         ///< plain BLAKE3
};

struct fetch_settings {
  std::uint64_t window_bytes{limits::fetch_window_bytes_max};
  std::uint64_t bytes_per_second{0}; ///< 0: no limit
  bool patient{false};               ///< waits for sources for ever
};

/// Why a source is asked no more.
enum class source_fault : std::uint8_t {
  lied,    ///< wrong bytes, or what it was not asked for: never again in this fetch
  stalled, ///< owed a piece and sent nothing
  slow,    ///< far slower than another
};
[[nodiscard]] std::string_view to_string(source_fault fault) noexcept;

/// Decides which pieces are asked of whom, and whether what comes is right. Pieces are asked for in
/// the order given, of several sources at once, and may come in any order. Bounds: at most
/// `window_bytes` are asked for and not here (or one piece, whichever is more), of them at most
/// limits::fetch_source_bytes_max of one source; a piece is asked for at most
/// limits::fetch_asks_per_piece_max times; at most limits::fetch_sources_max sources.
///
/// A value: knows no socket, disk or clock. The caller performs the effects; `now` never goes back.
class fetch_core {
public:
  using time_point = std::chrono::steady_clock::time_point;

  struct ask {
    node_id source;
    std::vector<std::uint32_t> pieces;
    std::uint64_t received{0}; ///< bytes of pieces that came from it since it joined
  };
  struct drop {
    node_id source;
    source_fault fault{source_fault::lied};
    std::string reason; ///< for people
  };
  struct effects {
    std::vector<ask> asks;
    std::vector<drop> drops; ///< close their connections; they have left already
    bool keep{false};        ///< the piece that just came is right: write it
  };
  struct counters {
    std::uint64_t asked_bytes{0};
    std::uint64_t received_bytes{0}; ///< right or wrong
    std::uint64_t verified_bytes{0}; ///< right, each piece once
    std::uint64_t wrong_bytes{0};
    std::uint64_t asked_again_bytes{0}; ///< that had been asked for before
    std::uint64_t in_flight_max{0};
  };
  struct source_report {
    std::uint64_t bytes{0}; ///< right ones
    std::uint32_t drops{0};
    std::string fault; ///< the last one, for people; empty: none
    bool joined{false};
  };

  fetch_core(const std::vector<wanted_piece>& missing, fetch_settings how, time_point now);

  /// A source that can be asked, and which pieces it has. Nothing happens when it is one already,
  /// lied before, was dropped too often, or there are too many.
  effects source_joined(const node_id& source, std::vector<piece_range> holds, time_point now);
  /// It is gone; what it owed is asked of others.
  effects source_left(const node_id& source, time_point now);
  effects piece_arrived(const node_id& source, std::uint32_t index,
                        std::span<const std::byte> bytes, time_point now);
  /// It does not have this piece (no_piece: none of the model's) any more.
  effects refused(const node_id& source, std::uint32_t index, time_point now);
  /// Ten times a second or so.
  effects tick(time_point now);

  [[nodiscard]] bool done() const noexcept { return verified_ == pieces_.size(); }
  /// Why it cannot go on; nothing is asked for any more.
  [[nodiscard]] const std::optional<error>& failed() const noexcept { return failed_; }
  /// Whether `source_joined` would take it.
  [[nodiscard]] bool takes(const node_id& source) const;
  [[nodiscard]] const counters& count() const noexcept { return count_; }
  [[nodiscard]] const std::map<node_id, source_report>& sources() const noexcept {
    return reports_;
  }
  [[nodiscard]] std::uint64_t in_flight() const noexcept { return in_flight_; }

private:
  enum class progress : std::uint8_t { missing, asked, verified };
  struct piece_state {
    wanted_piece what;
    progress state{progress::missing};
    node_id asked_of;
    std::uint32_t asks{0};
  };
  struct source_state {
    std::vector<piece_range> holds;
    std::set<std::size_t> owes;    ///< places in `pieces_`
    std::set<std::uint32_t> lacks; ///< refused, though within `holds`
    std::uint64_t owed_bytes{0};
    std::uint64_t received{0};       ///< bytes of pieces, as it counts them
    std::size_t next{0};             ///< nothing it could be asked for lies before
    time_point heard{};              ///< since then it owes without a word
    std::uint64_t reviewed_bytes{0}; ///< right ones since the review began
    bool busy{true};                 ///< owed something all the time since then
  };

  void fill(effects& out, time_point now);
  bool ask_one(const node_id& source, source_state& of, std::map<node_id, ask>& asks);
  [[nodiscard]] bool has(const source_state& source, std::uint32_t index) const;
  std::optional<std::size_t> next_for(source_state& source) const;
  void give_back(source_state& source);
  void settle(source_state& source, std::size_t place, time_point now);
  void drop_source(const node_id& source, source_fault fault, std::string reason, effects& out);
  void find_stalled(effects& out, time_point now);
  void review(effects& out, time_point now);

  fetch_settings how_;
  byte_rate rate_;
  std::vector<piece_state> pieces_; ///< in the order of use
  std::map<std::uint32_t, std::size_t> places_;
  std::map<node_id, source_state> joined_;
  std::map<node_id, source_report> reports_;
  std::set<node_id> liars_;
  std::size_t verified_{0};
  std::uint64_t in_flight_{0};
  time_point alone_since_;
  time_point reviewed_;
  std::optional<error> failed_;
  counters count_;
};

} // namespace ovir::actors
