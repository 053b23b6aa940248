#include "tests/store/store_folder.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>

namespace ovir::test {

namespace {

constexpr std::uint64_t usual_seed = 20'260'914;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

} // namespace

store_folder::store_folder(const std::string& name)
    : path_(std::filesystem::temp_directory_path() / (name + "-" + std::to_string(::getpid()))) {
  std::filesystem::remove_all(path_);
  std::filesystem::create_directories(path_);
}

store_folder::~store_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::unique_ptr<storage::content_store> open_store(const std::string& folder,
                                                   storage::store_options options) {
  static const std::unique_ptr<storage::env> machine = storage::make_env_posix();
  auto store = storage::content_store::open(*machine, folder, options);
  if (!store) {
    throw std::runtime_error(store.error().message);
  }
  return std::move(*store);
}

std::vector<std::byte> content_of(std::uint64_t number, std::size_t size) {
  std::mt19937_64 random{number};
  std::vector<std::byte> bytes(size + sizeof(std::uint64_t));
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, sizeof(word));
  }
  bytes.resize(size);
  return bytes;
}

digest digest_of(std::uint64_t number) {
  return hash("ovir/test/v1/number", std::as_bytes(std::span{&number, 1}));
}

std::uint64_t effort() { return number_from("OVIR_STORE_EFFORT", 1); }
std::uint64_t test_seed() { return number_from("OVIR_SEED", usual_seed); }

int fork_child() {
  std::fflush(nullptr);
  return ::fork();
}

int wait_for_child(int child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void leave_child(int code) {
  std::fflush(nullptr);
  ::_exit(code);
}

} // namespace ovir::test
