#include "actors/shared/shared_link.hpp"

#include "messages/limits/general.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Memory for a payload is made usable this much ahead of what has come.
constexpr std::size_t ahead_bytes = 64U << 10U;
/// In front of the first message: how many came over the connection before.
constexpr std::size_t begin_bytes_of_ring = sizeof(std::uint64_t);

std::size_t queue_charge(std::size_t bytes) { return bytes + limits::message_overhead_bytes; }

} // namespace

std::span<const std::byte> shared_link::queued::rest() const {
  if (sent < header.size()) {
    return std::span{header}.subspan(sent);
  }
  return std::span{*bytes}.subspan(sent - header.size());
}

shared_link::shared_link(shared_parts parts, network_handler& handler,
                         std::shared_ptr<network_traffic> traffic, std::function<void()> wake)
    : peer_(std::move(parts.peer)), socket_(std::move(parts.socket)),
      region_(std::move(parts.region)), half_message_(parts.half_message), handler_(handler),
      traffic_(std::move(traffic)), wake_(std::move(wake)),
      budget_(std::make_shared<receive_budget>(receive_bytes_max(peer_.kind), wake_)),
      came_before_(std::move(parts.came_before)), out_(region_.ring(parts.opener ? 0 : 1)),
      in_(region_.ring(parts.opener ? 1 : 0)) {
  const std::uint64_t before = parts.sent_before;
  const auto written = out_.writer.write(std::as_bytes(std::span{&before, 1}));
  OVIR_CHECK(!written || *written == begin_bytes_of_ring); // an index that is wrong shows later
}

shared_link::~shared_link() { budget_->detach(); }

// Sending

result<void> shared_link::send(message_kind kind, std::uint32_t target,
                               std::shared_ptr<const std::vector<std::byte>> bytes) {
  const std::size_t bytes_max = message_bytes_max(peer_.kind, kind);
  if (bytes_max == 0) {
    return fail(errc::invalid_argument, "a message of kind {} does not belong on channel {}",
                static_cast<std::uint16_t>(kind), static_cast<std::uint8_t>(peer_.kind));
  }
  if (bytes->size() > bytes_max) {
    return fail(errc::over_limit, "a message of kind {} has {} bytes; at most {} are allowed",
                static_cast<std::uint16_t>(kind), bytes->size(), bytes_max);
  }
  bool waits = false;
  {
    const std::lock_guard lock{out_.guard};
    if (!out_.accepting) {
      return fail(errc::peer_lost, "the link to node {} is closed", short_name(peer_.node));
    }
    if (out_.queued_bytes > send_bytes_max(peer_.kind)) {
      out_.accepting = false;
      return fail(errc::busy, "node {} takes its messages too slowly: {} MiB wait for it",
                  short_name(peer_.node), send_bytes_max(peer_.kind) >> 20U);
    }
    const message_header header{static_cast<std::uint32_t>(bytes->size()),
                                static_cast<std::uint16_t>(kind), target};
    out_.queued_bytes += queue_charge(bytes->size());
    out_.queue.push_back({encode_header(header), std::move(bytes), 0});
    if (out_.queue.size() == 1) {
      OVIR_TRY(write_queued());
    }
    waits = !out_.queue.empty();
  }
  if (waits) {
    wake_();
  }
  return {};
}

/// Under `out_.guard`. Whether a byte moved.
result<bool> shared_link::write_queued() {
  std::size_t moved = 0; // bounded: others want the lock
  while (!out_.queue.empty() && moved < limits::shared_ring_bytes) {
    queued& message = out_.queue.front();
    OVIR_ASSIGN(const std::size_t written, out_.writer.write(message.rest()));
    message.sent += written;
    moved += written;
    traffic_->shared_sent.fetch_add(written, std::memory_order_relaxed);
    if (message.sent == message.size()) {
      out_.queued_bytes -= queue_charge(message.bytes->size());
      out_.queue.pop_front();
    } else if (written == 0) {
      break;
    }
    // After a header comes its payload at once, where there is one: one bell for both.
    const bool between = !out_.queue.empty() && out_.queue.front().sent == message_header::size;
    if (!between && out_.writer.reader_waits()) {
      ring_bell(socket_);
    }
  }
  if (out_.writer.reader_waits()) {
    ring_bell(socket_);
  }
  if (moved > 0 || out_.queue.empty()) {
    out_.stuck_since.reset();
  }
  return moved > 0;
}

