#include "tests/swarm/protocol_monitor.hpp"

#include "ledger/rules/equivocation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace ovir::swarm {

void protocol_monitor::hear(std::size_t from, std::uint64_t life, std::size_t to,
                            actors::message_kind what, const std::vector<std::byte>& bytes) {
  if (what == actors::message_kind::wire) {
    hear_wire(from, life, to, bytes);
  } else if (what == actors::message_kind::credit) {
    hear_credit(from, bytes);
  }
}

void protocol_monitor::hear_wire(std::size_t from, std::uint64_t life, std::size_t to,
                                 const std::vector<std::byte>& bytes) {
  const auto message = actors::decode_wire(bytes);
  if (!message) {
    return violate_(
        fmt::format("n{} sends what cannot be read: {}", from, message.error().message));
  }
  if (const auto* const open = std::get_if<actors::wire_open>(&message->body)) {
    hear_open(from, life, to, *message, *open);
  } else if (std::holds_alternative<actors::withdraw_log>(message->body)) {
    withdrawn_.try_emplace({message->request, from, to}, false);
  } else if (std::holds_alternative<actors::session_finished>(message->body)) {
    hear_finished(from, to, message->request);
  } else if (const auto* const adopt = std::get_if<actors::wire_adopt>(&message->body)) {
    adoptions_[{to, adopt->log.id}] = {adopt->log.generation, adopt->log.drawn.size()};
  } else if (std::holds_alternative<actors::wire_load>(message->body) ||
             std::holds_alternative<actors::wire_unload>(message->body)) {
    ++layer_orders_;
  }
}

void protocol_monitor::hear_open(std::size_t from, std::uint64_t life, std::size_t to,
                                 const actors::wire_message& message,
                                 const actors::wire_open& open) {
  const request_id request = message.request;
  if (cancelled_.contains(request) && !spoiled_.contains(request)) {
    violate_(fmt::format("n{} opens a stage of {:016x}, whose cancellation was confirmed", from,
                         request.value));
  }
  if (open.log) {
    told_.insert({request, from, to});
    withdrawn_.erase({request, from, to});
    hear_epoch(from, request, open.log->generation, message.driver);
    hear_opening(from, life, message.driver, *open.log);
  }
}

void protocol_monitor::hear_epoch(std::size_t from, request_id request, std::uint32_t generation,
                                  epoch driver) {
  auto& all = epochs_[request];
  for (const auto& [other, range] : all) {
    if ((other < generation && range.second >= driver) ||
        (other > generation && range.first <= driver)) {
      violate_(fmt::format("n{} drives {:016x} in generation {} and epoch {}, and another in "
                           "generation {} from epoch {} to {}",
                           from, request.value, generation, driver.value, other, range.first.value,
                           range.second.value));
    }
  }
  const auto [known, first] = all.try_emplace(generation, driver, driver);
  known->second.first = std::min(known->second.first, driver);
  known->second.second = std::max(known->second.second, driver);
}

void protocol_monitor::hear_opening(std::size_t from, std::uint64_t life, epoch driver,
                                    const request_log& log) {
  const auto [known, first] =
      openings_.try_emplace({from, life, log.id}, opening{driver, log.drawn.size()});
  if (first) {
    const auto asked = adoptions_.find({from, log.id});
    // Without tokens it may be the client's own request, which asked here, too.
    if (asked != adoptions_.end() && asked->second.drawn > 0 &&
        asked->second.drawn == log.drawn.size() && log.generation <= asked->second.generation) {
      violate_(fmt::format("n{} goes on with {:016x} in generation {}, which was another's", from,
                           log.id.value, log.generation));
    }
    return;
  }
  // One that begins anew, because it was asked for again, has drawn less.
  if (known->second.driver == driver && log.drawn.size() > known->second.drawn) {
    violate_(fmt::format("n{} opens the first stage of {:016x} twice in epoch {}", from,
                         log.id.value, driver.value));
  }
  known->second = {driver, log.drawn.size()};
}

void protocol_monitor::hear_finished(std::size_t from, std::size_t to, request_id request) {
  if (const auto asked = withdrawn_.find({request, to, from}); asked != withdrawn_.end()) {
    asked->second = true;
  }
}

// What another scheduler was asked to go on with before may still run there. A stage that has
// finished was told before that the log it keeps is void.
void protocol_monitor::cancelled(
    request_id request, const std::function<bool(std::size_t from, std::size_t to)>& reach) {
  const bool elsewhere = std::any_of(adoptions_.begin(), adoptions_.end(),
                                     [&](const auto& one) { return one.first.second == request; });
  const bool cut_off = std::any_of(told_.begin(), told_.end(), [&](const auto& one) {
    const auto& [told, from, to] = one;
    const auto asked = withdrawn_.find(one);
    return told == request && !(asked != withdrawn_.end() && asked->second) && !reach(from, to);
  });
  if (!elsewhere && !cut_off) {
    cancelled_.insert(request);
  }
}

void protocol_monitor::hear_credit(std::size_t from, const std::vector<std::byte>& bytes) {
  const auto message = ledger::message_from(bytes);
  if (!message) {
    return;
  }
  if (from == keeper_) {
    hear_keeper(*message);
  }
  const std::uint64_t entries = heads_.empty() ? 0 : heads_.rbegin()->first;
  if (const auto* const claim = std::get_if<ledger::claim>(&message->body)) {
    for (const ledger::escrow_id& escrow : reserved_[ledger::about_of(claim->terms)]) {
      settlements_.try_emplace(escrow, entries);
    }
  }
  const auto* const order = std::get_if<ledger::submit>(&message->body);
  if (order == nullptr) {
    return;
  }
  const auto entry = ledger::decode_entry(order->entry);
  if (!entry) {
    return violate_("an honest node submits an entry that cannot be read");
  }
  if (const auto* const end = std::get_if<ledger::settle>(&entry->what)) {
    settlements_.try_emplace(end->request, entries);
  } else if (const auto* const begin = std::get_if<ledger::reserve>(&entry->what)) {
    reserved_[begin->about].insert(ledger::escrow_of(*begin));
  }
}

void protocol_monitor::hear_keeper(const ledger::message& message) {
  if (const auto* const news = std::get_if<ledger::head_news>(&message.body)) {
    hear_head(news->head);
  } else if (const auto* const report = std::get_if<ledger::account_report>(&message.body)) {
    hear_head(report->head);
  } else if (const auto* const run = std::get_if<ledger::entry_run>(&message.body)) {
    hear_head(run->head);
  } else if (const auto* const kept = std::get_if<ledger::promise>(&message.body)) {
    hear_head(kept->entry.head);
  }
}

void protocol_monitor::hear_head(const ledger::signed_head& head) {
  const auto [known, first] = heads_.try_emplace(head.head.size, head);
  if (!first && known->second.head != head.head) {
    forked_at_ = head.head.size;
  }
}

std::vector<ledger::signed_head> protocol_monitor::heads() const {
  std::vector<ledger::signed_head> all;
  for (const auto& [size, head] : heads_) {
    all.push_back(head);
  }
  return all;
}

void protocol_monitor::settled(std::uint64_t index, const ledger::command& what) {
  const auto* const end = std::get_if<ledger::settle>(&what);
  if (end == nullptr) {
    return;
  }
  const auto said = settlements_.find(end->request);
  if (said == settlements_.end() || index < said->second) {
    violate_(fmt::format("the request {} was settled before an honest node said so",
                         to_hex(end->request).substr(0, 8)));
  }
}

} // namespace ovir::swarm
