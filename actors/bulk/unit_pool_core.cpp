#include "actors/bulk/unit_pool_core.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <iterator>

namespace ovir::actors {

result<unit_pool_core::effects> unit_pool_core::submit(unit_client_key client, batch_id id,
                                                       shared_batch batch) {
  if (!batch || batch->units.empty()) {
    return fail(errc::invalid_argument, "batch {} has no units; submit at least one", id.value);
  }
  if (batch->units.size() > limits::unit_batch_max) {
    return fail(errc::over_limit, "batch {} has {} units, and at most {} go into one; split it",
                id.value, batch->units.size(), limits::unit_batch_max);
  }
  if (batches_.size() >= limits::unit_batches_max) {
    return fail(errc::busy, "the pool has {} unfinished batches already; submit batch {} later",
                batches_.size(), id.value);
  }
  const batch_key key = next_batch_++;
  open_batch open;
  open.client = client;
  open.id = id;
  open.batch = std::move(batch);
  batches_.emplace(key, std::move(open));
  waiting_.push_back(key);
  effects out;
  assign_waiting(out);
  return out;
}

unit_pool_core::effects unit_pool_core::worker_joined(unit_worker_key worker) {
  effects out;
  if (find(worker) == nullptr) {
    workers_.push_back({worker, {}});
    assign_waiting(out);
  }
  return out;
}

unit_pool_core::effects unit_pool_core::worker_left(unit_worker_key worker) {
  effects out;
  remove_worker(worker);
  assign_waiting(out);
  return out;
}

unit_pool_core::effects unit_pool_core::done(unit_worker_key worker, range_done report) {
  effects out;
  batch_key key{0};
  if (!take(worker, report.ticket, key)) {
    return out;
  }
  open_batch& open = batches_.at(key);
  finish_before(open, open.size(), std::move(report.wrong));
  finish_if_done(key, out);
  assign_waiting(out);
  return out;
}

unit_pool_core::effects unit_pool_core::crashed(unit_worker_key worker, range_crashed report) {
  effects out;
  batch_key key{0};
  if (!take(worker, report.ticket, key)) {
    return out;
  }
  open_batch& open = batches_.at(key);
  OVIR_CHECK(report.index >= open.next && report.index < open.size(), report.index, open.next);
  if (report.index != open.next) {
    open.crashes = 0;
  }
  finish_before(open, report.index, std::move(report.wrong));
  ++totals_.crashes;
  if (++open.crashes >= limits::unit_attempts_max) {
    finish_before(open, report.index + 1, {{report.index, unit_failure::kind::poison, digest{}}});
    open.crashes = 0;
  }
  // The worker is dying, and what still waits in its mailbox dies with it.
  remove_worker(worker);
  if (open.wanted && open.next < open.size()) {
    waiting_.push_front(key);
  } else {
    finish_if_done(key, out);
  }
  assign_waiting(out);
  return out;
}

void unit_pool_core::client_left(unit_client_key client) {
  std::erase_if(waiting_, [&](batch_key key) {
    return batches_.at(key).client == client && batches_.erase(key) == 1;
  });
  for (auto& [key, open] : batches_) {
    open.wanted = open.wanted && open.client != client;
  }
}

unit_pool_core::member* unit_pool_core::find(unit_worker_key key) noexcept {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [key](const member& w) { return w.key == key; });
  return found == workers_.end() ? nullptr : &*found;
}

// Ends an assignment; false when there is no such one.
bool unit_pool_core::take(unit_worker_key key, unit_ticket ticket, batch_key& batch) {
  member* w = find(key);
  if (w == nullptr) {
    return false;
  }
  const auto found = std::find_if(w->assigned.begin(), w->assigned.end(),
                                  [ticket](const assignment& a) { return a.ticket == ticket; });
  if (found == w->assigned.end()) {
    return false;
  }
  batch = found->batch;
  w->assigned.erase(found);
  return true;
}

// Its batches go back to the head of the queue, in their order.
void unit_pool_core::remove_worker(unit_worker_key key) {
  member* w = find(key);
  if (w == nullptr) {
    return;
  }
  for (auto a = w->assigned.rbegin(); a != w->assigned.rend(); ++a) {
    if (batches_.at(a->batch).wanted) {
      waiting_.push_front(a->batch);
    } else {
      batches_.erase(a->batch);
    }
  }
  workers_.erase(workers_.begin() + (w - workers_.data()));
}

void unit_pool_core::finish_before(open_batch& open, std::uint32_t end,
                                   std::vector<unit_failure>&& wrong) {
  for (const unit_failure& f : wrong) {
    OVIR_CHECK(f.index >= open.next && f.index < end, f.index, open.next, end);
    ++(f.what == unit_failure::kind::wrong ? totals_.wrong : totals_.poison);
  }
  totals_.units += end - open.next;
  open.next = end;
  open.failures.insert(open.failures.end(), std::make_move_iterator(wrong.begin()),
                       std::make_move_iterator(wrong.end()));
}

void unit_pool_core::finish_if_done(batch_key key, effects& out) {
  const auto found = batches_.find(key);
  open_batch& open = found->second;
  if (open.wanted) {
    if (open.next < open.size()) {
      return;
    }
    out.push_back(batch_done_effect{open.client, open.id, std::move(open.failures)});
  }
  batches_.erase(found);
}

// The worker with the least to do gets the next batch.
void unit_pool_core::assign_waiting(effects& out) {
  while (!waiting_.empty()) {
    const auto least =
        std::min_element(workers_.begin(), workers_.end(), [](const member& a, const member& b) {
          return a.assigned.size() < b.assigned.size();
        });
    if (least == workers_.end() || least->assigned.size() >= limits::unit_worker_credit) {
      return;
    }
    const batch_key key = waiting_.front();
    waiting_.pop_front();
    const open_batch& open = batches_.at(key);
    const unit_ticket ticket{next_ticket_++};
    least->assigned.push_back({ticket, key});
    out.push_back(
        assign_effect{least->key, {ticket, open.batch, open.next, open.size(), open.crashes + 1}});
  }
}

} // namespace ovir::actors
