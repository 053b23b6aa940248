#include "actors/quic/quic_endpoint.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/quic.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

/// One connection with its channels.
struct quic_endpoint::far_side final : quic_listener {
  std::uint64_t number{0};
  udp_address address;
  bool incoming{false};
  quic_time began{0};
  quic_time now{0}; ///< of the call that is under way
  std::unique_ptr<quic_session> session;
  std::optional<node_id> node;  ///< whose key is proven
  connection_slots::slot place; ///< of an incoming one, until a channel is admitted
  std::map<quic_stream, std::unique_ptr<quic_link>> links;
  std::vector<std::unique_ptr<quic_link>> waiting; ///< ours, without a stream yet
  std::vector<quic_stream> fresh;                  ///< opened by the peer just now
  std::optional<quic_time> empty_since;
  bool admitted{false}; ///< a channel was
  bool due{false};      ///< stands in `due_`
  bool told{false};     ///< its links know that it is over

  void ready(const node_id& peer) override {
    node = peer;
    place.advance(progress::proven);
  }
  void opened(quic_stream stream) override { fresh.push_back(stream); }
  void received(quic_stream stream, std::span<const std::byte> bytes, bool end) override {
    if (const auto at = links.find(stream); at != links.end()) {
      at->second->received(bytes, end, now);
    } else if (std::find(fresh.begin(), fresh.end(), stream) != fresh.end()) {
      auto& kept = early_of(stream); // its window is small
      kept.bytes.insert(kept.bytes.end(), bytes.begin(), bytes.end());
      kept.end = kept.end || end;
    }
  }
  void acked(quic_stream stream, std::uint64_t bytes) override {
    if (const auto at = links.find(stream); at != links.end()) {
      at->second->acked(bytes, now);
    }
  }
  void ended(quic_stream stream) override {
    if (const auto at = links.find(stream); at != links.end()) {
      at->second->received({}, true, now);
      if (!at->second->is_over()) {
        at->second->lose(fail(errc::peer_lost, "{} closed the channel", to_string(address)));
      }
    }
  }

  /// Bytes of a stream that the peer opened with this very datagram.
  struct first_bytes {
    quic_stream stream{-1};
    std::vector<std::byte> bytes;
    bool end{false};
  };
  std::vector<first_bytes> early;
  first_bytes& early_of(quic_stream stream) {
    const auto at = std::find_if(early.begin(), early.end(),
                                 [&](const first_bytes& f) { return f.stream == stream; });
    return at != early.end() ? *at : early.emplace_back(first_bytes{stream, {}, false});
  }
};

quic_endpoint::quic_endpoint(const quic_identity& identity, quic_link_parts parts,
                             quic_chance chance, id_source ids,
                             connection_slots::pool_sizes pending)
    : identity_(identity), parts_(std::move(parts)), chance_(std::move(chance)),
      ids_(std::move(ids)), slots_(std::make_shared<connection_slots>(pending)),
      door_(identity_, chance_) {}

quic_endpoint::~quic_endpoint() = default;

// Beginning

void quic_endpoint::receive(const udp_address& from, std::span<const std::byte> datagram,
                            quic_time now) {
  const auto name = quic_door::name_in(datagram);
  const auto known = name ? names_.find(*name) : names_.end();
  if (known != names_.end()) {
    far_side& of = *sessions_.at(known->second);
    of.now = now;
    of.session->receive(from, datagram, now);
    settle(of, now);
    put_out(now);
    return;
  }
  if (quic_door::may_be_reset(datagram) && take_reset(from, datagram, now)) {
    return;
  }
  quic_door::verdict verdict = door_.judge(from, datagram, now);
  if (verdict.opening) {
    meet(from, *verdict.opening, now);
    // The datagram is the first of the new connection.
    const auto met = name ? names_.find(*name) : names_.end();
    if (met != names_.end()) {
      far_side& of = *sessions_.at(met->second);
      of.now = now;
      of.session->receive(from, datagram, now);
      settle(of, now);
    }
    put_out(now);
  } else if (!verdict.answer.empty() && answers_.size() < limits::quic_answers_burst) {
    answers_.push_back({from, std::move(verdict.answer)});
  }
}

