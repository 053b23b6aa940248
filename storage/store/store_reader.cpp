#include "storage/store/store_reader.hpp"

#include "messages/limits/store.hpp"

#include <algorithm>
#include <utility>

namespace ovir::storage {

void store_view::publish(const tree_root& root) noexcept {
  const std::uint64_t sequence = sequence_.load(std::memory_order_relaxed);
  sequence_.store(sequence + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  transaction_.store(root.transaction, std::memory_order_relaxed);
  page_.store(root.page, std::memory_order_relaxed);
  pages_end_.store(root.pages_end, std::memory_order_relaxed);
  page_bytes_.store(root.page_bytes, std::memory_order_relaxed);
  depth_.store(root.depth, std::memory_order_relaxed);
  sequence_.store(sequence + 2, std::memory_order_release);
}

std::optional<tree_root> store_view::root() const noexcept {
  while (!closed_.load(std::memory_order_acquire)) {
    const std::uint64_t before = sequence_.load(std::memory_order_acquire);
    tree_root root;
    root.transaction = transaction_.load(std::memory_order_relaxed);
    root.page = page_.load(std::memory_order_relaxed);
    root.pages_end = pages_end_.load(std::memory_order_relaxed);
    root.page_bytes = page_bytes_.load(std::memory_order_relaxed);
    root.depth = depth_.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && before == sequence_.load(std::memory_order_relaxed)) {
      return before == 0 ? std::nullopt : std::optional{root};
    }
  }
  return std::nullopt;
}

struct store_reader::target_or_key {
  std::optional<key_target> target;
  digest key{};
};

// LMDB keeps the pages of the last committed state and of the one before it while it writes. One
// commit more since, and pages of this root may have been overwritten while they were read.
bool store_reader::overtaken(const tree_root& root) const noexcept {
  const auto now = view_->root();
  return now && now->transaction > root.transaction + 1;
}

store_reader::step store_reader::locate(const tree_root& root, const target_or_key& wanted,
                                        lookup_answer& answer) const {
  index_pages pages{view_->index()};
  std::optional<key_target> target = wanted.target;
  std::string record;
  if (!target) {
    const std::string at = key_index_key(wanted.key);
    const auto found = pages.find(root, at, record);
    target = found == index_pages::lookup::found ? key_target_from(at, record) : std::nullopt;
    if (!target) {
      answer.outcome =
          found == index_pages::lookup::absent ? lookup_outcome::miss : lookup_outcome::damaged;
      return overtaken(root) ? step::again : step::absent;
    }
  }
  answer.kind = target->kind;
  const std::string at = entry_index_key(target->kind, target->name);
  const auto found = pages.find(root, at, record);
  const auto e = found == index_pages::lookup::found ? entry_from(at, record) : std::nullopt;
  if (overtaken(root)) {
    return step::again;
  }
  if (!e) {
    answer.outcome =
        found == index_pages::lookup::absent ? lookup_outcome::miss : lookup_outcome::damaged;
    return step::absent;
  }
  const auto& keys = e->keys;
  if (!wanted.target && std::find(keys.begin(), keys.end(), wanted.key) == keys.end()) {
    return step::absent; // the key of an entry that went, and came back without it
  }
  answer.about = *e;
  return step::found;
}

lookup_answer store_reader::look_up(const target_or_key& wanted, bool with_bytes) const {
  for (std::size_t attempt = 0; attempt < limits::store_read_attempts_max; ++attempt) {
    lookup_answer answer;
    const auto root = view_->root();
    if (!root) {
      return answer;
    }
    const step at = locate(*root, wanted, answer);
    if (at == step::again) {
      continue;
    }
    if (at == step::absent) {
      return answer;
    }
    if (!with_bytes) {
      answer.outcome = lookup_outcome::hit;
      return answer;
    }
    answer.bytes.resize(answer.about.size);
    const auto got = view_->blocks().read_at(answer.about.offset, answer.bytes);
    if (got && *got == answer.bytes.size() && hash_plain(answer.bytes) == answer.about.content) {
      answer.outcome = lookup_outcome::hit;
      return answer;
    }
    // Room is reused only after the commit that gave it up was published.
    if (const auto now = view_->root(); now && now->transaction == root->transaction) {
      answer.outcome = lookup_outcome::damaged;
      answer.bytes.clear();
      return answer;
    }
  }
  return {};
}

lookup_answer store_reader::find(content_kind kind, const content_owner& owner,
                                 const digest& content) const {
  lookup_answer answer = read({kind, entry_name(owner, content)});
  answer.kind = kind;
  return answer;
}

lookup_answer store_reader::find_by_key(const content_owner& owner, const digest& key) const {
  return look_up({std::nullopt, lookup_key(owner, key)}, true);
}

lookup_answer store_reader::find_at(const digest& place) const {
  return look_up({std::nullopt, place}, true);
}

lookup_answer store_reader::read(const key_target& target) const {
  return look_up({target, {}}, true);
}

std::optional<entry> store_reader::describe(content_kind kind, const content_owner& owner,
                                            const digest& content) const {
  lookup_answer answer = look_up({key_target{kind, entry_name(owner, content)}, {}}, false);
  return answer.outcome == lookup_outcome::hit ? std::optional{std::move(answer.about)}
                                               : std::nullopt;
}

std::optional<entry> store_reader::describe_by_key(const content_owner& owner,
                                                   const digest& key) const {
  lookup_answer answer = look_up({std::nullopt, lookup_key(owner, key)}, false);
  return answer.outcome == lookup_outcome::hit ? std::optional{std::move(answer.about)}
                                               : std::nullopt;
}

} // namespace ovir::storage
