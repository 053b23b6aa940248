#include "actors/members/member_latest.hpp"

#include "actors/members/crowd_vouchers.hpp"
#include "actors/members/member_crowd.hpp"
#include "actors/members/member_sums.hpp"
#include "actors/members/member_updates.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ovir::actors {

namespace {

// The two lowest bits of a mark say what it is about; behind one of an open case is the sum of the
// marks of its accusers.
constexpr std::uint32_t mark_heard = 0;    // an advert of a node that is not counted
constexpr std::uint32_t mark_believed = 1; // of one that is, or a farewell
constexpr std::uint32_t mark_accused = 2;  // by too few
constexpr std::uint32_t mark_doomed = 3;
constexpr std::uint32_t mark_kinds = 3;

std::uint32_t mark_of(std::uint64_t salt, const node_id& node, std::uint64_t incarnation,
                      bool against) {
  std::uint64_t z = node_hash{salt}(node) ^ incarnation * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 30U) ^ (against ? salt : 0)) * 0x94d049bb133111ebU;
  return static_cast<std::uint32_t>(z >> 32U) & ~mark_kinds;
}
std::uint32_t mark_of(std::uint64_t salt, const latest_life& life) {
  return mark_of(salt, life.node, life.incarnation, false);
}
std::uint32_t mark_of(std::uint64_t salt, const latest_case& one) {
  return mark_of(salt, one.node, one.incarnation, true);
}
std::uint32_t mark_of(std::uint64_t salt, const signed_suspicion& word) {
  return mark_of(salt, word.accuser, 0, true);
}

/// Heads are unique: to find a second key with one takes 2^64 tries.
template <class Of>
Of* of_node(std::vector<Of>& all, const node_id& node) {
  const std::uint64_t head = head_of(node);
  const auto at = std::find_if(all.begin(), all.end(),
                               [head](const Of& one) { return head_of(one.node) == head; });
  return at == all.end() ? nullptr : &*at;
}

void note_life(member_table& m, const node_id& node, std::uint64_t incarnation, bool believed,
               membership_time now) {
  auto& lives = m.crowd.latest.lives;
  latest_life* life = of_node(lives, node);
  if (life != nullptr && life->incarnation > incarnation) {
    return;
  }
  if (life == nullptr) {
    if (lives.size() >= limits::latest_kept_max) {
      return;
    }
    life = &lives.emplace_back();
  }
  *life = {node, incarnation, believed, now};
}

/// None where there are too many.
latest_case* case_of(member_table& m, const node_id& node, std::uint64_t incarnation,
                     membership_time now) {
  auto& cases = m.crowd.latest.cases;
  latest_case* one = of_node(cases, node);
  if (one == nullptr) {
    if (cases.size() >= limits::latest_kept_max) {
      return nullptr;
    }
    one = &cases.emplace_back();
    *one = {node, incarnation, false, false, {}, now};
  }
  if (one->incarnation < incarnation) {
    *one = {node, incarnation, false, false, {}, now};
  }
  return one->incarnation == incarnation ? one : nullptr;
}

told_case told(const latest_case& one) {
  told_case out{head_of(one.node), one.incarnation, {}};
  for (const signed_suspicion& word : one.words) {
    out.words.push_back({head_of(word.accuser), word.proof});
  }
  return out;
}

/// Without the words whose marks have this sum, if some have it; else all, and false.
std::pair<told_case, bool> told_beside(const latest_case& one, std::uint64_t salt,
                                       std::uint32_t sum) {
  for (std::uint32_t set = 0; set < 1U << one.words.size(); ++set) {
    std::uint32_t part = 0;
    told_case rest{head_of(one.node), one.incarnation, {}};
    for (std::size_t i = 0; i < one.words.size(); ++i) {
      if ((set >> i & 1U) != 0) {
        part += mark_of(salt, one.words[i]);
      } else {
        rest.words.push_back({head_of(one.words[i].accuser), one.words[i].proof});
      }
    }
    if (part == sum) {
      return {std::move(rest), true};
    }
  }
  return {told(one), false};
}