// A peer that was started again knows the name that it gave no more, and says so under none of
// ours.
bool quic_endpoint::take_reset(const udp_address& from, std::span<const std::byte> datagram,
                               quic_time now) {
  for (const auto& [number, of] : sessions_) {
    // One that was not answered yet knows no token, and what strangers send is no answer.
    if (of->address == from && of->session->heard() && !of->session->end()) {
      of->now = now;
      of->session->receive(from, datagram, now);
      if (of->session->end()) {
        settle(*of, now); // it may be gone behind that
        return true;
      }
    }
  }
  return false;
}

void quic_endpoint::meet(const udp_address& from, const quic_opening& opening, quic_time now) {
  const address_prefix prefix = prefix_of(from);
  const std::chrono::steady_clock::time_point when{
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(now)};
  if (!handshakes_.spend(prefix, when)) {
    return;
  }
  auto made = std::make_unique<far_side>();
  far_side& of = *made;
  of.number = ++last_session_;
  of.address = from;
  of.incoming = true;
  of.began = now;
  of.now = now;
  auto session = quic_session::accept(identity_, chance_, of, from, opening, now);
  if (!session) {
    return;
  }
  of.session = std::move(*session);
  of.place =
      slots_->take_incoming({0, prefix, is_this_machine(prefix) ? std::string{} : host_of(from),
                             [this, number = of.number] { crowded_out_.push_back(number); }});
  of.place.advance(progress::shaking);
  sessions_.emplace(of.number, std::move(made));
  settle_names(of);
}

quic_endpoint::far_side* quic_endpoint::find_way(const peer_info& what,
                                                 const udp_address& to) const {
  for (const auto& [number, of] : sessions_) {
    if (of->session->end()) {
      continue;
    }
    const bool same = of->node ? what.node == *of->node ||
                                     (what.node.empty() && !of->incoming && of->address == to)
                               : !of->incoming && of->address == to;
    if (same) {
      return of.get();
    }
  }
  return nullptr;
}

quic_endpoint::far_side* quic_endpoint::dial(const udp_address& to, quic_time now, error& problem) {
  auto made = std::make_unique<far_side>();
  far_side& of = *made;
  of.number = ++last_session_;
  of.address = to;
  of.began = now;
  of.now = now;
  auto session = quic_session::connect(identity_, chance_, of, to, now);
  if (!session) {
    problem = session.error();
    return nullptr;
  }
  of.session = std::move(*session);
  sessions_.emplace(of.number, std::move(made));
  settle_names(of);
  return &of;
}

void quic_endpoint::connect(const peer_info& what, const udp_address& to, quic_time now) {
  auto slot = slots_->take_outgoing();
  peer_info peer = what;
  peer.incoming = false;
  peer.from = prefix_of(to);
  far_side* of = find_way(what, to);
  if (of == nullptr || !of->incoming) { // else it may be behind a router: nothing listens there
    peer.seen = to_string(of == nullptr ? to : of->address);
  }
  auto link = std::make_unique<quic_link>(parts_, peer, what.address,
                                          slot ? std::move(*slot) : connection_slots::slot{}, now);
  if (!slot) {
    link->lose(slot.error());
    return;
  }
  error problem;
  if (of == nullptr) {
    of = dial(to, now, problem);
  }
  if (of == nullptr) {
    link->lose(problem);
    return;
  }
  links_[what.connection] = {of->number, -1};
  of->waiting.push_back(std::move(link));
  settle(*of, now);
}

// Links

