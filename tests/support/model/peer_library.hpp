#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

/// llama.cpp's own libraries, from the package that tests/peers/README.md says how to install.
namespace ovir::test {

/// The folder with the package's libraries; empty where nobody installed it.
[[nodiscard]] std::optional<std::filesystem::path> peer_folder();

/// A shared library, held open. Throws where it cannot be loaded.
class peer_library {
public:
  explicit peer_library(const std::filesystem::path& file);

  /// The address of `name`, as a pointer to a function.
  template <class F>
  [[nodiscard]] F* function(const char* name) const {
    return reinterpret_cast<F*>(address(name));
  }

private:
  [[nodiscard]] void* address(const char* name) const;

  std::shared_ptr<void> handle_;
};

} // namespace ovir::test

/// Binds `variable` to the package's folder, or skips the test visibly where there is none.
#define OVIR_PEER_FOLDER(variable)                                                                 \
  const auto variable##_found = ::ovir::test::peer_folder();                                       \
  if (!variable##_found) {                                                                         \
    GTEST_SKIP() << "needs llama.cpp's libraries: npm ci --ignore-scripts in tests/peers";         \
  }                                                                                                \
  const std::filesystem::path& variable = *variable##_found
