#pragma once

#include "actors/nat/hole_punch.hpp"
#include "actors/runtime/allowance.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// The UDP half of a node's meetings, by number: it shows the helper the socket's address, knocks,
/// and, where this node asked for the meeting, wants a link over QUIC to where the other end was
/// heard from first. All that it sends has one allowance (limits::punch_burst). Pure; times are
/// handed in.
class punch_desk {
public:
  using time_point = std::chrono::steady_clock::time_point;

  struct calls {
    std::function<void(const std::string& to, std::vector<std::byte>)> send;
    std::function<void(std::uint64_t meeting)> probed; ///< the helper's word is waited for no more
    std::function<void(std::uint64_t meeting, const std::string& to)> connect;
    std::function<void(std::uint64_t meeting)> late; ///< what `connect` wanted took too long
  };

  explicit punch_desk(calls to) : calls_(std::move(to)) {}

  /// Datagrams to the helper, until `forget_probe`, or `probed` is called.
  void probe(std::uint64_t meeting, const std::string& helper, const punch_token& token,
             time_point now);
  void forget_probe(std::uint64_t meeting) { probes_.erase(meeting); }
  /// `asks`: this node wants the link.
  void knock(std::uint64_t meeting, const punch_token& token, const std::vector<std::string>& named,
             bool asks, time_point now);
  void heard(const std::string& from, const punch_token& token, time_point now);
  void tick(time_point now);
  void forget(std::uint64_t meeting);

  /// Whether QUIC may come of the meeting soon: what opened over TCP is to wait.
  [[nodiscard]] bool is_hopeful(std::uint64_t meeting, time_point now) const;
  /// Whether `connect` was called.
  [[nodiscard]] bool is_connecting(std::uint64_t meeting) const;

private:
  struct probing {
    std::string helper;
    punch_token token{};
    std::size_t sent{0};
    time_point next{};
    time_point until{};
  };
  struct knocking {
    hole_punch holes;
    bool asks{false};
    time_point hope_until{};
    std::optional<time_point> connecting_until{};
  };
  void send(const std::string& to, const punch_datagram& what, time_point now);

  calls calls_;
  std::map<std::uint64_t, probing> probes_;
  std::map<std::uint64_t, knocking> knocks_;
  allowance sends_{limits::punch_burst, limits::punch_refill, std::chrono::milliseconds{1'000}};
};

} // namespace ovir::actors
