#pragma once

#include "messages/request/request.hpp"
#include "messages/signing.hpp"
#include "tests/swarm/wires.hpp"
#include "tests/swarm/world.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

/// A member with a valid key that wants nothing but harm. It knows every format, for it repeats
/// what members said to one another: as it was, cut short, with other bytes, to others, under other
/// targets, or something else about the same request. So it sends what encoders made, and what
/// decoders must refuse.
class hostile_member final : public actors::network_handler {
public:
  /// `machine`: whose wires it uses; `roles`: what the others let it be; `them`: their addresses;
  /// `drives`: told of each request that it opens at a stage, or has another go on with, as its
  /// own. `number`: of several, each with its own luck.
  hostile_member(world& in, wires& at, std::size_t machine,
                 const std::array<std::byte, 32>& key_seed, role_set roles,
                 std::vector<std::string> them, std::function<void(request_id)> drives,
                 std::size_t number = 0);

  [[nodiscard]] node_id id() const { return key_.id(); }
  /// Sends for so long, as much as one of so many does that together are as loud as one.
  void begin(nanoseconds length, std::int64_t of_many = 1);
  /// A member said this to member `to`. Now and then that one hears at once from this one, too.
  void overhear(std::size_t to, actors::channel kind, actors::message_kind what,
                std::uint32_t target, const std::vector<std::byte>& bytes);
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

  result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info& peer, const error& reason) override;

private:
  struct heard {
    actors::channel channel;
    actors::message_kind what;
    std::uint32_t target{0};
    std::vector<std::byte> bytes;
  };
  void act();
  /// On a connection to the member at that address, where there is one.
  void answer(const std::string& address, heard what);
  void say(actors::connection_id to, heard what);
  void speak(actors::connection_id to, heard what);
  void dial();
  void spoil(std::vector<std::byte>& bytes);

  world& world_;
  chance draws_;
  secret_key key_;
  std::vector<std::string> them_;
  std::function<void(request_id)> drives_;
  std::deque<heard> heard_; ///< lately
  std::map<actors::connection_id, actors::peer_info> open_;
  nanoseconds until_{0};
  std::int64_t of_many_{1};
  std::uint64_t sent_{0};
  std::unique_ptr<endpoint> links_;
};

} // namespace ovir::swarm
