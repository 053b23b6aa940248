#include "actors/link/tls_admission.hpp"

#include "actors/link/dial_targets.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/links.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

/// The head of a TLS record: its type, a version, its length.
constexpr std::size_t record_head_bytes = 5;
constexpr std::byte handshake_record{0x16};

/// Bytes of the record that begins so; 0 where none begins so that we would read.
std::size_t greeting_bytes(std::span<const std::byte> bytes) {
  if (bytes.empty()) {
    return record_head_bytes;
  }
  if (bytes[0] != handshake_record) {
    return 0;
  }
  if (bytes.size() < record_head_bytes) {
    return record_head_bytes;
  }
  const std::size_t whole = record_head_bytes + (std::to_integer<std::size_t>(bytes[3]) << 8U) +
                            std::to_integer<std::size_t>(bytes[4]);
  return whole > limits::client_hello_bytes_max ? 0 : whole;
}

} // namespace

tls_admission::tls_admission(asio::io_context& context, tls_host& host, connection_id id,
                             channels taken)
    : host_(host), taken_(taken), socket_(context), resolver_(context), deadline_(context) {
  peer_.connection = id;
  peer_.incoming = true;
}

tls_admission::tls_admission(asio::io_context& context, tls_host& host, connection_id id,
                             connection_slots::slot place, const target& to)
    : host_(host), wanted_kind_(to.kind), expected_(to.expected), told_(to.told), socket_(context),
      resolver_(context), deadline_(context), place_(std::move(place)), where_(to.address) {
  peer_.connection = id;
  peer_.node = to.expected;
  peer_.kind = to.kind;
  peer_.address = where_;
}

// Connecting

void tls_admission::await_deadline(std::chrono::milliseconds wait, std::string what) {
  deadline_.expires_after(wait);
  deadline_.async_wait(
      [self = shared_from_this(), wait, what = std::move(what)](const error_code& problem) {
        if (problem || self->stage_ == stage::over) {
          return;
        }
        if (self->stage_ == stage::parting) {
          self->finish_parting();
          return;
        }
        self->abort(fail(errc::timed_out, "{} with {} took longer than {} ms", what, self->where_,
                         wait.count()));
      });
}

void tls_admission::accept(tcp::socket socket, connection_slots::slot place) {
  socket_ = std::move(socket);
  place_ = std::move(place);
  where_ = remote_address(socket_);
  stage_ = stage::greeting;
  await_deadline(host_.deadlines.admission, "the admission");
  await_greeting();
}

bool tls_admission::take(const ready_stream& over) {
  where_ = over.where;
  from_ = over.from;
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  const bool six = ::getsockname(over.descriptor, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
                   own.ss_family == AF_INET6;
  error_code problem;
  socket_.assign(six ? tcp::v6() : tcp::v4(), over.descriptor, problem);
  if (problem) {
    ::close(over.descriptor);
    abort(fail(errc::io_failed, "a stream to {} cannot be used: {}", where_, problem.message()));
  }
  return !problem;
}

void tls_admission::accept_over(const ready_stream& over, connection_slots::slot place) {
  place_ = std::move(place);
  if (take(over)) {
    stage_ = stage::greeting;
    await_deadline(host_.deadlines.admission, "the admission");
    await_greeting();
  }
}

void tls_admission::connect_over(const ready_stream& over) {
  if (stage_ == stage::over) {
    ::close(over.descriptor); // closed before it began
  } else if (take(over)) {
    await_deadline(host_.deadlines.admission, "the admission");
    begin_tls();
  }
}

void tls_admission::await_greeting() {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code&) {
    if (self->stage_ == stage::greeting) {
      self->read_greeting(); // which tells what is wrong
    }
  });
}

void tls_admission::read_greeting() {
  const std::size_t filled = incoming_.size();
  incoming_.resize(limits::client_hello_bytes_max);
  socket_.async_read_some(
      asio::buffer(incoming_.data() + filled, incoming_.size() - filled),
      [self = shared_from_this(), filled](const error_code& problem, std::size_t bytes) {
        if (self->stage_ != stage::greeting) {
          return;
        }
        if (problem) {
          self->abort(fail(errc::peer_lost, "{} closed the connection before it was admitted",
                           self->where_));
          return;
        }
        self->on_greeting(filled + bytes);
      });
}

