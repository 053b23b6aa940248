#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace ovir::test {

/// Path of a file of the shared test data (real models, vectors): below `$OVIR_SHARED`, else below
/// the folder `shared` beside the checkout. Empty when absent.
[[nodiscard]] std::optional<std::filesystem::path> shared_file(const std::string& name);

/// Path of a file of the repository, e.g. "assets/tales-q4_k_m.gguf".
[[nodiscard]] std::filesystem::path source_file(const std::string& name);

/// A fresh folder below the system's temporary one, removed with its content at the end of scope.
class temporary_folder {
public:
  temporary_folder();
  ~temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace ovir::test

/// Binds `variable` to the path of a shared file, or skips the test visibly where it is absent.
#define OVIR_SHARED_FILE(variable, name)                                                           \
  const auto variable##_found = ::ovir::test::shared_file(name);                                   \
  if (!variable##_found) {                                                                         \
    GTEST_SKIP() << "needs the shared test data: " << (name) << " (set OVIR_SHARED)";              \
  }                                                                                                \
  const std::filesystem::path& variable = *variable##_found
