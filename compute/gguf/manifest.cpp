#include "compute/gguf/manifest.hpp"

#include "compute/gguf/join_adapter.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/manifest.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace ovir::compute {

namespace {

static_assert(std::endian::native == std::endian::little, "manifests are little-endian");

constexpr std::string_view magic = "OVM1";

template <class T>
void put(std::string& out, T value) {
  static_assert(std::is_integral_v<T>);
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void put(std::string& out, const digest& d) {
  out.append(reinterpret_cast<const char*>(d.bytes.data()), d.bytes.size());
}

/// A value in as many bytes as its type has in the file.
void put_value(std::string& out, const gguf_entry& entry) {
  if (const auto* const text = std::get_if<std::string_view>(&entry.value)) {
    put<std::uint64_t>(out, text->size());
    out += *text;
  } else if (const auto* const array = std::get_if<gguf_array>(&entry.value)) {
    put(out, static_cast<std::uint32_t>(array->element));
    put(out, array->count);
    out.append(reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size());
  } else if (const auto* const yes = std::get_if<bool>(&entry.value)) {
    put<std::uint8_t>(out, *yes ? 1 : 0);
  } else if (const auto* const real = std::get_if<double>(&entry.value)) {
    if (entry.type == gguf_type::f32) {
      put(out, std::bit_cast<std::uint32_t>(static_cast<float>(*real)));
    } else {
      put(out, std::bit_cast<std::uint64_t>(*real));
    }
  } else {
    const std::uint64_t bits = std::holds_alternative<std::int64_t>(entry.value)
                                   ? static_cast<std::uint64_t>(std::get<std::int64_t>(entry.value))
                                   : std::get<std::uint64_t>(entry.value);
    switch (entry.type) {
    case gguf_type::u8:
    case gguf_type::i8: return put(out, static_cast<std::uint8_t>(bits));
    case gguf_type::u16:
    case gguf_type::i16: return put(out, static_cast<std::uint16_t>(bits));
    case gguf_type::u32:
    case gguf_type::i32: return put(out, static_cast<std::uint32_t>(bits));
    default: return put(out, bits);
    }
  }
}

/// The entries whose key `belongs`, by key, as canonical bytes.
template <class Predicate>
std::string metadata_bytes(const gguf& file, const Predicate& belongs) {
  std::vector<const gguf_entry*> chosen;
  for (const gguf_entry& entry : file.entries()) {
    if (belongs(entry.key)) {
      chosen.push_back(&entry);
    }
  }
  std::sort(chosen.begin(), chosen.end(),
            [](const gguf_entry* a, const gguf_entry* b) { return a->key < b->key; });
  std::string out;
  for (const gguf_entry* const entry : chosen) {
    put<std::uint32_t>(out, static_cast<std::uint32_t>(entry->key.size()));
    out += entry->key;
    put(out, static_cast<std::uint32_t>(entry->type));
    put_value(out, *entry);
  }
  return out;
}

std::uint64_t chunks_of(std::uint64_t bytes) {
  return (bytes + manifest_chunk_bytes - 1) / manifest_chunk_bytes;
}

/// Takes fields off the front of bytes that nobody vouches for.
class reader {
public:
  explicit reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  result<T> number(std::string_view what) {
    if (rest_.size() < sizeof(T)) {
      return ended(what);
    }
    T value{};
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  result<std::string> text(std::size_t bytes, std::string_view what) {
    if (rest_.size() < bytes) {
      return ended(what);
    }
    std::string out{reinterpret_cast<const char*>(rest_.data()), bytes};
    rest_ = rest_.subspan(bytes);
    return out;
  }
  result<digest> one_digest(std::string_view what) {
    OVIR_ASSIGN(const std::string bytes, text(digest::size, what));
    digest d;
    std::memcpy(d.bytes.data(), bytes.data(), digest::size);
    return d;
  }
  [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }

private:
  static error ended(std::string_view what) {
    return fail(errc::malformed, "the manifest ends within {}; fetch it again", what);
  }

  std::span<const std::byte> rest_;
};

result<tensor_manifest> tensor_from(reader& in) {
  tensor_manifest t;
  OVIR_ASSIGN(const auto name_bytes, in.number<std::uint16_t>("a tensor's name"));
  if (name_bytes > limits::manifest_name_bytes_max) {
    return fail(errc::over_limit, "a tensor's name has {} bytes, more than the {} allowed",
                name_bytes, limits::manifest_name_bytes_max);
  }
  OVIR_ASSIGN(t.name, in.text(name_bytes, "a tensor's name"));
  OVIR_ASSIGN(t.raw_type, in.number<std::uint32_t>("a tensor's type"));
  OVIR_ASSIGN(t.dims, in.number<std::uint32_t>("a tensor's shape"));
  if (t.dims > limits::tensor_dims_max) {
    return fail(errc::malformed, "a tensor of the manifest has {} dimensions, more than {}", t.dims,
                limits::tensor_dims_max);
  }
  for (std::uint32_t i = 0; i < t.dims; ++i) {
    OVIR_ASSIGN(t.shape[i], in.number<std::uint64_t>("a tensor's shape"));
  }
  OVIR_ASSIGN(t.bytes, in.number<std::uint64_t>("a tensor's size"));
  if (t.bytes > limits::manifest_tensor_bytes_max ||
      chunks_of(t.bytes) > in.left() / digest::size) {
    return fail(errc::malformed, "a tensor of {} bytes has too few chunks in the manifest",
                t.bytes);
  }
  t.chunks.reserve(chunks_of(t.bytes));
  for (std::uint64_t i = 0; i < chunks_of(t.bytes); ++i) {
    OVIR_ASSIGN(const digest chunk, in.one_digest("a chunk's digest"));
    t.chunks.push_back(chunk);
  }
  return t;
}

} // namespace

std::string tokenizer_bytes_of(const gguf& file) {
  return metadata_bytes(file, [](std::string_view key) { return key.starts_with("tokenizer."); });
}

result<model_manifest> manifest_of(const gguf& file, const std::function<void()>& between,
                                   const model_manifest* base) {
  std::map<std::string_view, const tensor_manifest*> known;
  for (std::size_t i = 0; base != nullptr && i < base->tensors.size(); ++i) {
    known.emplace(base->tensors[i].name, &base->tensors[i]);
  }
  OVIR_ASSIGN(const std::string_view architecture, file.text_at("general.architecture"));
  const std::string prefix = std::string{architecture} + ".";
  model_manifest out;
  // What a file calls itself (general.name and its kin) is not part of what is computed.
  out.parameters = metadata_bytes(file, [&](std::string_view key) {
    return key == "general.architecture" || key == lora_alpha_key || key.starts_with(prefix);
  });
  if (out.parameters.size() > limits::manifest_parameters_bytes_max) {
    return fail(errc::over_limit, "the model's parameters have {} bytes, more than the {} allowed",
                out.parameters.size(), limits::manifest_parameters_bytes_max);
  }
  const std::string tokenizer = tokenizer_bytes_of(file);
  out.tokenizer = hash_plain(std::as_bytes(std::span{tokenizer}));
  out.tokenizer_bytes = tokenizer.size();
  for (const gguf_tensor& tensor : file.tensors()) {
    if (const auto same = known.find(tensor.name); same != known.end()) {
      out.tensors.push_back(*same->second);
      continue;
    }
    if (tensor.data.empty() || tensor.name.size() > limits::manifest_name_bytes_max) {
      return fail(errc::unsupported,
                  "tensor {} is of type {}, whose size is not known, or has too long a name; "
                  "convert the model to a type that ovir model inspect names",
                  tensor.name, tensor.raw_type);
    }
    tensor_manifest t{.name = std::string{tensor.name},
                      .raw_type = tensor.raw_type,
                      .dims = tensor.dims,
                      .shape = tensor.shape,
                      .bytes = tensor.data.size(),
                      .chunks = {}};
    for (std::size_t at = 0; at < tensor.data.size(); at += manifest_chunk_bytes) {
      t.chunks.push_back(hash_plain(tensor.data.subspan(
          at, std::min<std::size_t>(manifest_chunk_bytes, tensor.data.size() - at))));
    }
    if (between) {
      between();
    }
    out.tensors.push_back(std::move(t));
  }
  std::sort(out.tensors.begin(), out.tensors.end(),
            [](const tensor_manifest& a, const tensor_manifest& b) { return a.name < b.name; });
  return out;
}

std::string to_bytes(const model_manifest& manifest) {
  std::string out{magic};
  put(out, static_cast<std::uint32_t>(manifest.parameters.size()));
  out += manifest.parameters;
  put(out, manifest.tokenizer);
  put(out, manifest.tokenizer_bytes);
  put(out, static_cast<std::uint32_t>(manifest.tensors.size()));
  for (const tensor_manifest& t : manifest.tensors) {
    put(out, static_cast<std::uint16_t>(t.name.size()));
    out += t.name;
    put(out, t.raw_type);
    put(out, t.dims);
    for (std::uint32_t i = 0; i < t.dims; ++i) {
      put(out, t.shape[i]);
    }
    put(out, t.bytes);
    for (const digest& chunk : t.chunks) {
      put(out, chunk);
    }
  }
  return out;
}

result<model_manifest> manifest_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::manifest_bytes_max) {
    return fail(errc::over_limit, "the manifest has {} bytes, more than the {} allowed",
                bytes.size(), limits::manifest_bytes_max);
  }
  reader in{bytes};
  OVIR_ASSIGN(const std::string begin, in.text(magic.size(), "its first bytes"));
  if (begin != magic) {
    return fail(begin.starts_with("OVM") ? errc::unsupported : errc::malformed,
                "this is no manifest that this version of ovir reads (it begins otherwise than {})",
                magic);
  }
  model_manifest out;
  OVIR_ASSIGN(const auto parameters, in.number<std::uint32_t>("its parameters"));
  if (parameters > limits::manifest_parameters_bytes_max) {
    return fail(errc::over_limit,
                "the manifest's parameters have {} bytes, more than the {} allowed", parameters,
                limits::manifest_parameters_bytes_max);
  }
  OVIR_ASSIGN(out.parameters, in.text(parameters, "its parameters"));
  OVIR_ASSIGN(out.tokenizer, in.one_digest("the tokenizer's digest"));
  OVIR_ASSIGN(out.tokenizer_bytes, in.number<std::uint64_t>("the tokenizer's size"));
  OVIR_ASSIGN(const auto tensors, in.number<std::uint32_t>("the number of tensors"));
  if (tensors > limits::tensors_max) {
    return fail(errc::over_limit, "the manifest has {} tensors, more than the {} allowed", tensors,
                limits::tensors_max);
  }
  for (std::uint32_t i = 0; i < tensors; ++i) {
    OVIR_ASSIGN(tensor_manifest t, tensor_from(in));
    if (!out.tensors.empty() && !(out.tensors.back().name < t.name)) {
      return fail(errc::malformed, "the manifest's tensors are not in the order of their names");
    }
    out.tensors.push_back(std::move(t));
  }
  if (in.left() > 0) {
    return fail(errc::malformed, "{} bytes follow the manifest's end; fetch it again", in.left());
  }
  return out;
}

digest name_of(const model_manifest& manifest) {
  const std::string bytes = to_bytes(manifest);
  return hash_plain(std::as_bytes(std::span{bytes}));
}

} // namespace ovir::compute
