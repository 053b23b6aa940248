#include "actors/weights/fetch_core.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

std::chrono::milliseconds patience_for(std::uint64_t bytes) {
  return limits::fetch_stall_wait +
         std::chrono::milliseconds{bytes * 1'000 / limits::fetch_slow_bytes_per_second};
}

} // namespace

std::string_view to_string(source_fault fault) noexcept {
  switch (fault) {
  case source_fault::lied: return "lied";
  case source_fault::stalled: return "stalled";
  case source_fault::slow: return "slow";
  }
  return "unknown";
}

fetch_core::fetch_core(const std::vector<wanted_piece>& missing, fetch_settings how, time_point now)
    : how_(how), rate_(how.bytes_per_second), alone_since_(now), reviewed_(now) {
  pieces_.reserve(missing.size());
  for (const wanted_piece& piece : missing) {
    places_.emplace(piece.index, pieces_.size());
    pieces_.push_back({piece, progress::missing, {}, 0});
  }
}

bool fetch_core::takes(const node_id& source) const {
  const auto known = reports_.find(source);
  const bool often =
      known != reports_.end() && known->second.drops >= limits::fetch_source_drops_max;
  return !often && !liars_.contains(source) && !joined_.contains(source) &&
         joined_.size() < limits::fetch_sources_max;
}

fetch_core::effects fetch_core::source_joined(const node_id& source, std::vector<piece_range> holds,
                                              time_point now) {
  effects out;
  if (takes(source)) {
    source_state& fresh = joined_[source];
    fresh.holds = std::move(holds);
    fresh.heard = now;
    fresh.busy = false; // its first review is the next whole one
    reports_[source].joined = true;
    fill(out, now);
  }
  return out;
}

fetch_core::effects fetch_core::source_left(const node_id& source, time_point now) {
  effects out;
  if (const auto found = joined_.find(source); found != joined_.end()) {
    give_back(found->second);
    joined_.erase(found);
    reports_[source].joined = false;
    if (joined_.empty()) {
      alone_since_ = now;
    }
    fill(out, now);
  }
  return out;
}

/// What it owes is missing again.
void fetch_core::give_back(source_state& source) {
  for (const std::size_t place : source.owes) {
    piece_state& piece = pieces_[place];
    piece.state = progress::missing;
    in_flight_ -= piece.what.bytes;
    for (auto& [id, other] : joined_) {
      other.next = std::min(other.next, place);
    }
  }
  source.owes.clear();
  source.owed_bytes = 0;
}

/// It owes this piece no longer.
void fetch_core::settle(source_state& source, std::size_t place, time_point now) {
  const std::uint64_t bytes = pieces_[place].what.bytes;
  source.owes.erase(place);
  source.owed_bytes -= bytes;
  source.heard = now;
  in_flight_ -= bytes;
}

void fetch_core::drop_source(const node_id& source, source_fault fault, std::string reason,
                             effects& out) {
  const auto found = joined_.find(source);
  give_back(found->second);
  joined_.erase(found);
  source_report& report = reports_[source];
  report.joined = false;
  report.fault = reason;
  ++report.drops;
  if (fault == source_fault::lied) {
    liars_.insert(source);
  }
  out.drops.push_back({source, fault, std::move(reason)});
}

fetch_core::effects fetch_core::piece_arrived(const node_id& source, std::uint32_t index,
                                              std::span<const std::byte> bytes, time_point now) {
  effects out;
  const auto sender = joined_.find(source);
  if (sender == joined_.end()) {
    return out; // said before it was dropped, heard after
  }
  count_.received_bytes += bytes.size();
  const auto place = places_.find(index);
  if (place == places_.end() || !sender->second.owes.contains(place->second)) {
    count_.wrong_bytes += bytes.size();
    drop_source(source, source_fault::lied,
                fmt::format("sent piece {}, which it was not asked for", index), out);
  } else {
    piece_state& piece = pieces_[place->second];
    if (bytes.size() != piece.what.bytes || hash_plain(bytes) != piece.what.content) {
      count_.wrong_bytes += bytes.size();
      drop_source(source, source_fault::lied,
                  fmt::format("sent {} bytes for piece {} that are not those of its digest",
                              bytes.size(), index),
                  out);
    } else {
      settle(sender->second, place->second, now);
      piece.state = progress::verified;
      ++verified_;
      sender->second.received += bytes.size();
      sender->second.reviewed_bytes += bytes.size();
      reports_[source].bytes += bytes.size();
      count_.verified_bytes += bytes.size();
      out.keep = true;
    }
  }
  if (joined_.empty()) {
    alone_since_ = now;
  }
  fill(out, now);
  return out;
}

fetch_core::effects fetch_core::refused(const node_id& source, std::uint32_t index,
                                        time_point now) {
  effects out;
  const auto sender = joined_.find(source);
  if (sender == joined_.end()) {
    return out;
  }
  if (index == no_piece) {
    return source_left(source, now);
  }
  const auto place = places_.find(index);
  if (place == places_.end() || !sender->second.owes.contains(place->second)) {
    drop_source(source, source_fault::lied,
                fmt::format("refused piece {}, which it was not asked for", index), out);
  } else {
    settle(sender->second, place->second, now);
    sender->second.lacks.insert(index);
    pieces_[place->second].state = progress::missing;
    for (auto& [id, other] : joined_) {
      other.next = std::min(other.next, place->second);
    }
  }
  fill(out, now);
  return out;
}

