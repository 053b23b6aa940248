#include "ledger/raft/replica.hpp"

#include "messages/limits/raft.hpp"

#include <algorithm>
#include <utility>

namespace ovir::raft {

namespace {

/// Entry 1 of each log.
journal_state new_log() {
  journal_state log;
  log.entries.push_back({1, entry_kind::servers, {}});
  return log;
}

/// The term that a letter speaks of; 0 where it has none.
template <class M>
std::uint64_t term_of(const M& m) {
  if constexpr (requires { m.term; }) {
    return m.term;
  } else {
    return 0;
  }
}

} // namespace

result<void> replica::found(journal_files& files, const group& of) {
  OVIR_TRY(journal::create(files, of, new_log()));
  return {};
}

result<std::unique_ptr<replica>> replica::open(journal_files& files, const group& of,
                                               replica_owner& owner, const timing& times,
                                               milliseconds now, const place& known) {
  std::unique_ptr<replica> made{new replica{files, of, owner, times, known}};
  made->delivered_ = known.index;
  auto log = journal::open(files, of);
  if (log) {
    made->log_ = std::move(*log);
    made->start(now);
  } else if (log.error().code != errc::not_found) {
    return log.error();
  } else if (of.servers == 1) {
    return fail(errc::not_found,
                "the journal of the ledger's only keeper is gone; restore its state folder from a "
                "copy");
  } else {
    made->nonce_ =
        (std::uint64_t{owner.between(0, 0xffff'ffff)} << 32U) | owner.between(0, 0xffff'ffff);
  }
  return made;
}

/// Begins with what the journal has. What the library counted as agreed it has forgotten then.
void replica::start(milliseconds now) {
  const std::uint64_t before = log_->state().before ? log_->state().before->index : 0;
  const bool has_known = known_.index > 0 && log_->term_at(known_.index) == known_.term;
  agreed_ = std::max({agreed_, before, has_known ? known_.index : std::uint64_t{1}});
  library_.reset();
  library_ = std::make_unique<library>(*log_, static_cast<library_owner&>(*this), times_, now);
  look(now);
}

void replica::tick(milliseconds now) {
  if (!log_) {
    return ask_standings();
  }
  if (!log_->state().reach) { // else it would stand for election
    library_->tick(now);
  }
  look(now);
}

void replica::receive(milliseconds now, std::uint8_t from, letter&& what) {
  if (from == 0 || from > group_.servers || from == group_.self || !sound()) {
    return;
  }
  const bool admitted = std::visit(
      [&](auto& m) {
        const bool is_near = !log_ || term_of(m) <= term() + limits::raft_terms_ahead_max;
        return is_near && admits(now, from, m);
      },
      what);
  if (admitted && library_) {
    library_->receive(now, from, std::move(what));
    look(now);
  }
}

result<place> replica::propose(milliseconds now, std::span<const std::byte> bytes) {
  OVIR_CHECK(!bytes.empty() && bytes.size() <= limits::raft_entry_bytes_max, bytes.size());
  if (!leads()) {
    return fail(errc::busy, "this keeper does not lead its ledger's group; ask the one that does");
  }
  std::size_t open_bytes = bytes.size();
  for (std::uint64_t i = agreed_ + 1; i <= log_->last_index(); ++i) {
    open_bytes += log_->at(i).bytes.size();
  }
  if (log_->last_index() - agreed_ >= limits::raft_open_entries_max ||
      open_bytes > limits::raft_open_bytes_max ||
      log_->state().entries.size() >= limits::raft_journal_entries_max ||
      log_->entry_bytes() + bytes.size() > limits::raft_journal_bytes_max) {
    return fail(errc::busy, "the keepers have too much to agree on; try again");
  }
  if (!library_->propose(now, bytes)) {
    return fail(errc::busy, "this keeper ceased to lead its ledger's group; try again");
  }
  const place where = log_->last_place();
  look(now);
  return where;
}

bool replica::wants_snapshot() const {
  const std::uint64_t before = log_ && log_->state().before ? log_->state().before->index : 0;
  return log_ && agreed_ >= before + limits::raft_snapshot_every;
}

/// The library asks for a snapshot behind an entry that it applies, and at no other time.
void replica::ask_for_snapshots(milliseconds now) {
  if (leads() && log_->last_index() == agreed_) {
    static_cast<void>(library_->barrier(now)); // else it leads no longer
    look(now);
  }
}

bool replica::leads() const {
  return library_ && library_->now_is() == role::leader &&
         log_->term_at(agreed_) == library_->term();
}

std::uint8_t replica::leader() const {
  if (!library_ || library_->now_is() == role::leader) {
    return library_ ? group_.self : std::uint8_t{0};
  }
  return library_->leader();
}

result<void> replica::sound() const {
  OVIR_TRY(disk_);
  if (library_) {
    OVIR_TRY(library_->disk());
    if (library_->now_is() == role::stopped) {
      return fail(errc::internal, "the keeper's agreement stopped; start it again");
    }
  }
  return {};
}

/// Behind each event: what is agreed now?
///
/// The library counts an entry of an earlier term as agreed as soon as more than half have it, and
/// tells its followers. Such an entry may still be replaced (section 3.6.2 of the dissertation).
/// One of the leader's own term may not, nor may anything before it.
void replica::look(milliseconds now) {
  if (!sound()) {
    return;
  }
  if (library_->now_is() == role::leader && barrier_term_ != library_->term()) {
    barrier_term_ = library_->term();
    static_cast<void>(library_->barrier(now)); // else it leads no longer
  }
  const std::uint64_t counted = library_->commit();
  if (counted > agreed_ && log_->term_at(counted) == library_->term()) {
    agreed_ = counted;
    tell_agreed();
  }
  deliver(agreed_);
  if (log_->state().reach && log_->last_place() >= *log_->state().reach) {
    log_->reached();
    disk_ = log_->flush();
  }
}

/// The library tells it with its next heartbeat; until then no other server could go on.
void replica::tell_agreed() {
  if (library_->now_is() != role::leader) {
    return;
  }
  for (std::uint8_t to = 1; to <= group_.servers; ++to) {
    if (to != group_.self) {
      owner_.send(to,
                  append_entries{library_->term(), agreed_, log_->term_at(agreed_), agreed_, {}});
    }
  }
}

void replica::deliver(std::uint64_t end) {
  if (const auto& before = log_->state().before; before && before->index > delivered_) {
    agreed_ = std::max(agreed_, before->index);
    delivered_ = before->index;
    owner_.restored(*before);
  }
  while (delivered_ < end) {
    const entry& next = log_->at(++delivered_);
    if (next.kind == entry_kind::command) {
      owner_.agreed({next.term, delivered_}, next.bytes);
    }
  }
}

// Letters in. False: the library must not see it, or need not.

/// There is one leader in a term: the first that says so.
bool replica::is_leader_of(std::uint64_t term, std::uint8_t from) {
  if (term < library_->term()) {
    return true; // it is told the later term
  }
  if (term == library_->term() && library_->now_is() == role::leader) {
    return false;
  }
  if (led_by_.term != term) {
    led_by_ = {term, from};
    compared_ = agreed_;
  }
  return led_by_.index == from;
}

/// Leaves out what is agreed: it is the same everywhere, and may not be in the log any more, where
/// the library would write it behind the last entry. False where it is not the same.
bool replica::skip_agreed(append_entries& m) const {
  const auto differs = [this](std::uint64_t index, std::uint64_t term) {
    const std::uint64_t here = log_->term_at(index);
    return index <= agreed_ && here != 0 && here != term;
  };
  std::uint64_t index = m.before;
  if (differs(index, m.before_term)) {
    return false;
  }
  for (const entry& e : m.entries) {
    if (differs(++index, e.term)) {
      return false;
    }
  }
  if (m.before < agreed_) {
    const auto known = std::min<std::uint64_t>(agreed_ - m.before, m.entries.size());
    m.entries.erase(m.entries.begin(), m.entries.begin() + static_cast<std::ptrdiff_t>(known));
    m.before = agreed_;
    m.before_term = log_->term_at(agreed_);
  }
  return true;
}

/// What this server does not take is left out with all behind it: what is before may be what it
/// waits for, and is agreed on without it. False where nothing is left.
bool replica::cut_untaken(append_entries& m) const {
  std::size_t bytes = log_->entry_bytes();
  std::size_t count = log_->state().entries.size();
  std::uint64_t index = m.before;
  const auto end = std::find_if_not(m.entries.begin(), m.entries.end(), [&](const entry& e) {
    bytes += e.bytes.size();
    return bytes <= limits::raft_journal_bytes_max && ++count <= limits::raft_journal_entries_max &&
           (log_->term_at(++index) == e.term || owner_.takes(e));
  });
  if (end == m.entries.begin() && !m.entries.empty()) {
    return false;
  }
  m.entries.erase(end, m.entries.end());
  return true;
}

bool replica::admits(milliseconds now, std::uint8_t from, append_entries& m) {
  if (!library_ || !is_leader_of(m.term, from)) {
    return false;
  }
  if (m.term < library_->term()) {
    return true;
  }
  if (!skip_agreed(m) || !cut_untaken(m)) {
    return false;
  }
  const std::uint64_t end = m.before + m.entries.size();
  m.commit = std::min(m.commit, end); // what is behind the last entry was not compared
  const bool fits = log_->term_at(m.before) == m.before_term;
  std::uint64_t index = m.before;
  const bool replaces = std::any_of(m.entries.begin(), m.entries.end(), [&](const entry& e) {
    const std::uint64_t here = log_->term_at(++index);
    return here != 0 && here != e.term && index <= library_->commit();
  });
  if (replaces || (!fits && m.before <= library_->commit())) {
    start(now); // it counted as agreed what is not
  }
  if (fits) {
    compared_ = std::max(compared_, end);
  }
  return true;
}

bool replica::admits(milliseconds /*now*/, std::uint8_t /*from*/, const appended& /*m*/) {
  return true;
}

bool replica::admits(milliseconds /*now*/, std::uint8_t /*from*/, const vote_request& /*m*/) {
  return !is_recovering(); // it may have voted in a term of which it knows nothing
}

bool replica::admits(milliseconds /*now*/, std::uint8_t /*from*/, const vote_answer& m) {
  return library_ && !(m.granted && m.term > library_->term() + 1);
}

bool replica::admits(milliseconds now, std::uint8_t from, const install_snapshot& m) {
  if (!library_ || !is_leader_of(m.term, from)) {
    return false;
  }
  if (m.term < library_->term()) {
    return true;
  }
  if (m.content.index > agreed_) {
    if (!owner_.takes(m.content)) {
      return false;
    }
    compared_ = std::max(compared_, m.content.index);
    return true;
  }
  // It is here already, which the leader learns by a heartbeat.
  library_->receive(now, from,
                    append_entries{m.term, agreed_, log_->term_at(agreed_), agreed_, {}});
  look(now);
  return false;
}

bool replica::admits(milliseconds /*now*/, std::uint8_t from, const ask_standing& m) {
  if (!is_recovering()) {
    const place last = log_->last_place();
    owner_.send(from, standing{m.nonce, log_->state().term, last.index, last.term});
  }
  return false;
}

// After the loss of a disk

void replica::ask_standings() {
  for (std::uint8_t to = 1; to <= group_.servers; ++to) {
    if (to != group_.self && !standings_[to - 1U]) {
      owner_.send(to, ask_standing{nonce_});
    }
  }
}

/// Every entry that was agreed with this server's help is in the log of one of these, and every
/// server that this one voted for had the vote of one of these, or is one of these, or never led.
/// The last is why it takes a term far above theirs.
bool replica::admits(milliseconds now, std::uint8_t from, const standing& m) {
  if (log_ || m.nonce != nonce_) {
    return false;
  }
  standings_[from - 1U] = m;
  place reach;
  std::uint64_t term = 0;
  std::size_t told = 0;
  for (const auto& s : standings_) {
    if (s) {
      ++told;
      term = std::max(term, s->term);
      reach = std::max(reach, place{s->last_term, s->last});
    }
  }
  if (told <= group_.servers / 2U) {
    return false;
  }
  journal_state beginning = new_log();
  beginning.term = term + limits::raft_terms_after_loss;
  beginning.reach = reach;
  auto log = journal::create(files_, group_, beginning);
  if (!log) {
    disk_ = log.error();
    return false;
  }
  log_ = std::move(*log);
  start(now);
  return false;
}

// What the library asks

void replica::send(std::uint8_t to, letter what) {
  if (auto* const m = std::get_if<appended>(&what); m != nullptr && m->rejected == 0) {
    // Behind a heartbeat it names its last entry, which may be that of another leader.
    m->last = std::min(m->last, std::max(compared_, agreed_));
  }
  if (auto* const m = std::get_if<vote_answer>(&what); m != nullptr && !m->granted) {
    // A question before a term is answered with that term, so that its asker never learns a later
    // one.
    m->term = std::max(m->term, log_->state().term);
  }
  owner_.send(to, std::move(what));
}

std::uint32_t replica::between(std::uint32_t least, std::uint32_t most) {
  return owner_.between(least, most);
}

std::optional<std::vector<std::byte>> replica::snapshot_at(std::uint64_t index) {
  if (!library_ || log_->term_at(index) != library_->term()) {
    return std::nullopt;
  }
  agreed_ = std::max(agreed_, index);
  deliver(index);
  return owner_.snapshot_now();
}

} // namespace ovir::raft
