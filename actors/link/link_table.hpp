#pragma once

#include "actors/link/network.hpp"
#include "messages/node_id.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// What a link_table wants done.
struct link_effect {
  enum class action : std::uint8_t {
    close,     ///< `connection`, and tell the peer `reason`
    dial_data, ///< a data connection to `node` at `address`, for the control connection
               ///< `connection`
    up,        ///< there is a link with `node`
    down,      ///< what was under way to and from `node` is lost, for `reason`
  };
  action what{action::close};
  node_id node;
  connection_id connection{};
  std::string address{};
  std::string reason{};
  bool ours{false}; ///< `up`: this node opened it
};

/// Which connections make up the links of a node; pure. A line is a control connection and the data
/// connection its opener dials once the control connection stands: both or none. Two nodes may open
/// lines to each other at once; both then keep what the lower key opened, and use whichever is
/// complete until then. Of two lines opened by the same side the newer counts.
///
/// A link that one side loses is lost for both: it closes every connection of the link, and what it
/// tells in hellos from then on (`last_loss`) lets the other side know that whatever was there
/// before is over, if that has not noticed. So nothing is lost of a link unless both sides are told
/// so. The peer's next process is told in the same way. Connections that are of no use are closed,
/// so that neither side holds what the other has forgotten.
class link_table {
public:
  using effects = std::vector<link_effect>;

  explicit link_table(node_id self) : self_(self) {}

  /// Whether a control connection to `expected` (may be empty: whoever is there) at `address` would
  /// be of use: there is none, and none under way.
  [[nodiscard]] bool wants(const std::string& address, const node_id& expected) const;
  /// A control connection to that address is under way.
  void dialled(connection_id control, const std::string& address, const node_id& expected);
  /// The data connection that `dial_data` asked for is under way.
  [[nodiscard]] effects data_dialled(const node_id& node, connection_id control,
                                     connection_id data);

  /// A control or data connection stands.
  [[nodiscard]] effects connected(const peer_info& peer);
  /// It does no longer, or never will.
  [[nodiscard]] effects closed(const peer_info& peer, const std::string& reason);

  /// About twice a second. Where both nodes have opened a line, the one with the higher key closes
  /// its own after two ticks, when the other side surely knows both. If one lasts longer, the peer
  /// does not know ours: the link is lost.
  [[nodiscard]] effects tick();

  /// `network_handler::last_loss`. Forgotten of nodes without connections, the oldest first, above
  /// `limits::lost_links_max`.
  [[nodiscard]] std::uint64_t last_loss(const node_id& node) const;

  /// The connections in use. Without a link: empty, or for answers the control connection of a line
  /// that the other side opened, which may know it complete already.
  [[nodiscard]] std::optional<connection_id> way(const node_id& to, channel kind) const;
  [[nodiscard]] bool linked(const node_id& node) const;
  [[nodiscard]] std::vector<node_id> linked() const;
  /// Whether this node opened the line in use.
  [[nodiscard]] bool ours(const node_id& node) const;
  /// Whether whoever was met under this address is linked.
  [[nodiscard]] bool reached(const std::string& address) const;
  /// Every connection of a node.
  [[nodiscard]] std::vector<connection_id> connections(const node_id& node) const;
  /// Nodes with a connection.
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }

private:
  struct line {
    connection_id control;
    bool ours{false}; ///< this node opened it
    std::optional<connection_id> data{};
    bool complete{false}; ///< `data` stands
  };
  struct entry {
    std::vector<line> lines;                     ///< oldest first
    std::optional<connection_id> early_data{};   ///< came before its control connection
    std::optional<connection_id> used_control{}; ///< of the line in use
    std::uint32_t ticks_beside{0};               ///< for which both sides' lines have been complete
    std::uint64_t life{0};                       ///< of the peer's process
    std::uint64_t last_loss{0};                  ///< of the peer; the same in all lines
  };
  struct dial {
    std::string address;
    node_id expected;
  };

  void add_control(const peer_info& peer, const std::string& address, effects& out);
  void add_data(const peer_info& peer, effects& out);
  void settle(const node_id& node, const std::string& reason, effects& out);
  /// Whether one side has lost a link since it told the hello of this connection.
  [[nodiscard]] bool is_stale(const peer_info& peer) const;
  /// Drops what the peer does not hold any more: it lost the link, or was started again.
  static void drop_lost(const peer_info& peer, entry& e, effects& out);
  /// This side loses the link.
  void lose(const node_id& node, entry& e, const std::string& reason, effects& out);
  static void close_all(const node_id& node, entry& e, effects& out);
  static void drop_older(const node_id& node, entry& e, const line& kept, effects& out);
  static void close_line(const node_id& node, const line& l, effects& out);
  [[nodiscard]] const line* best(const node_id& node, const entry& e) const;
  [[nodiscard]] const line* used(const node_id& node) const;

  const node_id self_;
  std::map<node_id, entry> nodes_;
  std::map<connection_id, dial> dials_;     ///< control connections under way
  std::map<std::string, node_id> found_;    ///< who answered under an address
  std::map<node_id, std::uint64_t> losses_; ///< the last one of each
  std::uint64_t last_loss_{0};
};

} // namespace ovir::actors
