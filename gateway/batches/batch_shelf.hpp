#pragma once

#include "gateway/batches/batch_record.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/bounded_json.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// What a client wants of a list.
struct list_query {
  std::uint64_t most{0};
  std::string after;       ///< id of the last one that it has; empty: none
  bool newest_first{true}; ///< what was made in one second is in the order of its ids
  std::string purpose;     ///< of files; empty: any
};

/// Which files and batches there are, whose they are, and how many there may be. A core.
///
/// What is `begun` counts, and is not seen before it is `settled`: meanwhile it comes to the disk.
class batch_shelf {
public:
  // Files

  /// 429 where the key has as many as it may have, 503 where the gateway has.
  [[nodiscard]] std::optional<api_error> begin_file(const stored_file& file);
  void settle_file(const std::string& id);
  /// Of one that is settled already: of an earlier life, or the output of a batch.
  void put_file(const stored_file& file);
  void drop_file(const std::string& id);
  /// Null: the owner has no such file.
  [[nodiscard]] const stored_file* find_file(std::string_view owner, const std::string& id) const;
  [[nodiscard]] api_result<json> list_files(std::string_view owner, const list_query& query) const;
  /// Whether a batch that is not over reads it.
  [[nodiscard]] bool in_use(const std::string& file) const;
  /// Ids of files whose time is over, and which no batch reads.
  [[nodiscard]] std::vector<std::string> expired_files(std::uint64_t unix_seconds) const;

  // Batches

  [[nodiscard]] std::optional<api_error> begin_batch(const batch_record& batch);
  void settle_batch(const std::string& id);
  void put_batch(const batch_record& batch);
  void drop_batch(const std::string& id);
  [[nodiscard]] const batch_record* find_batch(std::string_view owner, const std::string& id) const;
  /// Of whichever owner. Null: there is none. Others are not told.
  [[nodiscard]] batch_record* record_of(const std::string& id);
  [[nodiscard]] api_result<json> list_batches(std::string_view owner,
                                              const list_query& query) const;
  /// Ids of batches that are over and more than their owner may have, the oldest first.
  [[nodiscard]] std::vector<std::string> surplus_batches(std::string_view owner) const;
  /// Of those that are over, and so old that no file of theirs can be there.
  [[nodiscard]] std::vector<std::string> expired_batches(std::uint64_t unix_seconds) const;

  [[nodiscard]] std::size_t open_batches() const;
  [[nodiscard]] bool empty() const noexcept { return files_.empty() && batches_.empty(); }
  [[nodiscard]] std::size_t files() const noexcept { return files_.size(); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
  template <class Record>
  struct kept {
    Record record;
    bool settled{true};
  };
  struct holding {
    std::size_t files{0};
    std::uint64_t bytes{0};
  };

  std::map<std::string, kept<stored_file>> files_;
  std::map<std::string, kept<batch_record>> batches_;
  std::map<std::string, holding, std::less<>> holdings_; ///< of files, by owner
  std::uint64_t bytes_{0};
};

} // namespace ovir::gateway
