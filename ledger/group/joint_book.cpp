#include "ledger/group/joint_book.hpp"

#include "ledger/keeper/charges.hpp"
#include "ledger/rules/attest.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/limits/raft.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ovir::ledger {

namespace {

/// Beside its entries, less than this.
constexpr std::size_t order_frame_bytes = 128;

result<authentic_command> authentic(const digest& ledger, std::span<const std::byte> bytes) {
  OVIR_ASSIGN(entry e, decode_entry(bytes));
  if (e.time != 0) {
    return fail(errc::malformed, "an entry of an order has the time {}", e.time);
  }
  return signer_of(e.what) != nullptr ? authenticate(ledger, std::move(e.what), e.proof)
                                      : by_log_keeper(ledger, std::move(e.what));
}

/// To be sent to the keeper that leads, whose name the owner of this book knows. What this keeper
/// asked itself is due again.
void send_back(const asked_command& one, std::vector<keeper_answer>& answers) {
  if (one.id != 0) {
    answers.push_back({one.from, {one.id, leader_news{}}});
  }
}

std::vector<std::byte> entry_of(const authentic_command& c) {
  std::vector<std::byte> encoded;
  encode({0, c.what(), c.proof()}, encoded);
  return encoded;
}

digest unheard_name(std::span<const std::byte> entry) { return hash("ovir/keepers/v1/ask", entry); }

/// What a keeper examined, or was told by stages.
bool needs_words(const asked_command& one, const node_id& own) {
  const command& what = one.what.what();
  return (std::holds_alternative<convict>(what) && !is_proved_by_charges(what)) ||
         std::holds_alternative<compensate>(what) ||
         (one.from == own && one.id == 0 && signer_of(what) == nullptr);
}

} // namespace

joint_book::joint_book(keeper& own) : own_(own) {
  if (own_.has_head()) {
    signed_size_ = own_.head().head.size;
  }
  open_.push_back(own_.own_head());
}

const std::vector<node_id>& joint_book::keepers() const {
  return own_.book().view().origin().keepers;
}

