#include "actors/nat/reaching_network.hpp"

#include "actors/link/link_format.hpp"
#include "actors/link/nat_board.hpp"
#include "actors/link/udp_door.hpp"
#include "actors/nat/address_rules.hpp"
#include "actors/nat/connection_names.hpp"
#include "actors/nat/home_links.hpp"
#include "actors/nat/port_keeper.hpp"
#include "actors/nat/relay_book.hpp"
#include "actors/nat/search_desk.hpp"
#include "messages/secret_random.hpp"
#include "storage/env/thread_signals.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;

namespace {

using reach_clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds reach_tick{100};
/// This node as a guest of itself: it reaches those that can be met here.
constexpr connection_id own_guest{~std::uint64_t{0}};

/// Without the form in which systems write an IPv4 address as IPv6.
std::string plain_address(const std::string& address) {
  constexpr std::string_view mapped = "::ffff:";
  const auto parts = parse_host_and_port(address);
  if (parts && parts->host.starts_with(mapped) && parts->host.find('.') != std::string::npos) {
    return to_string(host_and_port{parts->host.substr(mapped.size()), parts->port});
  }
  return address;
}

bool listens_beyond(const std::string& listen) {
  const std::string host = host_of(listen);
  if (host.empty() || host == "localhost") {
    return false;
  }
  const auto prefix = prefix_of_address(listen);
  return !prefix || prefix->bits == 0 || !is_this_machine(*prefix);
}

class reaching final : public listening_network, public network_handler {
public:
  reaching(const secret_key& key, const tls_options& options, network_handler& upper)
      : key_(key), upper_(upper), nat_(options.nat), timer_(context_),
        book_(key, options.identity.roles.has(role::relay)),
        homes_(context_, key.id(), home_calls()), desk_(context_, key, desk_calls()) {}
  ~reaching() override;

  result<void> begin(const tls_options& options);

  // network
  connection_id connect(const std::string& address, channel kind, const node_id& expected) override;
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(connection_id connection, error reason) override;
  [[nodiscard]] std::string listen_address() const override { return tls_->listen_address(); }
  [[nodiscard]] std::string admin_address() const override { return tls_->admin_address(); }
  [[nodiscard]] std::optional<digest> pass(connection_id connection) const override;

  // network_handler
  result<role_set> admit(const peer_hello& hello) override { return upper_.admit(hello); }
  std::uint64_t last_loss(const node_id& node) const override { return upper_.last_loss(node); }
  bool may_stay(const node_id& node) const override { return upper_.may_stay(node); }
  void connected(const peer_info& peer) override;
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override;
  void closed(const peer_info& peer, const error& reason) override;

private:
  template <class F>
  void later(F call) {
    asio::post(context_, std::move(call));
  }
  home_links::calls home_calls();
  search_desk::calls desk_calls();
  udp_door::calls door_calls();

  // On the thread of the context.
  void tick();
  void look_for(connection_id wanted);
  void carry(connection_id wanted, ready_stream over);
  void failed(connection_id wanted, const error& reason);
  void say(const node_id& helper, nat_message message);
  void say_on(connection_id connection, const nat_message& message);
  void apply(const relay_book::effects& effects);
  void note(const peer_info& peer, connection_id wanted);
  void heard(const peer_info& peer, const nat_message& message);
  void heard_udp(const std::string& from, const punch_datagram& what);
  void lost(const peer_info& peer, const error& reason);
  void tell_news();
  [[nodiscard]] nat_report report_now(reach_clock::time_point now) const;

  const secret_key& key_;
  network_handler& upper_;
  const nat_options nat_;
  connection_names names_;

  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::thread thread_;
  // Of that thread.
  asio::steady_timer timer_;
  relay_book book_;
  home_links homes_;
  search_desk desk_;
  bool own_guest_there_{false};
  reach_clock::time_point next_look_{};
  std::optional<reach_clock::time_point> reachable_at_;
  std::optional<std::string> mapped_;
  std::string router_finding_;
  nat_report told_;

