#include "actors/shared/shared_link.hpp"
#include "messages/limits/shared.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

// The other side of shared memory does what the input says: it writes as it should, writes into the
// ring behind the writer's back, sets indices and flags to anything, and rings. The link must hand
// out nothing over its limits, and end in an error or in what an honest reader makes of the bytes.

namespace {

using namespace ovir;
using namespace ovir::actors;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

class taker final : public network_handler {
public:
  result<role_set> admit(const peer_hello& hello) override { return hello.roles; }
  void connected(const peer_info& /*peer*/) override {}
  void received(const peer_info& peer, message_kind kind, std::uint32_t /*target*/,
                received_bytes bytes) override {
    require(message_bytes_max(peer.kind, kind) > 0);
    require(bytes->size() <= message_bytes_max(peer.kind, kind));
    taken_ += bytes->size();
    ++messages_;
  }
  void closed(const peer_info& /*peer*/, const error& /*reason*/) override {}

  [[nodiscard]] std::size_t taken() const { return taken_; }
  [[nodiscard]] std::size_t messages() const { return messages_; }

private:
  std::size_t taken_{0};
  std::size_t messages_{0};
};

/// The input, taken from its front.
class script {
public:
  explicit script(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool over() const { return bytes_.empty(); }
  [[nodiscard]] std::span<const std::byte> take(std::size_t count) {
    const auto part = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(part.size());
    return part;
  }
  [[nodiscard]] std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    const auto part = take(bytes);
    std::memcpy(&value, part.data(), part.size());
    return value;
  }

private:
  std::span<const std::byte> bytes_;
};

void set(std::span<std::byte> ring, std::size_t at, std::uint64_t value, std::size_t bytes) {
  std::memcpy(ring.data() + at, &value, bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto mine = shared_region::make();
  int ends[2]{};
  if (!mine || ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return 0;
  }
  const auto in = mine->ring(0);
  const auto out = mine->ring(1);
  const file_handle theirs{ends[1]};
  const auto came = std::make_shared<std::atomic<std::uint64_t>>(0);
  peer_info peer;
  peer.kind = channel::data;
  taker handler;
  shared_link link{{peer, file_handle{ends[0]}, std::move(*mine), false, 0, came,
                    std::chrono::milliseconds{10'000}},
                   handler,
                   std::make_shared<network_traffic>(),
                   [] {}};
  ring_writer honest{in};
  script todo{std::as_bytes(std::span{data, size})};
  std::size_t written = 0;
  bool ended = false;
  while (!todo.over() && !ended) {
    switch (todo.number(1) % 8) {
    case 0:
    case 1: {
      const auto put = honest.write(todo.take(todo.number(1)));
      written += put ? *put : 0;
      break;
    }
    case 2: set(in, ring_layout::written_at, todo.number(8), 8); break;
    case 3: set(out, ring_layout::read_at, todo.number(8), 8); break;
    case 4: set(in, ring_layout::writer_waits_at, todo.number(4), 4); break;
    case 5: set(in, ring_layout::head_bytes + todo.number(2), todo.number(8), 8); break;
    case 6:
      came->fetch_add(todo.number(1) % 2);
      link.more_came();
      ring_bell(theirs);
      link.hear(shared_link::time_point{});
      ended = !link.sleep();
      break;
    default:
      (void)link.send(message_kind::tensor, 7,
                      std::make_shared<const std::vector<std::byte>>(todo.number(2)));
      ended = !link.turn(shared_link::time_point{});
    }
  }
  link.end();
  const std::size_t before = handler.messages();
  (void)link.turn(shared_link::time_point{});
  require(handler.messages() == before);                              // nothing behind the end
  require(handler.taken() <= limits::shared_ring_bytes * (1 + size)); // no more than rings hold
  return 0;
}
