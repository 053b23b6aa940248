#include "compute/forward/segment_file.hpp"
#include "compute/gguf/gguf.hpp"
#include "messages/check.hpp"

#include <cstdint>
#include <span>
#include <string_view>

// Any bytes as the metadata of a manifest whose digests are right, as a forger of models would make
// them: laid out as a file, or refused. What GGUF's parser then accepts of the file has the same
// manifest again, unless the same key occurs in both halves.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const std::string_view all{reinterpret_cast<const char*>(data), size};
  const std::size_t half = size == 0 ? 0 : data[0] % (size + 1);
  compute::model_manifest manifest;
  manifest.parameters = all.substr(0, half);
  const std::string_view tokenizer = all.substr(half);
  manifest.tokenizer = hash_plain(std::as_bytes(std::span{tokenizer}));
  manifest.tokenizer_bytes = tokenizer.size();
  const auto file = compute::lay_out(manifest, tokenizer);
  if (!file) {
    OVIR_CHECK(!file.error().message.empty());
    return 0;
  }
  OVIR_CHECK(file->head.size() <= file->bytes);
  std::string whole = file->head;
  whole.resize(file->bytes);
  const auto parsed = compute::gguf::parse(std::as_bytes(std::span{whole}));
  if (!parsed) {
    return 0; // a key twice, a text that is none: the parser's to say
  }
  OVIR_CHECK(compute::tokenizer_bytes_of(*parsed).size() <= size);
  return 0;
}
