#include "actors/link/tls_link.hpp"

#include "messages/limits/general.hpp"

#include <boost/asio/post.hpp>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

/// Plaintext of one TLS record.
constexpr std::size_t record_bytes = 16U << 10U;

/// Read from and written to the socket at once: a tensor wants few system calls, a control link
/// little memory.
std::size_t batch_bytes(channel kind) {
  const bool large = kind == channel::data || kind == channel::bulk;
  return large ? std::size_t{256} << 10U : std::size_t{32} << 10U;
}

/// A thread that sends writes itself while no more than this waits: what a step's logits take.
constexpr std::size_t write_here_bytes_max = std::size_t{256} << 10U;

/// A payload's memory is made usable this much ahead of what has come, so that a peer that claims
/// much and sends little costs little.
constexpr std::size_t payload_step = 64U << 10U;

/// What an incomplete message may take: the deadline for any, and for large ones the time at the
/// slowest rate a link may have.
std::chrono::milliseconds allowed_for(std::size_t bytes, std::chrono::milliseconds deadline) {
  return deadline + std::chrono::milliseconds{bytes * 1'000 / limits::link_bytes_per_second_min};
}

std::size_t charge_of(std::size_t bytes) { return bytes + limits::message_overhead_bytes; }

} // namespace

tls_link::tls_link(asio::io_context& context, tls_host& host, admitted_connection connection)
    : host_(host), peer_(std::move(connection.peer)), context_(context),
      socket_(std::move(connection.socket)), timer_(context), engine_(std::move(connection.engine)),
      place_(std::move(connection.place)) {
  engine_->reserve_input(batch_bytes(peer_.kind));
}

tls_link::~tls_link() {
  if (budget_) {
    budget_->detach();
  }
}

std::string tls_link::name() const {
  return peer_.address.empty()
             ? fmt::format("node {}", short_name(peer_.node))
             : fmt::format("node {} at {}", short_name(peer_.node), peer_.address);
}

void tls_link::start() {
  const turn mine{*this};
  // The network detaches the budget before its contexts go.
  auto go_on = [weak = weak_from_this(), &context = context_] {
    asio::post(context, [weak] {
      if (const auto self = weak.lock()) {
        self->resume();
      }
    });
  };
  budget_ = std::make_shared<receive_budget>(receive_bytes_max(peer_.kind), std::move(go_on));
  started_ = true;
  host_.handler.connected(peer_);
  process();
}

// Receiving

void tls_link::read() {
  if (in_.reading || stage_ != stage::open || in_.paused) {
    return;
  }
  in_.reading = true;
  const std::span<std::byte> space = engine_->input_space();
  socket_.async_read_some(
      asio::buffer(space.data(), space.size()),
      [self = shared_from_this()](const error_code& problem, std::size_t bytes) {
        const turn mine{*self};
        self->in_.reading = false;
        if (self->stage_ != stage::open) {
          if (problem) {
            self->lost(self->reason_);
          } else {
            self->discard();
          }
          return;
        }
        if (problem) {
          self->lost(fail(errc::peer_lost, "lost {}: {}", self->name(), problem.message()));
          return;
        }
        self->host_.traffic->received.fetch_add(bytes, std::memory_order_relaxed);
        self->engine_->received(bytes);
        self->process();
      });
}

/// Uses up what came, then reads on.
void tls_link::process() {
  while (stage_ == stage::open && !in_.paused) {
    if (!(in_.message ? read_payload() : read_header())) {
      break;
    }
  }
  if (stage_ != stage::open) {
    return;
  }
  const bool incomplete = !in_.paused && (in_.message || in_.filled > 0);
  if (!incomplete) {
    in_.began.reset();
  } else if (!in_.began) {
    in_.began = clock::now();
    watch();
  }
  if (!engine_->output().empty()) {
    pump();
  }
  read();
}

/// False: nothing more to read, or the link is no longer open.
bool tls_link::read_some(std::span<std::byte> out, std::size_t& bytes) {
  switch (engine_->read(out, bytes)) {
  case tls_engine::status::done: return true;
  case tls_engine::status::want_input: return false;
  case tls_engine::status::closed:
    lost(fail(errc::peer_lost, "{} closed the link", name()));
    return false;
  case tls_engine::status::failed: break;
  }
  violated(fail(errc::malformed, "{} broke TLS: {}", name(), engine_->problem()));
  return false;
}

