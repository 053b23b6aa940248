#include "tests/support/shared_files.hpp"

#include <cstdlib>
#include <stdexcept>

namespace ovir::test {

namespace fs = std::filesystem;

std::optional<fs::path> shared_file(const std::string& name) {
  const char* folder = std::getenv("OVIR_SHARED");
  const fs::path root =
      folder != nullptr ? fs::path{folder} : fs::path{OVIR_SOURCE_DIR}.parent_path() / "shared";
  fs::path path = root / name;
  if (!fs::exists(path)) {
    return std::nullopt;
  }
  return path;
}

fs::path source_file(const std::string& name) { return fs::path{OVIR_SOURCE_DIR} / name; }

temporary_folder::temporary_folder() {
  std::string pattern = (fs::temp_directory_path() / "ovir-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("cannot make a temporary folder");
  }
  path_ = pattern;
}

temporary_folder::~temporary_folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

} // namespace ovir::test
