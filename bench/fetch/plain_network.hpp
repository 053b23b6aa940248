#pragma once

#include "actors/link/network.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace ovir::bench {

/// Two ends of one TCP connection on loopback without TLS: what the messages of a link cost by
/// themselves. For measuring alone: nodes have no such network. Each end has a thread that reads
/// and one that writes; bytes received count against no budget.
class plain_end final : public actors::network {
public:
  /// `socket` is connected and becomes this end's.
  plain_end(int socket, actors::peer_info peer, actors::network_handler& handler);
  ~plain_end() override;
  plain_end(const plain_end&) = delete;
  plain_end& operator=(const plain_end&) = delete;

  /// Whether `connect` was called.
  [[nodiscard]] bool wanted() const noexcept { return wanted_.load(); }
  /// Says that the connection is there, and begins to read.
  void start();

  /// The connection there is, from `start` on.
  actors::connection_id connect(const std::string& address, actors::channel kind,
                                const node_id& expected) override;
  result<void> send(actors::connection_id connection, actors::message_kind kind,
                    std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(actors::connection_id connection, error reason) override;

private:
  void read();
  void write();

  int socket_;
  actors::peer_info peer_;
  actors::network_handler& handler_;
  std::mutex guard_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<const std::vector<std::byte>>> queue_;
  bool over_{false};
  std::atomic<bool> wanted_{false};
  std::thread reader_;
  std::thread writer_;
};

/// Connected sockets, on loopback.
[[nodiscard]] std::pair<int, int> connected_sockets();

} // namespace ovir::bench
