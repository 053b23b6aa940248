#pragma once

#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::storage {

/// Where a tree of LMDB's begins, as its meta page says.
struct tree_root {
  std::uint64_t transaction{0};
  std::uint64_t page{0}; ///< `no_page`: an empty tree
  std::uint16_t depth{0};
  std::uint64_t records{0};
  std::uint64_t free_page{0}; ///< root of the tree of free pages, likewise
  std::uint16_t free_depth{0};
  std::uint64_t pages_end{0}; ///< one more than the last page's number
  std::uint32_t page_bytes{0};

  static constexpr std::uint64_t no_page = ~std::uint64_t{0};
};

/// What a look at every page found.
struct pages_found {
  bool sound{true}; ///< LMDB may open and write this file
  std::uint64_t records{0};
  std::uint64_t damaged_pages{0};
};

/// Reads the file that LMDB 0.9 writes, without trusting a byte of it: every page is copied before
/// it is looked at, every number in it compared with what is there, and no link leads in a circle.
/// A damaged page is an answer, never a crash. (LMDB itself follows what its pages say, and may
/// read or write anywhere in memory.) The layout is that of LMDB's data version 1 on a 64-bit
/// little-endian machine.
///
/// For one thread at a time; several may read the same file, also while LMDB writes to it, as long
/// as not more than one transaction is committed during a lookup: LMDB writes no page that the last
/// two states of the tree consist of.
class index_pages {
public:
  enum class lookup : std::uint8_t { found, absent, damaged };
  using record_visitor = std::function<void(std::string_view key, std::string_view record)>;

  /// `file` must outlive it.
  explicit index_pages(const durable_file& file) : file_(file) {}

  /// The newer of the two meta pages. Nothing unless both are as LMDB wants them.
  [[nodiscard]] std::optional<tree_root> newest_root();
  /// Every meta page that is whole, the newest first: for rescuing records.
  [[nodiscard]] std::vector<tree_root> possible_roots();

  /// Finds a record and copies it to `record`.
  [[nodiscard]] lookup find(const tree_root& root, std::string_view key, std::string& record);
  /// Up to `count` records from one page around `key`, in order: a sample where keys are digests.
  [[nodiscard]] bool sample(const tree_root& root, std::string_view key, std::size_t count,
                            const record_visitor& visit);
  /// Every record that can be reached, in order; a damaged page hides those below it.
  [[nodiscard]] pages_found visit_all(const tree_root& root, const record_visitor& visit);
  /// As `visit_all`, and looks at the pages said to be free as well.
  [[nodiscard]] pages_found check_all(const tree_root& root, const record_visitor& visit);

  /// True when the pages that changing `key` may involve are sound: its path, and the neighbours
  /// with which pages on it may be merged.
  [[nodiscard]] bool path_is_sound(const tree_root& root, std::string_view key);
  /// True when the tree of free pages is sound.
  [[nodiscard]] bool free_tree_is_sound(const tree_root& root);

private:
  struct page;
  struct walk;
  /// Quick: no number leads out of the page, which is all that reading needs. Thorough: also
  /// everything that LMDB relies on when it changes a page.
  enum class look : std::uint8_t { quick, thorough };

  [[nodiscard]] std::optional<tree_root> root_at(std::uint32_t page_bytes, int number);
  [[nodiscard]] std::optional<page> load(const tree_root& root, std::uint64_t number, bool leaf,
                                         bool integers, look how = look::thorough);
  void visit_below(walk& w, std::uint64_t number, std::uint16_t depth,
                   std::optional<std::string_view> low, std::optional<std::string_view> high);
  void visit_free_leaf(walk& w, const page& p);
  [[nodiscard]] bool read_overflow(walk& w, std::uint64_t number, std::uint32_t bytes,
                                   std::vector<std::byte>& out);
  void visit_free_below(walk& w, std::uint64_t number, std::uint16_t depth);

  const durable_file& file_;
};

} // namespace ovir::storage
