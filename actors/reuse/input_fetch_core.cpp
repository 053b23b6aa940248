#include "actors/reuse/input_fetch_core.hpp"

#include "messages/limits/audit_inputs.hpp"
#include "messages/limits/blocks.hpp"

#include <iterator>
#include <numeric>
#include <utility>

namespace ovir::actors {

namespace {

/// Else no answer could carry it.
bool can_come(const wanted_input& input) {
  return input.bytes > 0 && input.bytes <= limits::kv_block_bytes_max;
}

} // namespace

std::size_t input_fetch_core::fetches_under_way() const noexcept {
  return std::accumulate(
      sources_.begin(), sources_.end(), std::size_t{0},
      [](std::size_t sum, const auto& s) { return sum + s.second.fetches.size(); });
}

input_fetch_core::effects input_fetch_core::begin(std::uint64_t fetch_id, const node_id& from,
                                                  std::vector<wanted_input> wanted,
                                                  time_point now) {
  effects out;
  std::vector<bytes_pointer> none(wanted.size());
  if (fetches_under_way() >= limits::audit_input_fetches_max) {
    out.done.push_back({fetch_id, std::move(none), false});
    return out;
  }
  const auto [at, idle] = sources_.try_emplace(from);
  at->second.fetches.push_back({fetch_id, std::move(wanted), std::move(none)});
  if (idle) {
    go_on(from, now, out);
  }
  return out;
}

/// The next question of the fetch under way; false: it has no more.
bool input_fetch_core::ask_more(const node_id& from, source& s, time_point now, effects& out) {
  fetch& f = s.fetches.front();
  ask question{from, 0, {}};
  std::size_t bytes = 0;
  for (; f.next < f.wanted.size(); ++f.next) {
    const wanted_input& input = f.wanted[f.next];
    if (!can_come(input)) {
      continue;
    }
    if (question.places.size() == limits::blocks_asked_max ||
        (bytes > 0 && bytes + input.bytes > limits::block_source_bytes_max)) {
      break;
    }
    bytes += input.bytes;
    s.open.emplace(static_cast<std::uint32_t>(question.places.size()), f.next);
    question.places.push_back(input.name);
  }
  if (question.places.empty()) {
    return false;
  }
  question.ticket = s.ticket = ticket_bit | ++tickets_;
  s.heard = now;
  out.asks.push_back(std::move(question));
  return true;
}

/// Where a source owes nothing: asks it for more, ends what has all.
void input_fetch_core::go_on(const node_id& from, time_point now, effects& out) {
  const auto at = sources_.find(from);
  if (at == sources_.end() || !at->second.open.empty()) {
    return;
  }
  std::deque<fetch>& fetches = at->second.fetches;
  while (!fetches.empty() && !ask_more(from, at->second, now, out)) {
    out.done.push_back({fetches.front().id, std::move(fetches.front().got)});
    fetches.pop_front();
  }
  if (fetches.empty()) {
    sources_.erase(at);
  }
}

std::optional<std::size_t> input_fetch_core::answered(const node_id& from, std::uint64_t ticket,
                                                      std::uint32_t number, time_point now) {
  const auto at = sources_.find(from);
  if (at == sources_.end() || at->second.ticket != ticket) {
    return std::nullopt; // of a fetch that ended
  }
  const auto open = at->second.open.find(number);
  if (open == at->second.open.end()) {
    return std::nullopt;
  }
  const std::size_t index = open->second;
  at->second.open.erase(open);
  at->second.heard = now;
  return index;
}

input_fetch_core::effects input_fetch_core::on_block(const node_id& from, std::uint64_t ticket,
                                                     std::uint32_t number,
                                                     std::span<const std::byte> bytes,
                                                     time_point now) {
  effects out;
  if (const auto index = answered(from, ticket, number, now)) {
    fetch& f = sources_.at(from).fetches.front();
    if (bytes.size() == f.wanted[*index].bytes) {
      f.got[*index] = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    }
    go_on(from, now, out);
  }
  return out;
}

input_fetch_core::effects input_fetch_core::on_missing(const node_id& from, std::uint64_t ticket,
                                                       std::uint32_t number, time_point now) {
  effects out;
  if (answered(from, ticket, number, now)) {
    go_on(from, now, out);
  }
  return out;
}

input_fetch_core::source_map::iterator input_fetch_core::give_up(source_map::iterator which,
                                                                 bool reached, effects& out) {
  for (fetch& f : which->second.fetches) {
    out.done.push_back({f.id, std::move(f.got), reached});
  }
  return sources_.erase(which);
}

input_fetch_core::effects input_fetch_core::lost(const node_id& from) {
  effects out;
  if (const auto at = sources_.find(from); at != sources_.end()) {
    give_up(at, false, out);
  }
  return out;
}

input_fetch_core::effects input_fetch_core::on_tick(time_point now) {
  effects out;
  for (auto at = sources_.begin(); at != sources_.end();) {
    const bool silent = now - at->second.heard >= limits::audit_inputs_wait;
    at = silent ? give_up(at, true, out) : std::next(at);
  }
  return out;
}

} // namespace ovir::actors
