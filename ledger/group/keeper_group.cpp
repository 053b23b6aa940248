#include "ledger/group/keeper_group.hpp"

#include "ledger/group/log_part.hpp"
#include "ledger/keeper/message.hpp"
#include "messages/limits/keepers.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

// What keepers say to each other is a byte and what it says (docs/formats/keepers.md).

namespace ovir::ledger {

namespace {

constexpr std::uint8_t says_letter = 1;  // of the group: raft::letter
constexpr std::uint8_t says_head = 2;    // signed_head: signed by its sender, or by most keepers
constexpr std::uint8_t says_message = 3; // asks for entries: message
constexpr std::uint8_t says_ask = 4;     // an entry with time 0: would the other one admit it?
constexpr std::uint8_t says_word = 5;    // the name of such an entry, which the sender would admit
constexpr std::uint8_t says_part = 6;    // entries that were asked for: log_part

std::vector<std::byte> said(std::uint8_t kind, std::span<const std::byte> bytes) {
  std::vector<std::byte> all{std::byte{kind}};
  all.insert(all.end(), bytes.begin(), bytes.end());
  return all;
}

/// Of the whole group: a server's number is its keeper's place.
result<raft::group> group_of(const group_surroundings& around) {
  const std::vector<node_id>& all = around.own->book().view().origin().keepers;
  const auto self = std::ranges::lower_bound(all, around.key->id());
  if (self == all.end() || *self != around.key->id()) {
    return fail(errc::invalid_argument, "{} is none of this ledger's keepers, {}",
                short_name(around.key->id()), names_of(all));
  }
  return raft::group{around.own->book().id(), static_cast<std::uint8_t>(self - all.begin() + 1),
                     static_cast<std::uint8_t>(all.size())};
}

} // namespace

keeper_group::keeper_group(group_surroundings around)
    : around_(std::move(around)), keepers_(around_.own->book().view().origin().keepers),
      book_(*around_.own) {}

result<void> keeper_group::found(const group_surroundings& around) {
  OVIR_ASSIGN(const raft::group of, group_of(around));
  return raft::replica::found(*around.files, of);
}

result<std::unique_ptr<keeper_group>>
keeper_group::open(group_surroundings around, const raft::timing& times, raft::milliseconds now) {
  OVIR_ASSIGN(const raft::group of, group_of(around));
  std::unique_ptr<keeper_group> made{new keeper_group{std::move(around)}};
  // Orders that the ledger has already come again: behind another size they are void.
  OVIR_ASSIGN(made->replica_,
              raft::replica::open(*made->around_.files, of, *made, times, now, raft::place{}));
  return made;
}

std::optional<node_id> keeper_group::leader() const {
  const std::uint8_t number = replica_->leader();
  return number == 0 ? std::nullopt : std::optional{keepers_[number - 1U]};
}

result<void> keeper_group::sound() const {
  OVIR_TRY(disk_);
  return replica_->sound();
}

void keeper_group::tick(raft::milliseconds now, std::vector<keeper_answer>& answers) {
  replica_->tick(now);
  look(now, answers);
}

void keeper_group::receive(raft::milliseconds now, const node_id& from,
                           std::span<const std::byte> bytes, std::vector<keeper_answer>& answers) {
  const auto place = std::ranges::lower_bound(keepers_, from);
  if (place == keepers_.end() || *place != from || from == around_.key->id() || bytes.empty()) {
    return;
  }
  const auto rest = bytes.subspan(1);
  switch (static_cast<std::uint8_t>(bytes.front())) {
  case says_letter:
    if (auto letter = raft::letter_from(rest)) {
      replica_->receive(now, static_cast<std::uint8_t>(place - keepers_.begin() + 1),
                        std::move(*letter));
    }
    break;
  case says_head:
    if (const auto head = signed_head_from(rest)) {
      take_head(from, *head);
    }
    break;
  case says_message:
    if (auto m = message_from(rest)) {
      if (const auto* const asked = std::get_if<ask_entries>(&m->body)) {
        answer_entries(from, asked->first);
      }
    }
    break;
  case says_ask:
    if (const auto name = book_.would_admit(rest)) {
      around_.send(from, said(says_word, std::as_bytes(std::span{name->bytes})));
    }
    break;
  case says_word: take_word(from, rest); break;
  case says_part: take_part(rest); break;
  default: break;
  }
  look(now, answers);
}

/// A keeper that says again what it signed lacks the signatures of others, which may have come
/// before it was there: it gets the last head that most signed.
void keeper_group::take_head(const node_id& from, const signed_head& head) {
  book_.take(head, ready_);
  const keeper& own = *around_.own;
  log_head& before = told_by_[from];
  if (head.signatures.size() == 1 && before == head.head && own.has_head() &&
      around_.own->head().head.size >= head.head.size) {
    around_.send(from, said(says_head, to_bytes(around_.own->head())));
  }
  before = head.head;
}

void keeper_group::take_part(std::span<const std::byte> bytes) {
  const auto part = log_part_from(bytes);
  if (!part || !disk_) {
    return;
  }
  const auto done = book_.follow(*part, ready_);
  disk_ = !done && done.error().code == errc::io_failed ? done : disk_;
  if (done) {
    asks_on_ = true;
  }
}

void keeper_group::take_word(const node_id& from, std::span<const std::byte> bytes) {
  digest name;
  if (bytes.size() == name.bytes.size()) {
    std::memcpy(name.bytes.data(), bytes.data(), bytes.size());
    book_.hear(from, name);
  }
}

result<std::size_t> keeper_group::propose(raft::milliseconds now, const due_allowance& due,
                                          std::vector<keeper_answer>& answers) {
  OVIR_TRY(sound());
  std::size_t became_due = 0;
  if (!leads() || replica_->wants_snapshot()) {
    look(now, answers);
    return became_due;
  }
  OVIR_ASSIGN(const auto order, book_.put_together(around_.time(), due, became_due));
  if (order && !replica_->propose(now, to_bytes(*order))) {
    book_.take_back(around_.time(), ready_);
    became_due = 0;
  }
  look(now, answers);
  return became_due;
}

/// What follows from what the group did just now.
void keeper_group::look(raft::milliseconds now, std::vector<keeper_answer>& answers) {
  note_leader();
  const bool has_any = book_.waits() || !book_.unheard().empty();
  if (!leads() && (book_.is_out() || (has_any && !begins_to_lead()))) {
    book_.take_back(around_.time(), ready_);
  }
  const std::uint64_t size = book_.own_head().head.size;
  if (size != told_ ||
      (book_.signed_size() < size && now - told_at_ > limits::keepers_sign_again)) {
    told_ = size;
    told_at_ = now;
    tell_others(says_head, to_bytes(book_.own_head()));
  }
  ask_for_words(now);
  ask_for_entries(now);
  ask_for_snapshots(now);
  book_.take_refused(ready_);
  for (keeper_answer& a : ready_) {
    if (auto* const news = std::get_if<leader_news>(&a.what.body)) {
      news->keeper = leader().value_or(node_id{});
    }
  }
  std::ranges::move(std::exchange(ready_, {}), std::back_inserter(answers));
}

void keeper_group::note_leader() {
  const auto now = leader();
  if (!now || now == led_by_) {
    return;
  }
  hand_overs_ += led_by_ ? 1 : 0;
  led_by_ = now;
}

/// Of all keepers, for each command that lacks words: at once, and again.
void keeper_group::ask_for_words(raft::milliseconds now) {
  const auto all = book_.unheard();
  if (all.empty() || !leads()) {
    words_asked_.clear();
    return;
  }
  if (now - words_at_ > limits::keepers_ask_again) {
    words_at_ = now;
    words_asked_.clear();
  }
  for (const auto& [name, entry] : all) {
    if (words_asked_.insert(name).second) {
      tell_others(says_ask, entry);
    }
  }
}

/// A snapshot stands for what most keepers signed. Behind an order its head is not signed yet: when
/// a snapshot is due, no order is made until that is signed, and then an entry that changes
/// nothing.
void keeper_group::ask_for_snapshots(raft::milliseconds now) {
  if (!leads() || !replica_->wants_snapshot() || book_.is_out() || !snapshot_now()) {
    return;
  }
  if (replica_->last_index() == replica_->last_agreed()) {
    tell_others(says_head, to_bytes(around_.own->head())); // so that they can give one as well
    replica_->ask_for_snapshots(now);
  }
}

/// Of who had some just now; else of the keeper that leads and of the others in turn: the leader
/// may have none to give, and one that was away may refuse what it is told until it has them.
void keeper_group::ask_for_entries(raft::milliseconds now) {
  const std::uint64_t size = book_.own_head().head.size;
  if (book_.signed_size() <= size || (!asks_on_ && now - asked_at_ <= limits::keepers_ask_again)) {
    return;
  }
  asked_at_ = now;
  if (!std::exchange(asks_on_, false)) {
    const std::size_t turn = asked_++;
    const node_id& next = keepers_[turn / 2 % keepers_.size()];
    asked_of_ = turn % 2 == 0 ? leader().value_or(next) : next;
  }
  if (asked_of_ != around_.key->id()) {
    around_.send(asked_of_, said(says_message, to_bytes(message{0, ask_entries{size}})));
  } else {
    asked_at_ -= limits::keepers_ask_again; // not of itself: of the next
  }
}

group_report keeper_group::report() const {
  group_report r;
  for (const node_id& one : keepers_) {
    r.keepers.push_back({one, book_.signed_by(one)});
  }
  r.leader = leader();
  r.leads = leads();
  r.recovering = replica_->is_recovering();
  r.term = replica_->term();
  r.agreed = replica_->last_agreed();
  r.kept = replica_->kept();
  r.hand_overs = hand_overs_;
  return r;
}

void keeper_group::tell_others(std::uint8_t kind, std::span<const std::byte> bytes) const {
  for (const node_id& node : keepers_) {
    if (node != around_.key->id()) {
      around_.send(node, said(kind, bytes));
    }
  }
}

void keeper_group::answer_entries(const node_id& to, std::uint64_t first) {
  keeper& own = *around_.own;
  if (!own.has_head()) {
    return;
  }
  auto run = own.entries_from(first);
  if (!run || run->entries.empty()) {
    return;
  }
  log_part part{{}, std::move(*run)};
  const std::uint64_t end = first + part.run.entries.size();
  auto path = own.book().prove_consistency(end, part.run.head.head.size);
  if (path) {
    part.path = std::move(*path);
    around_.send(to, said(says_part, to_bytes(part)));
  }
}

void keeper_group::send(std::uint8_t to, raft::letter what) {
  around_.send(keepers_[to - 1U], said(says_letter, raft::to_bytes(what)));
}

std::uint32_t keeper_group::between(std::uint32_t least, std::uint32_t most) {
  return around_.between(least, most);
}

bool keeper_group::takes(const raft::entry& e) {
  if (e.kind != raft::entry_kind::command) {
    return true;
  }
  const auto order = batch_order_from(e.bytes);
  return order && book_.check(*order, around_.time());
}

bool keeper_group::takes(const raft::snapshot& s) {
  const auto head = signed_head_from(s.bytes);
  if (!head) {
    return false;
  }
  book_.take(*head, ready_);
  return signed_by_majority(*head, keepers_) && around_.own->book().extends(head->head);
}

void keeper_group::agreed(const raft::place& /*where*/, std::span<const std::byte> bytes) {
  // What no keeper could read is void for all.
  const auto order = batch_order_from(bytes);
  if (!order || !disk_) {
    return;
  }
  disk_ = book_.apply(*order, ready_);
}

std::optional<std::vector<std::byte>> keeper_group::snapshot_now() {
  const std::uint64_t size = book_.own_head().head.size;
  if (!disk_ || !around_.own->has_head() || around_.own->head().head.size != size) {
    return std::nullopt;
  }
  return to_bytes(around_.own->head());
}

void keeper_group::restored(const raft::snapshot& /*s*/) {
  // Its entries are in the ledger: `takes` asked for that.
}

} // namespace ovir::ledger
