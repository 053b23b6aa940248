#pragma once

#include "actors/nat/punch_datagram.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ovir::actors {

/// What the knocks of a meeting carry: both ends know what it is made of, and so does the helper,
/// which is not trusted; the link's handshake shows who is there.
[[nodiscard]] punch_token token_of_meeting(std::uint64_t nonce, const node_id& asks,
                                           const node_id& answers);

/// One end's knocks of one meeting: datagrams that make its router let in what the other end sends
/// from there. They go to the addresses that were named, and to other ports of the same hosts from
/// which the other end was heard: a router may map another port for this end than for the helper.
/// At most limits::punch_datagrams_max in all, whatever is heard. Pure.
class hole_punch {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `named`: numeric addresses that this node may send to (`usable_addresses`).
  hole_punch(const punch_token& token, const std::vector<std::string>& named);

  /// Where to knock now; again every limits::punch_every.
  [[nodiscard]] std::vector<std::string> tick(time_point now);

  struct hearing {
    bool counts{false}; ///< it is the other end's, and the way there is open
    bool answer{false}; ///< knock there at once
  };
  [[nodiscard]] hearing heard(const std::string& from, const punch_token& token);

  [[nodiscard]] const punch_token& token() const noexcept { return token_; }
  [[nodiscard]] std::size_t sent() const noexcept { return sent_; }

private:
  punch_token token_;
  std::vector<std::string> hosts_;
  std::vector<std::string> targets_;
  std::size_t sent_{0};
  time_point next_{time_point::min()};
};

} // namespace ovir::actors
