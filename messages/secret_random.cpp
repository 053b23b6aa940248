#include "messages/secret_random.hpp"

#include "messages/check.hpp"

#include <sodium.h>

namespace ovir {

void fill_secret(std::span<std::byte> out) {
  static const int outcome = ::sodium_init();
  OVIR_CHECK(outcome >= 0, outcome);
  ::randombytes_buf(out.data(), out.size());
}

} // namespace ovir
