#include "actors/stage/host_core.hpp"

#include "actors/path/model_catalog.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"
#include "messages/mutant.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

/// Tokens that can be drawn within so many positions: the last one needs none.
std::size_t drawn_max(const request_log& log, std::uint32_t positions) {
  return std::max<std::size_t>(log.drawn.size(),
                               std::min<std::size_t>(log.max_tokens, std::size_t{positions} + 1));
}

std::uint64_t log_bytes(const request_log& log, std::uint32_t positions) {
  std::uint64_t bytes =
      log.prompt.size() * sizeof(token_id) + drawn_max(log, positions) * sizeof(drawn_token);
  for (const std::string& stop : log.stop) {
    bytes += stop.size();
  }
  return bytes;
}

/// Whole windows that a request of so many positions can have.
std::uint32_t windows_of(std::uint32_t positions) { return positions / limits::window_positions; }

} // namespace

host_core::session* host_core::find(const session_key& key) {
  const auto found = sessions_.find(key);
  return found == sessions_.end() ? nullptr : &found->second;
}

result<void> host_core::check_driver(const session& known, const node_id& from,
                                     const wire_message& order, const surroundings& around) {
  const bool other = known.lead != from;
  const bool held = other && !known.doubtful && around.is_there(known.lead);
  const bool earlier = order.driver < known.driver || (other && order.driver == known.driver);
  if (held || (earlier && (around.is_linked(known.lead) || !other))) {
    return fail(errc::superseded, "request {:016x} is driven by {}", order.request.value,
                short_name(known.lead));
  }
  return {};
}

bool host_core::begins_anew(const session& known, const node_id& from, epoch driver,
                            const digest& model, const std::string& slot) {
  return known.slot != slot || known.model != model ||
         (known.lead != from && !(known.driver < driver));
}

result<void> host_core::check_size(const compute::model_config& config, const wire_open& open) {
  const std::size_t prompt = open.log ? open.log->prompt.size() : 0;
  const std::size_t drawn = open.log ? open.log->drawn.size() : 0;
  // The last token drawn is never computed: one more than the context has room for.
  if (open.positions > config.context || prompt > config.context ||
      prompt + drawn > std::size_t{config.context} + 1) {
    return fail(errc::over_limit,
                "{} positions for {} tokens of a prompt and {} drawn; the model sees {}",
                open.positions, prompt, drawn, config.context);
  }
  if (open.reuse && open.reuse->prefixes.size() > windows_of(open.positions)) {
    return fail(errc::over_limit, "{} windows are named, but {} positions have {}",
                open.reuse->prefixes.size(), open.positions, windows_of(open.positions));
  }
  return {};
}

std::uint64_t host_core::bytes_of(const compute::model_config& config, const wire_open& open) {
  return session_bytes(config, open.layers, open.positions) +
         (open.log ? log_bytes(*open.log, open.positions) : 0);
}

result<void> host_core::check_room(const session_key& key, const node_id& lead, std::uint64_t bytes,
                                   const room& all) const {
  const bool is_known = sessions_.contains(key);
  std::uint64_t used = 0;
  std::uint64_t own = 0;
  std::size_t own_count = 0;
  for (const auto& [name, s] : sessions_) {
    if (name != key) {
      used += s.bytes;
      own += s.lead == lead ? s.bytes : 0;
      own_count += s.lead == lead ? 1U : 0U;
    }
  }
  const std::uint64_t quarters = all.has_rivals ? limits::lead_share_quarters : 4;
  const bool many = sessions_.size() + (is_known ? 0 : 1) > limits::sessions_max;
  if (many || 4 * (own_count + 1) > quarters * limits::sessions_max) {
    return fail(errc::busy, "{} requests are computed here, {} of them for {}", sessions_.size(),
                own_count, short_name(lead));
  }
  if (used + bytes > all.bytes || own + bytes > all.bytes / 4 * quarters) {
    return fail(errc::busy, "{} MiB are not free here: {} of {} are taken, {} by {}", bytes >> 20U,
                used >> 20U, all.bytes >> 20U, own >> 20U, short_name(lead));
  }
  return {};
}

