#include "actors/reuse/block_exchange_core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Claims that do not hold are forgiven until there are so many more of them than blocks.
constexpr std::uint64_t stale_factor = 4;
constexpr std::uint64_t stale_grace = 64;
/// After it stalled, a source is left alone for a while.
constexpr std::chrono::seconds stall_pause{10};

std::uint64_t microseconds(std::chrono::steady_clock::duration time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

} // namespace

result<node_id> check_block(const wanted_block& wanted,
                            const block_exchange_core::bytes_pointer& bytes) {
  OVIR_ASSIGN(const auto block, compute::kv_block::decode(bytes));
  const compute::kv_block_header& h = block.header();
  if (h.key != wanted.place || h.layer != wanted.layer || h.window != wanted.window ||
      h.shape != wanted.shape) {
    return fail(errc::digest_mismatch,
                "a block of layer {}, window {} where that of {}, {} belongs", h.layer, h.window,
                wanted.layer, wanted.window);
  }
  if (wanted.model_last && h.output != h.kv) {
    return fail(errc::digest_mismatch, "a block of the last layer states another output");
  }
  if (!block.is_sealed(wanted.window_name)) {
    return fail(errc::digest_mismatch,
                "a block of layer {}, window {} by who does not know the window's name", h.layer,
                h.window);
  }
  if (!block.is_signed()) {
    return fail(errc::digest_mismatch,
                "a block of layer {}, window {} that its author {} did not sign", h.layer, h.window,
                short_name(block.author()));
  }
  return block.author();
}

void block_exchange_core::joined(const node_id& node) { members_.insert(node); }

bool block_exchange_core::may_author(const node_id& author, time_point now) const {
  const auto known = sources_.find(author);
  const bool lied = known != sources_.end() && known->second.lied && known->second.paused_until &&
                    now < *known->second.paused_until;
  return members_.contains(author) && !lied;
}

void block_exchange_core::claim(const node_id& node, name_filter filter, std::uint32_t names) {
  if (sources_.contains(node) || sources_.size() < limits::block_claimants_max) {
    source& s = sources_[node];
    s.claims = std::move(filter);
    s.names = names;
  }
}

bool block_exchange_core::may_ask(const source& s, time_point now) const {
  return s.claims && (!s.paused_until || now >= *s.paused_until);
}

bool block_exchange_core::claimed(const digest& place, const std::set<node_id>& tried,
                                  time_point now) const {
  return std::any_of(sources_.begin(), sources_.end(), [&](const auto& entry) {
    return may_ask(entry.second, now) && !tried.contains(entry.first) &&
           entry.second.claims->may_have(place);
  });
}

void block_exchange_core::note(fetch_decision decision) {
  if (decisions_.size() >= limits::block_decisions_kept) {
    decisions_.erase(decisions_.begin());
  }
  decisions_.push_back(std::move(decision));
  ++decisions_made_;
}

fetch_decision* block_exchange_core::decision_of(std::uint64_t serial) {
  const std::uint64_t age = decisions_made_ - serial; // 1: the latest
  return age > decisions_.size() ? nullptr : &decisions_[decisions_.size() - age];
}

