#include "compute/forward/segment_file.hpp"

#include "compute/gguf/gguf.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/manifest.hpp"

#include <cstring>
#include <span>
#include <type_traits>

namespace ovir::compute {

namespace {

constexpr std::string_view magic = "GGUF";
constexpr std::uint32_t gguf_version = 3;
constexpr std::uint64_t gguf_alignment = 32; // where the metadata names none

template <class T>
void put(std::string& out, T value) {
  static_assert(std::is_integral_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

std::uint64_t rounded(std::uint64_t bytes, std::uint64_t step) {
  return (bytes + step - 1) / step * step;
}

/// Bytes of a value of this type that says nothing of its own length; 0 for the others.
std::uint64_t fixed_bytes(std::uint32_t type) {
  switch (static_cast<gguf_type>(type)) {
  case gguf_type::u8:
  case gguf_type::i8:
  case gguf_type::boolean: return 1;
  case gguf_type::u16:
  case gguf_type::i16: return 2;
  case gguf_type::u32:
  case gguf_type::i32:
  case gguf_type::f32: return 4;
  case gguf_type::u64:
  case gguf_type::i64:
  case gguf_type::f64: return 8;
  case gguf_type::string:
  case gguf_type::array: return 0;
  }
  return 0;
}

/// Walks canonical metadata (docs/formats/manifest.md) and writes it as GGUF has it: only the
/// lengths of keys differ. Counts and lengths are compared with the bytes present.
class metadata_walk {
public:
  explicit metadata_walk(std::string_view bytes) : rest_(bytes) {}

  /// The number of entries.
  result<std::uint64_t> write(std::string& out) {
    std::uint64_t entries = 0;
    for (; !rest_.empty(); ++entries) {
      OVIR_TRY(entry(out));
    }
    return entries;
  }

private:
  result<std::string_view> take(std::uint64_t bytes) {
    if (bytes > rest_.size()) {
      return fail(errc::malformed, "the manifest's metadata ends within an entry; fetch it again");
    }
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  template <class T>
  result<T> number() {
    OVIR_ASSIGN(const std::string_view bytes, take(sizeof(T)));
    T value{};
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  result<void> text() {
    OVIR_ASSIGN(const auto bytes, number<std::uint64_t>());
    OVIR_TRY(take(bytes));
    return {};
  }
  result<void> array() {
    OVIR_ASSIGN(const auto element, number<std::uint32_t>());
    OVIR_ASSIGN(const auto count, number<std::uint64_t>());
    if (const std::uint64_t size = fixed_bytes(element); size > 0) {
      if (count > rest_.size() / size) {
        return fail(errc::malformed, "a list of the manifest's metadata claims {} elements", count);
      }
      OVIR_TRY(take(count * size));
      return {};
    }
    if (static_cast<gguf_type>(element) != gguf_type::string) {
      return fail(errc::unsupported, "the manifest's metadata has a list of type {}", element);
    }
    for (std::uint64_t i = 0; i < count; ++i) { // ends with the bytes, whatever the count
      OVIR_TRY(text());
    }
    return {};
  }
  result<void> entry(std::string& out) {
    OVIR_ASSIGN(const auto key_bytes, number<std::uint32_t>());
    OVIR_ASSIGN(const std::string_view key, take(key_bytes));
    put<std::uint64_t>(out, key.size());
    out += key;
    const std::string_view value = rest_;
    OVIR_ASSIGN(const auto type, number<std::uint32_t>());
    if (const std::uint64_t size = fixed_bytes(type); size > 0) {
      OVIR_TRY(take(size));
    } else if (static_cast<gguf_type>(type) == gguf_type::string) {
      OVIR_TRY(text());
    } else if (static_cast<gguf_type>(type) == gguf_type::array) {
      OVIR_TRY(array());
    } else {
      return fail(errc::unsupported, "the manifest's metadata has an entry of type {}", type);
    }
    out += value.substr(0, value.size() - rest_.size());
    return {};
  }

  std::string_view rest_;
};

} // namespace

result<segment_file> lay_out(const model_manifest& manifest, std::string_view tokenizer) {
  if (tokenizer.size() != manifest.tokenizer_bytes ||
      hash_plain(std::as_bytes(std::span{tokenizer})) != manifest.tokenizer) {
    return fail(errc::digest_mismatch, "these {} bytes are not the tokenizer of the manifest",
                tokenizer.size());
  }
  std::string metadata;
  metadata.reserve(manifest.parameters.size() + tokenizer.size() + segment_file_page);
  OVIR_ASSIGN(const std::uint64_t parameters, metadata_walk{manifest.parameters}.write(metadata));
  OVIR_ASSIGN(const std::uint64_t words, metadata_walk{tokenizer}.write(metadata));
  std::uint64_t infos = 0;
  for (const tensor_manifest& t : manifest.tensors) {
    infos += sizeof(std::uint64_t) + t.name.size() + 2 * sizeof(std::uint32_t) +
             (t.dims + std::uint64_t{1}) * sizeof(std::uint64_t);
  }
  const std::uint64_t front =
      magic.size() + sizeof(std::uint32_t) + 2 * sizeof(std::uint64_t) + metadata.size() + infos;
  const std::uint64_t data = rounded(front, gguf_alignment);
  segment_file file;
  std::uint64_t next = rounded(data, segment_file_page);
  for (const tensor_manifest& t : manifest.tensors) {
    file.places.push_back(next);
    if (t.bytes > limits::manifest_tensor_bytes_max || next > limits::manifest_tensor_bytes_max) {
      return fail(errc::over_limit, "the model of the manifest has more than {} bytes",
                  limits::manifest_tensor_bytes_max);
    }
    next = rounded(next + t.bytes, segment_file_page);
  }
  file.bytes = next;
  file.head.reserve(data);
  file.head += magic;
  put(file.head, gguf_version);
  put<std::uint64_t>(file.head, manifest.tensors.size());
  put<std::uint64_t>(file.head, parameters + words);
  file.head += metadata;
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const tensor_manifest& t = manifest.tensors[i];
    put<std::uint64_t>(file.head, t.name.size());
    file.head += t.name;
    put(file.head, t.dims);
    for (std::uint32_t d = 0; d < t.dims; ++d) {
      put(file.head, t.shape.at(d));
    }
    put(file.head, t.raw_type);
    put<std::uint64_t>(file.head, file.places[i] - data);
  }
  OVIR_CHECK(file.head.size() == front, file.head.size(), front);
  file.head.resize(data);
  return file;
}

} // namespace ovir::compute
