#pragma once

#include "actors/link/tls_network.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace ovir::actors {

/// The names of connections that a node begins: one name for each that is wanted, whatever ways are
/// tried for it, of which each has a name of its own inside. Names of incoming ones pass unchanged.
/// Thread-safe.
class connection_names {
public:
  /// A connection is wanted; its name.
  [[nodiscard]] connection_id want(const std::string& address, channel kind,
                                   const node_id& expected);
  /// Begins a try by `net`; `address` empty: the one that `want` was given.
  void dial(connection_id wanted, const std::string& address, tls_network& net);
  /// Likewise over a stream; false: it is of no use, and still the caller's.
  [[nodiscard]] bool carry(connection_id wanted, ready_stream over, tls_network& net);
  /// The try under way is of no use any more, unless it stands.
  [[nodiscard]] std::optional<connection_id> drop(connection_id wanted);

  struct given_up {
    peer_info peer; ///< for `closed`
    std::optional<connection_id> inner{};
  };
  /// It is wanted no more; none when it stands or is unknown.
  [[nodiscard]] std::optional<given_up> forget(connection_id wanted);
  /// Kind, node and address; none when it stands or is unknown.
  [[nodiscard]] std::optional<peer_info> wanted(connection_id wanted) const;

  /// The name inside of one that stands; an incoming one's own.
  [[nodiscard]] std::optional<connection_id> inner_of(connection_id name) const;
  /// As those outside know it; none: it was dropped.
  [[nodiscard]] std::optional<peer_info> connected(const peer_info& peer);
  [[nodiscard]] std::optional<peer_info> translated(const peer_info& peer) const;

  enum class fate : std::uint8_t {
    unknown, ///< it was dropped
    told,    ///< outside they have heard of it, or have to
    dialled, ///< a try has failed
    carried, ///< likewise, over a stream
  };
  struct ending {
    fate what{fate::unknown};
    peer_info peer{}; ///< as those outside know it
  };
  [[nodiscard]] ending closed(const peer_info& peer);
  /// Whether a control connection with that node stands.
  [[nodiscard]] bool is_linked(const node_id& node) const;
  /// Those that do not stand, for the end.
  [[nodiscard]] std::vector<peer_info> take_all();

private:
  struct entry {
    peer_info peer; ///< expected node, kind and address
    std::optional<connection_id> inner{};
    bool stands{false};
    bool carried{false};
  };

  mutable std::shared_mutex guard_;
  std::uint64_t last_{first_name};
  std::map<connection_id, entry> wanted_;
  std::unordered_map<std::uint64_t, connection_id> outer_;
  std::map<node_id, std::size_t> controls_;

  /// Incoming connections are numbered from 1 on.
  static constexpr std::uint64_t first_name = std::uint64_t{1} << 62U;
};

} // namespace ovir::actors
