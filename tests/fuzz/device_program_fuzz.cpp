// Any bytes as a file of a built program: what is accepted is a part of the file. And any bytes as
// a program come back from the file that keeps them, and from no file with one bit changed.
#include "compute/devices/program_file.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(data), size};
  const digest key = hash("ovir/fuzz", {});
  if (const auto program = compute::decode_program(key, bytes)) {
    OVIR_CHECK(program->data() > bytes.data() && program->size() < size);
  } else {
    OVIR_CHECK(!program.error().message.empty());
  }
  std::vector<std::byte> file = compute::encode_program(key, bytes);
  const auto back = compute::decode_program(key, file);
  OVIR_CHECK(back && std::equal(back->begin(), back->end(), bytes.begin(), bytes.end()));
  const std::size_t bit = size == 0 ? 0 : (data[0] * 257U + size) % (file.size() * 8);
  file[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  OVIR_CHECK(!compute::decode_program(key, file));
  return 0;
}