quic_link* quic_endpoint::find(connection_id connection, far_side*& of) {
  const auto at = links_.find(connection);
  if (at == links_.end()) {
    return nullptr;
  }
  of = sessions_.at(at->second.session).get();
  if (at->second.stream >= 0) {
    const auto link = of->links.find(at->second.stream);
    return link == of->links.end() ? nullptr : link->second.get();
  }
  const auto link = std::find_if(of->waiting.begin(), of->waiting.end(),
                                 [&](const auto& l) { return l->peer().connection == connection; });
  return link == of->waiting.end() ? nullptr : link->get();
}

void quic_endpoint::send(connection_id connection, message_kind kind, std::uint32_t target,
                         const quic_session::block& bytes, quic_time now) {
  far_side* of = nullptr;
  if (quic_link* const link = find(connection, of)) {
    link->send(kind, target, bytes, now);
    settle(*of, now);
  }
}

void quic_endpoint::close(connection_id connection, const error& reason, quic_time now) {
  far_side* of = nullptr;
  if (quic_link* const link = find(connection, of)) {
    link->close(reason, now);
    settle(*of, now);
  }
}

void quic_endpoint::lose(connection_id connection, const error& reason, quic_time now) {
  far_side* of = nullptr;
  if (quic_link* const link = find(connection, of)) {
    link->lose(reason);
    settle(*of, now);
  }
}

void quic_endpoint::resume(connection_id connection, quic_time now) {
  far_side* of = nullptr;
  if (quic_link* const link = find(connection, of)) {
    link->resume(now);
    settle(*of, now);
  }
}

void quic_endpoint::begin_streams(far_side& of, quic_time now) {
  if (!of.session->is_ready() || !of.node || of.session->end()) {
    return;
  }
  if (of.waiting.empty() && of.fresh.empty()) {
    return;
  }
  const auto exporter = of.session->exporter();
  if (!exporter) {
    of.session->close(exporter.error(), now);
    return;
  }
  for (const quic_stream stream : std::exchange(of.fresh, {})) {
    peer_info peer;
    peer.connection = ids_();
    peer.incoming = true;
    peer.from = prefix_of(of.address);
    const std::string host = is_this_machine(peer.from) ? std::string{} : host_of(of.address);
    auto slot = slots_->take_incoming(
        {0, peer.from, host, [this, id = peer.connection] { crowded_out_links_.push_back(id); }});
    auto link =
        std::make_unique<quic_link>(parts_, peer, to_string(of.address), std::move(slot), now);
    link->begin(*of.node, *exporter, now);
    links_[peer.connection] = {of.number, stream};
    of.links.emplace(stream, std::move(link));
  }
  for (const auto& first : std::exchange(of.early, {})) {
    if (const auto at = of.links.find(first.stream); at != of.links.end()) {
      at->second->received(first.bytes, first.end, now);
    }
  }
  while (!of.waiting.empty()) {
    const auto stream = of.session->open(rank_of(of.waiting.front()->peer().kind));
    if (!stream) {
      return; // as soon as the peer allows another
    }
    auto link = std::move(of.waiting.front());
    of.waiting.erase(of.waiting.begin());
    link->begin(*of.node, *exporter, now);
    links_[link->peer().connection] = {of.number, *stream};
    of.links.emplace(*stream, std::move(link));
  }
}

/// Does with the streams what their links want.
void quic_endpoint::take_wishes(far_side& of, quic_time now) {
  for (auto at = of.links.begin(); at != of.links.end();) {
    const quic_stream stream = at->first;
    quic_link& link = *at->second;
    quic_link::wish wish = link.take();
    for (quic_session::block& bytes : wish.write) {
      of.session->queue(stream, std::move(bytes));
    }
    if (wish.finish) {
      of.session->finish(stream);
    }
    if (wish.grant > 0) {
      of.session->grant(stream, wish.grant);
    }
    if (wish.admitted) {
      of.session->rank(stream, rank_of(link.peer().kind));
      of.session->grant_connection(window_of(link.peer().kind));
      if (!std::exchange(of.admitted, true)) {
        of.session->grant_streams(limits::quic_streams_max - limits::quic_streams_unproven_max);
        of.place = {};
      }
    }
    if (!wish.over) {
      ++at;
      continue;
    }
    of.session->drop(stream);
    links_.erase(link.peer().connection);
    at = of.links.erase(at);
  }
  std::erase_if(of.waiting, [&](const auto& link) {
    if (link->is_over()) {
      links_.erase(link->peer().connection);
    }
    return link->is_over();
  });
  const bool empty = of.links.empty() && of.waiting.empty() && of.session->is_ready();
  if (!empty) {
    of.empty_since.reset();
  } else if (!of.incoming) {
    of.session->close(error{errc::cancelled, "no channel is left"}, now);
  } else if (!of.empty_since) {
    of.empty_since = now;
  }
}