void shared_link::close(error reason) {
  {
    const std::lock_guard lock{out_.guard};
    out_.accepting = false;
    if (!out_.closing) {
      out_.closing = std::move(reason);
    }
  }
  wake_();
}

// Receiving

void shared_link::more_came() {
  if (waits_for_before_.load()) {
    wake_();
  }
}

result<bool> shared_link::receive() {
  const std::lock_guard lock{in_.guard};
  bool moved = false;
  std::size_t left = 2 * limits::shared_ring_bytes; // then others have their turn
  while (!in_.ended && left > 0) {
    const std::size_t before = in_.payload.size() + in_.filled;
    OVIR_ASSIGN(const bool more, !began_.load() ? begin()
                                 : in_.message  ? read_payload()
                                                : read_header());
    const std::size_t after = in_.payload.size() + in_.filled;
    left -= std::min(left, std::max<std::size_t>(after > before ? after - before : 0, 64));
    moved = moved || more || after != before;
    if (!more) {
      break;
    }
  }
  if (in_.reader.writer_waits()) {
    ring_bell(socket_);
  }
  return moved;
}

/// The messages that came over the connection stand before those of the ring.
result<bool> shared_link::begin() {
  if (in_.filled < begin_bytes_of_ring) {
    OVIR_ASSIGN(const std::size_t bytes, in_.reader.read(std::span{in_.header}.subspan(
                                             in_.filled, begin_bytes_of_ring - in_.filled)));
    in_.filled += bytes;
    if (in_.filled < begin_bytes_of_ring) {
      return false;
    }
  }
  const auto expected = byte_reader{in_.header}.number<std::uint64_t>();
  waits_for_before_.store(true);
  if (came_before_->load() < expected) {
    return false;
  }
  if (came_before_->load() > expected) {
    return fail(errc::malformed, "node {} sent other messages than it counts",
                short_name(peer_.node));
  }
  OVIR_ASSIGN(const std::size_t there, in_.reader.present());
  if (there == 0) {
    return false; // it may still send over the connection what it counted
  }
  in_.filled = 0;
  began_.store(true);
  return true;
}

/// False: the header is not there yet, or the budget has no room for its message.
result<bool> shared_link::read_header() {
  OVIR_ASSIGN(const std::size_t bytes, in_.reader.read(std::span{in_.header}.subspan(in_.filled)));
  in_.filled += bytes;
  if (in_.filled < in_.header.size()) {
    return false;
  }
  OVIR_ASSIGN(const message_header header, decode_header(peer_.kind, in_.header));
  if (header.kind == goodbye_kind) {
    return fail(errc::malformed, "a goodbye does not belong in shared memory");
  }
  in_.filled = 0;
  in_.message = header;
  in_.reserved = false;
  return true;
}

result<bool> shared_link::read_payload() {
  if (!in_.reserved) {
    in_.reserved = budget_->reserve(in_.message->length);
    if (!in_.reserved) { // `wake_` is called when there is room
      return false;
    }
    in_.payload.reserve(in_.message->length);
  }
  const std::size_t filled = in_.payload.size();
  in_.payload.resize(std::min<std::size_t>(in_.message->length, filled + ahead_bytes));
  const auto bytes = in_.reader.read(std::span{in_.payload}.subspan(filled));
  if (!bytes) {
    return bytes.error();
  }
  in_.payload.resize(filled + *bytes);
  if (in_.payload.size() == in_.message->length) {
    deliver();
    return true;
  }
  return *bytes > 0;
}

