#include "storage/store/store_batch.hpp"

#include "messages/check.hpp"
#include "storage/store/retention.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ovir::storage {

namespace {

constexpr std::size_t sample_draws = 4; // places looked at per eviction, one of them the first

void add(kind_usage& to, const entry& e) {
  ++to.entries;
  to.bytes += e.size;
  to.bytes_taken += e.where().bytes;
  to.pinned += e.pinned ? 1 : 0;
  to.unverified += e.from.verified ? 0 : 1;
}

void subtract(kind_usage& from, const entry& e) {
  --from.entries;
  from.bytes -= e.size;
  from.bytes_taken -= e.where().bytes;
  from.pinned -= e.pinned ? 1 : 0;
  from.unverified -= e.from.verified ? 0 : 1;
}

} // namespace

store_batch::store_batch(const batch_ground& ground, std::uint64_t now_in_seconds)
    : now(now_in_seconds), ground_(ground) {}

result<std::optional<std::string>> store_batch::record_at(const std::string& key) {
  if (const auto changed = changes.find(key); changed != changes.end()) {
    return changed->second;
  }
  return ground_.index.find(key);
}

result<std::optional<entry>> store_batch::entry_at(const key_target& target) {
  const std::string key = entry_index_key(target.kind, target.name);
  OVIR_ASSIGN(const std::optional<std::string> record, record_at(key));
  return record ? entry_from(key, *record) : std::nullopt;
}

void store_batch::set(const entry& e, const entry* before) {
  kind_usage& of_kind = usage[index_of(e.kind)];
  if (before != nullptr) {
    subtract(of_kind, *before);
  }
  add(of_kind, e);
  changes.insert_or_assign(entry_index_key(e.kind, e.name), to_record(e));
}

result<void> store_batch::drop(const entry& e) {
  for (const digest& key : e.keys) {
    const std::string at = key_index_key(key);
    OVIR_ASSIGN(const std::optional<std::string> record, record_at(at));
    const auto target = record ? key_target_from(at, *record) : std::nullopt;
    if (target == key_target{e.kind, e.name}) {
      changes.insert_or_assign(at, std::nullopt);
    }
  }
  changes.insert_or_assign(entry_index_key(e.kind, e.name), std::nullopt);
  freed.push_back(e.where());
  subtract(usage[index_of(e.kind)], e);
  return {};
}

result<void> store_batch::apply_notes() {
  for (const auto& [place, n] : ground_.notes) {
    OVIR_ASSIGN(const std::optional<entry> before, entry_at({place.first, place.second}));
    if (!before) {
      continue;
    }
    if (n.damaged_at == before->offset) {
      OVIR_TRY(drop(*before));
      continue;
    }
    entry after = *before;
    after.uses += std::min(n.uses, std::numeric_limits<std::uint32_t>::max() - after.uses);
    after.last_use = std::max(after.last_use, n.last_use);
    set(after, &*before);
  }
  return {};
}

result<change_outcome> store_batch::add_key(entry& e, const digest& key) {
  const key_target self{e.kind, e.name};
  if (std::find(e.keys.begin(), e.keys.end(), key) != e.keys.end()) {
    return change_outcome::done;
  }
  const std::string at = key_index_key(key);
  OVIR_ASSIGN(const std::optional<std::string> record, record_at(at));
  const auto target = record ? key_target_from(at, *record) : std::nullopt;
  if (target && *target != self) {
    OVIR_ASSIGN(const std::optional<entry> other, entry_at(*target));
    if (other && other->from.verified && !e.from.verified) {
      return change_outcome::disputed;
    }
    if (other) {
      entry without = *other;
      std::erase(without.keys, key);
      set(without, &*other);
      twice = true;
    }
  }
  if (e.keys.size() == limits::store_keys_per_entry_max) {
    changes.insert_or_assign(key_index_key(e.keys.front()), std::nullopt);
    e.keys.erase(e.keys.begin());
  }
  e.keys.push_back(key);
  changes.insert_or_assign(at, to_record(key, self));
  return change_outcome::done;
}

result<change_outcome> store_batch::apply(const put_content& put) {
  OVIR_CHECK(!put.bytes.empty());
  const std::uint64_t room = extent_map::rounded(put.bytes.size());
  if (put.bytes.size() > limits::store_entry_bytes_max ||
      room > ground_.limits.bytes[index_of(put.kind)]) {
    return change_outcome::too_large;
  }
  entry e;
  e.content = hash_plain(put.bytes);
  if (put.expected && *put.expected != e.content) {
    return change_outcome::wrong_digest;
  }
  e.kind = put.kind;
  e.name = entry_name(put.owner, e.content);
  OVIR_ASSIGN(const std::optional<entry> before, entry_at({e.kind, e.name}));
  if (before) {
    e = *before;
    if (put.from.verified && !e.from.verified) {
      e.from.verified = true;
      e.from.statement = put.from.statement;
    }
    e.pinned = e.pinned || put.pinned;
  } else {
    e.size = put.bytes.size();
    e.stored = e.last_use = now;
    e.cost_us = put.cost_us;
    e.pinned = put.pinned;
    e.is_private = !put.owner.is_everybody();
    e.from = put.from;
  }
  kept_.emplace(e.kind, e.name);
  if (!before) {
    OVIR_ASSIGN(const bool fits, make_room(e.kind, room));
    if (!fits) {
      return change_outcome::no_room;
    }
  }
  if (put.key) {
    OVIR_ASSIGN(const change_outcome added, add_key(e, lookup_key(put.owner, *put.key)));
    if (added != change_outcome::done) {
      return added;
    }
  }
  if (before) {
    set(e, &*before);
    return change_outcome::present;
  }
  const extent place = ground_.extents.allocate(room);
  taken.push_back(place);
  writes.push_back({place.offset, put.bytes});
  e.offset = place.offset;
  set(e, nullptr);
  ++counters[index_of(e.kind)].stored;
  return change_outcome::done;
}

