#pragma once

#include "compute/gguf/gguf.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ovir::compute {

/// Appends GGUF metadata and descriptions of tensors to a string.
class gguf_writer {
public:
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    std::array<char, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(T));
    bytes_.append(bytes.data(), bytes.size());
  }
  void text(std::string_view value) {
    number(std::uint64_t{value.size()});
    bytes_ += value;
  }
  void entry(std::string_view key, gguf_type type) {
    text(key);
    number(static_cast<std::uint32_t>(type));
    ++entries_;
  }
  void u32(std::string_view key, std::uint32_t value) {
    entry(key, gguf_type::u32);
    number(value);
  }
  void f32(std::string_view key, float value) {
    entry(key, gguf_type::f32);
    number(value);
  }
  void string(std::string_view key, std::string_view value) {
    entry(key, gguf_type::string);
    text(value);
  }
  void array(std::string_view key, gguf_type element, std::size_t count) {
    entry(key, gguf_type::array);
    number(static_cast<std::uint32_t>(element));
    number(std::uint64_t{count});
  }
  void strings(std::string_view key, const std::vector<std::string>& values) {
    array(key, gguf_type::string, values.size());
    for (const std::string& value : values) {
      text(value);
    }
  }
  /// An entry of another file, as it is there.
  void copy(const gguf_entry& from);

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t entries() const { return entries_; }

private:
  std::string bytes_;
  std::uint64_t entries_{0};
};

} // namespace ovir::compute