  std::unique_ptr<tls_network> tls_;
  std::unique_ptr<port_keeper> ports_;
};

home_links::calls reaching::home_calls() {
  home_links::calls to;
  to.link = [this](ready_stream over, const node_id& helper) {
    return tls_->connect_over(std::move(over), channel::relay, helper);
  };
  to.say = [this](connection_id c, const nat_message& m) { say_on(c, m); };
  to.close = [this](connection_id c, const error& reason) { tls_->close(c, reason); };
  to.lost = [this](const node_id& helper, const error&) {
    later([this, helper] { desk_.helper_lost(helper, reach_clock::now()); });
  };
  return to;
}

search_desk::calls reaching::desk_calls() {
  search_desk::calls to;
  to.dial = [this](connection_id wanted, const std::string& address) {
    names_.dial(wanted, address, *tls_);
  };
  to.drop_dial = [this](connection_id wanted) {
    if (const auto inner = names_.drop(wanted)) {
      tls_->close(*inner, {errc::cancelled, "another way is tried"});
    }
  };
  to.carry = [this](connection_id wanted, ready_stream over) { carry(wanted, std::move(over)); };
  to.failed = [this](connection_id wanted, const error& reason) { failed(wanted, reason); };
  to.accept = [this](ready_stream over) { tls_->accept_over(std::move(over)); };
  to.say = [this](const node_id& helper, nat_message m) { say(helper, std::move(m)); };
  to.address_of = [this](const node_id& helper) { return homes_.known().address_of(helper); };
  to.link = [this](ready_stream over, const node_id& helper) {
    return tls_->connect_over(std::move(over), channel::relay, helper);
  };
  to.say_on = [this](connection_id c, const nat_message& m) { say_on(c, m); };
  to.close = [this](connection_id c, const error& reason) { tls_->close(c, reason); };
  to.is_linked = [this](const node_id& node) {
    return names_.is_linked(node) || (nat_.udp && nat_.udp->is_linked(node));
  };
  to.meets = nat_.meets;
  to.udp = nat_.udp;
  to.mapped = [this] { return mapped_; };
  to.mapping = [this] { return homes_.seen().mapping(reach_clock::now()); };
  return to;
}

// What the UDP socket of the QUIC links hears, on their thread.
udp_door::calls reaching::door_calls() {
  udp_door::calls to;
  to.heard = [this](const std::string& from, const std::vector<std::byte>& bytes) {
    if (const auto what = decode_punch_datagram(bytes)) {
      later([this, from, what = *what] { heard_udp(plain_address(from), what); });
    }
  };
  to.stands = [this](connection_id wanted) {
    const auto over = names_.forget(wanted);
    if (over) {
      later([this, wanted, inner = over->inner] {
        if (inner) {
          tls_->close(*inner, {errc::cancelled, "the link goes over QUIC"});
        }
        desk_.punched(wanted, reach_clock::now());
      });
    }
    return over.has_value();
  };
  to.failed = [this](connection_id wanted, const error& reason) {
    later([this, wanted, reason] { desk_.punch_failed(wanted, reason); });
  };
  to.reached = [this](const peer_info& peer) {
    later([this, peer] {
      homes_.reached(peer.node, plain_address(peer.seen), peer.roles.has(role::relay),
                     reach_clock::now());
    });
  };
  return to;
}

result<void> reaching::begin(const tls_options& options) {
  tls_options how = options;
  how.nat.takes_guests = true;
  OVIR_ASSIGN(tls_, tls_network::start(key_, how, *this));
  const auto own = parse_host_and_port(tls_->listen_address());
  later([this] { tick(); });
  if (nat_.maps_ports && own && own->port != 0) {
    ports_ = std::make_unique<port_keeper>(
        make_home_router(nat_.udp != nullptr), own->port,
        [this](const std::optional<std::string>& address, const std::string& finding) {
          later([this, address, finding] {
            mapped_ = address;
            router_finding_ = finding;
          });
        });
  }
  thread_ = std::thread{[this] {
    storage::leave_signals_to_main();
    context_.run();
  }};
  if (nat_.udp) {
    nat_.udp->serve(door_calls());
  }
  return {};
}

reaching::~reaching() {
  if (nat_.udp) {
    nat_.udp->serve({});
  }
  ports_.reset();
  context_.stop();
  if (thread_.joinable()) {
    thread_.join();
  }
  tls_.reset();
  for (const peer_info& peer : names_.take_all()) {
    upper_.closed(peer, {errc::cancelled, "this node closes its connections"});
  }
}

// network

connection_id reaching::connect(const std::string& address, channel kind, const node_id& expected) {
  const connection_id wanted = names_.want(address, kind, expected);
  if (expected.empty()) {
    names_.dial(wanted, {}, *tls_); // an operator named the address: there or nowhere
  } else {
    later([this, wanted] { look_for(wanted); });
  }
  return wanted;
}

result<void> reaching::send(connection_id connection, message_kind kind, std::uint32_t target,
                            std::shared_ptr<const std::vector<std::byte>> bytes) {
  const auto inner = names_.inner_of(connection);
  if (!inner) {
    return fail(errc::peer_lost, "connection {} is gone", connection.value);
  }
  return tls_->send(*inner, kind, target, std::move(bytes));
}

std::optional<digest> reaching::pass(connection_id connection) const {
  const auto inner = names_.inner_of(connection);
  return inner ? tls_->pass(*inner) : std::nullopt;
}

void reaching::close(connection_id connection, error reason) {
  if (const auto inner = names_.inner_of(connection)) {
    tls_->close(*inner, std::move(reason));
    return;
  }
  const auto given_up = names_.forget(connection);
  if (!given_up) {
    return;
  }
  if (given_up->inner) {
    tls_->close(*given_up->inner, reason);
  }
  later([this, connection, peer = given_up->peer, reason = std::move(reason)] {
    desk_.cancel(connection);
    upper_.closed(peer, reason);
  });
}

// network_handler

void reaching::connected(const peer_info& peer) {
  if (peer.kind == channel::relay) {
    later([this, peer] {
      if (!peer.incoming) {
        (void)homes_.connected(peer.connection); // else one of the desk's
      } else {
        punch_token probe{};
        if (nat_.udp) {
          fill_secret(std::as_writable_bytes(std::span{probe}));
        }
        apply(book_.connected(peer.connection, peer.node, plain_address(peer.seen),
                              reach_clock::now(), probe));
      }
    });
    return;
  }
  const auto told = names_.connected(peer);
  if (!told) {
    later([this, connection = peer.connection] { // another way is tried meanwhile
      tls_->close(connection, {errc::cancelled, "another way is tried"});
    });
    return;
  }
  later([this, peer, wanted = told->connection] { note(peer, wanted); });
  upper_.connected(*told);
}

void reaching::received(const peer_info& peer, message_kind kind, std::uint32_t target,
                        received_bytes bytes) {
  if (peer.kind != channel::relay) {
    if (const auto told = names_.translated(peer)) {
      upper_.received(*told, kind, target, std::move(bytes));
    }
    return;
  }
  auto message = decode_nat_message(*bytes);
  if (!message) {
    later([this, connection = peer.connection, why = message.error()] {
      tls_->close(connection, why);
    });
    return;
  }
  // The bytes are held until then: they count against the sender.
  later([this, peer, m = std::move(*message), held = std::move(bytes)] { heard(peer, m); });
}

void reaching::closed(const peer_info& peer, const error& reason) {
  if (peer.kind == channel::relay) {
    later([this, peer, reason] { lost(peer, reason); });
    return;
  }
  const connection_names::ending end = names_.closed(peer);
  switch (end.what) {
  case connection_names::fate::unknown: return;
  case connection_names::fate::told: upper_.closed(end.peer, reason); return;
  case connection_names::fate::dialled:
    later([this, wanted = end.peer.connection, reason] {
      desk_.dial_failed(wanted, reason, reach_clock::now());
    });
    return;
  case connection_names::fate::carried:
    later([this, wanted = end.peer.connection, reason] {
      desk_.carry_failed(wanted, reason, reach_clock::now());
    });
    return;
  }
}

// On the thread of the context

void reaching::look_for(connection_id wanted) {
  const auto what = names_.wanted(wanted);
  if (!what) {
    return; // closed before it began
  }
  const auto now = reach_clock::now();
  std::vector<node_id> helpers = homes_.known().for_node(what->node, now);
  for (const node_id& home : homes_.homes()) {
    if (home != what->node && std::find(helpers.begin(), helpers.end(), home) == helpers.end()) {
      helpers.push_back(home);
    }
  }
  if (book_.count().held > 0) {
    helpers.insert(helpers.begin(), key_.id());
  }
  desk_.begin(wanted, what->kind, what->node, std::move(helpers), now);
}

void reaching::carry(connection_id wanted, ready_stream over) {
  const int descriptor = over.descriptor;
  if (!names_.carry(wanted, std::move(over), *tls_)) {
    ::close(descriptor); // it stands already, or is not wanted any more
  }
}

void reaching::failed(connection_id wanted, const error& reason) {
  if (const auto over = names_.forget(wanted)) {
    if (over->inner) {
      tls_->close(*over->inner, reason);
    }
    upper_.closed(over->peer, reason);
  }
}

void reaching::say(const node_id& helper, nat_message message) {
  const auto now = reach_clock::now();
  if (helper != key_.id()) {
    homes_.say(helper, std::move(message), now);
    return;
  }
  later([this, m = std::move(message), now] {
    if (!std::exchange(own_guest_there_, true)) {
      apply(book_.connected(own_guest, key_.id(), {}, now));
    }
    apply(book_.received(own_guest, m, now));
  });
}

void reaching::say_on(connection_id connection, const nat_message& message) {
  (void)tls_->send(connection, message_kind::nat, 0,
                   std::make_shared<const std::vector<std::byte>>(encode(message)));
}

void reaching::apply(const relay_book::effects& effects) {
  for (const helper_effect& e : effects) {
    if (e.to == own_guest) {
      if (!e.say) {
        own_guest_there_ = false;
        later([this] { desk_.helper_lost(key_.id(), reach_clock::now()); });
      } else {
        later([this, m = *e.say] { desk_.heard(key_.id(), m, reach_clock::now()); });
      }
    } else if (e.say) {
      say_on(e.to, *e.say);
    } else {
      tls_->close(e.to, {errc::busy, e.reason});
    }
  }
}

void reaching::note(const peer_info& peer, connection_id wanted) {
  const auto now = reach_clock::now();
  if (!peer.incoming) {
    desk_.connected(wanted, now);
  }
  if (peer.kind != channel::control || peer.seen.empty()) {
    return;
  }
  if (!peer.incoming) {
    homes_.reached(peer.node, plain_address(peer.seen), peer.roles.has(role::relay), now);
  } else if (is_public(peer.from)) {
    reachable_at_ = now; // a stranger to this network came in by the listener
  }
}

void reaching::heard(const peer_info& peer, const nat_message& message) {
  const auto now = reach_clock::now();
  if (peer.incoming) {
    apply(book_.received(peer.connection, message, now));
    return;
  }
  const auto helper = homes_.helper_of(peer.connection);
  if (!helper) {
    (void)desk_.heard_on(peer.connection, message, now);
  } else if (const auto* const seen = std::get_if<address_seen>(&message)) {
    homes_.heard(*helper, *seen, now);
  } else {
    desk_.heard(*helper, message, now);
  }
}

void reaching::heard_udp(const std::string& from, const punch_datagram& what) {
  const auto now = reach_clock::now();
  if (what.kind == punch_kind::probe) {
    apply(book_.probed(what.token, from, now));
  } else {
    desk_.knocked(from, what.token, now);
  }
}

void reaching::lost(const peer_info& peer, const error& reason) {
  const auto now = reach_clock::now();
  if (peer.incoming) {
    apply(book_.closed(peer.connection, now));
  } else if (!homes_.closed(peer.connection, reason, now)) {
    (void)desk_.closed(peer.connection, reason, now);
  }
}

void reaching::tick() {
  const auto now = reach_clock::now();
  const bool reachable = reachable_at_ && now < *reachable_at_ + limits::reachable_lifetime;
  helper_join told{reachable, {}};
  if (mapped_) {
    told.addresses.push_back(*mapped_);
  }
  homes_.tell(told);
  homes_.tick(now);
  apply(book_.tick(now));
  if (now >= next_look_) {
    next_look_ = now + limits::helper_look_every;
    apply(book_.keep([this](const node_id& node) { return upper_.may_stay(node); }, now));
  }
  desk_.tick(now);
  tell_news();
  timer_.expires_after(reach_tick);
  timer_.async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped) {
      tick();
    }
  });
}

