#include "tests/support/model/loaded_model.hpp"

#include "tests/support/model/gguf_builder.hpp"

#include <stdexcept>

namespace ovir::test {

namespace {

template <class T>
std::unique_ptr<T> owned(result<T> made) {
  if (!made) {
    throw std::runtime_error(made.error().message);
  }
  return std::make_unique<T>(std::move(made).value());
}

} // namespace

loaded_model::loaded_model(std::vector<std::byte> bytes)
    : bytes_(std::move(bytes)), file_(owned(compute::gguf::parse(bytes_))),
      model_(owned(compute::bind_model(*file_))) {}

loaded_model::loaded_model(const std::filesystem::path& file) : loaded_model(bytes_of_file(file)) {}

} // namespace ovir::test
