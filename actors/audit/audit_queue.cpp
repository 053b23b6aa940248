#include "actors/audit/audit_queue.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

std::size_t size_of(const waiting_receipt& r) { return r.bytes->size(); }
std::size_t size_of(const waiting_question& q) {
  const audit_task& task = q.what.task;
  return sizeof(task) + task.kv.size() * sizeof(digest) + task.tokens.size() * sizeof(token_id) +
         task.sampling.constraint.size() + task.sampling.logit_bias.size() * sizeof(token_bias);
}
std::size_t size_of(const audit_queue::item& what) {
  return std::visit([](const auto& one) { return size_of(one); }, what);
}
const node_id& sender_of(const audit_queue::item& what) {
  return std::visit([](const auto& one) -> const node_id& { return one.from; }, what);
}

} // namespace

std::int64_t audit_queue::left_at(const sender& s, time_point now) {
  constexpr std::int64_t per_minute = limits::audit_positions_per_minute;
  constexpr std::int64_t milliseconds = 60'000;
  const std::int64_t passed =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - s.since).count();
  const std::int64_t missing = limits::audit_positions_burst - s.left;
  if (passed <= 0) {
    return s.left;
  }
  // After this long nothing is missing; compared before it is multiplied.
  return passed >= (missing / per_minute + 1) * milliseconds
             ? limits::audit_positions_burst
             : std::min(limits::audit_positions_burst, s.left + passed * per_minute / milliseconds);
}

bool audit_queue::fits(const sender& s, const item& what, std::size_t size) {
  const bool room = std::holds_alternative<waiting_receipt>(what)
                        ? s.receipts.size() < limits::audit_sender_receipts_max
                        : s.questions.size() < limits::audit_sender_questions_max;
  return room && s.bytes + size <= limits::audit_sender_bytes_max;
}

/// Null: more senders than are remembered, each of which waits or is in debt.
audit_queue::sender* audit_queue::of(const node_id& from, time_point now) {
  const auto known = senders_.find(from);
  if (known != senders_.end()) {
    return &known->second;
  }
  if (senders_.size() >= limits::audit_senders_max) {
    std::erase_if(senders_, [now](const auto& entry) {
      return entry.second.bytes == 0 && entry.second.receipts.empty() &&
             entry.second.questions.empty() &&
             left_at(entry.second, now) == limits::audit_positions_burst;
    });
  }
  if (senders_.size() >= limits::audit_senders_max) {
    return nullptr;
  }
  sender& made = senders_[from];
  made.since = now;
  return &made;
}

/// Who has most loses the newest of it, as long as that is more than the newcomer would have.
bool audit_queue::make_room(const sender& newcomer, std::size_t size) {
  while (bytes_ + size > limits::audit_waiting_bytes_max) {
    const auto most =
        std::max_element(senders_.begin(), senders_.end(), [](const auto& a, const auto& b) {
          return a.second.bytes < b.second.bytes;
        });
    if (most == senders_.end() || most->second.bytes <= newcomer.bytes + size) {
      return false;
    }
    sender& loser = most->second;
    const bool receipt = !loser.receipts.empty();
    const std::size_t freed =
        receipt ? size_of(loser.receipts.back()) : size_of(loser.questions.back());
    if (receipt) {
      loser.receipts.pop_back();
    } else {
      loser.questions.pop_back();
    }
    loser.bytes -= freed;
    bytes_ -= freed;
    --size_;
    ++refused_;
  }
  return true;
}

bool audit_queue::push(item what, time_point now) {
  const std::size_t size = size_of(what);
  sender* const s = of(sender_of(what), now);
  if (s == nullptr || !fits(*s, what, size) || !make_room(*s, size)) {
    ++refused_;
    return false;
  }
  s->bytes += size;
  bytes_ += size;
  ++size_;
  if (auto* const r = std::get_if<waiting_receipt>(&what)) {
    s->receipts.push_back(std::move(*r));
  } else {
    s->questions.push_back(std::move(std::get<waiting_question>(what)));
  }
  return true;
}

template <class Waiting>
std::optional<audit_queue::item> audit_queue::turn(std::deque<Waiting> sender::*list, node_id& last,
                                                   time_point now) {
  auto it = senders_.upper_bound(last);
  for (std::size_t i = 0; i < senders_.size(); ++i, ++it) {
    it = it == senders_.end() ? senders_.begin() : it;
    sender& s = it->second;
    if ((s.*list).empty() || left_at(s, now) <= 0) {
      continue;
    }
    last = it->first;
    Waiting taken = std::move((s.*list).front());
    (s.*list).pop_front();
    const std::size_t size = size_of(taken);
    s.bytes -= size;
    bytes_ -= size;
    --size_;
    return item{std::move(taken)};
  }
  return std::nullopt;
}

std::optional<audit_queue::item> audit_queue::next(time_point now) {
  auto question = turn(&sender::questions, last_question_, now);
  return question ? std::move(question) : turn(&sender::receipts, last_receipt_, now);
}

bool audit_queue::ready(time_point now) const {
  return std::any_of(senders_.begin(), senders_.end(), [now](const auto& entry) {
    const sender& s = entry.second;
    return !(s.receipts.empty() && s.questions.empty()) && left_at(s, now) > 0;
  });
}

void audit_queue::charge(const node_id& from, std::uint64_t positions, time_point now) {
  constexpr std::uint64_t most = std::uint64_t{1} << 32U; // above every context
  if (sender* const s = of(from, now)) {
    s->left = left_at(*s, now) - static_cast<std::int64_t>(std::min(positions, most));
    s->since = now;
  }
}

} // namespace ovir::actors