bool tls_link::read_header() {
  std::size_t bytes = 0;
  if (!read_some(std::span{in_.header}.subspan(in_.filled), bytes)) {
    return false;
  }
  in_.filled += bytes;
  if (in_.filled < in_.header.size()) {
    return true;
  }
  in_.filled = 0;
  const auto header = decode_header(peer_.kind, in_.header);
  if (!header) {
    violated(in_context(name(), header.error()));
    return false;
  }
  in_.message = *header;
  return begin_payload();
}

/// False while the receive budget has no room.
bool tls_link::begin_payload() {
  if (!in_.reserved) {
    in_.reserved = budget_->reserve(in_.message->length);
    in_.paused = !in_.reserved;
    if (in_.paused) {
      return false;
    }
    in_.payload.reserve(in_.message->length);
  }
  if (in_.message->length == 0) {
    deliver();
  }
  return stage_ == stage::open;
}

bool tls_link::read_payload() {
  const std::size_t filled = in_.payload.size();
  in_.payload.resize(std::min<std::size_t>(in_.message->length, filled + payload_step));
  std::size_t bytes = 0;
  std::size_t all = 0;
  bool more = true;
  while (filled + all < in_.payload.size() &&
         (more = read_some(std::span{in_.payload}.subspan(filled + all), bytes))) {
    all += bytes;
  }
  in_.payload.resize(filled + all);
  if (in_.payload.size() == in_.message->length && stage_ == stage::open) {
    deliver();
  }
  return more && stage_ == stage::open;
}

void tls_link::deliver() {
  const message_header header = *std::exchange(in_.message, std::nullopt);
  in_.reserved = false;
  in_.began.reset();
  const received_bytes bytes = budget_->hand_out(std::exchange(in_.payload, {}));
  if (header.kind == goodbye_kind) {
    const auto verdict = decode_verdict(*bytes);
    lost(fail(errc::peer_lost, "{} closed the link: {}", name(),
              verdict && verdict->refusal ? verdict->refusal->message : "no reason given"));
    return;
  }
  host_.handler.received(peer_, static_cast<message_kind>(header.kind), header.target, bytes);
}

void tls_link::resume() {
  const turn mine{*this};
  if (stage_ != stage::open || !in_.paused) {
    return;
  }
  in_.paused = false;
  (void)begin_payload();
  process();
}

// Sending

result<void> tls_link::send(message_kind kind, std::uint32_t target,
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
  const std::size_t waiting_max = send_bytes_max(peer_.kind);
  bool post = false;
  bool slow = false;
  {
    const std::lock_guard lock{mutex_};
    if (!accepting_) {
      return fail(errc::peer_lost, "the link to {} is closed", name());
    }
    slow = queued_bytes_ > waiting_max;
    if (slow) {
      accepting_ = false;
    } else {
      const message_header header{static_cast<std::uint32_t>(bytes->size()),
                                  static_cast<std::uint16_t>(kind), target};
      queued_bytes_ += charge_of(bytes->size());
      queue_.push_back({encode_header(header), std::move(bytes), 0});
      post = !std::exchange(pump_posted_, true);
    }
  }
  if (slow) {
    const error reason = fail(errc::busy, "{} takes its messages too slowly: {} MiB wait for it",
                              name(), waiting_max >> 20U);
    asio::post(context_, [self = shared_from_this(), reason] {
      const turn mine{*self};
      self->lost(reason);
    });
    return reason;
  }
  if (post && !write_here()) {
    asio::post(context_, [self = shared_from_this()] {
      const turn mine{*self};
      {
        const std::lock_guard lock{self->mutex_};
        self->pump_posted_ = false;
      }
      self->pump();
    });
  }
  return {};
}

/// Encrypts and writes what is queued, if that is little and nothing else is under way. False: the
/// context's thread is to go on.
bool tls_link::write_here() {
  const std::unique_lock mine{turns_, std::try_to_lock};
  if (!mine || taken_ || stage_ != stage::open || !started_ || out_.busy ||
      !engine_->output().empty()) {
    return false;
  }
  {
    const std::lock_guard lock{mutex_};
    if (queued_bytes_ > write_here_bytes_max) {
      return false;
    }
    pump_posted_ = false;
  }
  if (!encrypt()) { // shows again, and is reported, where the context's thread goes on
    return false;
  }
  std::vector<std::byte>& output = engine_->output();
  const ssize_t written = std::max<ssize_t>(
      ::send(socket_.native_handle(), output.data(), output.size(), MSG_DONTWAIT | MSG_NOSIGNAL),
      0);
  host_.traffic->sent.fetch_add(static_cast<std::uint64_t>(written), std::memory_order_relaxed);
  output.erase(output.begin(), output.begin() + written);
  return output.empty() && !next_message();
}

