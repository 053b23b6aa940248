#pragma once

#include "actors/nat/nat_message.hpp"
#include "messages/limits/nat.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <optional>

namespace ovir::actors {

/// How much one end of a relayed stream may send, and what it signs of what it got. The relay is
/// not trusted: a count must be signed by the node at the other end. Pure.
class stream_flow {
public:
  /// `self` signs and outlives it. `session` is that of `stream_open`.
  stream_flow(const secret_key& self, const node_id& relay, const node_id& peer,
              const std::array<std::uint8_t, 16>& session)
      : self_(self), relay_(relay), peer_(peer), session_(session) {}

  /// Bytes that may go now.
  [[nodiscard]] std::uint64_t may_send() const noexcept {
    return counted_ + limits::relay_window_bytes - sent_;
  }
  /// Precondition: at most `may_send()`.
  void sent(std::uint64_t bytes);
  /// The other end has taken so many in all. `malformed` when that cannot be, `digest_mismatch`
  /// when it did not sign it.
  [[nodiscard]] result<void> counted(const stream_count& count);

  /// Bytes came. `over_limit` when they are more than the other end may send.
  [[nodiscard]] result<void> received(std::uint64_t bytes);
  /// They were handed on, so that others may come. A count to send, when enough have gathered.
  [[nodiscard]] std::optional<stream_count> delivered(std::uint32_t stream, std::uint64_t bytes);
  /// What was handed on and not yet counted, for the end of the stream.
  [[nodiscard]] std::optional<stream_count> last_count(std::uint32_t stream);

private:
  [[nodiscard]] stream_count count_now(std::uint32_t stream);

  const secret_key& self_;
  node_id relay_;
  node_id peer_;
  std::array<std::uint8_t, 16> session_;
  std::uint64_t sent_{0};
  std::uint64_t counted_{0}; ///< of those, as the other end signed
  std::uint64_t received_{0};
  std::uint64_t delivered_{0};
  std::uint64_t told_{0}; ///< of those, signed by this end
};

} // namespace ovir::actors
