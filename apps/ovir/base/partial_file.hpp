#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ovir::apps {

/// A file that arrives over several runs: beside its target as TARGET.part, for one process at a
/// time, until it is whole.
class partial_file {
public:
  /// Opens what an earlier run left, or begins. `busy` while another process has it.
  [[nodiscard]] static result<partial_file> open(const std::string& target);

  ~partial_file();
  partial_file(partial_file&& other) noexcept;
  partial_file(const partial_file&) = delete;
  partial_file& operator=(const partial_file&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// Forgets everything.
  [[nodiscard]] result<void> clear();
  [[nodiscard]] result<void> append(std::span<const std::byte> bytes);
  /// Makes it last and gives it its name, which it appears under whole; `invalid_argument` where
  /// something has this name by now.
  [[nodiscard]] result<void> finish();
  /// Removes it.
  void discard();

private:
  partial_file(std::string target, std::string path, int file, std::uint64_t size)
      : target_(std::move(target)), path_(std::move(path)), file_(file), size_(size) {}

  std::string target_;
  std::string path_;
  int file_;
  std::uint64_t size_;
};

} // namespace ovir::apps