bool tls_link::next_message() {
  if (out_.batch.empty()) {
    const std::lock_guard lock{mutex_};
    out_.batch.swap(queue_);
  }
  return !out_.batch.empty();
}

void tls_link::message_sent() {
  {
    const std::lock_guard lock{mutex_};
    queued_bytes_ -= charge_of(out_.batch.front().bytes->size());
  }
  out_.batch.pop_front();
}

/// Fills records: small messages share one, whole records of a large one are not copied.
bool tls_link::encrypt_some() {
  queued& message = out_.batch.front();
  const std::size_t left = message.size() - message.sent;
  if (out_.staged.empty() && message.sent >= message_header::size && left >= record_bytes) {
    const std::span<const std::byte> rest =
        std::span{*message.bytes}.subspan(message.sent - message_header::size);
    message.sent += record_bytes;
    return engine_->write(rest.first(record_bytes)) == tls_engine::status::done;
  }
  const auto stage_part = [&](std::span<const std::byte> part) {
    part = part.first(std::min(part.size(), record_bytes - out_.staged.size()));
    out_.staged.insert(out_.staged.end(), part.begin(), part.end());
    message.sent += part.size();
  };
  if (message.sent < message_header::size) {
    stage_part(std::span{message.header}.subspan(message.sent));
  }
  if (message.sent >= message_header::size) {
    stage_part(std::span{*message.bytes}.subspan(message.sent - message_header::size));
  }
  if (out_.staged.size() < record_bytes) {
    return true;
  }
  const bool written = engine_->write(out_.staged) == tls_engine::status::done;
  out_.staged.clear();
  return written;
}

bool tls_link::encrypt() {
  while (engine_->output().size() < batch_bytes(peer_.kind) && next_message()) {
    if (!encrypt_some()) {
      return false;
    }
    if (out_.batch.front().sent == out_.batch.front().size()) {
      message_sent();
    }
  }
  if (out_.staged.empty()) {
    return true;
  }
  const bool written = engine_->write(out_.staged) == tls_engine::status::done;
  out_.staged.clear();
  return written;
}

void tls_link::pump() {
  if (out_.busy || stage_ == stage::over || !started_) {
    return;
  }
  if (stage_ != stage::parting && !encrypt()) {
    lost(fail(errc::internal, "TLS with {} cannot write: {}", name(), engine_->problem()));
    return;
  }
  if (engine_->output().empty()) {
    if (stage_ == stage::draining) {
      part();
    } else if (stage_ == stage::parting) {
      error_code ignored;
      socket_.shutdown(tcp::socket::shutdown_send, ignored);
    }
    return;
  }
  out_.writing.clear();
  out_.writing.swap(engine_->output());
  out_.written = 0;
  out_.busy = true;
  out_.progress = clock::now();
  watch();
  write_rest();
}

void tls_link::write_rest() {
  socket_.async_write_some(
      asio::buffer(out_.writing.data() + out_.written, out_.writing.size() - out_.written),
      [self = shared_from_this()](const error_code& problem, std::size_t bytes) {
        const turn mine{*self};
        if (self->stage_ == stage::over) {
          return;
        }
        if (problem) {
          self->out_.busy = false;
          self->lost(fail(errc::peer_lost, "lost {}: {}", self->name(), problem.message()));
          return;
        }
        self->host_.traffic->sent.fetch_add(bytes, std::memory_order_relaxed);
        self->out_.written += bytes;
        if (self->out_.written < self->out_.writing.size()) {
          self->out_.progress = clock::now();
          self->write_rest();
          return;
        }
        self->out_.busy = false;
        self->pump();
      });
}

// Time

std::optional<tls_link::clock::time_point> tls_link::next_deadline() const {
  std::optional<clock::time_point> next = close_by_;
  const auto consider = [&next](clock::time_point when) {
    next = next ? std::min(*next, when) : when;
  };
  if (stage_ == stage::open && in_.began) {
    consider(*in_.began +
             allowed_for(in_.message ? in_.message->length : 0, host_.deadlines.half_message));
  }
  if (out_.busy && stage_ <= stage::draining) {
    consider(out_.progress + host_.deadlines.half_message);
  }
  return next;
}

