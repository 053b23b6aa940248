#include "tests/swarm/protocol_monitor.hpp"

#include "actors/protocol/wire.hpp"
#include "ledger/keeper/message.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace ovir::swarm {

void protocol_monitor::hear(std::size_t from, std::uint64_t life, std::size_t to,
                            actors::message_kind what, const std::vector<std::byte>& bytes) {
  if (what == actors::message_kind::wire) {
    hear_wire(from, life, to, bytes);
  } else if (what == actors::message_kind::credit) {
    hear_credit(bytes);
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
    if (cancelled_.contains(message->request) && !spoiled_.contains(message->request)) {
      violate_(fmt::format("n{} opens a stage of {:016x}, whose cancellation was confirmed", from,
                           message->request.value));
    }
    if (open->log) {
      told_.insert({message->request, from, to});
      hear_opening(from, life, message->driver, *open->log);
    }
  } else if (const auto* const adopt = std::get_if<actors::wire_adopt>(&message->body)) {
    adoptions_[{to, adopt->log.id}] = {adopt->log.generation, adopt->log.drawn.size()};
  } else if (std::holds_alternative<actors::wire_load>(message->body) ||
             std::holds_alternative<actors::wire_unload>(message->body)) {
    ++layer_orders_;
  }
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

// What another scheduler was asked to go on with before may still run there.
void protocol_monitor::cancelled(
    request_id request, const std::function<bool(std::size_t from, std::size_t to)>& reach) {
  const bool elsewhere = std::any_of(adoptions_.begin(), adoptions_.end(),
                                     [&](const auto& one) { return one.first.second == request; });
  const bool cut_off = std::any_of(told_.begin(), told_.end(), [&](const auto& one) {
    const auto& [told, from, to] = one;
    return told == request && !reach(from, to);
  });
  if (!elsewhere && !cut_off) {
    cancelled_.insert(request);
  }
}

void protocol_monitor::hear_credit(const std::vector<std::byte>& bytes) {
  const auto message = ledger::message_from(bytes);
  const auto* const order = message ? std::get_if<ledger::submit>(&message->body) : nullptr;
  if (order == nullptr) {
    return;
  }
  const auto entry = ledger::decode_entry(order->entry);
  if (!entry) {
    return violate_("an honest node submits an entry that cannot be read");
  }
  if (const auto* const end = std::get_if<ledger::settle>(&entry->what)) {
    settlements_.insert(end->request);
  }
}

void protocol_monitor::settled(const ledger::command& what) {
  const auto* const end = std::get_if<ledger::settle>(&what);
  if (end != nullptr && !settlements_.contains(end->request)) {
    violate_(fmt::format("the request {} was settled, and no honest node said so",
                         to_hex(end->request).substr(0, 8)));
  }
}

} // namespace ovir::swarm