void shared_link::deliver() {
  const message_header header = *std::exchange(in_.message, std::nullopt);
  in_.reserved = false;
  in_.since.reset();
  traffic_->shared_received.fetch_add(message_header::size + header.length,
                                      std::memory_order_relaxed);
  handler_.received(peer_, static_cast<message_kind>(header.kind), header.target,
                    budget_->hand_out(std::exchange(in_.payload, {})));
}

// Turns

result<bool> shared_link::turn(time_point now) {
  OVIR_ASSIGN(const bool came, receive());
  OVIR_TRY(check_receiving(now));
  if (deaf_since_ && now - *deaf_since_ > limits::close_wait) {
    return fail(errc::peer_lost, "node {} is gone", short_name(peer_.node));
  }
  const std::lock_guard lock{out_.guard};
  OVIR_ASSIGN(const bool went, write_queued());
  if (out_.closing && out_.queue.empty()) {
    return *out_.closing;
  }
  OVIR_TRY(check_sending(now));
  return came || went;
}

/// Under `out_.guard`. Deadlines run from the turn that first sees them.
result<void> shared_link::check_sending(time_point now) {
  if (out_.closing) {
    out_.close_by = out_.close_by.value_or(now + limits::close_wait);
    if (now >= *out_.close_by) {
      return *out_.closing;
    }
  }
  if (!out_.queue.empty()) {
    out_.stuck_since = out_.stuck_since.value_or(now);
    if (now - *out_.stuck_since > half_message_) {
      return fail(errc::timed_out,
                  "node {} took no byte of what was sent to it for more than {} ms",
                  short_name(peer_.node), half_message_.count());
    }
  }
  return {};
}

result<void> shared_link::check_receiving(time_point now) {
  const std::lock_guard lock{in_.guard};
  if (!half_received()) {
    return {};
  }
  in_.since = in_.since.value_or(now);
  const std::size_t bytes = in_.message ? in_.message->length : 0;
  if (now - *in_.since > half_message_ + std::chrono::milliseconds{
                                             bytes * 1'000 / limits::link_bytes_per_second_min}) {
    return fail(errc::timed_out, "node {} left a message half sent for more than {} ms",
                short_name(peer_.node), half_message_.count());
  }
  return {};
}

/// Under `in_.guard`. Not while the budget has no room: then this side is what keeps it waiting.
bool shared_link::half_received() const {
  return began_.load() && (in_.filled > 0 || (in_.message && in_.reserved));
}

/// Under `in_.guard`: for messages that came over the connection, which tells us of them.
bool shared_link::waits_for_others() const {
  return !began_.load() && in_.filled == begin_bytes_of_ring &&
         came_before_->load() < byte_reader{in_.header}.number<std::uint64_t>();
}

void shared_link::hear(time_point now) {
  if (!take_bell(socket_)) {
    deaf_since_ = now;
  }
}

result<bool> shared_link::sleep() {
  bool ready = false;
  {
    const std::lock_guard lock{out_.guard};
    if (!out_.queue.empty()) {
      OVIR_ASSIGN(ready, out_.writer.wait_for_room());
    }
  }
  const std::lock_guard lock{in_.guard};
  const bool no_room = in_.message && !in_.reserved;
  if (!no_room && !waits_for_others()) {
    OVIR_ASSIGN(const bool there, in_.reader.wait_for_bytes());
    ready = ready || there;
  }
  return ready;
}

bool shared_link::watched() const {
  if (deaf_since_) {
    return true;
  }
  {
    const std::lock_guard lock{out_.guard};
    if (!out_.queue.empty() || out_.closing) {
      return true;
    }
  }
  const std::lock_guard lock{in_.guard};
  return half_received();
}

void shared_link::end() {
  (void)receive(); // what is there whole still counts, whatever comes behind it
  const std::lock_guard lock{in_.guard};
  in_.ended = true;
  budget_->detach();
}

} // namespace ovir::actors