result<std::optional<batch_order>>
joint_book::put_together(std::uint64_t now, const due_allowance& due, std::size_t& due_count) {
  due_count = 0;
  if (out_) {
    return std::optional<batch_order>{};
  }
  OVIR_ASSIGN(gathered_commands all, own_.gather(now, due));
  for (asked_command& one : all.asked) {
    if (needs_words(one, own_.self())) {
      set_apart(std::move(one), now);
    } else {
      queue_.push_back(std::move(one));
    }
  }
  drop_unheard(now);
  out_order made{{own_.book().id(), own_.book().log().size(), now, {}}, {}};
  checked_order checked;
  std::size_t bytes = order_frame_bytes;
  const auto add = [&](const authentic_command& c, const std::vector<std::byte>& evidence) {
    std::vector<std::byte> encoded = entry_of(c);
    const bool has_evidence = is_proved_by_charges(c.what());
    bytes += encoded.size() + sizeof(std::uint32_t) +
             (has_evidence ? evidence.size() + sizeof(std::uint32_t) : 0);
    if (bytes > limits::raft_entry_bytes_max ||
        made.what.entries.size() >= limits::ledger_batch_entries_max ||
        (has_evidence && made.what.evidence.size() >= limits::keepers_order_evidence_max)) {
      return false;
    }
    made.what.entries.push_back(std::move(encoded));
    if (has_evidence) {
      made.what.evidence.push_back(evidence);
    }
    checked.entries.push_back(c);
    return true;
  };
  while (!queue_.empty() && add(queue_.front().what, queue_.front().evidence)) {
    made.asked.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  for (const authentic_command& c : all.due) {
    if (!add(c, {})) {
      break; // it is due again
    }
    ++due_count;
  }
  for (const found_charge& one : all.accused) {
    if (!add(one.what, one.evidence)) {
      break; // as is this
    }
  }
  if (made.what.entries.empty()) {
    return std::optional<batch_order>{};
  }
  checked.what = made.what;
  note_checked(std::move(checked));
  out_ = std::move(made);
  return std::optional{out_->what};
}

void joint_book::set_apart(asked_command one, std::uint64_t now) {
  if (unheard_.size() >= limits::keepers_unheard_max) {
    if (one.id != 0) {
      refused_.push_back(
          {one.from,
           {one.id, refusal{fail(errc::busy,
                                 "{} commands wait for the word of other keepers; send "
                                 "it again later",
                                 unheard_.size())}}});
    }
    return;
  }
  std::vector<std::byte> entry = entry_of(one.what);
  const digest name = unheard_name(entry);
  const auto known = unheard_.find(name);
  if (known != unheard_.end()) { // sent again: the last question is answered
    known->second.what = std::move(one);
    return;
  }
  unheard_.emplace(name, unheard_command{std::move(one), std::move(entry), {}, now});
}

/// What most keepers have not examined for long is sent again by whom it matters to.
void joint_book::drop_unheard(std::uint64_t now) {
  for (auto it = unheard_.begin(); it != unheard_.end();) {
    const unheard_command& one = it->second;
    if (one.since + limits::keepers_word_wait_s >= now) {
      ++it;
      continue;
    }
    if (one.what.id != 0) {
      refused_.push_back(
          {one.what.from,
           {one.what.id, refusal{fail(errc::busy, "most keepers did not examine it yet; send "
                                                  "it again later")}}});
    }
    it = unheard_.erase(it);
  }
}

std::vector<std::pair<digest, std::span<const std::byte>>> joint_book::unheard() const {
  std::vector<std::pair<digest, std::span<const std::byte>>> all;
  for (const auto& [name, one] : unheard_) {
    all.emplace_back(name, one.entry);
  }
  return all;
}

void joint_book::hear(const node_id& from, const digest& name) {
  const auto found = unheard_.find(name);
  if (found == unheard_.end() || !std::ranges::binary_search(keepers(), from)) {
    return;
  }
  found->second.admitted_by.insert(from);
  if (found->second.admitted_by.size() >= keepers().size() / 2) { // with this one, most
    queue_.push_back(std::move(found->second.what));
    unheard_.erase(found);
  }
}

result<digest> joint_book::would_admit(std::span<const std::byte> entry) const {
  OVIR_ASSIGN(const authentic_command one, authentic(own_.book().id(), entry));
  OVIR_TRY(own_.admits(one.what()));
  return unheard_name(entry);
}

void joint_book::take_back(std::uint64_t now, std::vector<keeper_answer>& answers) {
  const auto give = [&](const asked_command& one) { send_back(one, answers); };
  if (out_) {
    std::ranges::for_each(std::exchange(out_, {})->asked, give);
  }
  std::ranges::for_each(std::exchange(queue_, {}), give);
  for (const auto& [name, one] : std::exchange(unheard_, {})) {
    give(one.what);
  }
  if (const auto waiting = own_.gather(now, {})) {
    std::ranges::for_each(waiting->asked, give);
  }
}

void joint_book::take_refused(std::vector<keeper_answer>& answers) {
  std::ranges::move(std::exchange(refused_, {}), std::back_inserter(answers));
}

std::uint64_t joint_book::signed_by(const node_id& keeper) const {
  if (keeper == own_.self()) {
    return own_.book().log().size();
  }
  const auto found = others_.find(keeper);
  return found == others_.end() ? 0 : found->second.head.size;
}

result<void> joint_book::check(const batch_order& order, std::uint64_t now) {
  if (order.ledger != own_.book().id()) {
    return fail(errc::invalid_argument, "the order is of another ledger");
  }
  if (order.behind < own_.book().log().size()) {
    return {};
  }
  const std::uint64_t off = order.time > now ? order.time - now : now - order.time;
  if (off > limits::keepers_clock_off_s_max) {
    return fail(errc::invalid_argument,
                "the order has a time that is {} s off from this keeper's; set both clocks right",
                off);
  }
  checked_order checked{order, {}};
  auto evidence = order.evidence.begin();
  for (const std::vector<std::byte>& bytes : order.entries) {
    OVIR_ASSIGN(authentic_command one, authentic(order.ledger, bytes));
    const bool has_evidence = is_proved_by_charges(one.what());
    if (has_evidence && evidence == order.evidence.end()) {
      return fail(errc::invalid_argument, "the order convicts without evidence");
    }
    OVIR_TRY(own_.admits(one.what(), has_evidence ? std::span<const std::byte>{*evidence++}
                                                  : std::span<const std::byte>{}));
    checked.entries.push_back(std::move(one));
  }
  if (evidence != order.evidence.end()) {
    return fail(errc::invalid_argument, "the order has evidence of no conviction in it");
  }
  note_checked(std::move(checked));
  return {};
}

void joint_book::note_checked(checked_order one) {
  checked_.push_back(std::move(one));
  if (checked_.size() > limits::keepers_checked_orders_max) {
    checked_.pop_front();
  }
}

result<void> joint_book::apply(const batch_order& order, std::vector<keeper_answer>& answers) {
  std::vector<asked_command> asked;
  if (out_ && out_->what == order) {
    asked = std::move(std::exchange(out_, {})->asked);
  }
  if (order.ledger != own_.book().id() || order.behind != own_.book().log().size()) {
    for (const asked_command& one : asked) {
      send_back(one, answers);
    }
    return {};
  }
  // What is no command is refused by every keeper alike.
  std::vector<authentic_command> batch;
  std::vector<std::optional<error>> wrong(order.entries.size());
  const auto known = std::ranges::find(checked_, order, &checked_order::what);
  for (std::size_t i = 0; i < order.entries.size(); ++i) {
    if (known != checked_.end()) {
      batch.push_back(known->entries[i]);
    } else if (auto one = authentic(order.ledger, order.entries[i])) {
      batch.push_back(std::move(*one));
    } else {
      wrong[i] = one.error();
    }
  }
  std::vector<keeper_answer> news;
  OVIR_ASSIGN(const batch_outcome done, own_.enter(batch, order.time, news));
  auto outcome = done.commands.begin();
  for (std::size_t i = 0; i < order.entries.size(); ++i) {
    const command_outcome one = wrong[i] ? command_outcome{{}, *wrong[i]} : *outcome++;
    if (i >= asked.size()) {
      continue;
    }
    if (one.done) {
      later_.push_back({asked[i].from, asked[i].id, one.done->index});
    } else {
      answers.push_back({asked[i].from, {asked[i].id, refusal{one.why}}});
    }
  }
  std::ranges::move(news, std::back_inserter(answers));
  sign_here(answers);
  return {};
}

/// The head of what is here now, with what others signed already.
void joint_book::sign_here(std::vector<keeper_answer>& answers) {
  if (open_.empty() || open_.back().head.size != own_.own_head().head.size) {
    open_.push_back(own_.own_head());
    if (open_.size() > limits::keepers_open_heads_max) {
      open_.pop_front();
    }
  }
  join_known(open_.back());
  promise(answers);
}

void joint_book::join_known(signed_head& head) const {
  for (const auto& [node, last] : others_) {
    if (last.head == head.head) {
      for (const head_signature& s : last.signatures) {
        (void)join(head, s);
      }
    }
  }
}

void joint_book::take(const signed_head& of, std::vector<keeper_answer>& answers) {
  if (of.head.ledger != own_.book().id()) {
    return;
  }
  if (signed_by_majority(of, keepers())) {
    signed_size_ = std::max(signed_size_, of.head.size);
  }
  for (const head_signature& s : of.signatures) {
    if (!std::ranges::binary_search(keepers(), s.keeper) || !holds(s, of.head)) {
      continue;
    }
    signed_head& last = others_[s.keeper];
    if (last.signatures.empty() || last.head.size <= of.head.size) {
      last = {of.head, {s}};
    }
    for (signed_head& open : open_) {
      if (open.head == of.head) {
        (void)join(open, s);
      }
    }
  }
  promise(answers);
}

/// Under the newest head that most signed.
void joint_book::promise(std::vector<keeper_answer>& answers) {
  const auto last = std::find_if(open_.rbegin(), open_.rend(), [this](const signed_head& head) {
    return signed_by_majority(head, keepers());
  });
  if (last != open_.rend()) {
    signed_size_ = std::max(signed_size_, last->head.size);
    own_.take_head(*last);
    open_.erase(open_.begin(), last.base());
  }
  while (!later_.empty() && own_.has_head() && later_.front().index < own_.head().head.size) {
    const later_promise& one = later_.front();
    answers.push_back({one.to, own_.promised(one.id, one.index)});
    later_.pop_front();
  }
}

result<void> joint_book::follow(const log_part& part, std::vector<keeper_answer>& answers) {
  const entry_run& run = part.run;
  const std::uint64_t size = own_.book().log().size();
  if (run.first > size || run.first + run.entries.size() <= size) {
    return fail(errc::invalid_argument, "these are not the entries behind {}", size);
  }
  const auto news = std::span{run.entries}.subspan(static_cast<std::size_t>(size - run.first));
  OVIR_TRY(own_.follow(news, run.head, part.path)); // which asks for most keepers' signatures
  signed_size_ = std::max(signed_size_, run.head.head.size);
  open_.clear();
  sign_here(answers);
  return {};
}

} // namespace ovir::ledger