result<change_outcome> store_batch::apply(const remove_content& remove) {
  OVIR_ASSIGN(const std::optional<entry> e, entry_at(remove.target));
  if (!e) {
    return change_outcome::no_such;
  }
  OVIR_TRY(drop(*e));
  twice = true;
  return change_outcome::done;
}

result<change_outcome> store_batch::apply(const pin_content& pin) {
  OVIR_ASSIGN(const std::optional<entry> before, entry_at(pin.target));
  if (!before) {
    return change_outcome::no_such;
  }
  entry e = *before;
  e.pinned = pin.pinned;
  set(e, &*before);
  return change_outcome::done;
}

result<change_outcome> store_batch::apply(const mark_verified& mark) {
  OVIR_ASSIGN(const std::optional<entry> before, entry_at(mark.target));
  if (!before) {
    return change_outcome::no_such;
  }
  entry e = *before;
  e.from.verified = true;
  e.from.statement = mark.statement;
  set(e, &*before);
  return change_outcome::done;
}

bool store_batch::may_go(const entry& e) const {
  const entry_place place{e.kind, e.name};
  const auto lease = ground_.leases.find(place);
  return !e.pinned && !kept_.contains(place) &&
         (lease == ground_.leases.end() || lease->second.expired());
}

// Splitmix64: which entries are compared is chance, and needs no more than to be spread well.
std::uint64_t store_batch::draw() noexcept {
  std::uint64_t x = ground_.draws += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

result<std::optional<entry>> store_batch::sampled_victim(content_kind kind) {
  std::optional<entry> least;
  std::vector<key_target> seen;
  for (std::size_t i = 0; i < sample_draws; ++i) {
    digest from;
    if (i > 0) {
      for (std::size_t at = 0; at < digest::size; at += sizeof(std::uint64_t)) {
        const std::uint64_t bits = draw();
        std::memcpy(from.bytes.data() + at, &bits, sizeof(bits));
      }
    }
    OVIR_TRY(ground_.index.sample(
        entry_index_key(kind, from), limits::store_eviction_sample / sample_draws,
        [&](std::string_view key, std::string_view record) {
          if (const auto e = entry_from(key, record); e && e->kind == kind) {
            seen.push_back({e->kind, e->name});
          }
        }));
  }
  for (const key_target& target : seen) {
    OVIR_ASSIGN(const std::optional<entry> e, entry_at(target));
    if (e && may_go(*e) && (!least || retention_value(*e, now) < retention_value(*least, now))) {
      least = e;
    }
  }
  return least;
}

result<std::optional<entry>> store_batch::choose_victim(content_kind kind) {
  OVIR_ASSIGN(std::optional<entry> least, sampled_victim(kind));
  if (least) {
    return least;
  }
  // Whoever could be sampled is pinned or in use: look at all, once for many evictions.
  std::vector<entry>& victims = victims_[index_of(kind)];
  if (victims.empty()) {
    const auto less = [&](const entry& x, const entry& y) {
      return retention_value(x, now) < retention_value(y, now);
    };
    OVIR_TRY(ground_.index.visit_all([&](std::string_view key, std::string_view record) {
      auto e = entry_from(key, record);
      const auto changed = changes.find(key);
      const bool gone = changed != changes.end() && !changed->second;
      if (e && e->kind == kind && !gone && may_go(*e)) {
        victims.push_back(std::move(*e)); // a heap with the greatest value in front
        std::push_heap(victims.begin(), victims.end(), less);
        if (victims.size() > limits::store_victims_max) {
          std::pop_heap(victims.begin(), victims.end(), less);
          victims.pop_back();
        }
      }
    }));
    std::sort_heap(victims.begin(), victims.end(), less);
    std::reverse(victims.begin(), victims.end());
  }
  while (!victims.empty()) {
    const key_target target{kind, victims.back().name};
    victims.pop_back();
    OVIR_ASSIGN(std::optional<entry> e, entry_at(target));
    if (e && may_go(*e)) {
      return e;
    }
  }
  return std::optional<entry>{};
}

result<bool> store_batch::make_room(content_kind kind, std::uint64_t bytes) {
  const std::uint64_t limit = ground_.limits.bytes[index_of(kind)];
  const kind_usage& of_kind = usage[index_of(kind)];
  while (of_kind.bytes_taken > limit - std::min(limit, bytes)) {
    if (exhausted_[index_of(kind)]) {
      return false;
    }
    OVIR_ASSIGN(const std::optional<entry> victim, choose_victim(kind));
    if (!victim) {
      exhausted_[index_of(kind)] = true;
      return false;
    }
    OVIR_TRY(drop(*victim));
    ++counters[index_of(kind)].evicted;
  }
  return true;
}

} // namespace ovir::storage