void tls_admission::on_greeting(std::size_t bytes) {
  incoming_.resize(bytes);
  const std::size_t wanted = greeting_bytes(incoming_);
  if (wanted == 0) {
    abort(fail(errc::malformed, "{} does not begin a TLS connection", where_));
    return;
  }
  if (bytes < wanted) {
    read_greeting();
    return;
  }
  if (from_ ? !host_.may_shake(*from_) : !host_.may_shake(socket_)) {
    abort(fail(errc::busy, "{} begins too many connections; it has to wait", where_));
    return;
  }
  place_.advance(progress::shaking);
  begin_tls();
}

void tls_admission::connect() {
  if (stage_ == stage::over) {
    return; // closed before it began
  }
  const auto address = parse_host_and_port(where_);
  if (!address) {
    abort(address.error());
    return;
  }
  await_deadline(host_.deadlines.connect, "connecting");
  error_code not_numeric;
  const auto numeric = asio::ip::make_address(address->host, not_numeric);
  const std::string port = std::to_string(address->port);
  if (!not_numeric) {
    connect_to(tcp::resolver::results_type::create(tcp::endpoint{numeric, address->port},
                                                   address->host, port));
    return;
  }
  resolver_.async_resolve(address->host, port, tcp::resolver::numeric_service,
                          [self = shared_from_this()](const error_code& problem,
                                                      const tcp::resolver::results_type& found) {
                            if (self->stage_ == stage::over) {
                              return;
                            }
                            if (problem) {
                              self->abort(fail(errc::not_found, "cannot find the host of {}: {}",
                                               self->where_, problem.message()));
                              return;
                            }
                            self->connect_to(found);
                          });
}

void tls_admission::connect_to(const tcp::resolver::results_type& endpoints) {
  std::vector<tcp::endpoint> ends = dial_targets(endpoints, peer_.connection.value);
  if (told_ && !host_.is_local()) {
    std::erase_if(ends, leads_here);
    if (ends.empty()) {
      abort(
          fail(errc::invalid_argument,
               "{} is an address of this very machine, but a peer told it; set 'advertise' of the "
               "node that is meant to an address that others reach",
               where_));
      return;
    }
  }
  // It keeps a copy of the list.
  asio::async_connect(socket_, ends,
                      [self = shared_from_this()](const error_code& problem, const tcp::endpoint&) {
                        if (self->stage_ == stage::over) {
                          return;
                        }
                        if (problem) {
                          self->abort(fail(errc::peer_lost, "cannot connect to {}: {}",
                                           self->where_, problem.message()));
                          return;
                        }
                        self->begin_tls();
                      });
}

void tls_admission::begin_tls() {
  set_link_options(socket_);
  auto engine = tls_engine::make(host_.identity, peer_.incoming ? tls_engine::side::accepting
                                                                : tls_engine::side::connecting);
  if (!engine) {
    abort(engine.error());
    return;
  }
  engine_ = std::move(*engine);
  if (!incoming_.empty()) {
    const std::span<std::byte> space = engine_->input_space();
    OVIR_CHECK(space.size() >= incoming_.size(), space.size());
    std::copy(incoming_.begin(), incoming_.end(), space.begin());
    engine_->received(incoming_.size());
    incoming_ = {};
  }
  stage_ = stage::handshake;
  advance();
}

// Bytes

void tls_admission::advance() {
  while (stage_ < stage::agreed && step()) {
  }
  flush();
  if (stage_ < stage::agreed) {
    read();
  }
}

void tls_admission::read() {
  if (reading_) {
    return;
  }
  reading_ = true;
  const std::span<std::byte> space = engine_->input_space();
  socket_.async_read_some(
      asio::buffer(space.data(), space.size()),
      [self = shared_from_this()](const error_code& problem, std::size_t bytes) {
        self->reading_ = false;
        if (self->stage_ >= stage::agreed) {
          return;
        }
        if (problem) {
          self->abort(fail(errc::peer_lost, "{} closed the connection before it was admitted ({})",
                           self->where_, problem.message()));
          return;
        }
        self->engine_->received(bytes);
        self->advance();
      });
}

void tls_admission::flush() {
  if (write_busy_ || stage_ == stage::over || !engine_) {
    return;
  }
  if (engine_->output().empty()) {
    if (stage_ == stage::agreed) {
      hand_over();
    } else if (stage_ == stage::parting && !sent_all_) {
      sent_all_ = true;
      error_code ignored;
      socket_.shutdown(tcp::socket::shutdown_send, ignored);
    }
    return;
  }
  write_busy_ = true;
  writing_ = std::exchange(engine_->output(), {});
  asio::async_write(socket_, asio::buffer(writing_),
                    [self = shared_from_this()](const error_code& problem, std::size_t) {
                      self->write_busy_ = false;
                      if (self->stage_ == stage::over) {
                        return;
                      }
                      if (problem) {
                        self->abort(fail(errc::peer_lost, "{} closed the connection ({})",
                                         self->where_, problem.message()));
                        return;
                      }
                      self->flush();
                    });
}

