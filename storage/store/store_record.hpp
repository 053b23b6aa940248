#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "storage/store/extent_map.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What the index of the content store holds: keys and records, byte by byte
/// (docs/formats/store.md). Every record ends with a check over its key and itself, so a record is
/// believed for what it says and not for where it was found.
namespace ovir::storage {

/// What a piece of content is. The values are on disks.
enum class content_kind : std::uint8_t {
  weights = 1,    ///< chunks of model files
  inputs = 2,     ///< token ids and other inputs of requests
  boundaries = 3, ///< the residual stream at an edge of a segment, a window of it
  kv = 4,         ///< K and V of a layer over a window
  logits = 5,
  results = 6, ///< finished and partial answers, with their receipts
};
inline constexpr std::array content_kinds{content_kind::weights,    content_kind::inputs,
                                          content_kind::boundaries, content_kind::kv,
                                          content_kind::logits,     content_kind::results};
/// "weights", "inputs", "boundaries", "kv", "logits", "results".
[[nodiscard]] std::string_view to_string(content_kind kind) noexcept;
[[nodiscard]] std::optional<content_kind> content_kind_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<content_kind> content_kind_from(std::uint8_t value) noexcept;
/// For arrays with a place per kind.
[[nodiscard]] constexpr std::size_t index_of(content_kind kind) noexcept {
  return static_cast<std::size_t>(kind) - 1;
}

/// Whose content it is. What is private is found only by who knows the owner's secret salt: names
/// and keys of private entries are salted digests, so neither a lookup nor its time tells a
/// stranger whether somebody else has the same content. All zero: everybody's.
struct content_owner {
  digest salt{};

  [[nodiscard]] bool is_everybody() const noexcept { return *this == content_owner{}; }
  friend bool operator==(const content_owner&, const content_owner&) = default;
};

/// The name of content in the store: its BLAKE3 digest, salted where it is private.
[[nodiscard]] digest entry_name(const content_owner& owner, const digest& content);
/// Under which a key, such as a unit key, is looked up: itself, salted where it is private.
[[nodiscard]] digest lookup_key(const content_owner& owner, const digest& key);

/// Who says that this content is what its keys stand for.
struct provenance {
  node_id author{};     ///< who computed it first; empty: not told
  digest statement{};   ///< of the signed statement; zero: none
  bool verified{false}; ///< somebody else computed it again, to the same bytes
  friend bool operator==(const provenance&, const provenance&) = default;
};

/// All that is known of a piece of content.
struct entry {
  content_kind kind{content_kind::weights};
  digest name{};
  digest content{}; ///< BLAKE3 of its bytes
  std::uint64_t size{0};
  std::uint64_t offset{0}; ///< in the blocks file
  std::uint64_t stored{0}; ///< in seconds since 1970, and so is the next
  std::uint64_t last_use{0};
  std::uint32_t uses{0};    ///< since it was stored
  std::uint64_t cost_us{0}; ///< to compute it again, in microseconds of this machine
  bool pinned{false};
  bool is_private{false};
  provenance from{};
  std::vector<digest> keys; ///< lookup keys that lead here, at most `store_keys_per_entry_max`

  [[nodiscard]] extent where() const noexcept { return {offset, extent_map::rounded(size)}; }
  friend bool operator==(const entry&, const entry&) = default;
};

/// A key's record: where it leads.
struct key_target {
  content_kind kind{content_kind::weights};
  digest name{};
  friend bool operator==(const key_target&, const key_target&) = default;
};

/// What happened to a kind since the store was made.
struct kind_counters {
  std::uint64_t hits{0};
  std::uint64_t misses{0};
  std::uint64_t stored{0};
  std::uint64_t evicted{0};
  std::uint64_t damaged{0};
  std::uint64_t bytes_served{0};
  std::uint64_t saved_us{0}; ///< cost of what was found instead of computed
  friend bool operator==(const kind_counters&, const kind_counters&) = default;
};

/// Of the index as a whole: how many records it has and the sum of their checks, modulo 2^64. An
/// index whose sum differs has lost records, or shows ones that had been removed.
struct index_summary {
  std::uint64_t transaction{0};
  std::uint64_t records{0};
  std::uint64_t sum{0};
  friend bool operator==(const index_summary&, const index_summary&) = default;
};

// Keys of the index.
[[nodiscard]] std::string entry_index_key(content_kind kind, const digest& name);
[[nodiscard]] std::string key_index_key(const digest& key);
[[nodiscard]] std::string counters_index_key(content_kind kind);
[[nodiscard]] std::string summary_index_key();

// Records. Reading gives nothing where the record does not belong to the key, its check fails, or a
// field is out of its range.
[[nodiscard]] std::string to_record(const entry& e);
[[nodiscard]] std::string to_record(const digest& key, const key_target& target);
[[nodiscard]] std::string to_record(content_kind kind, const kind_counters& counters);
[[nodiscard]] std::string to_record(const index_summary& summary);
[[nodiscard]] std::optional<entry> entry_from(std::string_view key, std::string_view record);
[[nodiscard]] std::optional<key_target> key_target_from(std::string_view key,
                                                        std::string_view record);
[[nodiscard]] std::optional<kind_counters> counters_from(std::string_view key,
                                                         std::string_view record);
[[nodiscard]] std::optional<index_summary> summary_from(std::string_view key,
                                                        std::string_view record);

/// The check at a record's end, without looking further at it: what the summary adds up.
[[nodiscard]] std::optional<std::uint64_t> checked(std::string_view key, std::string_view record);

} // namespace ovir::storage
