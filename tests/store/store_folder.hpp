#pragma once

#include "storage/store/content_store.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// A folder for a test, gone when dropped.
class store_folder {
public:
  explicit store_folder(const std::string& name);
  ~store_folder();
  store_folder(const store_folder&) = delete;
  store_folder& operator=(const store_folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string store() const { return (path_ / "store").string(); }

private:
  std::filesystem::path path_;
};

/// Throws where the store cannot be opened.
[[nodiscard]] std::unique_ptr<storage::content_store>
open_store(const std::string& folder, storage::store_options options = {});

/// Bytes that follow from a number.
[[nodiscard]] std::vector<std::byte> content_of(std::uint64_t number, std::size_t size);
/// A digest that follows from a number: a key, or an owner's salt.
[[nodiscard]] digest digest_of(std::uint64_t number);

/// `OVIR_STORE_EFFORT=100` makes the long tests of this tier a hundred times longer.
[[nodiscard]] std::uint64_t effort();
/// `OVIR_SEED`, else a fixed one; printed with failures by whoever uses it.
[[nodiscard]] std::uint64_t test_seed();

/// Runs `body` in a child process, a copy of this one. Its exit code, or minus the signal that
/// ended it.
template <class Body>
[[nodiscard]] int run_in_child(const Body& body);

/// Waits for a child; its exit code, or minus the signal.
[[nodiscard]] int wait_for_child(int child);
[[nodiscard]] int fork_child();
[[noreturn]] void leave_child(int code);

template <class Body>
int run_in_child(const Body& body) {
  const int child = fork_child();
  if (child == 0) {
    leave_child(body());
  }
  return wait_for_child(child);
}

} // namespace ovir::test