void tls_admission::want(stage next, std::size_t bytes) {
  stage_ = next;
  incoming_.clear();
  wanted_ = bytes;
}

bool tls_admission::fill() {
  while (incoming_.size() < wanted_) {
    const std::size_t filled = incoming_.size();
    incoming_.resize(wanted_);
    std::size_t bytes = 0;
    const auto status = engine_->read(std::span{incoming_}.subspan(filled), bytes);
    incoming_.resize(filled + bytes);
    if (status == tls_engine::status::closed) {
      part(fail(errc::peer_lost, "{} closed the connection before it was admitted", where_));
      return false;
    }
    if (status == tls_engine::status::failed) {
      part(fail(errc::malformed, "TLS with {} failed: {}", where_, engine_->problem()));
      return false;
    }
    if (status == tls_engine::status::want_input) {
      return false;
    }
  }
  return true;
}

void tls_admission::say(std::span<const std::byte> bytes) {
  if (engine_->write(bytes) != tls_engine::status::done) {
    abort(fail(errc::internal, "TLS with {} cannot write: {}", where_, engine_->problem()));
  }
}

// Steps

bool tls_admission::step() {
  if (stage_ == stage::handshake) {
    return step_handshake();
  }
  if (!fill()) {
    return false;
  }
  switch (stage_) {
  case stage::hello_front: return on_hello_front();
  case stage::hello_rest: return on_hello_rest();
  case stage::verdict_front: {
    const auto text = verdict_text_bytes(std::span{incoming_}.first<link_verdict::prefix_size>());
    if (!text) {
      part(in_context(where_, text.error()));
      return false;
    }
    stage_ = stage::verdict_rest;
    wanted_ += *text;
    return true;
  }
  case stage::verdict_rest: return on_verdict();
  default: return false;
  }
}

bool tls_admission::step_handshake() {
  switch (engine_->handshake()) {
  case tls_engine::status::want_input: return false;
  case tls_engine::status::done: break;
  default:
    part(fail(errc::malformed, "TLS with {} failed: {}", where_, engine_->problem()));
    return false;
  }
  const auto node = engine_->peer();
  if (!node) {
    part(in_context(where_, node.error()));
    return false;
  }
  if (!expected_.empty() && *node != expected_) {
    part(fail(errc::invalid_argument,
              "at {} there is node {}, not node {} as expected: check the address and the key",
              where_, to_hex(*node), to_hex(expected_)));
    return false;
  }
  peer_.node = *node;
  place_.advance(progress::proven);
  if (peer_.node == host_.key.id()) {
    refuse(fail(errc::invalid_argument, "node {} connected to itself", short_name(peer_.node)));
    return false;
  }
  if (peer_.incoming) {
    want(stage::hello_front, hello_prefix::size);
    return true;
  }
  await_deadline(host_.deadlines.admission, "the admission");
  want(stage::verdict_front, link_verdict::prefix_size);
  say_hello();
  return stage_ == stage::verdict_front;
}

void tls_admission::say_hello() {
  link_hello hello;
  hello.kind = peer_.kind;
  hello.roles = host_.self.roles;
  hello.cluster = host_.self.cluster;
  hello.address = host_.self.address;
  hello.life = host_.self.life;
  peer_.told_loss = host_.handler.last_loss(peer_.node);
  hello.last_loss = peer_.told_loss;
  hello.token = host_.self.token;
  if (!hello.token.empty()) {
    const auto exported = engine_->exporter();
    if (!exported) {
      abort(exported.error());
      return;
    }
    hello.binding = host_.key.sign(binding_domain, binding_bytes(*exported, hello.token));
  }
  say(encode_hello(hello));
}

bool tls_admission::on_hello_front() {
  const auto front = decode_hello_prefix(std::span{incoming_}.first<hello_prefix::size>());
  if (!front) {
    refuse(front.error());
    return false;
  }
  if (const auto same = check_version(front->version, peer_.node, host_.key.id()); !same) {
    refuse(same.error());
    return false;
  }
  want(stage::hello_rest, front->body_bytes);
  return true;
}

result<bool> tls_admission::token_bound(const link_hello& hello) const {
  if (!hello.binding) {
    return false;
  }
  OVIR_ASSIGN(const auto exported, engine_->exporter());
  return verify(peer_.node, binding_domain, binding_bytes(exported, hello.token), *hello.binding);
}

