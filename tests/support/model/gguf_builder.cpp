#include "tests/support/model/gguf_builder.hpp"

#include <cstring>
#include <fstream>
#include <stdexcept>
#include <type_traits>

namespace ovir::test {

namespace {

template <class T>
void put(std::string& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void put_text(std::string& out, std::string_view text) {
  put(out, std::uint64_t{text.size()});
  out += text;
}

template <class T>
std::string bytes_of(T value) {
  std::string out;
  put(out, value);
  return out;
}

template <class T>
std::string array_bytes(const std::vector<T>& values) {
  std::string out;
  for (const T value : values) {
    put(out, value);
  }
  return out;
}

std::uint64_t aligned(std::uint64_t offset, std::uint64_t alignment) {
  return alignment == 0 ? offset : (offset + alignment - 1) / alignment * alignment;
}

} // namespace

gguf_builder& gguf_builder::version(std::uint32_t value) {
  version_ = value;
  return *this;
}

gguf_builder& gguf_builder::alignment(std::uint32_t value) {
  alignment_ = value;
  return *this;
}

gguf_builder& gguf_builder::claim_entries(std::uint64_t count) {
  entries_claimed_ = count;
  return *this;
}

gguf_builder& gguf_builder::claim_tensors(std::uint64_t count) {
  tensors_claimed_ = count;
  return *this;
}

gguf_builder& gguf_builder::u32(std::string_view key, std::uint32_t value) {
  return raw_entry(key, 4, bytes_of(value));
}

gguf_builder& gguf_builder::i32(std::string_view key, std::int32_t value) {
  return raw_entry(key, 5, bytes_of(value));
}

gguf_builder& gguf_builder::u64(std::string_view key, std::uint64_t value) {
  return raw_entry(key, 10, bytes_of(value));
}

gguf_builder& gguf_builder::f32(std::string_view key, float value) {
  return raw_entry(key, 6, bytes_of(value));
}

gguf_builder& gguf_builder::f64(std::string_view key, double value) {
  return raw_entry(key, 12, bytes_of(value));
}

gguf_builder& gguf_builder::boolean(std::string_view key, bool value) {
  return raw_entry(key, 7, bytes_of(static_cast<std::uint8_t>(value ? 1 : 0)));
}

gguf_builder& gguf_builder::text(std::string_view key, std::string_view value) {
  std::string bytes;
  put_text(bytes, value);
  return raw_entry(key, 8, bytes);
}

gguf_builder& gguf_builder::texts(std::string_view key, const std::vector<std::string>& values) {
  std::string bytes;
  for (const std::string& value : values) {
    put_text(bytes, value);
  }
  return raw_array(key, 8, values.size(), bytes);
}

gguf_builder& gguf_builder::floats(std::string_view key, const std::vector<float>& values) {
  return raw_array(key, 6, values.size(), array_bytes(values));
}

gguf_builder& gguf_builder::integers(std::string_view key,
                                     const std::vector<std::int32_t>& values) {
  return raw_array(key, 5, values.size(), array_bytes(values));
}

gguf_builder& gguf_builder::raw_array(std::string_view key, std::uint32_t element,
                                      std::uint64_t claimed, std::string_view bytes) {
  std::string value;
  put(value, element);
  put(value, claimed);
  value += bytes;
  return raw_entry(key, 9, value);
}

gguf_builder& gguf_builder::raw_entry(std::string_view key, std::uint32_t type,
                                      std::string_view bytes) {
  entries_.push_back({std::string{key}, type, std::string{bytes}});
  return *this;
}

gguf_builder& gguf_builder::remove_entry(std::string_view key) {
  std::erase_if(entries_, [key](const entry& e) { return e.key == key; });
  return *this;
}

gguf_builder& gguf_builder::tensor(std::string_view name, std::uint32_t raw_type,
                                   std::vector<std::uint64_t> shape,
                                   std::optional<std::vector<std::byte>> data) {
  if (!data) {
    const auto layout = compute::layout_of_raw_type(raw_type);
    std::uint64_t elements = layout ? 1 : 0;
    for (const std::uint64_t length : shape) {
      elements *= length;
    }
    const std::uint64_t blocks = layout ? elements / layout->block_elements : 0;
    data.emplace(layout ? blocks * layout->block_bytes : 0);
  }
  tensors_.push_back({std::string{name}, raw_type, std::move(shape), std::move(*data), {}});
  return *this;
}

gguf_builder& gguf_builder::tensor(std::string_view name, compute::tensor_type type,
                                   std::vector<std::uint64_t> shape,
                                   std::optional<std::vector<std::byte>> data) {
  return tensor(name, static_cast<std::uint32_t>(type), std::move(shape), std::move(data));
}

gguf_builder& gguf_builder::at_offset(std::uint64_t offset) {
  tensors_.back().offset = offset;
  return *this;
}

gguf_builder& gguf_builder::remove_tensor(std::string_view name) {
  std::erase_if(tensors_, [name](const tensor_info& t) { return t.name == name; });
  return *this;
}

std::vector<std::byte> gguf_builder::build() const {
  const bool states_alignment = alignment_ != 32;
  std::string out{"GGUF"};
  put(out, version_);
  put(out, tensors_claimed_.value_or(tensors_.size()));
  put(out, entries_claimed_.value_or(entries_.size() + (states_alignment ? 1 : 0)));
  if (states_alignment) {
    put_text(out, "general.alignment");
    put(out, std::uint32_t{4});
    put(out, alignment_);
  }
  for (const entry& e : entries_) {
    put_text(out, e.key);
    put(out, e.type);
    out += e.bytes;
  }
  std::string data;
  for (const tensor_info& t : tensors_) {
    put_text(out, t.name);
    put(out, static_cast<std::uint32_t>(t.shape.size()));
    for (const std::uint64_t length : t.shape) {
      put(out, length);
    }
    put(out, t.raw_type);
    data.resize(aligned(data.size(), alignment_), '\0');
    put(out, t.offset.value_or(data.size()));
    data.append(reinterpret_cast<const char*>(t.data.data()), t.data.size());
  }
  if (!tensors_.empty()) {
    out.resize(aligned(out.size(), alignment_), '\0');
  }
  out += data;
  std::vector<std::byte> bytes(out.size());
  std::memcpy(bytes.data(), out.data(), out.size());
  return bytes;
}

gguf_builder minimal_llama() {
  constexpr auto f32 = compute::tensor_type::f32;
  gguf_builder b;
  b.text("general.architecture", "llama").text("general.name", "minimal");
  b.u32("llama.block_count", 2).u32("llama.embedding_length", 8);
  b.u32("llama.feed_forward_length", 16).u32("llama.attention.head_count", 2);
  b.u32("llama.attention.head_count_kv", 1).u32("llama.context_length", 64);
  b.u32("llama.vocab_size", 10).f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  b.tensor("token_embd.weight", f32, {8, 10}).tensor("output_norm.weight", f32, {8});
  b.tensor("output.weight", f32, {8, 10});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    b.tensor(layer + "attn_norm.weight", f32, {8}).tensor(layer + "ffn_norm.weight", f32, {8});
    b.tensor(layer + "attn_q.weight", f32, {8, 8}).tensor(layer + "attn_k.weight", f32, {8, 4});
    b.tensor(layer + "attn_v.weight", f32, {8, 4});
    b.tensor(layer + "attn_output.weight", f32, {8, 8});
    b.tensor(layer + "ffn_gate.weight", f32, {8, 16});
    b.tensor(layer + "ffn_up.weight", f32, {8, 16});
    b.tensor(layer + "ffn_down.weight", f32, {16, 8});
  }
  return b;
}

std::vector<std::byte> tiny_model(std::uint64_t seed, compute::synth_quantization quantization) {
  compute::synth_spec spec;
  spec.name = "tiny";
  spec.seed = seed;
  spec.quantization = quantization;
  return synthetic_model(spec);
}

std::vector<std::byte> synthetic_model(const compute::synth_spec& spec) {
  std::vector<std::byte> bytes;
  const auto append = [&bytes](std::span<const std::byte> more) -> result<void> {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  };
  if (const auto written = compute::write_synth(spec, append, {}); !written) {
    throw std::runtime_error(written.error().message);
  }
  return bytes;
}

std::vector<std::byte> bytes_of_file(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  if (!file.read(reinterpret_cast<char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()))) {
    throw std::runtime_error("cannot read " + path.string());
  }
  return bytes;
}

} // namespace ovir::test
