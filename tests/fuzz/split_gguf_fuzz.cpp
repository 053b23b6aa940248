// Models in several files, of which each may hold anything. The first two bytes say where the input
// is cut into up to three files; they are parsed, joined, and bound where they make a model.
#include "compute/gguf/split_gguf.hpp"
#include "compute/model/model.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::compute;
  if (size < 2) {
    return 0;
  }
  const std::size_t left = size - 2;
  const std::size_t first = left * data[0] / 256;
  const std::size_t second = (left - first) * data[1] / 256;
  // Tensors of a file are aligned to 32 bytes, as a mapping would have them.
  std::vector<std::vector<std::byte>> files;
  std::vector<gguf> parts;
  const auto* at = reinterpret_cast<const std::byte*>(data) + 2;
  for (const std::size_t bytes : {first, second, left - first - second}) {
    files.emplace_back(at, at + bytes);
    at += bytes;
  }
  for (const std::vector<std::byte>& file : files) {
    auto parsed = gguf::parse(file);
    if (parsed) {
      parts.push_back(std::move(*parsed));
    }
  }
  if (parts.empty()) {
    return 0;
  }
  std::size_t tensors = 0;
  for (const gguf& part : parts) {
    tensors += part.tensors().size();
  }
  const auto joined = join_split(std::move(parts));
  if (joined) {
    OVIR_CHECK(joined->tensors().size() == tensors, tensors);
    for (const gguf_tensor& tensor : joined->tensors()) {
      OVIR_CHECK(joined->find_tensor(tensor.name) == &tensor);
    }
    static_cast<void>(bind_model(*joined));
  }
  return 0;
}