/// What there is of it, if it is believed.
std::optional<signed_update> update_of(const member_table& m, const latest_life& life) {
  if (life.node == m.self.node) {
    return life.incarnation == m.own.incarnation ? std::optional<signed_update>{m.own}
                                                 : std::nullopt;
  }
  const member_entry* const e = life.believed ? m.look_up(life.node) : nullptr;
  if (e == nullptr || e->reached() != life.incarnation) {
    return std::nullopt;
  }
  if (e->farewell && e->farewell->incarnation == life.incarnation) {
    return *e->farewell;
  }
  return m.counts(e->where) ? std::optional<signed_update>{*e->newest} : std::nullopt;
}

void forget_old(latest_state& l, membership_time before) {
  const auto old = [before](const auto& one) { return one.at < before; };
  std::erase_if(l.lives, old);
  std::erase_if(l.cases, old);
}

/// Marks of another node, in order.
class marks_read {
public:
  explicit marks_read(const std::vector<std::uint32_t>& marks) {
    all_.reserve(marks.size());
    for (std::size_t i = 0; i < marks.size(); ++i) {
      const std::uint32_t kind = marks[i] & mark_kinds;
      const bool sum = kind == mark_accused && i + 1 < marks.size();
      all_.push_back({marks[i] & ~mark_kinds, kind, sum ? marks[i + 1] : 0, false});
      i += sum ? 1 : 0;
    }
    std::sort(all_.begin(), all_.end(),
              [](const read& a, const read& b) { return a.mark < b.mark; });
  }
  struct read {
    std::uint32_t mark;
    std::uint32_t kind;
    std::uint32_t sum;
    bool known;
  };
  /// Nothing but nodes that are not counted: the sender asks which of them are counted here.
  [[nodiscard]] bool asks() const {
    return !all_.empty() && std::all_of(all_.begin(), all_.end(),
                                        [](const read& r) { return r.kind == mark_heard; });
  }
  /// As `take`, of a node, unless it was known already.
  [[nodiscard]] const read* take_unknown(std::uint32_t mark) {
    const auto at = std::lower_bound(all_.begin(), all_.end(), mark,
                                     [](const read& a, std::uint32_t b) { return a.mark < b; });
    return at == all_.end() || at->mark != mark || at->known ? nullptr : take(mark, false);
  }
  /// Null where there is none. It is known from now on.
  [[nodiscard]] const read* take(std::uint32_t mark, bool against) {
    auto at = std::lower_bound(all_.begin(), all_.end(), mark,
                               [](const read& a, std::uint32_t b) { return a.mark < b; });
    for (; at != all_.end() && at->mark == mark; ++at) {
      if ((at->kind >= mark_accused) == against) {
        at->known = true;
        return &*at;
      }
    }
    return nullptr;
  }
  [[nodiscard]] const std::vector<read>& all() const noexcept { return all_; }

private:
  std::vector<read> all_;
};

void want(latest_answer& answer, std::uint32_t mark) {
  if (answer.wanted.size() < limits::latest_answer_max) {
    answer.wanted.push_back(mark);
  }
}

void compare_lives(member_table& m, marks_read& marks, const node_id& from, membership_time now,
                   latest_answer& answer, std::vector<signed_update>& updates,
                   membership_effects& out) {
  const membership_time offered = now - m.intervals(limits::latest_offered);
  auto& lives = m.crowd.latest.lives;
  // Who is counted because of a mark is noted anew, which moves nothing.
  for (std::size_t i = 0; i < lives.size(); ++i) {
    const latest_life life = lives[i];
    const std::uint32_t mark = mark_of(answer.salt, life);
    if (const auto* const theirs = marks.take(mark, false)) {
      if (theirs->kind == mark_believed && !life.believed) {
        hear_counted(m, {life.node, life.incarnation, true}, from, now, out);
      } else if (theirs->kind == mark_heard && life.believed &&
                 answer.counted.size() < limits::latest_answer_max) {
        answer.counted.push_back(mark);
      }
    } else if (life.believed && life.at >= offered && life.node != from &&
               updates.size() < limits::latest_answer_max) {
      if (auto update = update_of(m, life)) {
        updates.push_back(std::move(*update));
      }
    }
  }
}

