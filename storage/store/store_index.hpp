#pragma once

#include "messages/durable_file.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"
#include "storage/index/index_pages.hpp"
#include "storage/store/store_record.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace ovir::storage {

/// What opening an index found and did.
struct index_report {
  bool made{false};    ///< there was none
  bool rebuilt{false}; ///< it was damaged; what could be read is in a new file
  std::uint64_t damaged_pages{0};
  std::uint64_t records_lost{0}; ///< at least
};

/// Gets every record while an index is opened.
struct index_loader {
  index_pages::record_visitor record;
  std::function<void()> restart; ///< forget what came so far: it comes again
};

/// The index of a content store: a file of LMDB that is believed only after every page and record
/// of it was checked. Damage is mended by copying what can be read into a new file. One owner.
class store_index {
public:
  /// `unsupported` for the file of another version, `io_failed` where the disk refuses. The folder
  /// is there and locked.
  [[nodiscard]] static result<store_index> open(env& environment, const std::string& folder,
                                                const index_loader& loader, index_report& report);

  /// `digest_mismatch` where a page on the way is damaged: open the index anew.
  [[nodiscard]] result<std::optional<std::string>> find(const std::string& key);
  /// A few records around `key`, for choosing among many by chance.
  [[nodiscard]] result<void> sample(const std::string& key, std::size_t count,
                                    const index_pages::record_visitor& visit);
  [[nodiscard]] result<void> visit_all(const index_pages::record_visitor& visit);
  /// All or nothing, and on the disk when it returns. After `io_failed` nothing was changed; after
  /// `digest_mismatch` (pages are damaged) and `internal` the index must be opened anew.
  [[nodiscard]] result<void> commit(index_changes changes);

  [[nodiscard]] const tree_root& root() const noexcept { return root_; }
  [[nodiscard]] const std::shared_ptr<const durable_file>& file() const noexcept { return file_; }
  [[nodiscard]] std::uint64_t bytes_on_disk() const noexcept { return file_->bytes_on_disk(); }

  /// Copies every record into a new file without gaps, and takes it. As `open` afterwards.
  [[nodiscard]] static result<void> rewrite(env& environment, const std::string& folder);

private:
  store_index(std::shared_ptr<const durable_file> file, std::unique_ptr<tree_file> writer,
              tree_root root, index_summary summary);
  [[nodiscard]] result<void> check_pages(const index_changes& changes);
  [[nodiscard]] result<index_summary> summary_after(const index_changes& changes);

  std::shared_ptr<const durable_file> file_;
  std::unique_ptr<tree_file> writer_;
  tree_root root_;
  index_summary summary_;
};

} // namespace ovir::storage
