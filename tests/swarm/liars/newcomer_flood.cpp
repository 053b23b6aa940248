#include "tests/swarm/liars/newcomer_flood.hpp"

#include "actors/protocol/wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using actors::gossip_message;
using actors::message_kind;

constexpr nanoseconds flood_pause_least = 1s;
constexpr nanoseconds flood_pause_most = 2s;
/// After which it goes to another node.
constexpr std::size_t flood_acts_at_one = 4;
constexpr std::size_t ghosts_at_once = 8;
constexpr std::size_t accused_at_once = 2;
constexpr std::size_t seen_most = 64;
/// Faster than any machine.
constexpr std::uint64_t boasted_speed = std::uint64_t{1} << 50U;
constexpr std::uint64_t boasted_memory = std::uint64_t{1} << 40U;

actors::tls_options flood_options(std::string address) {
  actors::tls_options how;
  how.identity.cluster = "swarm";
  how.identity.address = std::move(address);
  how.identity.roles = role_set{}.add(role::worker);
  return how;
}

actors::node_advert advert_of(const std::string& address, const flood_terms& terms, bool holds) {
  actors::node_advert a;
  a.name = "fast";
  a.address = address;
  a.roles.add(role::worker);
  if (holds) {
    a.held = {{terms.model, {0, terms.layers}, terms.layers}};
  }
  a.memory_bytes = a.memory_free = boasted_memory;
  a.decode_bytes_per_second = a.prefill_bytes_per_second = boasted_speed;
  return a;
}

} // namespace

newcomer_flood::newcomer_flood(world& in, wires& at, std::size_t machine, const secret_key& key,
                               std::string address, std::shared_ptr<const flood_terms> terms)
    : world_(in), wires_(at), machine_(machine), key_(key), terms_(std::move(terms)),
      draws_(in.draws().split(0xf100d00 + machine)), how_(flood_options(address)),
      boast_(actors::sign_advert(key, 1, advert_of(address, *terms_, true))),
      modest_(actors::sign_advert(key, 2, advert_of(address, *terms_, false))) {}

void newcomer_flood::begin() {
  if (links_ == nullptr) {
    links_ = std::make_unique<endpoint>(wires_, machine_, key_.id(), how_, *this,
                                        [](const std::function<void()>& run) { run(); });
    world_.in(draws_.between(nanoseconds{0}, flood_pause_most),
              [this, turn = ++turn_] { act(turn); });
  }
}

void newcomer_flood::end() {
  ++turn_;
  go();
  links_.reset();
  open_.clear();
}

void newcomer_flood::act(std::uint64_t turn) {
  if (turn != turn_) {
    return;
  }
  if (open_.empty() || acts_ >= flood_acts_at_one) {
    go();
    come();
  }
  ++acts_;
  for (const auto& [id, kind] : std::map{open_}) {
    if (kind == actors::channel::control) {
      tell(id, lies());
    }
  }
  world_.in(draws_.between(flood_pause_least, flood_pause_most), [this, turn] { act(turn); });
}

void newcomer_flood::come() {
  acts_ = 0;
  const std::string& to = terms_->victims[draws_.below(terms_->victims.size())];
  for (const actors::channel kind : {actors::channel::control, actors::channel::data}) {
    static_cast<void>(links_->connect(to, kind, {}));
  }
}

void newcomer_flood::go() {
  for (const auto& [id, kind] : std::exchange(open_, {})) {
    links_->close(id, {errc::cancelled, "enough"});
  }
}

void newcomer_flood::tell(actors::connection_id to, const gossip_message& what) {
  records_ += what.updates.size();
  static_cast<void>(
      links_->send(to, message_kind::gossip, 0,
                   std::make_shared<const std::vector<std::byte>>(actors::encode_gossip(what))));
}

const actors::signed_update& newcomer_flood::own() const {
  return world_.now() < terms_->boast_until ? boast_ : modest_;
}

gossip_message newcomer_flood::lies() {
  gossip_message said{actors::news{}, {own()}, {}};
  const std::size_t first = draws_.below(terms_->ghosts->size());
  for (std::size_t n = 0; n < ghosts_at_once; ++n) {
    const actors::signed_update& ghost = (*terms_->ghosts)[(first + n) % terms_->ghosts->size()];
    said.updates.push_back(ghost);
    said.counted.push_back({actors::subject_of(ghost), actors::incarnation_of(ghost), true});
  }
  for (std::size_t n = 0; n < std::min(accused_at_once, seen_.size()); ++n) {
    const auto whom =
        std::next(seen_.begin(), static_cast<std::ptrdiff_t>(draws_.below(seen_.size())));
    said.updates.emplace_back(actors::sign_suspicion(key_, whom->first, whom->second));
  }
  return said;
}

void newcomer_flood::note(const std::vector<actors::signed_update>& news) {
  for (const actors::signed_update& one : news) {
    const node_id& whom = actors::subject_of(one);
    if (seen_.size() < seen_most || seen_.contains(whom)) {
      seen_[whom] = std::max(seen_[whom], actors::incarnation_of(one));
    }
  }
}

result<role_set> newcomer_flood::admit(const actors::peer_hello& hello) { return hello.roles; }

void newcomer_flood::connected(const actors::peer_info& peer) {
  open_[peer.connection] = peer.kind;
  ++let_in_;
  if (peer.kind == actors::channel::control) {
    tell(peer.connection, {actors::news{}, {own()}, {}});
  }
}

void newcomer_flood::received(const actors::peer_info& peer, message_kind kind,
                              std::uint32_t /*target*/, actors::received_bytes bytes) {
  if (kind == message_kind::wire) {
    const auto said = actors::decode_wire(*bytes);
    stages_ += said && std::holds_alternative<actors::wire_open>(said->body) ? 1 : 0;
    return;
  }
  const auto said = kind == message_kind::gossip ? actors::decode_gossip(*bytes)
                                                 : result<gossip_message>{error{}};
  if (!said) {
    return;
  }
  note(said->updates);
  if (const auto* const asked = std::get_if<actors::ping>(&said->body)) {
    tell(peer.connection, {actors::ping_answer{asked->nonce}, {}, {}});
  }
}

void newcomer_flood::closed(const actors::peer_info& peer, const error& /*reason*/) {
  open_.erase(peer.connection);
}

} // namespace ovir::swarm
