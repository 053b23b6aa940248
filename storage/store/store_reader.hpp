#pragma once

#include "messages/durable_file.hpp"
#include "storage/index/index_pages.hpp"
#include "storage/store/store_record.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::storage {

enum class lookup_outcome : std::uint8_t {
  hit,
  miss,
  damaged, ///< it was there, but its bytes are not those of its digest: as good as a miss
};

/// What a lookup found. After a hit `bytes` are those whose BLAKE3 digest is `about.content`; it
/// was computed just now.
struct lookup_answer {
  lookup_outcome outcome{lookup_outcome::miss};
  std::optional<content_kind> kind; ///< of what was looked for, where it is known
  entry about;
  std::vector<std::byte> bytes;
};

/// Shared by a store and its readers: the state after the last commit. The store writes it, on one
/// thread; any number of threads read it and none of them waits.
class store_view {
public:
  store_view(std::shared_ptr<const durable_file> index, std::shared_ptr<const durable_file> blocks)
      : index_(std::move(index)), blocks_(std::move(blocks)) {}

  void publish(const tree_root& root) noexcept;
  /// From here on readers find nothing.
  void close() noexcept { closed_.store(true, std::memory_order_release); }

  [[nodiscard]] std::optional<tree_root> root() const noexcept;
  [[nodiscard]] const durable_file& index() const noexcept { return *index_; }
  [[nodiscard]] const durable_file& blocks() const noexcept { return *blocks_; }

private:
  std::shared_ptr<const durable_file> index_;
  std::shared_ptr<const durable_file> blocks_;
  std::atomic<bool> closed_{false};
  // A sequence lock: odd while the fields below change.
  std::atomic<std::uint64_t> sequence_{0};
  std::atomic<std::uint64_t> transaction_{0};
  std::atomic<std::uint64_t> page_{tree_root::no_page};
  std::atomic<std::uint64_t> pages_end_{0};
  std::atomic<std::uint32_t> page_bytes_{0};
  std::atomic<std::uint16_t> depth_{0};
};

/// Looks content up, beside the store's owner and beside other readers: for one thread at a time,
/// cheap to copy. It takes no lock and never waits for a commit; what is overwritten while it reads
/// is found out and looked up again. Uses and damage are the owner's to write down: hand each
/// answer to `content_store::note`. A reader of a store that was closed, or had to be opened anew,
/// finds nothing.
class store_reader {
public:
  explicit store_reader(std::shared_ptr<const store_view> view) : view_(std::move(view)) {}

  [[nodiscard]] lookup_answer find(content_kind kind, const content_owner& owner,
                                   const digest& content) const;
  [[nodiscard]] lookup_answer find_by_key(const content_owner& owner, const digest& key) const;

  /// By a key as it is looked up: what its owner's salt made of it.
  [[nodiscard]] lookup_answer find_at(const digest& place) const;

  /// Only what is known of it, without its bytes: microseconds.
  [[nodiscard]] std::optional<entry> describe(content_kind kind, const content_owner& owner,
                                              const digest& content) const;
  [[nodiscard]] std::optional<entry> describe_by_key(const content_owner& owner,
                                                     const digest& key) const;

  /// The entry with this name, bytes and all.
  [[nodiscard]] lookup_answer read(const key_target& target) const;

private:
  struct target_or_key;
  enum class step : std::uint8_t { found, absent, again };

  [[nodiscard]] lookup_answer look_up(const target_or_key& wanted, bool with_bytes) const;
  [[nodiscard]] step locate(const tree_root& root, const target_or_key& wanted,
                            lookup_answer& answer) const;
  [[nodiscard]] bool overtaken(const tree_root& root) const noexcept;

  std::shared_ptr<const store_view> view_;
};

} // namespace ovir::storage
