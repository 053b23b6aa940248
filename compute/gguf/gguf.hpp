#pragma once

#include "compute/tensor/tensor.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

namespace ovir::compute {

enum class gguf_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// "u32", "string" and so on.
[[nodiscard]] std::string_view name_of(gguf_type type) noexcept;

/// An array of the metadata, checked but left where it is in the file.
struct gguf_array {
  gguf_type element{gguf_type::u8};
  std::uint64_t count{0};
  std::span<const std::byte> bytes; ///< exactly the array's elements
};

/// Signed integers are widened to int64, unsigned to uint64, floats to double.
using gguf_value =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, gguf_array>;

struct gguf_entry {
  std::string_view key;
  gguf_type type{gguf_type::u8};
  gguf_value value;
};

struct gguf_tensor {
  std::string_view name;
  std::array<std::uint64_t, 4> shape{1, 1, 1, 1}; ///< shape[0] is the row length; unused are 1
  std::uint32_t dims{0};
  std::uint32_t raw_type{0};
  std::uint64_t offset{0};         ///< of the data, from the start of the file
  std::span<const std::byte> data; ///< empty for types of unknown size
};

/// A parsed GGUF v2 or v3 file. Every view points into the bytes given to `parse`, which must
/// outlive it. Everything was checked: counts, lengths, UTF-8 of keys and names, duplicate keys and
/// names, alignment, type and shape products, overlaps, and that all data lies inside the file.
class gguf {
public:
  /// Errors are `malformed`, `unsupported` or `over_limit`; the message names the field and the
  /// offset. Allocates in proportion to entries actually present, never to a number claimed.
  [[nodiscard]] static result<gguf> parse(std::span<const std::byte> file);

  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  [[nodiscard]] std::uint32_t alignment() const noexcept { return alignment_; }
  [[nodiscard]] std::uint64_t data_offset() const noexcept { return data_offset_; }
  [[nodiscard]] std::span<const gguf_entry> entries() const noexcept { return entries_; }
  [[nodiscard]] std::span<const gguf_tensor> tensors() const noexcept { return tensors_; }

  /// Null when absent. Logarithmic.
  [[nodiscard]] const gguf_entry* find(std::string_view key) const noexcept;
  [[nodiscard]] const gguf_tensor* find_tensor(std::string_view name) const noexcept;

  /// Typed look-ups: `not_found` when absent, `malformed` when of another type or out of range.
  [[nodiscard]] result<std::uint64_t> unsigned_at(std::string_view key) const;
  [[nodiscard]] result<double> float_at(std::string_view key) const;
  [[nodiscard]] result<bool> bool_at(std::string_view key) const;
  [[nodiscard]] result<std::string_view> text_at(std::string_view key) const;
  [[nodiscard]] result<gguf_array> array_at(std::string_view key, gguf_type element) const;

private:
  std::uint32_t version_{0};
  std::uint32_t alignment_{32};
  std::uint64_t data_offset_{0};
  std::vector<gguf_entry> entries_;
  std::vector<gguf_tensor> tensors_;
  std::vector<std::uint32_t> entries_by_key_;
  std::vector<std::uint32_t> tensors_by_name_;

  friend class gguf_parser;
};

/// Elements of a string array, copied out. `malformed` when it is not one; `over_limit`, as with
/// the next two, beyond limits::array_copied_elements_max.
[[nodiscard]] result<std::vector<std::string_view>> strings_of(const gguf_array& array);
/// Elements of an array of 32-bit floats.
[[nodiscard]] result<std::vector<float>> floats_of(const gguf_array& array);
/// Elements of an array of any integer type that fit an int32.
[[nodiscard]] result<std::vector<std::int32_t>> integers_of(const gguf_array& array);

} // namespace ovir::compute
