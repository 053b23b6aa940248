#pragma once

#include "gateway/batches/batch_lines.hpp"
#include "gateway/batches/batch_record.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// Where files and batches last (docs/formats/batches.md): `ID.file` and `ID.batch` are records,
/// `ID.bytes` is what a file has in it. A file is there once its record is. Each call may wait for
/// the disk; after success what it wrote survives a loss of power. Several threads may use it, of
/// one file or batch one at a time.
class batch_folder {
public:
  /// `environment` outlives it.
  batch_folder(storage::env& environment, std::string path)
      : env_(environment), path_(std::move(path)) {}

  struct contents {
    std::vector<stored_file> files;
    std::vector<batch_record> batches;
    std::vector<std::string> damaged; ///< a sentence for each record that is left aside
  };
  /// What an earlier life kept. Bytes that belong to nothing are removed. Before all others.
  [[nodiscard]] result<contents> open();

  [[nodiscard]] result<void> keep(const stored_file& file, std::string_view bytes);
  [[nodiscard]] result<void> keep(const stored_file& file); ///< whose bytes are there
  [[nodiscard]] result<void> keep(const batch_record& batch);
  /// Success also where there is none.
  [[nodiscard]] result<void> drop_file(const std::string& id);
  [[nodiscard]] result<void> drop_batch(const std::string& id);

  [[nodiscard]] result<std::shared_ptr<storage::mapped_file>> bytes_of(const std::string& id);
  /// Writes `text` into the bytes of a file that a batch fills, at `at`, its end.
  [[nodiscard]] result<void> write(const std::string& id, std::uint64_t at, std::string_view text);
  /// The lines of such a file, whose torn end is cut off; none where there is no such file.
  [[nodiscard]] result<written_lines> lines_of(const std::string& id, std::string_view batch);

private:
  [[nodiscard]] std::string record_path(const std::string& id) const;
  [[nodiscard]] std::string bytes_path(const std::string& id) const;
  [[nodiscard]] result<void> replace(const std::string& path, std::string_view text);
  void load_file(const std::string& name, contents& to);
  void load_batch(const std::string& name, contents& to);

  storage::env& env_;
  std::string path_;
};

} // namespace ovir::gateway
