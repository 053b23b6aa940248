#pragma once

#include "actors/link/network.hpp"
#include "actors/nat/helper_list.hpp"
#include "actors/nat/meeting_point.hpp"
#include "actors/nat/seen_addresses.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

/// This node's connections to its helpers: where it can be met, and whom it asks about others. All
/// of them begin at one port, so that what the helpers see tells how the router maps ports.
/// Everything runs on the thread of the context.
class home_links {
public:
  using time_point = std::chrono::steady_clock::time_point;

  struct calls {
    std::function<connection_id(ready_stream, const node_id& helper)> link;
    std::function<void(connection_id, const nat_message&)> say;
    std::function<void(connection_id, const error&)> close;
    std::function<void(const node_id& helper, const error&)> lost; ///< also when it never came up
  };

  home_links(boost::asio::io_context& context, const node_id& self, calls to)
      : context_(context), calls_(std::move(to)), known_(self), seen_(self) {}
  ~home_links();
  home_links(const home_links&) = delete;
  home_links& operator=(const home_links&) = delete;

  /// A member was reached at this numeric address.
  void reached(const node_id& node, const std::string& address, bool relays, time_point now) {
    known_.reached(node, address, relays, now);
  }
  /// What helpers are to tell others of this node.
  void tell(const helper_join& what);
  /// Several times a second: keeps connections to where this node can be met.
  void tick(time_point now);
  /// To a helper, at once or when it is connected. Counts as its use.
  void say(const node_id& helper, nat_message message, time_point now);

  /// Events of a connection that `link` began; false: it is another's.
  [[nodiscard]] bool connected(connection_id connection);
  [[nodiscard]] bool closed(connection_id connection, const error& reason, time_point now);
  [[nodiscard]] std::optional<node_id> helper_of(connection_id connection) const;
  /// A helper tells where it sees this node.
  void heard(const node_id& helper, const address_seen& what, time_point now);

  [[nodiscard]] const helper_list& known() const noexcept { return known_; }
  [[nodiscard]] const seen_addresses& seen() const noexcept { return seen_; }
  /// Helpers where this node can be met now.
  [[nodiscard]] std::vector<node_id> homes() const;

private:
  struct helper_link {
    std::shared_ptr<meeting_point> port; ///< until it is connected
    std::optional<connection_id> connection{};
    bool up{false};
    bool home{false};  ///< it was told `told_`
    bool apart{false}; ///< from a port of its own
    std::deque<nat_message> waiting{};
    time_point used{};
  };

  helper_link& open(const node_id& helper, time_point now);
  void lose(const node_id& helper, const error& reason, time_point now);

  boost::asio::io_context& context_;
  calls calls_;
  helper_list known_;
  seen_addresses seen_;
  helper_join told_;
  std::map<node_id, helper_link> links_;
  std::set<node_id> apart_; ///< that could not be connected to from `port_`
  std::uint16_t port_{0};
};

} // namespace ovir::actors
