#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace ovir {

/// Records by key, as a core sees them that could make every one of them again from something else:
/// a shortcut, never the truth. Whoever owns the disk implements it, notices damage, and then has
/// nothing rather than something wrong (docs/adr/0016-ledger.md).
class derived_index {
public:
  /// New records; nothing where one goes.
  using changes = std::map<std::string, std::optional<std::string>, std::less<>>;
  using visitor = std::function<void(std::string_view key, std::string_view record)>;
  static constexpr std::size_t key_bytes_max = 64;
  static constexpr std::size_t record_bytes_max = 1'800; // fits a page of LMDB's twice

  virtual ~derived_index() = default;

  /// Every record, in the order of keys. An error: some may not have come.
  [[nodiscard]] virtual result<void> visit(const visitor& each) = 0;
  [[nodiscard]] virtual result<std::optional<std::string>> find(const std::string& key) = 0;
  /// All or nothing, and it lasts when it returns. After an error other than `io_failed` the index
  /// is not to be used any more.
  [[nodiscard]] virtual result<void> commit(const changes& what) = 0;
  /// Removes every record.
  [[nodiscard]] virtual result<void> clear() = 0;
};

} // namespace ovir
