#include "ledger/group/joint_book.hpp"

#include "ledger/rules/attest.hpp"
#include "messages/limits/credit.hpp"
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

error to_be_sent_again() { return fail(errc::busy, "another keeper leads now; send it again"); }

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
  std::ranges::move(all.asked, std::back_inserter(queue_));
  out_order made{{own_.book().id(), own_.book().log().size(), now, {}}, {}};
  std::size_t bytes = order_frame_bytes;
  const auto add = [&](const authentic_command& c) {
    std::vector<std::byte> encoded;
    encode({0, c.what(), c.proof()}, encoded);
    bytes += encoded.size() + sizeof(std::uint32_t);
    if (bytes > limits::raft_entry_bytes_max ||
        made.what.entries.size() >= limits::ledger_batch_entries_max) {
      return false;
    }
    made.what.entries.push_back(std::move(encoded));
    return true;
  };
  while (!queue_.empty() && add(queue_.front().what)) {
    made.asked.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  for (const authentic_command& c : all.due) {
    if (!add(c)) {
      break; // it is due again
    }
    ++due_count;
  }
  if (made.what.entries.empty()) {
    return std::optional<batch_order>{};
  }
  out_ = std::move(made);
  return std::optional{out_->what};
}

void joint_book::take_back(std::vector<keeper_answer>& answers) {
  const auto refuse = [&](const asked_command& one) {
    answers.push_back({one.from, {one.id, refusal{to_be_sent_again()}}});
  };
  if (out_) {
    std::ranges::for_each(std::exchange(out_, {})->asked, refuse);
  }
  std::ranges::for_each(std::exchange(queue_, {}), refuse);
}

result<void> joint_book::check(const batch_order& order, std::uint64_t now) const {
  if (order.ledger != own_.book().id()) {
    return fail(errc::invalid_argument, "the order is of another ledger");
  }
  const std::uint64_t off = order.time > now ? order.time - now : now - order.time;
  if (off > limits::keepers_clock_off_s_max) {
    return fail(errc::invalid_argument,
                "the order has a time that is {} s off from this keeper's; set both clocks right",
                off);
  }
  for (const std::vector<std::byte>& bytes : order.entries) {
    OVIR_ASSIGN(const authentic_command one, authentic(order.ledger, bytes));
    OVIR_TRY(own_.admits(one.what()));
  }
  return {};
}

result<void> joint_book::apply(const batch_order& order, std::vector<keeper_answer>& answers) {
  std::vector<asked_command> asked;
  if (out_ && out_->what == order) {
    asked = std::move(std::exchange(out_, {})->asked);
  }
  if (order.ledger != own_.book().id() || order.behind != own_.book().log().size()) {
    for (const asked_command& one : asked) {
      answers.push_back({one.from, {one.id, refusal{to_be_sent_again()}}});
    }
    return {};
  }
  // What is no command is refused by every keeper alike.
  std::vector<authentic_command> batch;
  std::vector<std::optional<error>> wrong(order.entries.size());
  for (std::size_t i = 0; i < order.entries.size(); ++i) {
    if (auto one = authentic(order.ledger, order.entries[i])) {
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

result<void> joint_book::follow(const entry_run& run, std::vector<keeper_answer>& answers) {
  const std::uint64_t size = own_.book().log().size();
  if (run.first != size + missing_.size() || run.entries.empty()) {
    missing_.clear();
    missing_bytes_ = 0;
    return fail(errc::invalid_argument, "these are not the entries behind {}", size);
  }
  for (const std::vector<std::byte>& entry : run.entries) {
    missing_bytes_ += entry.size();
    missing_.push_back(entry);
  }
  if (size + missing_.size() < run.head.head.size &&
      missing_bytes_ <= limits::credit_catch_up_bytes_max) {
    return {}; // more is to come
  }
  const std::vector<std::vector<std::byte>> all = std::exchange(missing_, {});
  missing_bytes_ = 0;
  OVIR_TRY(own_.follow(all, run.head)); // which asks for most keepers' signatures
  signed_size_ = std::max(signed_size_, run.head.head.size);
  open_.clear();
  sign_here(answers);
  return {};
}

} // namespace ovir::ledger
