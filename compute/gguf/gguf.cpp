#include "compute/gguf/gguf.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/gguf_parser.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ovir::compute {

namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

error absent(std::string_view key) {
  return fail(errc::not_found, "the model's metadata has no \"{}\"", printable(key));
}

error of_another_type(std::string_view key, std::string_view wanted) {
  return fail(errc::malformed, "the metadata \"{}\" is not {}", printable(key), wanted);
}

/// Refuses to copy out more than any vocabulary needs: in memory an element of a string array is
/// twice its least size in the file.
result<void> check_copy(const gguf_array& array) {
  if (array.count > limits::array_copied_elements_max) {
    return fail(errc::over_limit, "an array of {} elements is longer than the {} allowed",
                array.count, limits::array_copied_elements_max);
  }
  return {};
}

template <class T>
result<std::vector<std::int32_t>> narrowed(const gguf_array& array) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(array.count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const T value = load<T>(array.bytes.data() + i * sizeof(T));
    if (!std::in_range<std::int32_t>(value)) {
      return fail(errc::malformed, "element {} of an integer array is {}, beyond 32 bits", i,
                  value);
    }
    out[i] = static_cast<std::int32_t>(value);
  }
  return out;
}

template <class Items, class Text>
auto lookup(const Items& items, const std::vector<std::uint32_t>& order, std::string_view wanted,
            Text text_of) -> decltype(items.data()) {
  const auto found = std::lower_bound(
      order.begin(), order.end(), wanted,
      [&](std::uint32_t i, std::string_view text) { return text_of(items[i]) < text; });
  if (found == order.end() || text_of(items[*found]) != wanted) {
    return nullptr;
  }
  return &items[*found];
}

} // namespace

result<gguf> gguf::parse(std::span<const std::byte> file) { return gguf_parser{file}.run(); }

const gguf_entry* gguf::find(std::string_view key) const noexcept {
  return lookup(entries_, entries_by_key_, key, [](const gguf_entry& e) { return e.key; });
}

const gguf_tensor* gguf::find_tensor(std::string_view name) const noexcept {
  return lookup(tensors_, tensors_by_name_, name, [](const gguf_tensor& t) { return t.name; });
}

result<std::uint64_t> gguf::unsigned_at(std::string_view key) const {
  const gguf_entry* entry = find(key);
  if (entry == nullptr) {
    return absent(key);
  }
  if (const auto* value = std::get_if<std::uint64_t>(&entry->value)) {
    return *value;
  }
  // Converters write small counts as signed integers now and then.
  if (const auto* value = std::get_if<std::int64_t>(&entry->value)) {
    if (*value < 0) {
      return fail(errc::malformed, "the metadata \"{}\" is {}, it must not be negative",
                  printable(key), *value);
    }
    return static_cast<std::uint64_t>(*value);
  }
  return of_another_type(key, "an integer");
}

result<double> gguf::float_at(std::string_view key) const {
  const gguf_entry* entry = find(key);
  if (entry == nullptr) {
    return absent(key);
  }
  if (const auto* value = std::get_if<double>(&entry->value)) {
    return *value;
  }
  return of_another_type(key, "a floating-point number");
}

result<bool> gguf::bool_at(std::string_view key) const {
  const gguf_entry* entry = find(key);
  if (entry == nullptr) {
    return absent(key);
  }
  if (const auto* value = std::get_if<bool>(&entry->value)) {
    return *value;
  }
  return of_another_type(key, "a boolean");
}

result<std::string_view> gguf::text_at(std::string_view key) const {
  const gguf_entry* entry = find(key);
  if (entry == nullptr) {
    return absent(key);
  }
  if (const auto* value = std::get_if<std::string_view>(&entry->value)) {
    return *value;
  }
  return of_another_type(key, "a string");
}

result<gguf_array> gguf::array_at(std::string_view key, gguf_type element) const {
  const gguf_entry* entry = find(key);
  if (entry == nullptr) {
    return absent(key);
  }
  const auto* value = std::get_if<gguf_array>(&entry->value);
  if (value == nullptr) {
    return of_another_type(key, "an array");
  }
  if (value->element != element) {
    return of_another_type(key, fmt::format("an array of {}", name_of(element)));
  }
  return *value;
}

result<std::vector<std::string_view>> strings_of(const gguf_array& array) {
  if (array.element != gguf_type::string) {
    return fail(errc::malformed, "an array of {} is not one of strings", name_of(array.element));
  }
  OVIR_TRY(check_copy(array));
  std::vector<std::string_view> out;
  out.reserve(static_cast<std::size_t>(array.count));
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < array.count; ++i) {
    const auto length = static_cast<std::size_t>(load<std::uint64_t>(array.bytes.data() + at));
    out.emplace_back(reinterpret_cast<const char*>(array.bytes.data()) + at + 8, length);
    at += 8 + length;
  }
  return out;
}

result<std::vector<float>> floats_of(const gguf_array& array) {
  if (array.element != gguf_type::f32) {
    return fail(errc::malformed, "an array of {} is not one of 32-bit floats",
                name_of(array.element));
  }
  OVIR_TRY(check_copy(array));
  std::vector<float> out(static_cast<std::size_t>(array.count));
  if (!out.empty()) {
    std::memcpy(out.data(), array.bytes.data(), array.bytes.size());
  }
  return out;
}

result<std::vector<std::int32_t>> integers_of(const gguf_array& array) {
  OVIR_TRY(check_copy(array));
  switch (array.element) {
  case gguf_type::u8: return narrowed<std::uint8_t>(array);
  case gguf_type::i8: return narrowed<std::int8_t>(array);
  case gguf_type::u16: return narrowed<std::uint16_t>(array);
  case gguf_type::i16: return narrowed<std::int16_t>(array);
  case gguf_type::u32: return narrowed<std::uint32_t>(array);
  case gguf_type::i32: return narrowed<std::int32_t>(array);
  case gguf_type::u64: return narrowed<std::uint64_t>(array);
  case gguf_type::i64: return narrowed<std::int64_t>(array);
  default:
    return fail(errc::malformed, "an array of {} is not one of integers", name_of(array.element));
  }
}

std::string_view name_of(gguf_type type) noexcept {
  switch (type) {
  case gguf_type::u8: return "u8";
  case gguf_type::i8: return "i8";
  case gguf_type::u16: return "u16";
  case gguf_type::i16: return "i16";
  case gguf_type::u32: return "u32";
  case gguf_type::i32: return "i32";
  case gguf_type::f32: return "f32";
  case gguf_type::boolean: return "bool";
  case gguf_type::string: return "string";
  case gguf_type::array: return "array";
  case gguf_type::u64: return "u64";
  case gguf_type::i64: return "i64";
  case gguf_type::f64: return "f64";
  }
  return "unknown";
}

} // namespace ovir::compute