void quic_endpoint::lose_links(far_side& of, const error& reason, bool unheard) {
  for (auto& [stream, link] : of.links) {
    links_.erase(link->peer().connection);
    link->lose(reason, unheard);
  }
  for (auto& link : of.waiting) {
    links_.erase(link->peer().connection);
    link->lose(reason, unheard);
  }
  of.links.clear();
  of.waiting.clear();
}

void quic_endpoint::settle_names(far_side& of) {
  const quic_session::names changed = of.session->take_names();
  for (const quic_id& name : changed.added) {
    names_[name] = of.number;
  }
  for (const quic_id& name : changed.removed) {
    names_.erase(name);
  }
}

void quic_endpoint::want_to_write(far_side& of) {
  if (!std::exchange(of.due, true)) {
    due_.push_back(of.number);
  }
}

void quic_endpoint::settle(far_side& of, quic_time now) {
  of.now = now;
  if (!of.session->end()) {
    begin_streams(of, now);
    take_wishes(of, now);
  }
  settle_names(of);
  if (of.session->end() && !std::exchange(of.told, true)) {
    lose_links(of, *of.session->end(), !of.session->heard());
    of.place = {};
  }
  want_to_write(of);
}

void quic_endpoint::put_out(quic_time now) {
  for (const std::uint64_t number : std::exchange(crowded_out_, {})) {
    if (const auto at = sessions_.find(number); at != sessions_.end() && !at->second->admitted) {
      at->second->session->close(fail(errc::busy,
                                      "{} was put out: newer connections take its place",
                                      to_string(at->second->address)),
                                 now);
      settle(*at->second, now);
    }
  }
  for (const connection_id id : std::exchange(crowded_out_links_, {})) {
    lose(id, error{errc::busy, "a channel was put out: newer connections take its place"}, now);
  }
}

// Sending

std::optional<quic_endpoint::departure> quic_endpoint::write(std::span<std::byte> out,
                                                             quic_time now) {
  if (!answers_.empty()) {
    const answer next = std::move(answers_.front());
    answers_.pop_front();
    const std::size_t bytes = std::min(next.bytes.size(), out.size());
    std::copy_n(next.bytes.begin(), bytes, out.begin());
    return departure{next.to, bytes};
  }
  while (!due_.empty()) {
    const std::uint64_t number = due_.front();
    const auto at = sessions_.find(number);
    if (at == sessions_.end()) {
      due_.pop_front();
      continue;
    }
    far_side& of = *at->second;
    of.now = now;
    const std::size_t bytes = of.session->write(out, now);
    if (bytes > 0) {
      const udp_address to = of.address;
      if (++burst_ >= limits::quic_burst_datagrams) { // others have their turn
        of.session->written(now);
        burst_ = 0;
        due_.pop_front();
        due_.push_back(number);
      }
      return departure{to, bytes};
    }
    of.session->written(now);
    burst_ = 0;
    due_.pop_front();
    of.due = false;
    if (of.session->end()) {
      if (!of.told) {
        settle(of, now); // and once more, for what it says to the peer
      } else {
        forget(number);
      }
    } else {
      settle_names(of);
    }
  }
  return std::nullopt;
}

void quic_endpoint::forget(std::uint64_t number) {
  const auto at = sessions_.find(number);
  lost_ += at->second->session->measured().lost;
  std::erase_if(names_, [&](const auto& name) { return name.second == number; });
  sessions_.erase(at);
}

