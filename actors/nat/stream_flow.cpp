#include "actors/nat/stream_flow.hpp"

#include "messages/check.hpp"

namespace ovir::actors {

void stream_flow::sent(std::uint64_t bytes) {
  OVIR_CHECK(bytes <= may_send(), bytes);
  sent_ += bytes;
}

result<void> stream_flow::counted(const stream_count& count) {
  if (count.bytes <= counted_ || count.bytes > sent_) {
    return fail(errc::malformed, "{} bytes of a stream are counted; {} were, and {} were sent",
                count.bytes, counted_, sent_);
  }
  const counted_stream what{relay_, self_.id(), peer_, session_, count.bytes};
  if (!verify(peer_, count_domain, count_statement(what), count.proof)) {
    return fail(errc::digest_mismatch, "a count of a stream is not signed by {}",
                short_name(peer_));
  }
  counted_ = count.bytes;
  return {};
}

result<void> stream_flow::received(std::uint64_t bytes) {
  if (bytes > told_ + limits::relay_window_bytes - received_) {
    return fail(errc::over_limit, "{} sent more of a stream than it may", short_name(peer_));
  }
  received_ += bytes;
  return {};
}

stream_count stream_flow::count_now(std::uint32_t stream) {
  told_ = delivered_;
  const counted_stream what{relay_, peer_, self_.id(), session_, told_};
  return {stream, told_, self_.sign(count_domain, count_statement(what))};
}

std::optional<stream_count> stream_flow::delivered(std::uint32_t stream, std::uint64_t bytes) {
  OVIR_CHECK(bytes <= received_ - delivered_, bytes);
  delivered_ += bytes;
  if (delivered_ - told_ < limits::relay_count_bytes) {
    return std::nullopt;
  }
  return count_now(stream);
}

std::optional<stream_count> stream_flow::last_count(std::uint32_t stream) {
  if (delivered_ == told_) {
    return std::nullopt;
  }
  return count_now(stream);
}

} // namespace ovir::actors