void compare_cases(member_table& m, marks_read& marks, const node_id& from, membership_time now,
                   latest_answer& answer) {
  const membership_time offered = now - m.intervals(limits::latest_offered);
  const auto tell = [&](told_case one) {
    if (!one.words.empty() && answer.cases.size() < limits::latest_answer_max) {
      answer.cases.push_back(std::move(one));
    }
  };
  for (const latest_case& one : m.crowd.latest.cases) {
    const std::uint32_t mark = mark_of(answer.salt, one);
    const auto* const theirs = marks.take(mark, true);
    if (one.closed || head_of(one.node) == head_of(from)) {
      continue;
    }
    if (theirs == nullptr) {
      if (one.at >= offered) {
        tell(told(one));
      }
    } else if (theirs->kind == mark_accused) {
      auto [rest, all_known] = told_beside(one, answer.salt, theirs->sum);
      tell(std::move(rest));
      if (!all_known && !one.doomed) {
        want(answer, mark);
      }
    } else if (!one.doomed) {
      want(answer, mark);
    }
  }
}

/// What a newcomer was told of by summaries and finds on a list is news after all: it is listed
/// here, too, and not told or asked for anew.
void recognise(member_table& m, marks_read& marks, const node_id& from, membership_time now,
               latest_answer& answer, membership_effects& out) {
  for (const auto& [node, e] : m.entries) {
    const bool counted = m.counts(e.where);
    const std::uint64_t incarnation = e.newest->incarnation;
    const auto* const theirs =
        counted || e.where == member_standing::heard_of
            ? marks.take_unknown(mark_of(answer.salt, node, incarnation, false))
            : nullptr;
    if (theirs == nullptr) {
      continue;
    }
    note_life(m, node, incarnation, counted, now);
    if (theirs->kind == mark_believed) {
      hear_counted(m, {node, incarnation, true}, from, now, out);
    } else if (counted && answer.counted.size() < limits::latest_answer_max) {
      answer.counted.push_back(mark_of(answer.salt, node, incarnation, false));
    }
  }
}

/// Tells a newcomer which of these are counted here.
void vouch_for_marks(member_table& m, marks_read& marks, std::uint64_t salt, const node_id& to,
                     membership_effects& out) {
  latest_answer answer{salt, {}, {}, {}};
  for (const auto& [node, e] : m.entries) {
    const std::uint32_t mark = mark_of(salt, node, e.newest->incarnation, false);
    if (e.where == member_standing::alive && marks.take_unknown(mark) != nullptr) {
      answer.counted.push_back(mark);
    }
  }
  if (!answer.counted.empty()) {
    m.send(to, std::move(answer), out);
  }
}

/// Of what did not come lately.
void tell_wanted(member_table& m, std::uint64_t salt, std::vector<std::uint32_t> wanted,
                 membership_time now, std::vector<signed_update>& updates,
                 membership_effects& out) {
  std::sort(wanted.begin(), wanted.end());
  const auto is_wanted = [&](const signed_advert& a) {
    return std::binary_search(wanted.begin(), wanted.end(),
                              mark_of(salt, a.node, a.incarnation, false));
  };
  if (is_wanted(m.own)) {
    updates.emplace_back(m.own);
  }
  std::vector<node_id> lacked;
  for (const auto& [node, e] : m.entries) {
    if (m.counts(e.where) && updates.size() < limits::latest_answer_max && is_wanted(*e.newest)) {
      updates.emplace_back(*e.newest);
      lacked.push_back(node);
    }
  }
  doubt(m, lacked, now, out);
}

node_id with_head(std::uint64_t head) {
  node_id node;
  std::memcpy(node.key.data(), &head, sizeof head);
  return node;
}

/// By the first bytes of its key.
const node_id* member_with(const member_table& m, std::uint64_t head, const node_id& from) {
  for (const node_id* const near : {&from, &m.self.node}) {
    if (head_of(*near) == head) {
      return near;
    }
  }
  const auto at = m.entries.lower_bound(with_head(head));
  return at != m.entries.end() && head_of(at->first) == head ? &at->first : nullptr;
}

/// Words that change nothing here are not asked for again. False: they are against an incarnation
/// that this node does not know yet.
bool hear_case(member_table& m, const told_case& told, const node_id& from, membership_time now,
               membership_effects& out) {
  const node_id* const known = member_with(m, told.subject, from);
  const node_id subject = known == nullptr ? with_head(told.subject) : *known;
  for (const accuser_word& word : told.words) {
    gossip_link* const by = m.link_of(from);
    const node_id* const accuser = member_with(m, word.accuser, from);
    if (by == nullptr || by->forged) {
      return true;
    }
    if (known != nullptr && accuser != nullptr) {
      apply_update(m, signed_suspicion{*accuser, subject, told.incarnation, word.proof}, from, *by,
                   now, out);
    }
  }
  const member_entry* const e = m.look_up(subject);
  const bool counted = e != nullptr && m.counts(e->where);
  if (counted && e->newest->incarnation < told.incarnation) {
    return false;
  }
  const bool open = counted && e->newest->incarnation == told.incarnation;
  latest_case* const one = open ? nullptr : case_of(m, subject, told.incarnation, now);
  if (one != nullptr && !one->doomed) {
    one->closed = true;
  }
  return true;
}

} // namespace

