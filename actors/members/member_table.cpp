#include "actors/members/member_table.hpp"

#include "actors/members/member_latest.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace ovir::actors {

namespace {

/// Room for the body and the frame of a message beside its updates.
constexpr std::size_t body_bytes_max = 48U << 10U;

} // namespace

void member_table::move_to(member_entry& e, member_standing where, time_point now) {
  counted -= counts(e.where) ? 1 : 0;
  counted += counts(where) ? 1 : 0;
  const bool indexed = !counts(e.where) || !counts(where);
  e.where = where;
  e.since = now;
  if (indexed) {
    index(e);
  }
}

void member_table::index(const member_entry& e) {
  told.unreached.erase(e.shown.node);
  told.gone.erase(e.shown.node);
  if (!counts(e.where)) {
    (e.where == member_standing::heard_of ? told.unreached : told.gone).insert(e.shown.node);
  }
}

member_entry& member_table::add(const node_id& node, member_entry fresh) {
  member_entry& e = entries.emplace(node, std::move(fresh)).first->second;
  places.insert(&e);
  counted += counts(e.where) ? 1 : 0;
  index(e);
  if (!e.was_member) {
    ++told.introduced[words(e).introducer];
  }
  return e;
}

/// It is no longer somebody that is only told of.
void member_table::now_member(member_entry& e) {
  if (!e.was_member) {
    const auto from = told.introduced.find(words(e).introducer);
    if (from != told.introduced.end() && --from->second == 0) {
      told.introduced.erase(from);
    }
  }
  e.was_member = true;
}

heard_words& member_table::words(member_entry& e) const {
  if (e.words == nullptr) {
    const auto period = options.probe_interval;
    e.words = std::make_unique<heard_words>(
        heard_words{.adverts = allowance{limits::advert_allowance, 1, period},
                    .accusations = allowance{limits::accusation_allowance, 1, period}});
  }
  return *e.words;
}

void member_table::forget_words(member_entry& e, time_point now) const {
  heard_words* const words = e.was_member ? e.words.get() : nullptr;
  if (words != nullptr && words->accused_by.empty() && words->vouchers.empty() &&
      words->adverts.has(limits::advert_allowance, now) &&
      words->accusations.has(limits::accusation_allowance, now)) {
    e.words.reset();
  }
}

std::map<node_id, member_entry>::iterator
member_table::erase(std::map<node_id, member_entry>::iterator at) {
  queue.forget(at->first);
  told.strangers.leave(at->first);
  told.unreached.erase(at->first);
  told.gone.erase(at->first);
  places.erase(&at->second);
  counted -= counts(at->second.where) ? 1 : 0;
  now_member(at->second);
  return entries.erase(at);
}

const signed_suspicion* member_table::word_against(member_entry& e) const {
  if (e.where == member_standing::dead && !e.accusation) {
    e.accusation = std::make_unique<signed_suspicion>(
        sign_suspicion(key, e.shown.node, e.newest->incarnation));
  }
  return e.accusation.get();
}

/// A node that was stopped, or whose machine was, finds every deadline passed when it goes on.
/// That says nothing of the others: its deadlines move by the time it missed.
void member_table::advance(time_point now) {
  const auto interval = options.probe_interval;
  if (last_event && now - *last_event > 2 * interval) {
    const auto missed = now - *last_event - interval;
    for (auto& [node, e] : entries) {
      e.death += missed;
      if (e.open) {
        e.open->deadline += missed;
        e.open->measures = false;
      }
      if (crowded()) {
        crowd.due.push({e.open ? e.open->deadline : e.death, node});
        crowd.due.push({e.death, node});
      }
    }
  }
  last_event = std::max(now, last_event.value_or(now));
}

