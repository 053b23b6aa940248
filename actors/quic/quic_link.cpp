#include "actors/quic/quic_link.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/quic.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Messages up to this are written with their header in one piece.
constexpr std::size_t small_message_bytes = 1'024;
/// A payload's memory is made usable this much ahead of what has come.
constexpr std::size_t payload_ahead = 64U << 10U;

/// As for a link over TCP: the deadline for any incomplete message, and for large ones the time at
/// the slowest rate a link may have.
quic_time allowed(std::size_t bytes, std::chrono::milliseconds deadline) {
  return deadline + std::chrono::milliseconds{bytes * 1'000 / limits::link_bytes_per_second_min};
}

} // namespace

int rank_of(channel kind) noexcept {
  return kind == channel::bulk ? 2 : kind == channel::data ? 1 : 0;
}

std::size_t window_of(channel kind) noexcept {
  return kind == channel::bulk   ? limits::quic_bulk_window
         : kind == channel::data ? limits::quic_data_window
                                 : limits::quic_control_window;
}

quic_link::quic_link(const quic_link_parts& parts, peer_info peer, std::string where,
                     connection_slots::slot place, quic_time now)
    : parts_(parts), peer_(std::move(peer)), expected_(peer_.node), where_(std::move(where)),
      place_(std::move(place)), now_(now) {
  due_ = now + (peer_.incoming ? parts_.deadlines.admission : parts_.deadlines.connect);
}

quic_link::~quic_link() {
  if (budget_) {
    budget_->detach();
  }
}

std::string quic_link::name() const {
  return peer_.address.empty()
             ? fmt::format("node {}", short_name(peer_.node))
             : fmt::format("node {} at {}", short_name(peer_.node), peer_.address);
}

quic_link::wish quic_link::take() { return std::exchange(wish_, wish{}); }

// Admission

void quic_link::begin(const node_id& node, const std::array<std::byte, exporter_bytes>& exporter,
                      quic_time now) {
  if (stage_ != stage::waiting) {
    return;
  }
  exporter_ = exporter;
  if (!expected_.empty() && node != expected_) {
    lose(fail(errc::invalid_argument,
              "at {} there is node {}, not node {} as expected: check the address and the key",
              where_, to_hex(node), to_hex(expected_)));
    return;
  }
  peer_.node = node;
  due_ = now + parts_.deadlines.admission;
  if (node == parts_.key.id()) {
    refuse(fail(errc::invalid_argument, "node {} connected to itself", short_name(node)), now);
    return;
  }
  if (peer_.incoming) {
    place_.advance(progress::proven);
    want(stage::hello_front, hello_prefix::size);
    return;
  }
  want(stage::verdict_front, link_verdict::prefix_size);
  say_hello();
}

void quic_link::want(stage next, std::size_t bytes) {
  stage_ = next;
  in_.front.clear();
  in_.wanted = bytes;
}