bool block_exchange_core::begin(std::uint64_t id, const digest& model,
                                const std::vector<wanted_window>& windows, std::uint64_t unit_us,
                                time_point now, effects& out) {
  fetch_decision decision;
  decision.model = model;
  std::size_t bytes = 0;
  double rate = 0;
  fetch fresh;
  for (const wanted_window& window : windows) {
    const std::size_t block_bytes =
        window.empty() ? 0 : compute::kv_block_bytes(window.front().shape);
    const bool fits =
        bytes == 0 || bytes + window.size() * block_bytes <= limits::block_fetch_bytes_max;
    if (!fits || !std::all_of(window.begin(), window.end(),
                              [&](const wanted_block& b) { return claimed(b.place, {}, now); })) {
      break;
    }
    bytes += window.size() * block_bytes;
    decision.blocks += static_cast<std::uint32_t>(window.size());
    ++decision.windows;
    auto& blocks = fresh.windows.emplace_back();
    for (const wanted_block& b : window) {
      blocks.push_back({b, state::open, {}});
    }
  }
  if (decision.blocks == 0) {
    return false;
  }
  for (const auto& [node, s] : sources_) {
    rate = may_ask(s, now) ? std::max(rate, s.rate) : rate;
  }
  decision.fetch_us = static_cast<std::uint64_t>(limits::block_delay_assumed.count()) +
                      static_cast<std::uint64_t>(static_cast<double>(bytes) / rate * 1e6);
  decision.compute_us = unit_us * decision.blocks;
  decision.fetched = (unit_us == 0 || decision.fetch_us < decision.compute_us) &&
                     fetches_.size() < limits::block_fetches_max;
  note(decision);
  if (!decision.fetched) {
    out.declined = decision;
    ++counts_.declined;
    declined_[model] = {decision.fetch_us / decision.blocks, decisions_made_ - 1};
    if (declined_.size() > limits::unit_costs_max) {
      declined_.erase(declined_.begin());
    }
    return false;
  }
  ++counts_.fetches;
  fresh.limit = fresh.windows.size();
  fresh.begun = now;
  fresh.serial = decisions_made_ - 1;
  fresh.decision = std::move(decision);
  fetches_.emplace(id, std::move(fresh));
  pump(now, out);
  return true;
}

/// Of those that may have it and have room, who owes least.
block_exchange_core::source* block_exchange_core::choose(const block& b, time_point now,
                                                         node_id& who) {
  const std::size_t bytes = compute::kv_block_bytes(b.wanted.shape);
  source* best = nullptr;
  for (auto& [node, s] : sources_) {
    const bool room =
        s.owed_blocks == 0 || (s.owed_bytes + bytes <= limits::block_source_bytes_max &&
                               s.owed_blocks < limits::block_source_asked_max);
    if (room && may_ask(s, now) && !b.tried.contains(node) && s.claims->may_have(b.wanted.place) &&
        (best == nullptr || s.owed_bytes < best->owed_bytes)) {
      best = &s;
      who = node;
    }
  }
  return best;
}

void block_exchange_core::ask_for(std::uint64_t id, fetch& f, time_point now, effects& out) {
  std::map<node_id, std::uint64_t> tickets; // of this round
  for (std::size_t w = 0; w < f.limit; ++w) {
    for (std::size_t i = 0; i < f.windows[w].size(); ++i) {
      block& b = f.windows[w][i];
      if (b.is != state::open) {
        continue;
      }
      node_id who;
      source* const s = choose(b, now, who);
      if (s == nullptr) {
        if (!claimed(b.wanted.place, b.tried, now)) {
          f.limit = w; // nobody has it any more: the prefix ends before this window
          return;
        }
        continue; // as soon as who may have it has sent something
      }
      const std::size_t bytes = compute::kv_block_bytes(b.wanted.shape);
      if (s->owed_blocks == 0) {
        s->busy_since = s->heard = now;
        s->busy_bytes = 0;
      }
      ++s->owed_blocks;
      s->owed_bytes += bytes;
      b.is = state::asked;
      b.source = who;
      const auto known = tickets.find(who);
      const bool fresh = known == tickets.end() ||
                         questions_.at(known->second).open.size() >= limits::blocks_asked_max;
      if (fresh) {
        tickets[who] = ++tickets_;
        questions_[tickets_] = {who, id, {}, bytes};
        out.asks.push_back({who, tickets_, {}});
      }
      const std::uint64_t ticket = tickets.at(who);
      auto& q = questions_.at(ticket);
      const auto to = std::find_if(out.asks.rbegin(), out.asks.rend(),
                                   [&](const ask& a) { return a.ticket == ticket; });
      q.open.emplace(static_cast<std::uint32_t>(to->places.size()), std::pair{w, i});
      to->places.push_back(b.wanted.place);
    }
  }
}

