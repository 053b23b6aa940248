#include "actors/link/connection_slots.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

template <class Key>
void count_down(std::map<Key, std::size_t>& counts, const Key& key) {
  if (const auto at = counts.find(key); at != counts.end() && --at->second == 0) {
    counts.erase(at);
  }
}

} // namespace

connection_slots::pool_sizes connection_slots::sizes_for(std::uint64_t descriptors) noexcept {
  const auto afford = [descriptors](std::size_t most, std::size_t each) {
    return std::max(limits::pending_floor,
                    std::min(most, static_cast<std::size_t>(descriptors / each)));
  };
  return {afford(limits::pending_silent_max, limits::descriptors_per_silent),
          afford(limits::pending_shaking_max, limits::descriptors_per_shaking),
          afford(limits::pending_proven_max, limits::descriptors_per_proven)};
}

// Slots

connection_slots::slot& connection_slots::slot::operator=(slot&& other) noexcept {
  if (this != &other) {
    give_back();
    of_ = std::move(other.of_);
    what_ = std::move(other.what_);
  }
  return *this;
}

void connection_slots::slot::advance(progress to) {
  if (!of_ || !what_.pending) {
    return;
  }
  std::function<void()> leave;
  {
    const std::lock_guard lock{of_->mutex_};
    pool& before = of_->pools_[what_.pool];
    const auto at = before.all.find(what_.number);
    if (at == before.all.end()) {
      return; // it has been told to leave
    }
    waiting who = std::move(at->second);
    take_out(before, at);
    what_.pool += static_cast<std::size_t>(to) - what_.pool % progress_count;
    what_.number = ++of_->last_number_;
    leave = of_->enter(what_.pool, what_.number, std::move(who));
  }
  if (leave) {
    leave();
  }
}

result<void> connection_slots::slot::admitted(const node_id& node, channel kind) {
  OVIR_CHECK(of_ != nullptr);
  const std::lock_guard lock{of_->mutex_};
  if (!what_.incoming || !what_.pending) {
    return {};
  }
  const bool shell = kind == channel::admin;
  const std::size_t places = limits::connections_max - (shell ? 0 : limits::shell_places_reserved);
  if (of_->all_ >= places) {
    return fail(errc::busy, "there are {} connections, as many as this node may have; try again",
                of_->all_);
  }
  const auto here = of_->addresses_.find(what_.address);
  if (here != of_->addresses_.end() && here->second >= limits::connections_per_address_max) {
    return fail(errc::busy, "{} has {} connections here, as many as one address may have",
                what_.address, here->second);
  }
  const std::size_t most = shell ? limits::shells_per_key_max : limits::connections_per_node_max;
  const auto held = of_->nodes_.find(node);
  if (held != of_->nodes_.end() && held->second >= most) {
    return fail(errc::busy, "node {} has {} connections here already, as many as one node may have",
                short_name(node), held->second);
  }
  pool& before = of_->pools_[what_.pool];
  if (const auto at = before.all.find(what_.number); at != before.all.end()) {
    take_out(before, at);
  }
  ++of_->all_;
  ++of_->nodes_[node];
  if (!what_.address.empty()) {
    ++of_->addresses_[what_.address];
  }
  of_->remember(what_.pool / (2 * progress_count), what_.from);
  what_.node = node;
  what_.pending = false;
  return {};
}

void connection_slots::slot::give_back() noexcept {
  if (!of_) {
    return;
  }
  {
    const std::lock_guard lock{of_->mutex_};
    if (what_.pending) {
      pool& mine = of_->pools_[what_.pool];
      if (const auto at = mine.all.find(what_.number); at != mine.all.end()) {
        take_out(mine, at);
      }
    } else {
      --of_->all_;
      if (what_.incoming) {
        count_down(of_->addresses_, what_.address);
        count_down(of_->nodes_, what_.node);
      }
    }
  }
  of_.reset();
}

// Pools

void connection_slots::take_out(pool& of, std::map<std::uint64_t, waiting>::iterator who) {
  count_down(of.crowd, who->second.from);
  of.all.erase(who);
}

std::function<void()> connection_slots::take_one_out(pool& of) {
  std::size_t most = 0;
  for (const auto& [from, count] : of.crowd) {
    most = std::max(most, count);
  }
  const auto victim = std::find_if(of.all.begin(), of.all.end(), [&of, most](const auto& one) {
    return of.crowd.find(one.second.from)->second == most;
  });
  if (victim == of.all.end()) {
    return {};
  }
  std::function<void()> leave = std::move(victim->second.leave);
  take_out(of, victim);
  return leave;
}

std::function<void()> connection_slots::enter(std::size_t number, std::uint64_t name, waiting who) {
  pool& into = pools_[number];
  ++into.crowd[who.from];
  into.all.emplace(name, std::move(who));
  // The newcomer is the youngest, so it is another that leaves.
  return into.all.size() > sizes_[number % progress_count] ? take_one_out(into)
                                                           : std::function<void()>{};
}

void connection_slots::remember(std::size_t port, const address_prefix& from) {
  auto& here = known_[port];
  here[from] = ++last_number_;
  if (here.size() > limits::known_prefixes_max) {
    here.erase(std::min_element(here.begin(), here.end(),
                                [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
}

connection_slots::slot connection_slots::take_incoming(arrival who) {
  slot taken;
  std::function<void()> leave;
  {
    const std::lock_guard lock{mutex_};
    const auto here = known_.find(who.port);
    const bool known = here != known_.end() && here->second.contains(who.from);
    taken.of_ = shared_from_this();
    taken.what_ = {true,
                   true,
                   pool_number(who.port, known, progress::silent),
                   ++last_number_,
                   who.from,
                   std::move(who.address),
                   {}};
    leave = enter(taken.what_.pool, taken.what_.number, {who.from, std::move(who.leave)});
  }
  if (leave) {
    leave();
  }
  return taken;
}

result<connection_slots::slot> connection_slots::take_outgoing() {
  const std::lock_guard lock{mutex_};
  if (all_ >= limits::connections_max - limits::shell_places_reserved) {
    return fail(errc::busy, "this node has {} connections, as many as it may have", all_);
  }
  ++all_;
  slot taken;
  taken.of_ = shared_from_this();
  return taken;
}

bool connection_slots::put_one_out() {
  std::function<void()> leave;
  {
    const std::lock_guard lock{mutex_};
    for (std::size_t p = 0; p < progress_count && !leave; ++p) {
      for (auto& [number, one] : pools_) {
        if (number % progress_count == p && !one.all.empty()) {
          leave = take_one_out(one);
          break;
        }
      }
    }
  }
  if (leave) {
    leave();
  }
  return leave != nullptr;
}

std::size_t connection_slots::pending() const {
  const std::lock_guard lock{mutex_};
  std::size_t count = 0;
  for (const auto& [number, one] : pools_) {
    count += one.all.size();
  }
  return count;
}

std::size_t connection_slots::in_use() const {
  const std::size_t waiting_now = pending();
  const std::lock_guard lock{mutex_};
  return all_ + waiting_now;
}

} // namespace ovir::actors
