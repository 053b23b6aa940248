#include "tests/devices/device_under_test.hpp"

#include <cstdlib>
#include <stdexcept>

namespace ovir::test {

namespace {

const result<compute::opencl_library>& library() {
  static const result<compute::opencl_library> loaded = [] {
    // PoCL compiles each kernel at its first launch; it keeps what it made for the next run.
    ::setenv("POCL_CACHE_DIR", OVIR_BINARY_DIR "/pocl-cache", 0);
    return compute::opencl_library::load();
  }();
  return loaded;
}

std::size_t test_device_index() {
  const char* const wanted = std::getenv("OVIR_TEST_DEVICE");
  return wanted == nullptr ? 0 : std::strtoull(wanted, nullptr, 10);
}

} // namespace

std::optional<std::vector<std::byte>> memory_programs::find(const std::string& name) {
  const auto at = files.find(name);
  if (at == files.end()) {
    return std::nullopt;
  }
  ++found;
  return at->second;
}

void memory_programs::keep(const std::string& name, std::span<const std::byte> file) {
  files[name].assign(file.begin(), file.end());
}

const std::string& why_no_device() {
  static const std::string why = [] {
    if (!library()) {
      return library().error().message;
    }
    return test_device_index() < library()->devices().size()
               ? std::string{}
               : std::string{"the OpenCL library lists none; install pocl-opencl-icd"};
  }();
  return why;
}

std::unique_ptr<compute::device> open_test_device(const compute::device_program& what,
                                                  compute::program_store* store) {
  auto opened = library()->open(test_device_index(), store, what);
  if (!opened) {
    throw std::runtime_error{opened.error().message};
  }
  return std::move(*opened);
}

compute::device& test_device() {
  static const std::unique_ptr<compute::device> shared = open_test_device();
  return *shared;
}

compute::device_program changed_program(const std::string& from, const std::string& to) {
  compute::device_program changed;
  const std::size_t at = changed.source.find(from);
  if (at == std::string::npos) {
    throw std::runtime_error{"the source of the kernels has no " + from};
  }
  changed.source.replace(at, from.size(), to);
  return changed;
}

} // namespace ovir::test
