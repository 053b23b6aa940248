#include "tests/store/store_model.hpp"

#include "tests/store/store_folder.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::test {

using namespace storage;

namespace {

constexpr std::uint64_t contents = 3'000;
constexpr std::uint64_t keys_shared = 700; // numbers of keys that many contents fight for
constexpr std::uint64_t owners = 3;
constexpr std::size_t batch_max = 48;
constexpr std::uint64_t limit_bytes = 1U << 20U;
constexpr std::uint64_t pin_rarity = 40; // of limited contents, one in so many is ever pinned

content_owner owner_of(std::uint64_t number) {
  return number == 0 ? content_owner{} : content_owner{digest_of(900'000 + number)};
}

} // namespace

content_kind numbered_content::kind() const { return content_kinds[number % content_kinds.size()]; }
bool numbered_content::limited() const { return index_of(kind()) >= 3; }
content_owner numbered_content::owner() const { return owner_of(number / 6 % owners); }
std::vector<std::byte> numbered_content::bytes() const {
  // Mostly small, some of several blocks.
  const std::uint64_t size = number % 17 == 0 ? 4'000 + number * 31 % 20'000 : 1 + number % 300;
  return content_of(number, size);
}
digest numbered_content::content() const { return hash_plain(bytes()); }
key_target numbered_content::target() const { return {kind(), entry_name(owner(), content())}; }

store_options model_options() {
  store_options options;
  for (const content_kind kind : content_kinds) {
    if (index_of(kind) >= 3) {
      options.limits.bytes[index_of(kind)] = limit_bytes;
    }
  }
  options.seed = 1;
  return options;
}

std::vector<model_change> store_model::batch_of(std::mt19937_64& random) {
  using what = model_change::what;
  std::vector<model_change> batch(1 + random() % batch_max);
  for (model_change& change : batch) {
    change.content = random() % contents;
    const bool limited = numbered_content{change.content}.limited();
    const bool may_pin = !limited || change.content % pin_rarity == 3;
    const std::uint64_t way = random() % 16;
    change.kind = way < 11               ? what::put
                  : way < 13             ? what::remove
                  : way == 13 && may_pin ? what::pin
                  : way == 14            ? what::unpin
                                         : what::verify;
    // Keys of limited kinds lead to one content for ever; the others are taken over.
    change.key = limited ? 1'000'000 + change.content : random() % keys_shared;
    change.verified = random() % 4 == 0;
  }
  return batch;
}

std::vector<store_change> changes_of(const std::vector<model_change>& batch,
                                     std::vector<std::vector<std::byte>>& bytes) {
  using what = model_change::what;
  std::vector<store_change> changes;
  bytes.clear();
  bytes.reserve(batch.size());
  for (const model_change& change : batch) {
    const numbered_content c{change.content};
    switch (change.kind) {
    case what::put:
      bytes.push_back(c.bytes());
      changes.emplace_back(put_content{.kind = c.kind(),
                                       .owner = c.owner(),
                                       .bytes = bytes.back(),
                                       .key = digest_of(change.key),
                                       .cost_us = change.content,
                                       .from = {.verified = change.verified}});
      break;
    case what::remove: changes.emplace_back(remove_content{c.target()}); break;
    case what::pin: changes.emplace_back(pin_content{c.target(), true}); break;
    case what::unpin: changes.emplace_back(pin_content{c.target(), false}); break;
    case what::verify: changes.emplace_back(mark_verified{c.target(), {}}); break;
    }
  }
  return changes;
}

void store_model::remove(std::uint64_t content) {
  std::erase_if(keys_, [&](const auto& k) { return k.second == content; });
  unlimited_.erase(content);
}

void store_model::put(const model_change& change) {
  const std::uint64_t owner = change.content / 6 % owners;
  const owned_key key{owner, change.key};
  const auto found = unlimited_.find(change.content);
  const bool verified = change.verified || (found != unlimited_.end() && found->second.verified);
  const auto leads = keys_.find(key);
  if (leads != keys_.end() && leads->second != change.content) {
    kept& other = unlimited_.at(leads->second);
    if (other.verified && !verified) {
      return; // disputed
    }
    std::erase(other.keys, change.key);
    keys_.erase(leads);
  }
  kept& own = unlimited_[change.content];
  own.verified = verified;
  if (keys_.emplace(key, change.content).second) {
    if (own.keys.size() == limits::store_keys_per_entry_max) {
      keys_.erase({owner, own.keys.front()});
      own.keys.erase(own.keys.begin());
    }
    own.keys.push_back(change.key);
  }
}

void store_model::apply(const std::vector<model_change>& batch) {
  using what = model_change::what;
  for (const model_change& change : batch) {
    if (numbered_content{change.content}.limited()) {
      continue;
    }
    const auto found = unlimited_.find(change.content);
    if (change.kind == what::put) {
      put(change);
    } else if (found != unlimited_.end()) {
      switch (change.kind) {
      case what::remove: remove(change.content); break;
      case what::pin: found->second.pinned = true; break;
      case what::unpin: found->second.pinned = false; break;
      default: found->second.verified = true; break;
      }
    }
  }
}

void store_model::apply_outcomes(const std::vector<model_change>& batch,
                                 const std::vector<change_outcome>& outcomes) {
  using what = model_change::what;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const std::uint64_t content = batch[i].content;
    if (!numbered_content{content}.limited() || outcomes[i] != change_outcome::done) {
      continue;
    }
    if (batch[i].kind == what::pin) {
      pinned_.insert(content);
    } else if (batch[i].kind == what::unpin || batch[i].kind == what::remove) {
      pinned_.erase(content);
    }
  }
}

std::string store_model::compare(content_store& store, bool pins) const {
  std::map<std::pair<content_kind, digest>, entry> there;
  std::array<kind_usage, content_kinds.size()> counted{};
  const auto seen = store.visit([&](const entry& e) {
    there.emplace(std::pair{e.kind, e.name}, e);
    ++counted[index_of(e.kind)].entries;
    counted[index_of(e.kind)].bytes_taken += e.where().bytes;
  });
  if (!seen) {
    return seen.error().message;
  }
  for (const content_kind kind : content_kinds) {
    if (counted[index_of(kind)].entries != store.usage(kind).entries ||
        counted[index_of(kind)].bytes_taken != store.usage(kind).bytes_taken) {
      return fmt::format("{}: the usage is miscounted", to_string(kind));
    }
    if (store.usage(kind).bytes_taken > store.limits().bytes[index_of(kind)]) {
      return fmt::format("{}: above its limit", to_string(kind));
    }
  }
  std::size_t unlimited_there = 0;
  for (const auto& [place, e] : there) {
    unlimited_there += index_of(e.kind) < 3;
  }
  if (unlimited_there != unlimited_.size()) {
    return fmt::format("{} entries instead of {}", unlimited_there, unlimited_.size());
  }
  for (const auto& [number, own] : unlimited_) {
    const numbered_content c{number};
    const key_target target = c.target();
    const auto found = there.find({target.kind, target.name});
    if (found == there.end()) {
      return fmt::format("content {} is lost", number);
    }
    std::vector<digest> keys;
    for (const std::uint64_t key : own.keys) {
      keys.push_back(lookup_key(c.owner(), digest_of(key)));
    }
    if (found->second.pinned != own.pinned || found->second.from.verified != own.verified ||
        found->second.keys != keys) {
      return fmt::format("content {} is known differently", number);
    }
    if (store.reader().read(target).bytes != c.bytes()) {
      return fmt::format("content {} has other bytes", number);
    }
  }
  for (const std::uint64_t number : pins ? pinned_ : std::set<std::uint64_t>{}) {
    const key_target target = numbered_content{number}.target();
    if (!there.contains({target.kind, target.name})) {
      return fmt::format("pinned content {} is lost", number);
    }
  }
  return {};
}

std::string store_model::look_up_key(content_store& store, std::uint64_t owner, std::uint64_t key,
                                     std::uint64_t now) const {
  const lookup_answer answer = store.get_by_key(owner_of(owner), digest_of(key), now);
  const auto leads = keys_.find({owner, key});
  if ((answer.outcome == lookup_outcome::hit) != (leads != keys_.end())) {
    return fmt::format("key {} of {}: hit or miss is wrong", key, owner);
  }
  if (leads != keys_.end() && answer.bytes != numbered_content{leads->second}.bytes()) {
    return fmt::format("key {} of {}: other content", key, owner);
  }
  return {};
}

std::string store_model::look_up(content_store& store, std::mt19937_64& random,
                                 std::uint64_t now) const {
  const numbered_content c{random() % contents};
  if (random() % 2 == 0) {
    return look_up_key(store, random() % owners, random() % keys_shared, now);
  }
  const bool by_key = c.limited() && random() % 2 == 0;
  const lookup_answer answer =
      by_key ? store.get_by_key(c.owner(), digest_of(1'000'000 + c.number), now)
             : store.get(c.kind(), c.owner(), c.content(), now);
  if (answer.outcome == lookup_outcome::damaged) {
    return fmt::format("content {} is damaged", c.number);
  }
  if (answer.outcome == lookup_outcome::hit && answer.bytes != c.bytes()) {
    return fmt::format("content {} has other bytes", c.number);
  }
  if (!c.limited() && (answer.outcome == lookup_outcome::hit) != unlimited_.contains(c.number)) {
    return fmt::format("content {}: hit or miss is wrong", c.number);
  }
  if (pinned_.contains(c.number) && answer.outcome != lookup_outcome::hit) {
    return fmt::format("pinned content {} is lost", c.number);
  }
  return {};
}

} // namespace ovir::test