// Time

std::optional<quic_time> quic_endpoint::deadline() const {
  std::optional<quic_time> next;
  const auto consider = [&next](std::optional<quic_time> when) {
    if (when && (!next || *when < *next)) {
      next = when;
    }
  };
  for (const auto& [number, of] : sessions_) {
    consider(of->session->deadline());
    for (const auto& [stream, link] : of->links) {
      consider(link->deadline());
    }
    for (const auto& link : of->waiting) {
      consider(link->deadline());
    }
    if (of->empty_since) {
      consider(*of->empty_since + limits::quic_empty_wait);
    }
    if (parts_.unanswered && !of->incoming && !of->session->heard() && !of->session->end()) {
      consider(of->began + limits::quic_answer_wait);
    }
  }
  return next;
}

void quic_endpoint::on_time(quic_time now) {
  std::vector<std::uint64_t> numbers;
  numbers.reserve(sessions_.size());
  for (const auto& [number, of] : sessions_) {
    numbers.push_back(number);
  }
  for (const std::uint64_t number : numbers) {
    if (const auto at = sessions_.find(number); at != sessions_.end()) {
      look_at_time(*at->second, now);
    }
  }
}

void quic_endpoint::look_at_time(far_side& of, quic_time now) {
  of.now = now;
  const bool unheard = !of.session->heard();
  bool changed = false;
  if (const auto due = of.session->deadline(); due && *due <= now) {
    of.session->on_time(now);
    changed = true;
  }
  const auto look = [&](quic_link& link) {
    if (const auto due = link.deadline(); !due || *due > now) {
      return;
    }
    const bool ours = !link.peer().incoming;
    link.on_time(now, unheard);
    changed = true;
    // A peer that was silent while a channel was asked for is not there any more.
    const auto heard = of.session->heard();
    if (ours && link.is_over() && (!heard || now - *heard > parts_.deadlines.connect)) {
      of.session->close(fail(errc::timed_out, "nothing was heard of {}", to_string(of.address)),
                        now);
    }
  };
  for (auto& [stream, link] : of.links) {
    look(*link);
  }
  for (auto& link : of.waiting) {
    look(*link);
  }
  if (of.empty_since && *of.empty_since + limits::quic_empty_wait <= now) {
    of.session->close(error{errc::cancelled, "no channel is left"}, now);
    changed = true;
  }
  if (parts_.unanswered && !of.incoming && unheard && of.began + limits::quic_answer_wait <= now) {
    of.session->close(fail(errc::timed_out, "{} gives no answer over QUIC", to_string(of.address)),
                      now);
    changed = true;
  }
  if (changed) {
    settle(of, now);
  }
}

// The end

void quic_endpoint::unreachable(const udp_address& there, quic_time now) {
  for (auto& [number, of] : sessions_) {
    if (of->address == there && !of->session->heard() && !of->session->end()) {
      of->session->close(fail(errc::peer_lost,
                              "cannot connect to {}: nothing listens there over "
                              "UDP",
                              to_string(there)),
                         now);
      settle(*of, now);
    }
  }
}

void quic_endpoint::shut_down(const error& reason, quic_time now) {
  for (auto& [number, of] : sessions_) {
    of->session->close(reason, now);
    settle(*of, now);
  }
}

quic_endpoint::figures quic_endpoint::measured() const {
  figures all;
  all.lost = lost_;
  std::size_t measured = 0;
  for (const auto& [number, of] : sessions_) {
    if (of->session->is_ready() && !of->session->end()) {
      const quic_session::figures one = of->session->measured();
      all.lost += one.lost;
      ++all.sessions;
      if (one.rtt.count() > 0) {
        all.rtt += one.rtt;
        ++measured;
      }
    }
  }
  if (measured > 0) {
    all.rtt /= static_cast<std::int64_t>(measured);
  }
  return all;
}

} // namespace ovir::actors