std::uint32_t latest_mark(std::uint64_t salt, const node_id& node, std::uint64_t incarnation) {
  return mark_of(salt, node, incarnation, false);
}

void note_latest(member_table& m, const signed_update& update, membership_time now) {
  const auto* const word = std::get_if<signed_suspicion>(&update);
  if (word == nullptr) {
    const node_id& node = subject_of(update);
    const member_entry* const e = m.learns(now) ? m.look_up(node) : nullptr;
    const bool old = e != nullptr && e->where == member_standing::heard_of && !m.linked(node) &&
                     of_node(m.crowd.latest.lives, node) == nullptr;
    if (!old) { // what a newcomer learns from summaries is no news
      note_life(m, node, incarnation_of(update), true, now);
    }
    return;
  }
  latest_case* const one = case_of(m, word->subject, word->incarnation, now);
  if (one == nullptr || one->doomed) {
    return;
  }
  one->closed = false;
  one->at = now;
  std::erase_if(one->words, [&](const signed_suspicion& w) { return w.accuser == word->accuser; });
  if (one->words.size() == limits::accusers_min) {
    one->words.erase(one->words.begin());
  }
  one->words.push_back(*word);
}

void note_heard(member_table& m, const signed_advert& advert, membership_time now) {
  if (m.crowded()) {
    note_life(m, advert.node, advert.incarnation, false, now);
  }
}

void note_answered(member_table& m, const std::vector<signed_update>& updates,
                   membership_time now) {
  for (const signed_update& u : m.learns(now) ? updates : std::vector<signed_update>{}) {
    const member_entry* const e = m.look_up(subject_of(u));
    if (e != nullptr && e->newest->incarnation == incarnation_of(u) &&
        (m.counts(e->where) || e->where == member_standing::heard_of)) {
      note_life(m, subject_of(u), incarnation_of(u), m.counts(e->where), now);
    }
  }
}

void forget_latest_life(member_table& m, const node_id& node) {
  std::erase_if(m.crowd.latest.lives, [&](const latest_life& one) { return one.node == node; });
}

bool had_case(const member_table& m, const node_id& node, std::uint64_t incarnation) {
  const auto& cases = m.crowd.latest.cases;
  return std::any_of(cases.begin(), cases.end(), [&](const latest_case& one) {
    return one.closed && one.incarnation == incarnation && head_of(one.node) == head_of(node);
  });
}

void note_doomed(member_table& m, const node_id& node, membership_time now) {
  if (latest_case* const one = of_node(m.crowd.latest.cases, node)) {
    one->doomed = true;
    one->at = now;
  }
}

void close_latest_case(member_table& m, const node_id& node) {
  if (latest_case* const one = of_node(m.crowd.latest.cases, node)) {
    one->words.clear();
    one->doomed = false;
    one->closed = true;
  }
}

void exchange_latest(member_table& m, membership_time now, membership_effects& out) {
  latest_state& l = m.crowd.latest;
  if (now < l.next) {
    return;
  }
  l.next = now + m.intervals(limits::latest_intervals);
  forget_old(l, now - m.intervals(limits::latest_kept));
  const membership_time listed = now - m.intervals(limits::latest_listed);
  const membership_time heard = now - m.intervals(limits::latest_heard);
  for (const node_id& to : exchange_partners(m)) {
    latest list{m.random(), {}};
    std::size_t unbelieved = 0;
    const auto room = [&] { return list.marks.size() + 2 <= limits::latest_marks_max; };
    for (auto life = l.lives.rbegin(); life != l.lives.rend() && room(); ++life) {
      if (life->believed ? life->at >= listed
                         : life->at >= heard && ++unbelieved <= limits::latest_unbelieved_max) {
        list.marks.push_back(mark_of(list.salt, *life) |
                             (life->believed ? mark_believed : mark_heard));
      }
    }
    for (auto one = l.cases.rbegin(); one != l.cases.rend() && room(); ++one) {
      if (one->at < listed || one->closed) {
        continue;
      }
      list.marks.push_back(mark_of(list.salt, *one) | (one->doomed ? mark_doomed : mark_accused));
      if (!one->doomed) {
        std::uint32_t sum = 0;
        for (const signed_suspicion& word : one->words) {
          sum += mark_of(list.salt, word);
        }
        list.marks.push_back(sum);
      }
    }
    m.send(to, std::move(list), out);
  }
}