/// splitmix64 (Steele, Lea, Flood 2014): one word of state, the same on every machine.
std::uint64_t member_table::random() noexcept {
  random_state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = random_state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

member_entry* member_table::look_up(const node_id& node) const {
  const auto it = places.find(node);
  return it == places.end() ? nullptr : *it;
}

/// Null when there are too many; messages may come before their link is announced.
gossip_link* member_table::link_of(const node_id& peer) {
  const auto it = links.find(peer);
  if (it != links.end()) {
    return &it->second;
  }
  if (links.size() >= limits::connections_max || peer == self.node) {
    return nullptr;
  }
  const allowance traffic{limits::gossip_allowance, limits::gossip_refill, options.probe_interval};
  const allowance answers{limits::exchanged_updates_max, limits::exchanged_updates_refill,
                          options.probe_interval};
  return &links.emplace(peer, gossip_link{false, false, traffic, answers}).first->second;
}

bool member_table::linked(const node_id& peer) const {
  const auto it = links.find(peer);
  return it != links.end() && it->second.up;
}

std::size_t member_table::alive_count() const { return 1 + counted; }

/// Up to `count` members that can be talked to, by chance.
std::vector<node_id> member_table::some_linked(std::size_t count, const node_id& but_not) {
  std::vector<node_id> out;
  for (const auto& [node, l] : links) {
    const member_entry* const e = l.up && node != but_not ? look_up(node) : nullptr;
    if (e != nullptr && e->where == member_standing::alive) {
      out.push_back(node);
    }
  }
  for (std::size_t i = 0; i < std::min(count, out.size()); ++i) {
    std::swap(out[i], out[i + random() % (out.size() - i)]);
  }
  out.resize(std::min(count, out.size()));
  return out;
}

/// `body` with `first` and some news. A node that this one suspects, or
/// takes for dead or gone, is told so: it alone can refute that.
void member_table::send(const node_id& to, gossip_body body, effects& out,
                        std::vector<signed_update> first) {
  if (member_entry* e = look_up(to)) {
    if (const signed_suspicion* const word = word_against(*e)) {
      first.emplace_back(*word);
    }
    if (e->farewell) {
      first.emplace_back(*e->farewell);
    }
  }
  std::size_t bytes = limits::gossip_bytes_max - body_bytes_max;
  for (const signed_update& u : first) {
    bytes -= encoded_bytes(u);
  }
  const std::uint32_t tellings = crowded() ? gossip_queue::crowd_tellings(alive_count())
                                           : gossip_queue::mesh_tellings(alive_count());
  const std::size_t most = crowded() ? limits::crowd_news_max : limits::gossip_news_max;
  auto queued = lists() ? std::vector<signed_update>{} : queue.take(to, tellings, most, bytes);
  for (signed_update& u : queued) {
    if (std::find(first.begin(), first.end(), u) == first.end()) {
      first.push_back(std::move(u));
    }
  }
  out.emplace_back(
      send_gossip{to, encode_gossip({std::move(body), std::move(first), fresh_for(to)})});
}

/// As many messages as it takes; the first has the body.
void member_table::send_all(const node_id& to, gossip_body body, std::vector<signed_update> updates,
                            effects& out) const {
  gossip_message next{std::move(body), {}, {}};
  std::size_t bytes = body_bytes_max;
  for (signed_update& u : updates) {
    const std::size_t more = encoded_bytes(u);
    if (bytes + more > limits::gossip_bytes_max ||
        next.updates.size() == limits::gossip_updates_max) {
      out.emplace_back(send_gossip{to, encode_gossip(next)});
      next = {news{}, {}, {}};
      bytes = body_bytes_max;
    }
    bytes += more;
    next.updates.push_back(std::move(u));
  }
  out.emplace_back(send_gossip{to, encode_gossip(next)});
}

/// Brings what people see of `e` up to date and tells the shell.
void member_table::show(member_entry& e, bool health_changed, effects& out) {
  switch (e.where) {
  case member_standing::heard_of: // people see what it was, until it is heard from
    return;
  case member_standing::alive: e.shown.health = member_health::alive; break;
  case member_standing::suspect: e.shown.health = member_health::suspect; break;
  case member_standing::dead: e.shown.health = member_health::dead; break;
  case member_standing::left: e.shown.health = member_health::left; break;
  }
  e.shown.incarnation = e.reached();
  e.shown.advert = e.newest;
  if (e.was_member) {
    out.emplace_back(member_changed{e.to_member(), health_changed});
  }
}

/// A new incarnation of this node, told to some at once.
void member_table::raise(node_advert advert, time_point now, effects& out) {
  const std::uint64_t reached = std::max(own.incarnation, incarnation_floor);
  if (reached == std::numeric_limits<std::uint64_t>::max()) {
    return; // only this very key can have signed it
  }
  own = sign_advert(key, reached + 1, std::move(advert));
  self.incarnation = own.incarnation;
  self.advert = own.advert;
  accused = false;
  crowd.accusers.clear();
  crowd.advert_waits = false;
  raised = now;
  tell(own, now);
  if (lists()) {
    for (const node_id& to : some_linked(limits::lists_first_told, self.node)) {
      send(to, news{}, out, {own});
    }
  } else {
    for (const node_id& to : some_linked(std::bit_width(entries.size()) + 1, self.node)) {
      send(to, news{}, out);
    }
  }
  for (const node_id& to : std::exchange(doubters, {})) {
    send(to, news{}, out, {own});
  }
}

/// Not more often than once an interval, or a liar could keep everyone busy with our adverts.
void member_table::refute_if_due(time_point now, effects& out) {
  const auto wait = intervals(crowded() ? limits::refute_intervals : 1);
  if (accused && !OVIR_MUTANT("member_refutes_nothing") && (!raised || now - *raised >= wait)) {
    raise(self.advert, now, out);
  }
}

/// It answered. The dead and those who left need a higher incarnation as well.
void member_table::found_alive(member_entry& e, time_point now, effects& out) {
  e.open.reset();
  if (e.where != member_standing::heard_of && e.where != member_standing::suspect) {
    return;
  }
  const bool fresh = e.where == member_standing::heard_of;
  if (!e.was_member || (fresh && crowded())) {
    tell(*e.newest, now); // only now: this node vouches for what it reached
  }
  now_member(e);
  if (crowded() && fresh) {
    crowd.fresh.push_back({e.shown.node, e.newest->incarnation, true});
  }
  dials.reached(e.newest->advert.address);
  move_to(e, member_standing::alive, now);
  e.doomed = false;
  if (e.words) {
    e.words->vouchers.clear();
  }
  e.accusation.reset();
  queue.drop_suspicion(e.shown.node);
  close_latest_case(*this, e.shown.node);
  show(e, true, out);
}

/// Entries that are no members and that this peer told of.
std::size_t member_table::introduced_by(const node_id& peer) const {
  const auto from = told.introduced.find(peer);
  return from == told.introduced.end() ? 0 : from->second;
}

stranger_origin member_table::origin_of(const node_id& node, const node_id& from,
                                        std::string_view address) const {
  const auto place = [this](const node_id& one) -> std::optional<address_prefix> {
    const auto l = links.find(one);
    return l == links.end() || !l->second.up ? std::nullopt : std::optional{l->second.site};
  };
  const auto seen = place(node);
  return {from, is_stranger(from), place(from).value_or(address_prefix{}),
          seen.value_or(claimed_site(address)), seen.has_value()};
}

std::optional<address_prefix> member_table::site_of_stranger(const node_id& node) const {
  const stranger_origin* const from = told.strangers.of(node);
  return from == nullptr ? std::nullopt : std::optional{from->site};
}

/// A newcomer among many does not relay whom it finds: all others know these.
bool member_table::is_known_to_all(const signed_update& update, time_point now) const {
  const member_entry* const e = look_up(subject_of(update));
  if (e == nullptr || e->where != member_standing::heard_of) {
    return false;
  }
  return crowded() ? learns(now) && !crowd.latest.listers.empty()
                   : entries.size() > 2 * options.full_mesh_max;
}

void member_table::tell(const signed_update& update, time_point now, std::size_t suspicions) {
  if (crowded()) {
    note_latest(*this, update, now);
  }
  if (!lists() && !is_known_to_all(update, now)) {
    queue.push(update, suspicions);
  }
}

void member_table::make_suspect(member_entry& e, time_point now, effects& out) {
  move_to(e, member_standing::suspect, now);
  e.death = now + options.suspect_timeout;
  e.accusation =
      std::make_unique<signed_suspicion>(sign_suspicion(key, e.shown.node, e.newest->incarnation));
  tell(*e.accusation, now);
  show(e, true, out);
}

void member_table::bury(member_entry& e, time_point now, effects& out) {
  move_to(e, member_standing::dead, now);
  forget_latest_life(*this, e.shown.node);
  e.open.reset();
  e.doomed = false;
  look_for_soon(e, now);
  show(e, true, out);
}

/// One of two nodes connects: the lower name at once, the other when that did not help.
void member_table::look_for_soon(member_entry& e, time_point now) const {
  const auto grace =
      self.node < e.shown.node ? std::chrono::milliseconds{0} : 2 * options.probe_timeout;
  const auto after_failures = e.wait > options.probe_timeout ? e.wait : e.wait * 0;
  e.contact = now + grace + after_failures;
}

bool member_table::may_be(const node_id& node, role_set roles) const {
  const auto permitted = allowed(node);
  return permitted && roles.within(*permitted);
}

/// Each with whole buckets. Of one that has too many lines, some.
std::vector<summary> member_table::summarize(bool answer_wanted, const bucket_set& buckets) {
  std::vector<summary> out{{answer_wanted, {}, bucket_set{}}};
  for (std::size_t b = 0; b < limits::gossip_buckets; ++b) {
    if (!buckets[b]) {
      continue;
    }
    std::vector<known_node> lines;
    if (bucket_of(self.node) == b) {
      lines.push_back({self.node, own.incarnation, true});
    }
    each_in(bucket_set{}.set(b), [&](const member_entry& e) {
      lines.push_back({e.shown.node, e.reached(), counts(e.where)});
    });
    lines.resize(std::min(lines.size(), limits::gossip_nodes_max));
    if (out.back().nodes.size() + lines.size() > limits::gossip_nodes_max) {
      out.push_back({answer_wanted, {}, bucket_set{}});
    }
    out.back().nodes.insert(out.back().nodes.end(), lines.begin(), lines.end());
    out.back().buckets.set(b);
  }
  return out;
}

void member_table::send_summary(const node_id& to, bool answer_wanted, const bucket_set& buckets,
                                effects& out, std::vector<signed_update> first) {
  for (summary& one : summarize(answer_wanted, buckets)) {
    send(to, std::move(one), out, std::exchange(first, {}));
  }
}

/// What this node has begun to count since it last told this neighbour.
std::vector<known_node> member_table::fresh_for(const node_id& to) {
  const auto l = links.find(to);
  if (!crowded() || lists() || l == links.end() || !l->second.up) {
    return {};
  }
  const std::uint64_t end = crowd.fresh_first + crowd.fresh.size();
  const std::uint64_t first = std::max(l->second.fresh, crowd.fresh_first);
  l->second.fresh = std::min<std::uint64_t>(end, first + limits::gossip_counted_max);
  const auto at = [this](std::uint64_t number) {
    return crowd.fresh.begin() + static_cast<std::ptrdiff_t>(number - crowd.fresh_first);
  };
  return {at(first), at(std::max(first, l->second.fresh))};
}

} // namespace ovir::actors
