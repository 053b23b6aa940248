#include "bindings/cpp/thrown.hpp"

namespace ovir::v0 {

error::error(std::string code, const std::string& message)
    : std::runtime_error(message), code_(std::move(code)) {}
error::~error() = default;

const std::string& error::code() const noexcept { return code_; }

void throw_error(const ovir::error& reason) {
  throw error{std::string{to_string(reason.code)}, reason.message};
}

std::string_view library_version() noexcept { return OVIR_VERSION; }

} // namespace ovir::v0