void quic_link::say(std::vector<std::byte> bytes) {
  written_ += bytes.size();
  wish_.write.push_back(std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
}

void quic_link::say_hello() {
  link_hello hello;
  hello.kind = peer_.kind;
  hello.roles = parts_.self.roles;
  hello.cluster = parts_.self.cluster;
  hello.address = parts_.self.address;
  hello.life = parts_.self.life;
  peer_.told_loss = parts_.handler.last_loss(peer_.node);
  hello.last_loss = peer_.told_loss;
  hello.token = parts_.self.token;
  if (!hello.token.empty()) {
    hello.binding = parts_.key.sign(binding_domain, binding_bytes(exporter_, hello.token));
  }
  say(encode_hello(hello));
}

void quic_link::on_hello_front() {
  const auto front = decode_hello_prefix(std::span{in_.front}.first<hello_prefix::size>());
  if (!front) {
    refuse(front.error(), now_);
    return;
  }
  if (const auto same = check_version(front->version, peer_.node, parts_.key.id()); !same) {
    refuse(same.error(), now_);
    return;
  }
  want(stage::hello_rest, front->body_bytes);
}

result<void> quic_link::judge(const link_hello& hello) {
  if (peer_.incoming && hello.kind == channel::admin) {
    return fail(errc::invalid_argument,
                "this port takes members of the cluster only: admin shells connect over TCP");
  }
  if (!peer_.incoming && hello.kind != peer_.kind) {
    return fail(errc::malformed, "the peer answers for another channel than it was asked for");
  }
  const bool bound = hello.binding && verify(peer_.node, binding_domain,
                                             binding_bytes(exporter_, hello.token), *hello.binding);
  peer_.kind = hello.kind;
  peer_.address = hello.address;
  peer_.life = hello.life;
  peer_.last_loss = hello.last_loss;
  OVIR_ASSIGN(peer_.roles,
              parts_.handler.admit(peer_hello{peer_.node, hello.kind, hello.cluster, hello.address,
                                              hello.roles, hello.token, bound, peer_.incoming,
                                              hello.life, hello.last_loss, peer_.from}));
  return place_.admitted(peer_.node, peer_.kind);
}

void quic_link::on_hello(quic_time now) {
  const auto hello = decode_hello_body(in_.front);
  const result<void> fine = hello ? judge(*hello) : result<void>{hello.error()};
  if (!fine) {
    refuse(fine.error(), now);
    return;
  }
  say(encode_verdict({}));
  if (peer_.incoming) {
    want(stage::verdict_front, link_verdict::prefix_size);
    say_hello();
  } else {
    open(now);
  }
}

void quic_link::on_verdict(quic_time now) {
  const auto verdict = decode_verdict(in_.front);
  if (!verdict) {
    part(in_context(where_, verdict.error()), now);
    return;
  }
  if (verdict->refusal) {
    part(error{verdict->refusal->code,
               fmt::format("node {} at {} refused this connection: {}", short_name(peer_.node),
                           where_, verdict->refusal->message)},
         now);
    return;
  }
  if (peer_.incoming) {
    open(now);
  } else {
    want(stage::hello_front, hello_prefix::size);
  }
}

void quic_link::open(quic_time now) {
  want(stage::open, message_header::size);
  due_.reset();
  progress_ = now;
  wish_.admitted = true;
  wish_.grant += window_of(peer_.kind) - std::min(window_of(peer_.kind), limits::quic_hello_window);
  budget_ = std::make_shared<receive_budget>(
      receive_bytes_max(peer_.kind),
      [resume = parts_.resume, id = peer_.connection] { resume(id); });
  connected_ = true;
  parts_.lanes.open(peer_.connection, peer_.kind);
  parts_.handler.connected(peer_);
}

// Receiving

void quic_link::received(std::span<const std::byte> bytes, bool end, quic_time now) {
  now_ = now;
  in_.ended = in_.ended || end;
  if (stage_ >= stage::parting) {
    return;
  }
  std::size_t used = 0;
  if (in_.kept.empty()) {
    used = use(bytes, now);
  }
  const auto rest = bytes.subspan(used);
  in_.kept.insert(in_.kept.end(), rest.begin(), rest.end()); // at most what was granted
  process(now);
}

void quic_link::process(quic_time now) {
  if (!in_.kept.empty()) {
    const std::vector<std::byte> kept = std::exchange(in_.kept, {});
    const auto rest = std::span{kept}.subspan(use(kept, now));
    in_.kept.assign(rest.begin(), rest.end());
  }
  if (stage_ >= stage::parting) {
    in_.kept.clear();
    return;
  }
  const bool incomplete =
      !in_.paused && stage_ == stage::open && (in_.message || !in_.front.empty());
  if (!incomplete) {
    in_.began.reset();
  } else if (!in_.began) {
    in_.began = now;
  }
  if (in_.ended && in_.kept.empty() && !in_.paused) {
    lose(connected_
             ? fail(errc::peer_lost, "{} closed the link", name())
             : fail(errc::peer_lost, "{} closed the connection before it was admitted", where_));
  }
}

/// Uses as much of `bytes` as there is room for.
std::size_t quic_link::use(std::span<const std::byte> bytes, quic_time now) {
  std::size_t used = 0;
  while (used < bytes.size() && !in_.paused && stage_ > stage::waiting && stage_ < stage::parting) {
    std::span<const std::byte> rest = bytes.subspan(used);
    if (stage_ == stage::open && in_.message) {
      rest = rest.first(std::min(rest.size(), in_.message->length - in_.payload.size()));
      if (in_.payload.capacity() < in_.payload.size() + rest.size()) {
        in_.payload.reserve(std::min<std::size_t>(in_.message->length,
                                                  std::max(in_.payload.size() * 2, payload_ahead)));
      }
      in_.payload.insert(in_.payload.end(), rest.begin(), rest.end());
      if (in_.payload.size() == in_.message->length) {
        deliver();
      }
    } else {
      rest = rest.first(std::min(rest.size(), in_.wanted - in_.front.size()));
      in_.front.insert(in_.front.end(), rest.begin(), rest.end());
      if (in_.front.size() == in_.wanted) {
        step(now);
      }
    }
    used += rest.size();
    wish_.grant += rest.size();
  }
  return used;
}

void quic_link::step(quic_time now) {
  now_ = now;
  switch (stage_) {
  case stage::hello_front: on_hello_front(); return;
  case stage::hello_rest: on_hello(now); return;
  case stage::verdict_front: {
    const auto text = verdict_text_bytes(std::span{in_.front}.first<link_verdict::prefix_size>());
    if (!text) {
      part(in_context(where_, text.error()), now);
      return;
    }
    stage_ = stage::verdict_rest;
    in_.wanted += *text;
    if (*text == 0) {
      on_verdict(now);
    }
    return;
  }
  case stage::verdict_rest: on_verdict(now); return;
  case stage::open: on_header(); return;
  default: return;
  }
}

void quic_link::on_header() {
  std::array<std::byte, message_header::size> bytes{};
  std::copy(in_.front.begin(), in_.front.end(), bytes.begin());
  in_.front.clear();
  const auto header = decode_header(peer_.kind, bytes);
  if (!header) {
    part(in_context(name(), header.error()), now_);
    return;
  }
  in_.message = *header;
  begin_payload();
}

void quic_link::begin_payload() {
  if (!in_.reserved) {
    in_.reserved = budget_->reserve(in_.message->length);
    in_.paused = !in_.reserved;
  }
  if (in_.reserved && in_.message->length == 0) {
    deliver();
  }
}

void quic_link::deliver() {
  const message_header header = *std::exchange(in_.message, std::nullopt);
  in_.reserved = false;
  in_.began.reset();
  const received_bytes bytes = budget_->hand_out(std::exchange(in_.payload, {}));
  if (header.kind == goodbye_kind) {
    const auto verdict = decode_verdict(*bytes);
    lose(fail(errc::peer_lost, "{} closed the link: {}", name(),
              verdict && verdict->refusal ? verdict->refusal->message : "no reason given"));
    return;
  }
  parts_.handler.received(peer_, static_cast<message_kind>(header.kind), header.target, bytes);
}

void quic_link::resume(quic_time now) {
  now_ = now;
  if (stage_ != stage::open || !in_.paused) {
    return;
  }
  in_.paused = false;
  begin_payload();
  process(now);
}

// Sending

void quic_link::send(message_kind kind, std::uint32_t target, const quic_session::block& bytes,
                     quic_time now) {
  if (stage_ != stage::open) {
    return;
  }
  const message_header header{static_cast<std::uint32_t>(bytes->size()),
                              static_cast<std::uint16_t>(kind), target};
  const auto encoded = encode_header(header);
  std::vector<std::byte> front{encoded.begin(), encoded.end()};
  const bool small = bytes->size() <= small_message_bytes;
  if (small) {
    front.insert(front.end(), bytes->begin(), bytes->end());
  }
  say(std::move(front));
  if (!small) {
    written_ += bytes->size();
    wish_.write.push_back(bytes);
  }
  if (unacked_.empty()) {
    progress_ = now;
  }
  unacked_.push_back({written_, quic_lanes::charge_of(bytes->size())});
}

void quic_link::acked(std::uint64_t bytes, quic_time now) {
  acked_ += bytes;
  progress_ = now;
  while (!unacked_.empty() && unacked_.front().end <= acked_) {
    parts_.lanes.release(peer_.connection, unacked_.front().charge);
    unacked_.pop_front();
  }
  if (stage_ == stage::parting && acked_ >= written_) {
    stage_ = stage::over;
    wish_.over = true;
  }
}

// Time

std::optional<quic_time> quic_link::deadline() const {
  std::optional<quic_time> next = due_;
  const auto consider = [&next](quic_time when) { next = next ? std::min(*next, when) : when; };
  if (stage_ == stage::over) {
    return std::nullopt;
  }
  if (stage_ == stage::open && in_.began) {
    consider(*in_.began +
             allowed(in_.message ? in_.message->length : 0, parts_.deadlines.half_message));
  }
  if (stage_ == stage::open && !unacked_.empty()) {
    consider(progress_ + parts_.deadlines.half_message);
  }
  return next;
}

void quic_link::on_time(quic_time now, bool unheard) {
  now_ = now;
  const auto next = deadline();
  if (!next || *next > now) {
    return;
  }
  if (stage_ == stage::parting) {
    stage_ = stage::over;
    wish_.over = true;
  } else if (stage_ == stage::open) {
    const bool sending = !unacked_.empty() && progress_ + parts_.deadlines.half_message <= *next;
    lose(fail(errc::timed_out, "{} {} for more than {} ms", name(),
              sending ? "took no byte of what was sent to it" : "left a message half sent",
              parts_.deadlines.half_message.count()));
  } else if (stage_ == stage::waiting) {
    lose(unheard ? fail(errc::timed_out,
                        "{} gives no answer over QUIC within {} ms: its node may be down or speak "
                        "TCP only (link.transport), or UDP may be blocked on the way",
                        where_, parts_.deadlines.connect.count())
                 : fail(errc::timed_out, "connecting with {} took longer than {} ms", where_,
                        parts_.deadlines.connect.count()),
         unheard);
  } else {
    lose(fail(errc::timed_out, "the admission with {} took longer than {} ms", where_,
              parts_.deadlines.admission.count()));
  }
}

// Ends

void quic_link::refuse(const error& reason, quic_time now) {
  say(encode_verdict({reason}));
  part(in_context(where_, reason), now);
}

void quic_link::close(const error& reason, quic_time now) {
  if (stage_ == stage::open) {
    part(reason, now);
  } else if (stage_ < stage::open) {
    lose(reason);
  }
}

/// The last bytes go out; the handler hears of the end now.
void quic_link::part(const error& reason, quic_time now) {
  if (stage_ >= stage::parting) {
    return;
  }
  if (stage_ == stage::open) {
    const auto bytes = encode_verdict({reason});
    const message_header header{static_cast<std::uint32_t>(bytes.size()), goodbye_kind, 0};
    const auto encoded = encode_header(header);
    std::vector<std::byte> words{encoded.begin(), encoded.end()};
    words.insert(words.end(), bytes.begin(), bytes.end());
    say(std::move(words));
  }
  wish_.finish = true;
  stage_ = stage::parting;
  due_ = now + limits::close_wait;
  report(reason, false);
}

void quic_link::lose(const error& reason, bool unheard) {
  if (stage_ == stage::over) {
    return;
  }
  stage_ = stage::over;
  wish_.over = true;
  due_.reset();
  in_.payload = {};
  in_.kept = {};
  place_ = {}; // first: the handler may count on the place it had
  report(reason, unheard);
}

void quic_link::report(const error& reason, bool unheard) {
  if (std::exchange(reported_, true)) {
    return;
  }
  if (budget_) {
    budget_->detach();
  }
  parts_.lanes.close(peer_.connection);
  if (connected_) {
    parts_.handler.closed(peer_, reason);
  } else if (!peer_.incoming &&
             !(unheard && parts_.unanswered && parts_.unanswered(peer_, reason))) {
    parts_.handler.closed(peer_, reason);
  }
}

} // namespace ovir::actors