nat_report reaching::report_now(reach_clock::time_point now) const {
  nat_report r;
  const bool reachable = reachable_at_ && now < *reachable_at_ + limits::reachable_lifetime;
  const auto outside = homes_.seen().host(now);
  const nat_mapping mapping = homes_.seen().mapping(now);
  const std::string own = host_of(tls_->listen_address());
  r.outside = homes_.seen().address(now).value_or(outside.value_or(std::string{}));
  r.router = router_finding_;
  r.verdict = reachable ? "reachable"
              : mapped_ ? "behind a router that maps a port"
              : mapping == nat_mapping::dependent
                  ? "behind a router with another port for each peer: relays are needed"
              : outside && own != *outside ? "behind a router, or a firewall"
                                           : "not known to be reachable from outside";
  for (const node_id& home : homes_.homes()) {
    r.helpers.push_back(short_name(home));
  }
  r.relayed = desk_.relayed().size();
  const relay_book::counters count = book_.count();
  r.guests = count.guests;
  r.streams = count.streams;
  r.passed_bytes = count.passed_bytes;
  return r;
}

void reaching::tell_news() {
  const nat_report fresh = report_now(reach_clock::now());
  const bool news = fresh.verdict != told_.verdict || fresh.router != told_.router;
  told_ = fresh;
  if (nat_.board) {
    nat_.board->put(fresh, desk_.relayed());
    nat_.board->add_bills(book_.take_bills());
  }
  if (news && nat_.say) {
    nat_.say(fmt::format("from outside: {}{}{}", fresh.verdict, fresh.router.empty() ? "" : "; ",
                         fresh.router));
  }
}

} // namespace

result<std::unique_ptr<listening_network>> reaching_network::start(const secret_key& key,
                                                                   const tls_options& options,
                                                                   network_handler& handler) {
  if (!options.nat.enabled || (!options.nat.everywhere && !listens_beyond(options.listen))) {
    return start_tls(key, options, handler);
  }
  auto made = std::make_unique<reaching>(key, options, handler);
  OVIR_TRY(made->begin(options));
  return std::unique_ptr<listening_network>{std::move(made)};
}

} // namespace ovir::actors
