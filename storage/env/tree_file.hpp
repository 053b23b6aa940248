#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ovir::storage {

/// Keys with their new records; nothing where the record goes. Sorted, as the tree is.
using index_changes = std::map<std::string, std::optional<std::string>, std::less<>>;

/// A file of LMDB 0.9, opened to write. Records are read by `index_pages`, which trusts no page;
/// who writes trusts them, so they are checked first.
class tree_file {
public:
  virtual ~tree_file() = default;

  /// All changes or none, on the disk when it returns. After `io_failed` nothing was changed, for
  /// lack of space or because the disk refused; after `internal` it is not known what was, and the
  /// file must be opened anew.
  [[nodiscard]] virtual result<void> commit(const index_changes& changes) = 0;

  /// The number of the last transaction.
  [[nodiscard]] virtual std::uint64_t transaction() const = 0;
};

} // namespace ovir::storage
