// A target that must fail: proof that the fuzzer finds bugs and that the replay reports them. It
// ends the process when the input starts with four given bytes.
#include "messages/check.hpp"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bool found =
      size >= 4 && data[0] == 'O' && data[1] == 'V' && data[2] == 'I' && data[3] == 'R';
  OVIR_CHECK(!found, size);
  return 0;
}
