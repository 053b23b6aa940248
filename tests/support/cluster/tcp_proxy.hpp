#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// A network that can be made to fail: ports that lead to nodes, which delay, hold or cut what
/// passes. Nodes advertise these ports instead of their own, so every link between them is a
/// connection from a node (`from`) through the route of another (`to`).
///
/// One thread of its own forwards; all functions may be called from any thread. Throws
/// std::runtime_error where the machine refuses a socket.
class tcp_proxy {
public:
  /// Told the local ports that connections come from; returns who opened each, or `stranger`.
  /// Called only where a rule must know: by whom gives it, and by the proxy's thread for
  /// connections that come while something is held.
  using finder = std::function<std::vector<std::size_t>(const std::vector<std::uint16_t>& ports)>;
  /// True for the connections that are meant.
  using pair_rule = std::function<bool(std::size_t from, std::size_t to)>;
  static constexpr std::size_t stranger = SIZE_MAX;

  explicit tcp_proxy(finder who = {});
  ~tcp_proxy();
  tcp_proxy(const tcp_proxy&) = delete;
  tcp_proxy& operator=(const tcp_proxy&) = delete;

  /// Opens a port of 127.0.0.1 that leads to `target` ("127.0.0.1:PORT"); nobody need listen there
  /// yet. Routes count from 0.
  std::size_t add_route(const std::string& target);
  /// "127.0.0.1:PORT".
  [[nodiscard]] std::string address(std::size_t route) const;

  /// From now on nothing passes on these connections, in either direction, nor on new ones: they
  /// stay open, and what was sent arrives when they are let go, as with a network that is down for
  /// a while. An empty rule lets all go.
  void hold(pair_rule rule);
  /// Each byte arrives this much later.
  void delay(std::chrono::milliseconds by);
  /// Resets these connections, those held too; returns how many there were.
  std::size_t cut(const pair_rule& rule);

  [[nodiscard]] std::size_t connections() const;

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

} // namespace ovir::test