void block_exchange_core::finish(std::uint64_t id, fetch& f, time_point now, effects& out) {
  finished done{id, {}, f.decision};
  for (std::size_t w = 0; w < f.limit; ++w) {
    for (block& b : f.windows[w]) {
      done.blocks.push_back({b.wanted, b.author, std::move(b.bytes)});
    }
  }
  done.decision.took_us = microseconds(now - f.begun);
  done.decision.windows_got = static_cast<std::uint32_t>(f.limit);
  done.decision.wrong =
      done.decision.compute_us > 0 && done.decision.took_us > done.decision.compute_us;
  counts_.wrong_fetch += done.decision.wrong ? 1U : 0U;
  if (fetch_decision* const decision = decision_of(f.serial)) {
    *decision = done.decision;
  }
  out.done.push_back(std::move(done));
}

/// Ends what has all it can get, or took too long.
void block_exchange_core::settle(time_point now, effects& out) {
  for (auto it = fetches_.begin(); it != fetches_.end();) {
    fetch& f = it->second;
    const auto whole = [](const std::vector<block>& window) {
      return std::all_of(window.begin(), window.end(),
                         [](const block& b) { return b.is == state::here; });
    };
    const auto end = f.windows.begin() + static_cast<std::ptrdiff_t>(f.limit);
    const auto gap = std::find_if_not(f.windows.begin(), end, whole);
    if (gap != end && now - f.begun < limits::block_fetch_wait) {
      ++it;
      continue;
    }
    f.limit = static_cast<std::size_t>(gap - f.windows.begin());
    finish(it->first, f, now, out);
    it = fetches_.erase(it);
  }
}

void block_exchange_core::pump(time_point now, effects& out) {
  for (auto& [id, f] : fetches_) {
    ask_for(id, f, now, out);
  }
  settle(now, out);
}

/// What it owes is open again; `tried`: not for it.
void block_exchange_core::release(const node_id& node, time_point, bool tried) {
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.source != node) {
      ++it;
      continue;
    }
    if (const auto f = fetches_.find(it->second.fetch); f != fetches_.end()) {
      for (const auto& [number, at] : it->second.open) {
        block& b = f->second.windows[at.first][at.second];
        b.is = state::open;
        if (tried) {
          b.tried.insert(node);
        }
      }
    }
    it = questions_.erase(it);
  }
  source& s = sources_.at(node);
  s.owed_blocks = 0;
  s.owed_bytes = 0;
}

void block_exchange_core::punish(const node_id& node, std::string why, bool lied, time_point now,
                                 effects& out) {
  source& s = sources_.at(node);
  s.paused_until = now + (lied ? std::chrono::seconds{limits::block_liar_pause} : stall_pause);
  s.lied = lied;
  s.fault = why;
  release(node, now, true);
  out.drops.push_back({node, std::move(why), lied});
}

block_exchange_core::answer block_exchange_core::answered(const node_id& from, std::uint64_t ticket,
                                                          std::uint32_t number, time_point now,
                                                          effects& out) {
  const auto s = sources_.find(from);
  if (s == sources_.end()) {
    return {};
  }
  const auto q = questions_.find(ticket);
  const bool mine = q != questions_.end() && q->second.source == from;
  const auto at = mine ? q->second.open.find(number) : decltype(q->second.open.end()){};
  if (!mine || at == q->second.open.end()) {
    // What it was asked for before its connection was lost may not come on the next one.
    punish(from, "it sent a block that it was not asked for", true, now, out);
    return {};
  }
  const auto place = at->second;
  const std::uint64_t fetch_id = q->second.fetch;
  source& owing = s->second;
  owing.heard = now;
  --owing.owed_blocks;
  owing.owed_bytes -= q->second.block_bytes;
  q->second.open.erase(at);
  if (q->second.open.empty()) {
    questions_.erase(q);
  }
  const auto f = fetches_.find(fetch_id);
  return {true, f == fetches_.end() ? nullptr : &f->second.windows[place.first][place.second]};
}