bool fetch_core::has(const source_state& source, std::uint32_t index) const {
  const auto behind =
      std::upper_bound(source.holds.begin(), source.holds.end(), index,
                       [](std::uint32_t i, const piece_range& range) { return i < range.first; });
  return behind != source.holds.begin() && index < std::prev(behind)->last &&
         !source.lacks.contains(index);
}

/// The first piece that is missing and that it has.
std::optional<std::size_t> fetch_core::next_for(source_state& source) const {
  for (; source.next < pieces_.size(); ++source.next) {
    const piece_state& piece = pieces_[source.next];
    if (piece.state == progress::missing && has(source, piece.what.index)) {
      return source.next;
    }
  }
  return std::nullopt;
}

/// False: nothing can be asked of it now.
bool fetch_core::ask_one(const node_id& source, source_state& of, std::map<node_id, ask>& asks) {
  const auto place = next_for(of);
  if (!place) {
    return false;
  }
  piece_state& piece = pieces_[*place];
  const std::uint64_t bytes = piece.what.bytes;
  const auto fits = [bytes](std::uint64_t taken, std::uint64_t most) {
    return taken == 0 || taken + bytes <= most;
  };
  if (!fits(in_flight_, how_.window_bytes) ||
      !fits(of.owed_bytes, limits::fetch_source_bytes_max)) {
    return false;
  }
  if (piece.asks >= limits::fetch_asks_per_piece_max) {
    failed_ = fail(errc::peer_lost, "piece {} was asked for {} times and nobody had it right",
                   piece.what.index, piece.asks);
    return false;
  }
  ask& message = asks[source];
  if (message.pieces.size() >= limits::fetch_asked_max) {
    return false; // the rest with the next piece that comes
  }
  message.source = source;
  message.received = of.received;
  message.pieces.push_back(piece.what.index);
  count_.asked_again_bytes += piece.asks > 0 ? bytes : 0;
  count_.asked_bytes += bytes;
  ++piece.asks;
  piece.state = progress::asked;
  of.owes.insert(*place);
  of.owed_bytes += bytes;
  in_flight_ += bytes;
  count_.in_flight_max = std::max(count_.in_flight_max, in_flight_);
  rate_.spend(bytes);
  return true;
}

/// Asks for as much as window, sources and rate allow, of whoever owes least.
void fetch_core::fill(effects& out, time_point now) {
  std::map<node_id, ask> asks;
  std::set<node_id> full;
  while (!failed_ && rate_.ready(now)) {
    const node_id* least = nullptr;
    source_state* state = nullptr;
    for (auto& [id, source] : joined_) {
      if (!full.contains(id) && (state == nullptr || source.owed_bytes < state->owed_bytes)) {
        least = &id;
        state = &source;
      }
    }
    if (state == nullptr) {
      break;
    }
    if (state->owes.empty()) {
      state->heard = now; // it owed nothing until now
    }
    if (!ask_one(*least, *state, asks)) {
      full.insert(*least);
    }
  }
  for (auto& [id, message] : asks) {
    out.asks.push_back(std::move(message));
  }
}

void fetch_core::find_stalled(effects& out, time_point now) {
  std::vector<std::pair<node_id, std::size_t>> stalled;
  for (const auto& [id, source] : joined_) {
    std::uint64_t largest = 0;
    for (const std::size_t place : source.owes) {
      largest = std::max(largest, pieces_[place].what.bytes);
    }
    if (!source.owes.empty() && now - source.heard > patience_for(largest)) {
      stalled.emplace_back(id, source.owes.size());
    }
  }
  for (const auto& [id, owed] : stalled) {
    drop_source(
        id, source_fault::stalled,
        fmt::format(
            "owes {} pieces and sent none for {} s", owed,
            std::chrono::duration_cast<std::chrono::seconds>(limits::fetch_stall_wait).count()),
        out);
  }
}

/// Who was asked all the time and sent far less than another is let go.
void fetch_core::review(effects& out, time_point now) {
  for (auto& [id, source] : joined_) {
    source.busy = source.busy && !source.owes.empty();
  }
  if (now - reviewed_ < limits::fetch_review) {
    return;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - reviewed_).count();
  const std::uint64_t least =
      limits::fetch_slow_bytes_per_second * static_cast<std::uint64_t>(seconds);
  std::uint64_t most = 0;
  for (const auto& [id, source] : joined_) {
    most = std::max(most, source.reviewed_bytes);
  }
  std::vector<std::pair<node_id, std::uint64_t>> slow;
  for (auto& [id, source] : joined_) {
    const std::uint64_t bytes = source.reviewed_bytes;
    if (source.busy && bytes < least && bytes * limits::fetch_slow_factor < most) {
      slow.emplace_back(id, bytes);
    }
    source.reviewed_bytes = 0;
    source.busy = !source.owes.empty();
  }
  reviewed_ = now;
  for (const auto& [id, bytes] : slow) {
    drop_source(id, source_fault::slow,
                fmt::format("sent {} KiB in {} s, another {}", bytes >> 10U, seconds, most >> 10U),
                out);
  }
}

fetch_core::effects fetch_core::tick(time_point now) {
  effects out;
  if (done() || failed_) {
    return out;
  }
  find_stalled(out, now);
  review(out, now);
  fill(out, now);
  // Nobody is asked, and not for the rate's sake: nobody has what is missing.
  if (in_flight_ > 0) {
    alone_since_ = now;
  } else if (!how_.patient && rate_.ready(now) && now - alone_since_ > limits::fetch_source_wait) {
    failed_ = fail(errc::timed_out,
                   "no member had the {} missing pieces within {} s; start one that has the model",
                   pieces_.size() - verified_, limits::fetch_source_wait.count() / 1'000);
  }
  return out;
}

} // namespace ovir::actors
