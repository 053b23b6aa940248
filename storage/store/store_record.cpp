#include "storage/store/store_record.hpp"

#include "messages/limits/store.hpp"
#include "storage/store/record_check.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <type_traits>

namespace ovir::storage {

namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

constexpr char entry_table = 'e';
constexpr char key_table = 'k';
constexpr char counters_table = 'c';
constexpr char summary_table = 's';
constexpr std::uint8_t record_version = 1;
constexpr std::size_t check_bytes = 8;

enum entry_flag : std::uint8_t { flag_pinned = 1, flag_private = 2, flag_verified = 4 };
constexpr std::uint8_t known_flags = flag_pinned | flag_private | flag_verified;

template <class T>
void put(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

/// Takes fields off the front; `sound` turns false when there are too few bytes.
class field_reader {
public:
  explicit field_reader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  T take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (rest_.size() < sizeof(T)) {
      sound_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  [[nodiscard]] bool sound_and_done() const noexcept { return sound_ && rest_.empty(); }
  [[nodiscard]] bool sound() const noexcept { return sound_; }

private:
  std::string_view rest_;
  bool sound_{true};
};

std::uint64_t check_of(std::string_view key, std::string_view body) {
  // The domain's own hashing is done once; a copy goes on from there.
  static const hasher begun{"ovir/store/v1/record"};
  hasher h{begun};
  h.update_text(key).update(std::as_bytes(std::span{body}));
  std::array<std::uint8_t, check_bytes> bytes{};
  h.finish_into(bytes);
  std::uint64_t check = 0;
  std::memcpy(&check, bytes.data(), sizeof(check));
  return check;
}

std::string table_key(char table, std::optional<content_kind> kind, const digest* name) {
  std::string key(1, table);
  if (kind) {
    key += static_cast<char>(*kind);
  }
  if (name != nullptr) {
    put(key, name->bytes);
  }
  return key;
}

/// The record without its check, when the check holds and the key is of this table and length.
std::optional<std::string_view> body_of(char table, std::size_t key_bytes, std::string_view key,
                                        std::string_view record) {
  if (key.size() != key_bytes || key.front() != table || !checked(key, record)) {
    return std::nullopt;
  }
  return record.substr(0, record.size() - check_bytes);
}

digest digest_at(std::string_view bytes) {
  digest d;
  std::memcpy(d.bytes.data(), bytes.data(), digest::size);
  return d;
}

bool in_range(const entry& e) {
  return e.size > 0 && e.size <= limits::store_entry_bytes_max &&
         e.offset % extent_map::unit == 0 &&
         e.offset <= limits::store_blocks_bytes_max - limits::store_entry_bytes_max;
}

} // namespace

std::string_view to_string(content_kind kind) noexcept {
  switch (kind) {
  case content_kind::weights: return "weights";
  case content_kind::inputs: return "inputs";
  case content_kind::boundaries: return "boundaries";
  case content_kind::kv: return "kv";
  case content_kind::logits: return "logits";
  case content_kind::results: return "results";
  }
  return "unknown";
}

std::optional<content_kind> content_kind_from(std::string_view text) noexcept {
  for (const content_kind kind : content_kinds) {
    if (to_string(kind) == text) {
      return kind;
    }
  }
  return std::nullopt;
}

std::optional<content_kind> content_kind_from(std::uint8_t value) noexcept {
  if (value < 1 || value > content_kinds.size()) {
    return std::nullopt;
  }
  return static_cast<content_kind>(value);
}

digest entry_name(const content_owner& owner, const digest& content) {
  if (owner.is_everybody()) {
    return content;
  }
  return hasher{"ovir/store/v1/private-entry"}.update(owner.salt).update(content).finish();
}

digest lookup_key(const content_owner& owner, const digest& key) {
  if (owner.is_everybody()) {
    return key;
  }
  return hasher{"ovir/store/v1/private-key"}.update(owner.salt).update(key).finish();
}

std::string entry_index_key(content_kind kind, const digest& name) {
  return table_key(entry_table, kind, &name);
}
std::string key_index_key(const digest& key) { return table_key(key_table, std::nullopt, &key); }
std::string counters_index_key(content_kind kind) {
  return table_key(counters_table, kind, nullptr);
}
std::string summary_index_key() { return table_key(summary_table, std::nullopt, nullptr); }

std::string with_check(std::string_view key, std::string body) {
  put(body, check_of(key, body));
  return body;
}

std::string_view without_check(std::string_view record) {
  return record.substr(0, record.size() - std::min(record.size(), check_bytes));
}

std::optional<std::uint64_t> checked(std::string_view key, std::string_view record) {
  if (record.size() <= check_bytes || key.empty()) {
    return std::nullopt;
  }
  const std::string_view body = record.substr(0, record.size() - check_bytes);
  std::uint64_t stated = 0;
  std::memcpy(&stated, record.data() + body.size(), sizeof(stated));
  if (stated != check_of(key, body)) {
    return std::nullopt;
  }
  return stated;
}

std::string to_record(const entry& e) {
  std::string body;
  put(body, record_version);
  put(body,
      static_cast<std::uint8_t>((e.pinned ? flag_pinned : 0) | (e.is_private ? flag_private : 0) |
                                (e.from.verified ? flag_verified : 0)));
  put(body, static_cast<std::uint16_t>(e.keys.size()));
  put(body, e.uses);
  put(body, e.size);
  put(body, e.offset);
  put(body, e.stored);
  put(body, e.last_use);
  put(body, e.cost_us);
  put(body, e.content.bytes);
  put(body, e.from.author.key);
  put(body, e.from.statement.bytes);
  for (const digest& key : e.keys) {
    put(body, key.bytes);
  }
  return with_check(entry_index_key(e.kind, e.name), std::move(body));
}

std::optional<entry> entry_from(std::string_view key, std::string_view record) {
  const auto body = body_of(entry_table, 2 + digest::size, key, record);
  const auto kind =
      body ? content_kind_from(static_cast<std::uint8_t>(key[1])) : std::optional<content_kind>{};
  if (!kind) {
    return std::nullopt;
  }
  field_reader in{*body};
  entry e;
  e.kind = *kind;
  e.name = digest_at(key.substr(2));
  const auto version = in.take<std::uint8_t>();
  const auto flags = in.take<std::uint8_t>();
  const auto keys = in.take<std::uint16_t>();
  e.uses = in.take<std::uint32_t>();
  e.size = in.take<std::uint64_t>();
  e.offset = in.take<std::uint64_t>();
  e.stored = in.take<std::uint64_t>();
  e.last_use = in.take<std::uint64_t>();
  e.cost_us = in.take<std::uint64_t>();
  e.content.bytes = in.take<decltype(e.content.bytes)>();
  e.from.author.key = in.take<decltype(e.from.author.key)>();
  e.from.statement.bytes = in.take<decltype(e.from.statement.bytes)>();
  if (!in.sound() || version != record_version || (flags & ~known_flags) != 0 ||
      keys > limits::store_keys_per_entry_max || !in_range(e)) {
    return std::nullopt;
  }
  for (std::uint16_t i = 0; i < keys; ++i) {
    e.keys.push_back({in.take<decltype(digest::bytes)>()});
  }
  e.pinned = (flags & flag_pinned) != 0;
  e.is_private = (flags & flag_private) != 0;
  e.from.verified = (flags & flag_verified) != 0;
  return in.sound_and_done() ? std::optional{std::move(e)} : std::nullopt;
}

std::string to_record(const digest& key, const key_target& target) {
  std::string body;
  put(body, record_version);
  put(body, target.kind);
  put(body, target.name.bytes);
  return with_check(key_index_key(key), std::move(body));
}

std::optional<key_target> key_target_from(std::string_view key, std::string_view record) {
  const auto body = body_of(key_table, 1 + digest::size, key, record);
  if (!body) {
    return std::nullopt;
  }
  field_reader in{*body};
  const auto version = in.take<std::uint8_t>();
  const auto kind = content_kind_from(in.take<std::uint8_t>());
  key_target target;
  target.name.bytes = in.take<decltype(target.name.bytes)>();
  if (!in.sound_and_done() || version != record_version || !kind) {
    return std::nullopt;
  }
  target.kind = *kind;
  return target;
}

std::string to_record(content_kind kind, const kind_counters& counters) {
  std::string body;
  put(body, record_version);
  for (const std::uint64_t value :
       {counters.hits, counters.misses, counters.stored, counters.evicted, counters.damaged,
        counters.bytes_served, counters.saved_us}) {
    put(body, value);
  }
  return with_check(counters_index_key(kind), std::move(body));
}

std::optional<kind_counters> counters_from(std::string_view key, std::string_view record) {
  const auto body = body_of(counters_table, 2, key, record);
  if (!body || !content_kind_from(static_cast<std::uint8_t>(key[1]))) {
    return std::nullopt;
  }
  field_reader in{*body};
  const auto version = in.take<std::uint8_t>();
  kind_counters out;
  for (std::uint64_t* const value : {&out.hits, &out.misses, &out.stored, &out.evicted,
                                     &out.damaged, &out.bytes_served, &out.saved_us}) {
    *value = in.take<std::uint64_t>();
  }
  return in.sound_and_done() && version == record_version ? std::optional{out} : std::nullopt;
}

std::string to_record(const index_summary& summary) {
  std::string body;
  put(body, record_version);
  put(body, summary.transaction);
  put(body, summary.records);
  put(body, summary.sum);
  return with_check(summary_index_key(), std::move(body));
}

std::optional<index_summary> summary_from(std::string_view key, std::string_view record) {
  const auto body = body_of(summary_table, 1, key, record);
  if (!body) {
    return std::nullopt;
  }
  field_reader in{*body};
  const auto version = in.take<std::uint8_t>();
  index_summary out;
  out.transaction = in.take<std::uint64_t>();
  out.records = in.take<std::uint64_t>();
  out.sum = in.take<std::uint64_t>();
  return in.sound_and_done() && version == record_version ? std::optional{out} : std::nullopt;
}

} // namespace ovir::storage