block_exchange_core::effects block_exchange_core::on_block(const node_id& from,
                                                           std::uint64_t ticket,
                                                           std::uint32_t number,
                                                           bytes_pointer bytes, time_point now) {
  effects out;
  if (block* const b = answered(from, ticket, number, now, out).about) {
    source& s = sources_.at(from);
    const auto author = check_block(b->wanted, bytes);
    if (!author) {
      ++counts_.wrong_blocks;
      b->is = state::open;
      b->tried.insert(from);
      punish(from, author.error().message, true, now, out);
    } else if (!may_author(*author, now)) {
      ++counts_.authors_refused;
      b->is = state::open;
      b->tried.insert(from);
      note_stale(from, now, out);
    } else {
      ++counts_.blocks;
      ++s.blocks;
      counts_.bytes += bytes->size();
      s.busy_bytes += bytes->size();
      b->is = state::here;
      b->bytes = std::move(bytes);
      b->author = *author;
      const double busy = std::chrono::duration<double>(now - s.busy_since).count();
      if (s.owed_blocks == 0 && busy > 0) {
        s.rate = (s.rate + static_cast<double>(s.busy_bytes) / busy) / 2;
      }
    }
  }
  pump(now, out);
  return out;
}

void block_exchange_core::note_stale(const node_id& from, time_point now, effects& out) {
  source& s = sources_.at(from);
  ++s.stale;
  if (s.stale > stale_grace + stale_factor * s.blocks) {
    s.stale = 0; // another chance, later
    punish(from, "it claims what it has not got", true, now, out);
  }
}

block_exchange_core::effects block_exchange_core::on_missing(const node_id& from,
                                                             std::uint64_t ticket,
                                                             std::uint32_t number, time_point now) {
  effects out;
  const answer what = answered(from, ticket, number, now, out);
  if (what.asked) {
    if (what.about != nullptr) {
      what.about->is = state::open;
      what.about->tried.insert(from);
    }
    ++counts_.stale;
    note_stale(from, now, out);
  }
  pump(now, out);
  return out;
}

block_exchange_core::effects block_exchange_core::lost(const node_id& node, time_point now) {
  effects out;
  if (sources_.contains(node)) {
    release(node, now, true);
    pump(now, out);
  }
  return out;
}

block_exchange_core::effects block_exchange_core::left(const node_id& node, time_point now) {
  effects out;
  members_.erase(node);
  const auto known = sources_.find(node);
  if (known != sources_.end()) {
    release(node, now, true);
    if (known->second.paused_until && now < *known->second.paused_until) {
      known->second.claims.reset(); // whoever comes back is still who lied
    } else {
      sources_.erase(known);
    }
    pump(now, out);
  }
  return out;
}

block_exchange_core::effects block_exchange_core::refute(const node_id& author, time_point now) {
  effects out;
  if (sources_.contains(author) || sources_.size() < limits::block_claimants_max) {
    sources_.try_emplace(author);
    punish(author, "its blocks are not what comes out when they are computed", true, now, out);
    pump(now, out);
  }
  return out;
}

block_exchange_core::effects block_exchange_core::on_tick(time_point now) {
  effects out;
  std::vector<node_id> slow;
  for (const auto& [node, s] : sources_) {
    if (s.owed_blocks > 0 && now - s.heard >= limits::block_stall_wait) {
      slow.push_back(node);
    }
  }
  for (const node_id& node : slow) {
    ++counts_.stalled;
    punish(node, "it owed a block and sent nothing", false, now, out);
  }
  pump(now, out);
  return out;
}

void block_exchange_core::computed(const digest& model, std::uint64_t unit_us) {
  const auto known = declined_.find(model);
  if (known == declined_.end() || unit_us == 0) {
    return;
  }
  const auto [fetch_us, serial] = known->second;
  declined_.erase(known);
  if (unit_us > fetch_us) {
    ++counts_.wrong_compute;
    if (fetch_decision* const decision = decision_of(serial)) {
      decision->wrong = true;
    }
  }
}

std::vector<block_exchange_core::claimant> block_exchange_core::claimants(time_point now) const {
  std::vector<claimant> all;
  for (const auto& [node, s] : sources_) {
    const bool paused = s.paused_until && now < *s.paused_until;
    all.push_back({node, s.claims ? s.claims->bytes().size() : 0, s.names,
                   static_cast<std::uint64_t>(s.rate), s.blocks, s.stale,
                   paused ? s.fault : std::string{}});
  }
  return all;
}

} // namespace ovir::actors