void receive_latest(member_table& m, const latest& theirs, const node_id& from, membership_time now,
                    membership_effects& out) {
  gossip_link* const by = m.link_of(from);
  if (!m.crowded() || by == nullptr) {
    return;
  }
  auto& listers = m.crowd.latest.listers;
  if (listers.size() < limits::vouchers_min && m.linked(from) && !m.speaks_for(listers, from) &&
      std::find(listers.begin(), listers.end(), from) == listers.end()) {
    listers.push_back(from);
  }
  marks_read marks{theirs.marks};
  if (marks.asks()) {
    return vouch_for_marks(m, marks, theirs.salt, from, out);
  }
  latest_answer answer{theirs.salt, {}, {}, {}};
  std::vector<signed_update> updates;
  compare_lives(m, marks, from, now, answer, updates, out);
  if (m.learns(now)) {
    recognise(m, marks, from, now, answer, out);
  }
  compare_cases(m, marks, from, now, answer);
  for (const marks_read::read& one : marks.all()) {
    if (!one.known && one.kind != mark_heard) {
      want(answer, one.mark);
    }
  }
  updates.resize(by->answers.spend_up_to(static_cast<std::uint32_t>(updates.size()), now));
  if (!updates.empty() || !answer.wanted.empty() || !answer.counted.empty() ||
      !answer.cases.empty()) {
    m.send_all(from, std::move(answer), std::move(updates), out);
  }
}

void receive_latest_answer(member_table& m, const latest_answer& theirs, const node_id& from,
                           membership_time now, membership_effects& out) {
  gossip_link* const by = m.link_of(from);
  if (!m.crowded() || by == nullptr) {
    return;
  }
  bucket_set behind;
  for (const told_case& one : theirs.cases) {
    if (!hear_case(m, one, from, now, out) && behind.none()) {
      behind.set(bucket_of(with_head(one.subject)));
    }
  }
  if (behind.any()) {
    m.send_summary(from, true, behind, out);
  }
  std::vector<std::uint32_t> counted = theirs.counted;
  std::sort(counted.begin(), counted.end());
  std::vector<known_node> vouched;
  for (const node_id& node : counted.empty() ? std::set<node_id>{} : m.told.unreached) {
    const std::uint64_t incarnation = m.look_up(node)->newest->incarnation;
    if (std::binary_search(counted.begin(), counted.end(),
                           mark_of(theirs.salt, node, incarnation, false))) {
      vouched.push_back({node, incarnation, true});
    }
  }
  for (const known_node& one : vouched) {
    hear_counted(m, one, from, now, out);
  }
  std::vector<std::uint32_t> wanted = theirs.wanted;
  const auto take_wanted = [&wanted](std::uint32_t mark) { return std::erase(wanted, mark) > 0; };
  latest_answer answer{theirs.salt, {}, {}, {}};
  std::vector<signed_update> updates;
  auto& lives = m.crowd.latest.lives;
  for (std::size_t i = 0; i < lives.size() && !wanted.empty(); ++i) {
    const latest_life life = lives[i];
    if (life.believed && take_wanted(mark_of(theirs.salt, life))) {
      if (auto update = update_of(m, life)) {
        updates.push_back(std::move(*update));
      }
    }
  }
  for (const latest_case& one : m.crowd.latest.cases) {
    if (!one.words.empty() && answer.cases.size() < limits::latest_answer_max &&
        take_wanted(mark_of(theirs.salt, one))) {
      answer.cases.push_back(told(one));
    }
  }
  if (!wanted.empty()) {
    tell_wanted(m, theirs.salt, std::move(wanted), now, updates, out);
  }
  updates.resize(by->answers.spend_up_to(static_cast<std::uint32_t>(updates.size()), now));
  if (!updates.empty() || !answer.cases.empty()) {
    m.send_all(from, std::move(answer), std::move(updates), out);
  }
}

} // namespace ovir::actors
