#pragma once

#include "actors/group/group_links.hpp"

#include <cstddef>
#include <deque>
#include <vector>

namespace ovir::bench {

/// Links of a group over connected stream sockets, for measuring: bytes and waits as between
/// processes, without TLS. Reads busily, so that a message is seen when it arrives.
class stream_links final : public actors::group_links {
public:
  /// `sockets` [members]: to each other member, -1 for this one. Owns them.
  explicit stream_links(std::vector<int> sockets);
  ~stream_links() override;
  stream_links(const stream_links&) = delete;
  stream_links& operator=(const stream_links&) = delete;

  void send(std::uint32_t member, bytes message) override;
  [[nodiscard]] result<std::optional<letter>> receive(time_point until) override;
  [[nodiscard]] time_point now() const override { return std::chrono::steady_clock::now(); }

private:
  struct connection {
    int socket{-1};
    bool gone{false};
    std::deque<std::vector<std::byte>> sending;
    std::size_t sent{0}; ///< of the first
    std::vector<std::byte> read;
  };

  void write_some(connection& c);
  void read_some(std::uint32_t from, connection& c);

  std::vector<connection> connections_;
  std::deque<letter> inbox_;
};

} // namespace ovir::bench