/// The timer is left alone while it will fire early enough by itself; then it looks again.
void tls_link::watch() {
  const auto next = next_deadline();
  if (stage_ == stage::over || !next || (timer_set_ && timer_.expiry() <= *next)) {
    return;
  }
  timer_set_ = true;
  timer_.expires_at(*next);
  timer_.async_wait([weak = weak_from_this()](const error_code& problem) {
    const auto self = weak.lock();
    if (self && !problem) {
      const turn mine{*self};
      self->timer_set_ = false;
      self->on_time();
    }
  });
}

void tls_link::on_time() {
  const auto next = next_deadline();
  if (stage_ == stage::over || !next) {
    return;
  }
  if (*next > clock::now()) {
    watch();
    return;
  }
  if (stage_ == stage::open) {
    const bool sending = out_.busy && out_.progress + host_.deadlines.half_message <= *next;
    lost(fail(errc::timed_out, "{} {} for more than {} ms", name(),
              sending ? "took no byte of what was sent to it" : "left a message half sent",
              host_.deadlines.half_message.count()));
  } else {
    lost(reason_);
  }
}

// Ends

void tls_link::close(error reason) {
  {
    const std::lock_guard lock{mutex_};
    accepting_ = false;
  }
  asio::post(context_, [self = shared_from_this(), reason = std::move(reason)] {
    const turn mine{*self};
    self->begin_close(reason);
  });
}

void tls_link::begin_close(const error& reason) {
  if (stage_ != stage::open) {
    return;
  }
  stage_ = stage::draining;
  reason_ = reason;
  budget_->detach();
  say_goodbye(reason);
  close_by_ = clock::now() + limits::close_wait;
  watch();
  discard();
  pump();
}

void tls_link::say_goodbye(const error& reason) {
  auto bytes = std::make_shared<const std::vector<std::byte>>(encode_verdict({reason}));
  const message_header header{static_cast<std::uint32_t>(bytes->size()), goodbye_kind, 0};
  const std::lock_guard lock{mutex_};
  queued_bytes_ += charge_of(bytes->size());
  queue_.push_back({encode_header(header), std::move(bytes), 0});
}

/// The peer broke the protocol: the handler hears of it now, the peer as far as it still listens.
void tls_link::violated(const error& reason) {
  if (stage_ != stage::open) {
    return;
  }
  {
    const std::lock_guard lock{mutex_};
    accepting_ = false;
    queue_.clear();
  }
  const bool between_messages = out_.batch.empty() || out_.batch.front().sent == 0;
  out_.batch.clear();
  if (between_messages) {
    say_goodbye(reason);
    (void)encrypt();
  }
  report(reason);
  part();
}

void tls_link::lost(const error& reason) {
  if (stage_ == stage::over) {
    return;
  }
  {
    const std::lock_guard lock{mutex_};
    accepting_ = false;
  }
  const error why = stage_ == stage::draining ? reason_ : reason;
  finish(); // first: whoever hears of the end may count on the place it had
  report(why);
}

/// Everything was said; waits a little for the peer to go, because a socket closed with input
/// unread takes back what it sent last.
void tls_link::part() {
  stage_ = stage::parting;
  engine_->close();
  report(reason_);
  close_by_ = clock::now() + limits::close_wait;
  watch();
  discard();
  pump();
}

void tls_link::discard() {
  if (in_.reading || (stage_ != stage::draining && stage_ != stage::parting)) {
    return;
  }
  in_.reading = true;
  in_.payload.resize(record_bytes);
  socket_.async_read_some(asio::buffer(in_.payload),
                          [self = shared_from_this()](const error_code& problem, std::size_t) {
                            const turn mine{*self};
                            self->in_.reading = false;
                            if (problem) {
                              self->lost(self->reason_);
                            } else {
                              self->discard();
                            }
                          });
}

void tls_link::report(const error& reason) {
  if (std::exchange(reported_, true)) {
    return;
  }
  budget_->detach();
  host_.handler.closed(peer_, reason);
  host_.forget(peer_.connection);
}

void tls_link::finish() {
  stage_ = stage::over;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  in_.payload = {};
  out_.batch.clear();
  place_ = {};
}

void tls_link::abandon(const error& reason) {
  if (budget_) {
    budget_->detach();
  }
  const bool owed = started_ || !peer_.incoming;
  if (owed && !std::exchange(reported_, true)) {
    host_.handler.closed(peer_, reason);
  }
}

} // namespace ovir::actors