result<void> tls_admission::judge(const link_hello& hello) {
  if (peer_.incoming) {
    const bool admin = hello.kind == channel::admin;
    if (!(admin ? taken_.admin : taken_.members)) {
      return fail(errc::invalid_argument,
                  "this port takes {} only: use the address the node's configuration gives for {}",
                  taken_.admin ? "admin shells" : "members of the cluster",
                  admin ? "admin shells (admin_listen)" : "members (listen)");
    }
    if (hello.kind == channel::relay && !host_.takes_guests) {
      return fail(errc::unsupported, "this node helps no others to be reached");
    }
  } else if (hello.kind != wanted_kind_) {
    return fail(errc::malformed, "the peer answers for another channel than it was asked for");
  }
  OVIR_ASSIGN(const bool bound, token_bound(hello));
  peer_.kind = hello.kind;
  peer_.address = hello.address;
  peer_.life = hello.life;
  peer_.last_loss = hello.last_loss;
  peer_.from = from_ ? *from_ : remote_prefix(socket_);
  peer_.seen = from_ ? std::string{} : remote_address(socket_);
  OVIR_ASSIGN(peer_.roles,
              host_.handler.admit(peer_hello{peer_.node, hello.kind, hello.cluster, hello.address,
                                             hello.roles, hello.token, bound, peer_.incoming,
                                             hello.life, hello.last_loss, peer_.from}));
  return place_.admitted(peer_.node, peer_.kind);
}

bool tls_admission::on_hello_rest() {
  const auto hello = decode_hello_body(incoming_);
  const result<void> fine = hello ? judge(*hello) : result<void>{hello.error()};
  if (!fine) {
    refuse(fine.error());
    return false;
  }
  if (peer_.incoming) {
    want(stage::verdict_front, link_verdict::prefix_size);
    say(encode_verdict({}));
    if (stage_ == stage::verdict_front) {
      say_hello();
    }
    return stage_ == stage::verdict_front;
  }
  stage_ = stage::agreed;
  say(encode_verdict({}));
  return false;
}

bool tls_admission::on_verdict() {
  const auto verdict = decode_verdict(incoming_);
  if (!verdict) {
    part(in_context(where_, verdict.error()));
    return false;
  }
  if (verdict->refusal) {
    part(error{verdict->refusal->code,
               fmt::format("node {} at {} refused this connection: {}", short_name(peer_.node),
                           where_, verdict->refusal->message)});
    return false;
  }
  if (peer_.incoming) {
    stage_ = stage::agreed;
    return false;
  }
  want(stage::hello_front, hello_prefix::size);
  return true;
}

// Ends

void tls_admission::refuse(const error& reason) {
  say(encode_verdict({reason}));
  if (stage_ != stage::over) {
    part(in_context(where_, reason));
  }
}

void tls_admission::part(const error& reason) {
  stage_ = stage::parting;
  engine_->close();
  report(reason);
  await_deadline(limits::close_wait, {});
  flush();
  discard();
}

/// A socket closed with input unread takes back what it sent last: the reason would be lost.
void tls_admission::discard() {
  if (stage_ != stage::parting || reading_) {
    return;
  }
  reading_ = true;
  incoming_.resize(limits::hello_bytes_max);
  socket_.async_read_some(asio::buffer(incoming_),
                          [self = shared_from_this()](const error_code& problem, std::size_t) {
                            self->reading_ = false;
                            if (problem) {
                              self->finish_parting();
                            } else {
                              self->discard();
                            }
                          });
}

void tls_admission::finish_parting() {
  stage_ = stage::over;
  deadline_.cancel();
  error_code ignored;
  socket_.close(ignored);
  place_ = {};
}

void tls_admission::abort(const error& reason) {
  const bool reported = stage_ >= stage::parting;
  resolver_.cancel();
  finish_parting();
  if (!reported) {
    report(reason);
  }
}

void tls_admission::report(const error& reason) { host_.not_admitted(peer_, reason); }

void tls_admission::cancel(error reason) {
  if (stage_ < stage::parting) {
    abort(reason);
  } else {
    host_.close_elsewhere(peer_.connection, std::move(reason));
  }
}

void tls_admission::give_way() {
  if (stage_ != stage::over) {
    abort(fail(errc::busy, "{} was put out: newer connections take its place", where_));
  }
}

void tls_admission::hand_over() {
  stage_ = stage::over;
  deadline_.cancel();
  const auto pass = pass_of(*engine_, socket_, peer_.incoming);
  host_.admitted(
      admitted_connection{std::move(socket_), std::move(engine_), peer_, std::move(place_), pass});
}

} // namespace ovir::actors
