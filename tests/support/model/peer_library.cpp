#include "tests/support/model/peer_library.hpp"

#include "tests/support/shared_files.hpp"

#include <dlfcn.h>

#include <stdexcept>

namespace ovir::test {

std::optional<std::filesystem::path> peer_folder() {
  constexpr const char* inside = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64";
  // Where the benchmarks put the same package.
  for (const char* const folder : {"tests/peers", "build/bench/peer"}) {
    const std::filesystem::path bins = source_file(std::string{folder} + "/" + inside);
    if (std::filesystem::exists(bins / "libggml-base.so")) {
      return bins;
    }
  }
  return std::nullopt;
}

peer_library::peer_library(const std::filesystem::path& file)
    : handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL), [](void* handle) {
        if (handle != nullptr) {
          dlclose(handle);
        }
      }) {
  if (!handle_) {
    throw std::runtime_error(dlerror());
  }
}

void* peer_library::address(const char* name) const {
  void* const found = dlsym(handle_.get(), name);
  if (found == nullptr) {
    throw std::runtime_error(std::string{"no function "} + name);
  }
  return found;
}

} // namespace ovir::test