host_core::session& host_core::admit(const session_key& key, const node_id& from, epoch driver,
                                     wire_open& open, std::string slot, std::uint64_t bytes) {
  session& s = sessions_[key];
  bytes_ += bytes - s.bytes;
  session fresh;
  fresh.lead = from;
  fresh.driver = driver;
  fresh.slot = std::move(slot);
  fresh.model = open.model;
  fresh.previous = open.previous;
  fresh.next = open.next.lead ? from : open.next.node;
  fresh.bytes = bytes;
  fresh.windows_max = windows_of(open.positions);
  fresh.drawn_max = s.drawn_max;
  fresh.doubt_ticks = s.doubt_ticks;
  if (open.log) {
    fresh.drawn_max = drawn_max(*open.log, open.positions);
    fresh.log = std::move(*open.log);
    open.log.reset();
  }
  s = std::move(fresh);
  return s;
}

void host_core::erase(const session_key& key) {
  if (const auto found = sessions_.find(key); found != sessions_.end()) {
    if (OVIR_MUTANT("host_leaks_sessions")) {
      return;
    }
    bytes_ -= found->second.bytes;
    sessions_.erase(found);
  }
}

void host_core::keep_drawn(session& s, const log_token& drawn) {
  if (s.log && !OVIR_MUTANT("host_logs_no_tokens") && drawn.index == s.log->drawn.size() &&
      s.log->drawn.size() < s.drawn_max) {
    s.log->drawn.push_back(drawn.drawn);
  }
}

void host_core::note_heard(session& s, const surroundings& around) {
  s.doubtful = !around.is_linked(s.lead) && !OVIR_MUTANT("host_trusts_late_orders");
}

std::vector<host_core::session_key> host_core::link_lost(const node_id& node) {
  std::vector<session_key> lost;
  for (auto& [key, s] : sessions_) {
    if (s.lead == node) {
      s.doubtful = !OVIR_MUTANT("host_never_doubts");
      s.doubt_ticks = 0;
    } else if (s.previous == node || s.next == node) {
      lost.push_back(key);
    }
  }
  return lost;
}

// A link that breaks alone comes back at once, and its scheduler goes on.
bool host_core::may_ask(const session& orphan, const surroundings& around) {
  return around.is_gone(orphan.lead) || orphan.orphan_ticks * host_tick_interval > orphan_patience;
}

host_core::tick_result host_core::tick(const surroundings& around) {
  tick_result out;
  std::vector<session_key> due;
  for (auto& [key, s] : sessions_) {
    s.cut_ticks = s.next.empty() || around.is_linked(s.next) ? 0 : s.cut_ticks + 1;
    if (s.cut_ticks * host_tick_interval > hand_over_patience) {
      s.cut_ticks = 0;
      out.cut_off.push_back(key);
    }
    if (around.is_there(s.lead)) {
      s.orphan_ticks = 0;
      s.ask_in = 0;
      if (s.doubtful && ++s.doubt_ticks * host_tick_interval > limits::session_doubt) {
        // A lead that still counts on it opens it again, and everything goes on from there.
        out.forgotten.push_back(key);
        out.expired.push_back(key);
      }
      continue;
    }
    ++s.orphan_ticks;
    if (s.orphan_ticks * host_tick_interval > limits::session_grace &&
        !OVIR_MUTANT("host_keeps_orphans")) {
      out.expired.push_back(key);
    } else if (s.log && !s.log->second && !s.withdrawn && may_ask(s, around) &&
               (s.ask_in == 0 || --s.ask_in == 0)) {
      due.push_back(key);
    }
  }
  out.orphans = first_orphans(std::move(due));
  return out;
}

// Those that were asked for least first, and every lead's in turn, so that one that left very many
// does not hold up another's. The rest waits for the next tick: logs are long, and a scheduler
// takes few at once from one node anyway.
std::vector<host_core::session_key> host_core::first_orphans(std::vector<session_key> due) {
  std::map<node_id, std::size_t> places;
  std::map<session_key, std::pair<std::uint32_t, std::size_t>> order;
  for (const session_key& key : due) {
    const session& s = sessions_.at(key);
    order[key] = {s.asked, places[s.lead]++};
  }
  std::sort(due.begin(), due.end(),
            [&](const auto& a, const auto& b) { return order.at(a) < order.at(b); });
  std::size_t bytes = 0;
  std::size_t count = 0;
  for (; count < std::min<std::size_t>(due.size(), limits::adoptions_per_node_max) &&
         bytes < limits::adoption_bytes_per_tick;
       ++count) {
    session& s = sessions_.at(due[count]);
    bytes += log_bytes(*s.log, 0);
    s.ask_in = limits::adoption_ticks;
  }
  due.resize(count);
  return due;
}

} // namespace ovir::actors
